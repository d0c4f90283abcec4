//! Producers and workers that run at the same time.

use std::time::{Duration, Instant};

use super::Options;
use crate::child::Child;
use crate::part::{Counted, Part};
use crate::server::Redis;
use crate::{BenchError, Figures};

/// Between two looks at what is left. Each costs Redis some microseconds.
const LOOK: Duration = Duration::from_millis(2);
/// A queue that has not become shorter for so long will not.
const STANDSTILL: Duration = Duration::from_secs(20);

/// What a worker has seen of what a producer has sent.
pub(super) struct Served {
    pub(super) counted: Counted,
    pub(super) figures: Figures,
}

/// Has a worker serve what a producer sends meanwhile, until nothing of it is left in `key`.
pub(super) async fn serve(
    options: &Options,
    redis: &Redis,
    key: &str,
    worker: &Part,
    producer: &Part,
) -> Result<Served, BenchError> {
    let mut worker = Child::start(options, worker)?;
    let mut producer = Child::start(options, producer)?;
    worker.go()?;
    worker.ready()?;
    let (before, begun) = (redis.used().await?, worker.usage()?);
    let start = Instant::now();
    producer.go()?;
    let sent = producer.counted()?.jobs;
    until_gone(&[redis], &[key.to_owned()], 0).await?;
    let took = start.elapsed();
    let (after, ended) = (redis.used().await?, worker.usage()?);
    worker.go()?;
    let counted = worker.counted()?;
    if counted.jobs < sent {
        return Err(BenchError::Outcome(format!("{} of {sent} jobs arrived", counted.jobs)));
    }
    #[expect(clippy::cast_precision_loss)]
    let jobs = counted.jobs as f64;
    #[expect(clippy::cast_precision_loss)]
    let figures = Figures {
        n: counted.jobs,
        rate: Some(jobs / took.as_secs_f64()),
        worker_cpu_s: Some(ended.cpu_s - begun.cpu_s),
        redis_cpu_s: Some(after.cpu_s - before.cpu_s),
        peak_rss_kb: Some(ended.peak_rss_kb),
        redis_cmds_per_job: Some((after.scripts - before.scripts) as f64 / jobs),
        ..Figures::default()
    };
    Ok(Served { counted, figures })
}

/// Waits until at most so many entries are left in these streams, each of which is asked for where it is, and says how many.
pub(super) async fn until_gone(at: &[&Redis], streams: &[String], left: u64) -> Result<u64, BenchError> {
    let mut best = (u64::MAX, Instant::now());
    loop {
        let mut now = 0;
        for (redis, stream) in at.iter().zip(streams) {
            now += redis.call("XLEN", &[stream]).await?.as_u64().unwrap_or_default();
        }
        if now <= left {
            return Ok(now);
        }
        if now < best.0 {
            best = (now, Instant::now());
        } else if best.1.elapsed() > STANDSTILL {
            return Err(BenchError::Outcome(format!(
                "{now} entries are left, and nobody takes them"
            )));
        }
        tokio::time::sleep(LOOK).await;
    }
}
