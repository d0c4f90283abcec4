//! Latency: from the submit to the start of its handler.

use super::served::{Served, serve};
use super::{Options, Workload};
use crate::figures::percentile;
use crate::pace::Pace;
use crate::part::Part;
use crate::server::Redis;
use crate::work::Service;
use crate::work::serve::Limits;
use crate::{BenchError, Figures, raw, server, work};

const JOBS: u64 = 1_000;
/// One job per 10 ms: each finds an idle worker.
const IDLE: f64 = 100.0;
/// How many jobs show what a worker can do at the most, for each of the jobs at idle.
const FLOOD: u64 = 50;
/// For how long half of that is kept up.
const HALF_S: f64 = 3.0;

pub(super) async fn measure(options: &Options, say: &mut dyn FnMut(&Figures)) -> Result<(), BenchError> {
    let server = server::start()?;
    let place = Place {
        options,
        redis: Redis::at(&server.url()).await?,
        service: Service {
            url: server.url(),
            name: "bench".to_owned(),
            partitions: 1,
        },
    };
    let n = options.n.unwrap_or(JOBS);
    let (mut coalesced, mut half, mut idle) = (Vec::new(), Vec::new(), Vec::new());
    for _ in 0..options.runs {
        let pace = Pace { n, per_second: IDLE };
        let raw = place.raw(&pace).await?;
        coalesced.push((place.ours(&pace, true, None).await?, raw.clone()));
        idle.push((place.ours(&pace, false, None).await?, raw));
        half.push(place.half(n * FLOOD).await?);
    }
    let name = Workload::W2.name();
    for (part, runs) in [(".coalesce", coalesced), (".half", half), ("", idle)] {
        for part_of in [p99, p50] {
            let compared = runs
                .iter()
                .map(|(ours, raw)| part_of(&format!("{name}{part}"), ours, raw));
            let median = Figures::median_by(compared.collect(), |figures| figures.ratio_to_raw.unwrap_or_default());
            median.iter().for_each(&mut *say);
        }
    }
    Ok(())
}

struct Place<'a> {
    options: &'a Options,
    redis: Redis,
    service: Service,
}

impl Place<'_> {
    async fn raw(&self, pace: &Pace) -> Result<Figures, BenchError> {
        self.redis.call("FLUSHALL", &[]).await?;
        let (url, key) = (self.service.url.clone(), "raw".to_owned());
        let worker = Part::RawServe(raw::serve::Serve {
            url: url.clone(),
            key: key.clone(),
            count: 100,
        });
        let producer = Part::RawAdds(raw::pace::Adds {
            url,
            key,
            pace: pace.clone(),
        });
        Ok(timed(
            serve(self.options, &self.redis, "raw", &worker, &producer).await?,
        ))
    }

    async fn ours(&self, pace: &Pace, coalesce: bool, limits: Option<Limits>) -> Result<Figures, BenchError> {
        let producer = Part::Submits(work::pace::Submits {
            service: self.service.clone(),
            pace: pace.clone(),
            coalesce,
        });
        Ok(timed(self.served(&producer, limits).await?))
    }

    /// Half as many in a second as one producer and one worker manage together, and as many in bare commands.
    async fn half(&self, n: u64) -> Result<(Figures, Figures), BenchError> {
        let limits = Some(Limits::BUSY);
        let flood = Part::Submit(work::submit::Submit {
            service: self.service.clone(),
            n,
            coalesce: false,
        });
        let most = self.served(&flood, limits).await?.figures.rate.unwrap_or_default();
        let per_second = most / 2.0;
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            clippy::cast_precision_loss
        )]
        let n = (per_second * HALF_S).min(n as f64).max(1.0) as u64;
        let pace = Pace { n, per_second };
        let raw = self.raw(&pace).await?;
        Ok((self.ours(&pace, false, limits).await?, raw))
    }

    async fn served(&self, producer: &Part, limits: Option<Limits>) -> Result<Served, BenchError> {
        self.redis.call("FLUSHALL", &[]).await?;
        let worker = Part::Serve(work::serve::Serve {
            service: self.service.clone(),
            limits,
        });
        serve(self.options, &self.redis, &self.service.input(0), &worker, producer).await
    }
}

fn timed(served: Served) -> Figures {
    Figures {
        p50_us: Some(percentile(&served.counted.latencies, 0.5)),
        p99_us: Some(percentile(&served.counted.latencies, 0.99)),
        ..served.figures
    }
}

/// Compared by the medians.
fn p50(workload: &str, ours: &Figures, raw: &Figures) -> Figures {
    Figures {
        workload: workload.to_owned(),
        raw_rate: raw.p50_us,
        ratio_to_raw: ratio(ours.p50_us, raw.p50_us),
        ..ours.clone()
    }
}

/// Compared by the slowest of a hundred.
fn p99(workload: &str, ours: &Figures, raw: &Figures) -> Figures {
    Figures {
        workload: format!("{workload}.p99"),
        raw_rate: raw.p99_us,
        ratio_to_raw: ratio(ours.p99_us, raw.p99_us),
        ..ours.clone()
    }
}

fn ratio(ours: Option<f64>, raw: Option<f64>) -> Option<f64> {
    ours.zip(raw).map(|(ours, raw)| ours / raw)
}
