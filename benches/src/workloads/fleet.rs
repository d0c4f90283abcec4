//! Many workers, or many servers.

use std::time::Instant;

use super::served::until_gone;
use super::{Options, run};
use crate::child::Child;
use crate::part::Part;
use crate::raw::fill::Fill;
use crate::raw::share::{Fills, Stream};
use crate::server::{Redis, Used};
use crate::work::Service;
use crate::work::submit::Submit;
use crate::{BenchError, Figures};

/// Where a service is.
pub(super) struct Place {
    /// All servers.
    pub(super) servers: Vec<Redis>,
    pub(super) service: Service,
    /// The streams of the bare commands, one per partition.
    pub(super) raw: Vec<Stream>,
    /// Which server has which partition; its bare stream is there too.
    pub(super) at: Vec<usize>,
}

/// What is measured as one.
pub(super) struct Fleet {
    pub(super) workload: String,
    pub(super) n: u64,
    pub(super) parts: Vec<Part>,
    /// Of each partition.
    pub(super) streams: Vec<String>,
}

impl Place {
    pub(super) async fn clear(&self) -> Result<(), BenchError> {
        for server in &self.servers {
            server.call("FLUSHALL", &[]).await?;
        }
        Ok(())
    }

    /// Fills the queue.
    pub(super) async fn submit(&self, options: &Options, workload: String, n: u64) -> Result<Figures, BenchError> {
        let submit = Part::Submit(Submit {
            service: self.service.clone(),
            n,
            coalesce: false,
        });
        self.fill(options, workload, &submit).await
    }

    /// The same in bare commands.
    pub(super) async fn raw_fill(&self, options: &Options, n: u64) -> Result<Figures, BenchError> {
        let streams = self.raw.len() as u64;
        let fill = |(number, stream): (u64, &Stream)| Fill {
            url: stream.url.clone(),
            key: stream.key.clone(),
            n: n / streams + u64::from(number < n % streams),
            pipelined: 512 / self.raw.len(),
        };
        let fills = Part::RawFills(Fills((0..).zip(&self.raw).map(fill).collect()));
        self.fill(options, "raw".to_owned(), &fills).await
    }

    async fn fill(&self, options: &Options, workload: String, part: &Part) -> Result<Figures, BenchError> {
        let before = self.used().await?;
        let Some(any) = self.servers.first() else {
            return Err(BenchError::Outcome("there is no server".to_owned()));
        };
        let figures = run(options, any, &workload, part).await?;
        let after = self.used().await?;
        Ok(Figures {
            redis_cpu_s: Some(after.cpu_s - before.cpu_s),
            ..figures
        })
    }

    /// Has a fleet empty the queue. The rate is that of the last nine tenths, when all of it have started.
    pub(super) async fn drain(&self, options: &Options, fleet: Fleet) -> Result<Figures, BenchError> {
        let started: Result<Vec<_>, _> = fleet.parts.iter().map(|part| Child::start(options, part)).collect();
        let mut children = started?;
        let before = self.used().await?;
        let cpu = |children: &[Child]| -> Result<f64, BenchError> {
            children.iter().map(|child| Ok(child.usage()?.cpu_s)).sum()
        };
        let begun = cpu(&children)?;
        children.iter_mut().try_for_each(Child::go)?;
        let at: Vec<_> = self.at.iter().filter_map(|server| self.servers.get(*server)).collect();
        let mut start = Instant::now();
        let mut most = until_gone(&at, &fleet.streams, fleet.n * 9 / 10).await?;
        // So few jobs that there was no time to look: then it is that of all of them.
        if most == 0 {
            most = fleet.n;
        } else {
            start = Instant::now();
        }
        until_gone(&at, &fleet.streams, 0).await?;
        let took = start.elapsed().as_secs_f64();
        let after = self.used().await?;
        let ended = cpu(&children)?;
        let mut peak = 0;
        let mut jobs = 0;
        for child in &mut children {
            peak = peak.max(child.usage()?.peak_rss_kb);
            child.go()?;
            jobs += child.counted()?.jobs;
        }
        if jobs != fleet.n {
            return Err(BenchError::Outcome(format!("{jobs} jobs were done, of {}", fleet.n)));
        }
        #[expect(clippy::cast_precision_loss)]
        Ok(Figures {
            workload: fleet.workload,
            n: jobs,
            rate: Some(most as f64 / took),
            worker_cpu_s: Some(ended - begun),
            redis_cpu_s: Some(after.cpu_s - before.cpu_s),
            peak_rss_kb: Some(peak),
            redis_cmds_per_job: Some(after.sent_since(&before) as f64 / jobs as f64),
            ..Figures::default()
        })
    }

    /// By all servers together.
    async fn used(&self) -> Result<Used, BenchError> {
        let mut all = Used {
            cpu_s: 0.0,
            commands: 0,
            scripts: 0,
            extended: 0,
        };
        for server in &self.servers {
            let one = server.used().await?;
            all.cpu_s += one.cpu_s;
            all.commands += one.commands;
            all.scripts += one.scripts;
            all.extended += one.extended;
        }
        Ok(all)
    }
}

/// Our figures beside the raw ones, by their rates.
pub(super) fn compared(ours: Figures, raw: &Figures) -> Figures {
    Figures {
        raw_rate: raw.rate,
        ratio_to_raw: ours.rate.zip(raw.rate).map(|(ours, raw)| ours / raw),
        ..ours
    }
}

/// The median run, by the ratio.
pub(super) fn median(runs: Vec<Figures>) -> Option<Figures> {
    Figures::median_by(runs, |figures| figures.ratio_to_raw.unwrap_or_default())
}
