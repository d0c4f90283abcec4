//! Leases: one worker holds many.
//!
//! What the fields mean here: `n` leases are held, `rate` is how many are renewed a second. A "job" is a second of holding, so
//! the processor times are parts of a core, and `redis_cmds_per_job` is what is sent in a second. `raw_rate` is what the bare
//! program renewed a second (it is given as many keys), and `ratio_to_raw` the processor time, its own and Redis's together,
//! that a renewal took there, as a part of what it takes here: 1 would be a heartbeat that costs no more than its commands.
//!
//! `w3.memory` tells in `peak_rss_kb` by how much the worker has grown from none to `n` leases, info included.

use std::time::Duration;

use super::{Options, run};
use crate::child::Child;
use crate::part::Part;
use crate::server::Redis;
use crate::work::Service;
use crate::{BenchError, Figures, raw, server, work};

const LEASES: u64 = 100_000;
const SPAN: Duration = Duration::from_secs(30);
/// Until all are in the rhythm of their heartbeats.
const SETTLE: Duration = Duration::from_secs(7);

pub(super) async fn measure(options: &Options, say: &mut dyn FnMut(&Figures)) -> Result<(), BenchError> {
    let most = options.n.unwrap_or(LEASES);
    for n in [most / 100, most / 10, most] {
        let mut runs = Vec::new();
        let mut memory = Vec::new();
        for _ in 0..options.runs {
            let [held, grown] = one(options, n).await?;
            runs.push(held);
            memory.push(grown);
        }
        let grown = |figures: &Figures| figures.peak_rss_kb.unwrap_or_default() as f64;
        let ratio = |figures: &Figures| figures.ratio_to_raw.unwrap_or_default();
        if n == most {
            Figures::median_by(memory, grown).iter().for_each(&mut *say);
        }
        let median = Figures::median_by(runs, ratio);
        let name = if n == most { "w3".to_owned() } else { format!("w3.{n}") };
        median
            .map(|figures| Figures {
                workload: name,
                ..figures
            })
            .iter()
            .for_each(&mut *say);
    }
    Ok(())
}

/// The holding, and what it has added to the worker's memory.
async fn one(options: &Options, n: u64) -> Result<[Figures; 2], BenchError> {
    // One of their own for each: expired keys of the one would cost the other.
    let bare = server::start()?;
    let redis = Redis::at(&bare.url()).await?;
    let extend = Part::RawExtend(raw::extend::Extend {
        url: bare.url(),
        n,
        ttl_ms: 6_000,
        batch: 400,
        pipelined: 8,
        seconds: SPAN.as_secs(),
    });
    let raw = run(options, &redis, "raw", &extend).await?;
    drop(bare);

    let server = server::start()?;
    let url = server.url();
    let redis = Redis::at(&url).await?;
    let service = Service {
        url: url.clone(),
        name: "bench".to_owned(),
        partitions: 1,
    };
    let hold = Part::Keep(work::keep::Keep {
        service,
        n: usize::try_from(n).unwrap_or(usize::MAX),
    });
    let mut worker = Child::start(options, &hold)?;
    let empty = worker.usage()?;
    worker.go()?;
    let fill = Part::RawFill(raw::fill::Fill {
        url,
        key: "{bench:0}:input".to_owned(),
        n,
        pipelined: 512,
    });
    run(options, &redis, "fill", &fill).await?;
    worker.counted()?;
    tokio::time::sleep(SETTLE).await;

    let (before, begun) = (redis.used().await?, worker.usage()?);
    tokio::time::sleep(SPAN).await;
    let (after, ended) = (redis.used().await?, worker.usage()?);
    worker.go()?;
    let valid = worker.counted()?.jobs;
    if valid < n {
        return Err(BenchError::Outcome(format!("{} of {n} leases were lost", n - valid)));
    }
    let per_second = |from: f64, to: f64| (to - from) / SPAN.as_secs_f64();
    let rate = per_second(before.extended as f64, after.extended as f64);
    let worker_cpu = per_second(begun.cpu_s, ended.cpu_s);
    let redis_cpu = per_second(before.cpu_s, after.cpu_s);
    let bare_cpu = raw
        .worker_cpu_s
        .zip(raw.redis_cpu_s)
        .map(|(worker, redis)| worker + redis);
    // Per renewal, as the bare program renews a little less often.
    let bare_cost = bare_cpu.map(|cpu| cpu / raw.n as f64);
    let held = Figures {
        n,
        rate: Some(rate),
        worker_cpu_s: Some(worker_cpu),
        redis_cpu_s: Some(redis_cpu),
        peak_rss_kb: Some(ended.peak_rss_kb),
        redis_cmds_per_job: Some(per_second(before.scripts as f64, after.scripts as f64)),
        raw_rate: raw.rate,
        ratio_to_raw: bare_cost.map(|bare| bare * rate / (worker_cpu + redis_cpu)),
        ..Figures::default()
    };
    let grown = Figures {
        workload: "w3.memory".to_owned(),
        n,
        peak_rss_kb: Some(ended.rss_kb.saturating_sub(empty.rss_kb)),
        ..Figures::default()
    };
    Ok([held, grown])
}
