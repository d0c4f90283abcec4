//! What scanning costs Redis as the pending entries list grows, and whether more workers cost more.
//!
//! All pending entries are held: each has a lock that lives, and has been pending for long. `rate` is the scans per second of
//! all workers together, so 1 ÷ `rate` is the effective interval; `p50_us` and `p99_us` are what one costs Redis, as the library
//! tells it. `redis_cpu_s` is the processor time of Redis *per second*, less what the same idle workers cost without anything
//! pending: 0.02 is 2 % of a core. `raw_rate` is the processor time of a bare XPENDING walk, which looks at no lock, in
//! microseconds, and `ratio_to_raw` a scan's share of that.

use std::time::Duration;

use super::{Options, run};
use crate::child::Child;
use crate::figures::percentile;
use crate::part::{Counted, Part};
use crate::server::Redis;
use crate::work::Service;
use crate::work::idle::Idle;
use crate::{BenchError, Figures, raw, server};

const SIZES: [u64; 4] = [1_000, 10_000, 100_000, 1_000_000];
const KEY: &str = "{bench:0}:input";
const WORKERS: [usize; 2] = [1, 4];
/// What a scan of a million takes, or leaves for the others, comes up about once a minute and a half.
const LONG: Duration = Duration::from_secs(150);
const SHORT: Duration = Duration::from_secs(15);
/// Until what the workers do at their start is over, or what has grown has been noticed.
const SETTLED: Duration = Duration::from_secs(3);

pub(super) async fn measure(options: &Options, say: &mut dyn FnMut(&Figures)) -> Result<(), BenchError> {
    let server = server::start()?;
    let redis = Redis::at(&server.url()).await?;
    let most = options.n.unwrap_or(u64::MAX);
    let sizes: Vec<u64> = SIZES.into_iter().filter(|size| *size <= most).collect();
    let mut main = None;
    for workers in WORKERS {
        redis.call("FLUSHALL", &[]).await?;
        let service = Service {
            url: server.url(),
            name: "bench".to_owned(),
            partitions: 1,
        };
        let part = Part::Idle(Idle {
            service,
            rounds: sizes.len() + 1,
        });
        let mut fleet = Vec::new();
        for _ in 0..workers {
            fleet.push(Child::start(options, &part)?);
        }
        tokio::time::sleep(SETTLED).await;
        let nothing = watch(&redis, &mut fleet, SHORT).await?;
        let mut pending = 0;
        for size in &sizes {
            hold(&redis, size - pending).await?;
            pending = *size;
            tokio::time::sleep(SETTLED).await;
            let span = if pending > 100_000 { LONG } else { SHORT };
            let watched = watch(&redis, &mut fleet, span).await?;
            let times = (1_000_000 / pending).max(1);
            let walk = Part::RawWalk(raw::orphans::Walk {
                url: server.url(),
                key: KEY.to_owned(),
                times,
            });
            let walk = run(options, &redis, "raw", &walk)
                .await?
                .redis_cpu_s
                .unwrap_or_default();
            #[expect(clippy::cast_precision_loss)]
            let raw = walk * 1e6 / times as f64;
            let figures = figures(&watched, &nothing, raw, pending, workers);
            say(&figures);
            if pending <= 100_000 && workers == 1 {
                main = Some(figures);
            }
        }
    }
    if let Some(figures) = main {
        say(&Figures {
            workload: "w5".to_owned(),
            ..figures
        });
    }
    Ok(())
}

/// What happened in a while.
struct Watched {
    seconds: f64,
    redis_cpu_s: f64,
    worker_cpu_s: f64,
    peak_rss_kb: u64,
    costs: Vec<u64>,
}

async fn watch(redis: &Redis, fleet: &mut [Child], span: Duration) -> Result<Watched, BenchError> {
    let cpu = |fleet: &[Child]| fleet.iter().map(Child::usage).collect::<Result<Vec<_>, _>>();
    for one in &mut *fleet {
        one.go()?;
    }
    let (before, begun) = (redis.used().await?, cpu(fleet)?);
    tokio::time::sleep(span).await;
    let (after, ended) = (redis.used().await?, cpu(fleet)?);
    let mut costs = Vec::new();
    let mut micros = 0;
    for one in fleet {
        one.go()?;
        let counted: Counted = one.counted()?;
        micros = counted.micros.max(micros);
        costs.extend(counted.latencies);
    }
    costs.sort_unstable();
    #[expect(clippy::cast_precision_loss)]
    Ok(Watched {
        seconds: micros as f64 / 1e6,
        redis_cpu_s: after.cpu_s - before.cpu_s,
        worker_cpu_s: ended
            .iter()
            .zip(begun)
            .map(|(after, before)| after.cpu_s - before.cpu_s)
            .sum(),
        peak_rss_kb: ended.iter().map(|usage| usage.peak_rss_kb).max().unwrap_or_default(),
        costs,
    })
}

fn figures(watched: &Watched, nothing: &Watched, raw: f64, pending: u64, workers: usize) -> Figures {
    let cost = percentile(&watched.costs, 0.5);
    #[expect(clippy::cast_precision_loss)]
    let scans = watched.costs.len() as f64;
    Figures {
        workload: format!("w5.{pending}.workers{workers}"),
        n: pending,
        rate: Some(scans / watched.seconds),
        p50_us: Some(cost),
        p99_us: Some(percentile(&watched.costs, 0.99)),
        worker_cpu_s: Some(watched.worker_cpu_s / watched.seconds),
        redis_cpu_s: Some(watched.redis_cpu_s / watched.seconds - nothing.redis_cpu_s / nothing.seconds),
        peak_rss_kb: Some(watched.peak_rss_kb),
        redis_cmds_per_job: None,
        raw_rate: Some(raw),
        ratio_to_raw: Some(cost / raw),
    }
}

/// Has so many more entries be pending for a consumer that lives.
async fn hold(redis: &Redis, n: u64) -> Result<(), BenchError> {
    const HOLD: &str = "local ids = {} \
        for i = 1, ARGV[1] do ids[i] = redis.call('XADD', KEYS[1], '*', 'lbs-input', '{\"DataStreamName\":\"s\",\"Info\":1}') end \
        redis.call('XREADGROUP', 'GROUP', 'workers', 'holder.00000000', 'COUNT', ARGV[1], 'STREAMS', KEYS[1], '>') \
        for i, id in ipairs(ids) do \
          redis.call('XCLAIM', KEYS[1], 'workers', 'holder.00000000', 0, id, 'IDLE', 60000, 'JUSTID') \
          redis.call('SET', '{bench:0}:lock:' .. id, 'holder.00000000:' .. i, 'PX', 3600000) \
        end";
    const PER_CALL: u64 = 500;
    for _ in 0..n / PER_CALL {
        redis.call("EVAL", &[HOLD, "1", KEY, &PER_CALL.to_string()]).await?;
    }
    Ok(())
}
