//! Throughput: submit, then process.

use super::fleet::compared;
use super::{Options, run};
use crate::part::Part;
use crate::server::Redis;
use crate::work::Service;
use crate::{BenchError, Figures, raw, server, work};

const JOBS: u64 = 200_000;

pub(super) async fn measure(options: &Options, say: &mut dyn FnMut(&Figures)) -> Result<(), BenchError> {
    let server = server::start()?;
    let redis = Redis::at(&server.url()).await?;
    let n = options.n.unwrap_or(JOBS);
    for coalesce in [true, false] {
        let mut submits = Vec::new();
        let mut drains = Vec::new();
        for _ in 0..options.runs {
            let [submit, drain] = one(options, &redis, &server.url(), n, coalesce).await?;
            submits.push(submit);
            drains.push(drain);
        }
        let ratio = |figures: &Figures| figures.ratio_to_raw.unwrap_or_default();
        for median in [Figures::median_by(submits, ratio), Figures::median_by(drains, ratio)] {
            median.iter().for_each(&mut *say);
        }
    }
    Ok(())
}

/// Both halves beside their raw ones.
async fn one(options: &Options, redis: &Redis, url: &str, n: u64, coalesce: bool) -> Result<[Figures; 2], BenchError> {
    let how = if coalesce { "coalesce" } else { "parallel" };
    let url = url.to_owned();
    redis.call("FLUSHALL", &[]).await?;
    let key = "raw".to_owned();
    let fill = Part::RawFill(raw::fill::Fill {
        url: url.clone(),
        key: key.clone(),
        n,
        pipelined: 512,
    });
    let raw_submit = run(options, redis, "raw", &fill).await?;
    let drain = Part::RawDrain(raw::drain::Drain {
        url: url.clone(),
        key,
        n,
        count: 100,
    });
    let raw_drain = run(options, redis, "raw", &drain).await?;

    redis.call("FLUSHALL", &[]).await?;
    let service = Service {
        url,
        name: "bench".to_owned(),
        partitions: 1,
    };
    let submit = Part::Submit(work::submit::Submit {
        service: service.clone(),
        n,
        coalesce,
    });
    let submit = run(options, redis, &format!("w1.submit.{how}"), &submit).await?;
    let drain = Part::Drain(work::drain::Drain {
        service,
        n,
        max_in_flight: 2_000,
        read_batch: 500,
    });
    let name = if coalesce { "w1.coalesce" } else { "w1" };
    let drain = run(options, redis, name, &drain).await?;
    Ok([compared(submit, &raw_submit), compared(drain, &raw_drain)])
}
