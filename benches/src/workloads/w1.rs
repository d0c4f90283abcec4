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
    for case in &CASES {
        let mut submits = Vec::new();
        let mut drains = Vec::new();
        for _ in 0..options.runs {
            let [submit, drain] = one(options, &redis, &server.url(), n, case).await?;
            submits.push(submit);
            drains.push(drain);
        }
        let ratio = |figures: &Figures| figures.ratio_to_raw.unwrap_or_default();
        for median in [Figures::median_by(submits, ratio), Figures::median_by(drains, ratio)] {
            // One case has nothing to tell of its submits.
            median
                .iter()
                .filter(|figures| !figures.workload.is_empty())
                .for_each(&mut *say);
        }
    }
    Ok(())
}

/// One way to do it.
struct Case {
    submit: &'static str,
    drain: &'static str,
    coalesce: bool,
    max_in_flight: usize,
    read_batch: usize,
}

const CASES: [Case; 3] = [
    // As the library does it where nothing is set.
    Case {
        submit: "",
        drain: "w1.defaults",
        coalesce: true,
        max_in_flight: 64,
        read_batch: 16,
    },
    Case {
        submit: "w1.submit.coalesce",
        drain: "w1.coalesce",
        coalesce: true,
        max_in_flight: 2_000,
        read_batch: 500,
    },
    Case {
        submit: "w1.submit.parallel",
        drain: "w1",
        coalesce: false,
        max_in_flight: 2_000,
        read_batch: 500,
    },
];

/// Both halves beside their raw ones.
async fn one(options: &Options, redis: &Redis, url: &str, n: u64, case: &Case) -> Result<[Figures; 2], BenchError> {
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
        coalesce: case.coalesce,
    });
    let submit = run(options, redis, case.submit, &submit).await?;
    let drain = Part::Drain(work::drain::Drain {
        service,
        n,
        max_in_flight: case.max_in_flight,
        read_batch: case.read_batch,
    });
    let drain = run(options, redis, case.drain, &drain).await?;
    Ok([compared(submit, &raw_submit), compared(drain, &raw_drain)])
}
