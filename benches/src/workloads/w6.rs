//! Fan-in: many worker processes drain one queue.

use super::fleet::{Fleet, Place, compared, median};
use super::{Options, Workload};
use crate::part::Part;
use crate::raw::share::{Drains, Stream};
use crate::server::Redis;
use crate::work::Service;
use crate::work::serve::{Limits, Serve};
use crate::{BenchError, Figures, server};

const JOBS: u64 = 200_000;

pub(super) async fn measure(options: &Options, say: &mut dyn FnMut(&Figures)) -> Result<(), BenchError> {
    let server = server::start()?;
    let place = Place {
        servers: vec![Redis::at(&server.url()).await?],
        service: Service {
            url: server.url(),
            name: "bench".to_owned(),
            partitions: 1,
        },
        raw: vec![Stream {
            url: server.url(),
            key: "raw".to_owned(),
        }],
        at: vec![0],
    };
    let n = options.n.unwrap_or(JOBS);
    let name = Workload::W6.name();
    for (workers, workload) in [
        (1, format!("{name}.1")),
        (4, format!("{name}.4")),
        (16, name.to_owned()),
    ] {
        let mut runs = Vec::new();
        for _ in 0..options.runs {
            runs.push(one(options, &place, n, workers, &workload).await?);
        }
        median(runs).iter().for_each(&mut *say);
    }
    Ok(())
}

async fn one(options: &Options, place: &Place, n: u64, workers: usize, workload: &str) -> Result<Figures, BenchError> {
    place.clear().await?;
    place.raw_fill(options, n).await?;
    let drains = |worker: usize| {
        Part::RawDrains(Drains {
            streams: place.raw.clone(),
            consumer: format!("worker-{worker}"),
            count: 100,
        })
    };
    let raw = Fleet {
        workload: "raw".to_owned(),
        n,
        parts: (0..workers).map(drains).collect(),
        streams: place.raw.iter().map(|stream| stream.key.clone()).collect(),
    };
    let raw = place.drain(options, raw).await?;

    place.clear().await?;
    place.submit(options, workload.to_owned(), n).await?;
    let serve = Part::Serve(Serve {
        service: place.service.clone(),
        limits: Some(Limits::BUSY),
    });
    let ours = Fleet {
        workload: workload.to_owned(),
        n,
        parts: vec![serve; workers],
        streams: place.service.inputs(),
    };
    Ok(compared(place.drain(options, ours).await?, &raw))
}
