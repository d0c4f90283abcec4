//! Recovery: a worker is killed while it holds many leases, and another one has room for all of them.
//!
//! The victim has renewed each lease once when it is killed, so nobody has to wait until an entry has been pending for long
//! enough. Timed is, for each stream, the time from the kill, or from the start of a survivor that is started later, until the
//! survivor's handler has it. `rate` is how many a second were handed over once the first one was; beside it how many a second
//! XAUTOCLAIM takes over, 100 at a time, with neither locks nor counters. The line `….last` has the time of the last stream as
//! `p50_us`, what it may be at most as `raw_rate`, and its share of that as `ratio_to_raw`: at most 1 where the promise is kept.

use std::time::Duration;

use super::{Options, run};
use crate::child::Child;
use crate::figures::percentile;
use crate::part::Part;
use crate::server::Redis;
use crate::work::Service;
use crate::work::hold::{Hold, micros};
use crate::{BenchError, Figures, raw, server, work};

const LEASES: u64 = 10_000;
const SIZES: [u64; 3] = [100, 2_000, LEASES];
const LATE_BY: Duration = Duration::from_secs(5);
const UNRELATED: u64 = 50_000;
const DEFAULT_TTL: Duration = Duration::from_secs(6);

/// One kind of death.
#[derive(Debug, Clone, Copy)]
struct Case {
    n: u64,
    lock_ttl: Duration,
    /// Whether the survivor is started only after the kill.
    late: bool,
    /// Whether the server holds other keys that expire at some time: Redis is slow then to notice what has.
    keys: bool,
}

impl Case {
    fn name(&self) -> String {
        let who = if self.late { "late" } else { "early" };
        let keys = if self.keys { ".keys" } else { "" };
        format!("w4.{}.ttl{}.{who}{keys}", self.n, self.lock_ttl.as_secs())
    }

    /// From the kill, or from the later start: min_idle, one scan interval with its jitter, and a second; and a hundred
    /// orphans of a lock_ttl of 2 s are to be back after 2.5 s.
    fn limit(&self) -> Duration {
        if self.n <= 100 && self.lock_ttl == Duration::from_secs(2) && !self.late {
            return Duration::from_millis(2_500);
        }
        let min_idle = self.lock_ttl + Duration::from_millis(500);
        let already = if self.late { LATE_BY } else { Duration::ZERO };
        min_idle.saturating_sub(already) + Duration::from_millis(1_200) + Duration::from_secs(1)
    }
}

/// The whole matrix once, as it takes minutes, and the workload itself as often as is asked.
pub(super) async fn measure(options: &Options, say: &mut dyn FnMut(&Figures)) -> Result<(), BenchError> {
    let server = server::start()?;
    let redis = Redis::at(&server.url()).await?;
    let sizes = options.n.map_or(SIZES.to_vec(), |n| vec![n]);
    let mut rate = 0.0;
    for n in sizes {
        rate = raw_rate(options, &redis, &server.url(), n).await?;
        for ttl in [Duration::from_secs(2), DEFAULT_TTL] {
            for late in [false, true] {
                for keys in [false, true] {
                    let case = Case {
                        n,
                        lock_ttl: ttl,
                        late,
                        keys,
                    };
                    let [all, last] = one(options, &redis, &server.url(), case, rate).await?;
                    say(&all);
                    say(&last);
                }
            }
        }
    }
    let n = options.n.unwrap_or(LEASES);
    let case = Case {
        n,
        lock_ttl: DEFAULT_TTL,
        late: false,
        keys: false,
    };
    let mut runs = Vec::new();
    for _ in 0..options.runs {
        let [_, last] = one(options, &redis, &server.url(), case, rate).await?;
        runs.push(last);
    }
    let ratio = |figures: &Figures| figures.ratio_to_raw.unwrap_or_default();
    if let Some(median) = Figures::median_by(runs, ratio) {
        say(&Figures {
            workload: "w4".to_owned(),
            ..median
        });
    }
    Ok(())
}

async fn raw_rate(options: &Options, redis: &Redis, url: &str, n: u64) -> Result<f64, BenchError> {
    redis.call("FLUSHALL", &[]).await?;
    let (url, key) = (url.to_owned(), "raw".to_owned());
    let fill = Part::RawFill(raw::fill::Fill {
        url: url.clone(),
        key: key.clone(),
        n,
        pipelined: 512,
    });
    run(options, redis, "raw", &fill).await?;
    let take_over = Part::RawTakeOver(raw::orphans::TakeOver { url, key, n });
    let taken = run(options, redis, "raw", &take_over).await?;
    Ok(taken.rate.unwrap_or_default())
}

/// All streams of one death, and the last of them.
async fn one(options: &Options, redis: &Redis, url: &str, case: Case, raw: f64) -> Result<[Figures; 2], BenchError> {
    redis.call("FLUSHALL", &[]).await?;
    if case.keys {
        unrelated(redis).await?;
    }
    let service = Service {
        url: url.to_owned(),
        name: "bench".to_owned(),
        partitions: 1,
    };
    let submit = Part::Submit(work::submit::Submit {
        service: service.clone(),
        n: case.n,
        coalesce: true,
    });
    run(options, redis, "fill", &submit).await?;
    let hold = |holds_first| {
        Part::Hold(Hold {
            service: service.clone(),
            n: case.n,
            lock_ttl: Some(case.lock_ttl),
            holds_first,
        })
    };
    let mut victim = Child::start(options, &hold(true))?;
    let early = if case.late {
        None
    } else {
        Some(Child::start(options, &hold(false))?)
    };
    // Held, and not only just taken: each lock has been renewed.
    tokio::time::sleep(case.lock_ttl / 2).await;
    let (mut before, mut from) = (redis.used().await?, micros());
    victim.process.kill();
    let mut survivor = match early {
        Some(survivor) => survivor,
        None => {
            tokio::time::sleep(LATE_BY).await;
            (before, from) = (redis.used().await?, micros());
            Child::start(options, &hold(false))?
        }
    };
    survivor.go()?;
    let mut times = survivor.counted()?.latencies;
    let (after, usage) = (redis.used().await?, survivor.usage()?);
    for time in &mut times {
        *time = time.saturating_sub(from);
    }
    times.sort_unstable();
    let (first, last) = (percentile(&times, 0.0), percentile(&times, 1.0));
    #[expect(clippy::cast_precision_loss)]
    let rate = case.n as f64 / ((last - first) / 1e6);
    #[expect(clippy::cast_precision_loss)]
    let all = Figures {
        workload: case.name(),
        n: case.n,
        rate: Some(rate),
        p50_us: Some(percentile(&times, 0.5)),
        p99_us: Some(percentile(&times, 0.99)),
        worker_cpu_s: Some(usage.cpu_s),
        redis_cpu_s: Some(after.cpu_s - before.cpu_s),
        peak_rss_kb: Some(usage.peak_rss_kb),
        redis_cmds_per_job: Some((after.scripts - before.scripts) as f64 / case.n as f64),
        raw_rate: Some(raw),
        ratio_to_raw: Some(rate / raw),
    };
    #[expect(clippy::cast_precision_loss)]
    let limit = case.limit().as_micros() as f64;
    let last = Figures {
        workload: format!("{}.last", case.name()),
        p50_us: Some(last),
        raw_rate: Some(limit),
        ratio_to_raw: Some(last / limit),
        ..all
    };
    Ok([all, last])
}

/// Keys that nobody asks for, and that expire in an hour.
async fn unrelated(redis: &Redis) -> Result<(), BenchError> {
    const SET: &str =
        "for i = 1, ARGV[1] do redis.call('SET', 'unrelated:' .. ARGV[2] .. ':' .. i, 'x', 'PX', 3600000 + i) end";
    const PER_CALL: u64 = 5_000;
    for page in 0..UNRELATED / PER_CALL {
        redis
            .call("EVAL", &[SET, "0", &PER_CALL.to_string(), &page.to_string()])
            .await?;
    }
    Ok(())
}
