//! What is measured, and how.

mod fleet;
mod served;
mod w1;
mod w2;
mod w3;
mod w4;
mod w5;
mod w6;
mod w7;

use std::str::FromStr;

use crate::child::Child;
use crate::part::Part;
use crate::server::Redis;
use crate::{BenchError, Figures};

/// How to measure.
#[derive(Debug, Clone)]
pub struct Options {
    /// Arguments with which this executable plays the part that follows them.
    pub play: Vec<String>,
    /// How often each measurement is repeated; the median counts. Odd.
    pub runs: usize,
    /// How many jobs or leases, where a workload leaves that open.
    pub n: Option<u64>,
}

/// One kind of measurement.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Workload {
    /// Throughput: submit, then process.
    W1,
    /// Latency: from the submit to the start of its handler.
    W2,
    /// Leases: one worker holds many.
    W3,
    /// Recovery: a worker is killed.
    W4,
    /// What scanning costs.
    W5,
    /// Fan-in: many worker processes drain one queue.
    W6,
    /// Partitions, on one server and on several.
    W7,
}

impl Workload {
    /// All of them.
    pub const ALL: &[Self] = &[Self::W1, Self::W2, Self::W3, Self::W4, Self::W5, Self::W6, Self::W7];

    /// As it is called on the command line.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::W1 => "w1",
            Self::W2 => "w2",
            Self::W3 => "w3",
            Self::W4 => "w4",
            Self::W5 => "w5",
            Self::W6 => "w6",
            Self::W7 => "w7",
        }
    }
}

impl FromStr for Workload {
    type Err = String;

    fn from_str(name: &str) -> Result<Self, String> {
        let found = Self::ALL.iter().find(|workload| workload.name() == name);
        found.copied().ok_or_else(|| {
            let names: Vec<_> = Self::ALL.iter().map(|workload| workload.name()).collect();
            format!("there is no workload {name:?}; there are {}", names.join(", "))
        })
    }
}

/// Measures a workload, and says what came of each of its parts as it comes, the workload itself last.
///
/// # Errors
/// It could not be measured, or did not come to the end that it has to.
pub async fn measure(workload: Workload, options: &Options, say: &mut dyn FnMut(&Figures)) -> Result<(), BenchError> {
    match workload {
        Workload::W1 => w1::measure(options, say).await,
        Workload::W2 => w2::measure(options, say).await,
        Workload::W3 => w3::measure(options, say).await,
        Workload::W4 => w4::measure(options, say).await,
        Workload::W5 => w5::measure(options, say).await,
        Workload::W6 => w6::measure(options, say).await,
        Workload::W7 => w7::measure(options, say).await,
    }
}

/// Has one part play from beginning to end.
pub(crate) async fn run(options: &Options, redis: &Redis, workload: &str, part: &Part) -> Result<Figures, BenchError> {
    let mut child = Child::start(options, part)?;
    let (before, begun) = (redis.used().await?, child.usage()?);
    child.go()?;
    let counted = child.counted()?;
    let (after, ended) = (redis.used().await?, child.usage()?);
    #[expect(clippy::cast_precision_loss)]
    let jobs = counted.jobs as f64;
    #[expect(clippy::cast_precision_loss)]
    Ok(Figures {
        workload: workload.to_owned(),
        n: counted.jobs,
        rate: Some(jobs / (counted.micros as f64 / 1e6)),
        worker_cpu_s: Some(ended.cpu_s - begun.cpu_s),
        redis_cpu_s: Some(after.cpu_s - before.cpu_s),
        peak_rss_kb: Some(ended.peak_rss_kb),
        redis_cmds_per_job: Some(after.sent_since(&before) as f64 / jobs),
        ..Figures::default()
    })
}
