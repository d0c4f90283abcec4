//! Partitions: one worker drains 1, 2 and 4 of them, on one server and on three.

use streamherd_testkit::Cluster;

use super::fleet::{Fleet, Place, compared, median};
use super::{Options, Workload};
use crate::part::Part;
use crate::raw::share::{Drains, Stream};
use crate::server::Redis;
use crate::work::Service;
use crate::work::serve::{Limits, Serve};
use crate::{BenchError, Figures, server};

const JOBS: u64 = 100_000;
const PARTITIONS: [u16; 3] = [1, 2, 4];

pub(super) async fn measure(options: &Options, say: &mut dyn FnMut(&Figures)) -> Result<(), BenchError> {
    let one = server::start()?;
    for partitions in PARTITIONS {
        let place = Place {
            servers: vec![Redis::at(&one.url()).await?],
            service: service(one.url(), partitions),
            raw: (0..partitions).map(|number| raw(one.url(), number)).collect(),
            at: vec![0; usize::from(partitions)],
        };
        repeated(options, &place, "one", say).await?;
    }
    drop(one);
    let several = server::start_cluster()?;
    for partitions in PARTITIONS {
        let place = on(&several, partitions).await?;
        repeated(options, &place, "several", say).await?;
    }
    Ok(())
}

fn service(url: String, partitions: u16) -> Service {
    Service {
        url,
        name: "bench".to_owned(),
        partitions,
    }
}

/// The stream that bare commands have for a partition: in the same slot.
fn raw(url: String, partition: u16) -> Stream {
    Stream {
        url,
        key: format!("{{bench:{partition}}}:raw"),
    }
}

async fn on(cluster: &Cluster, partitions: u16) -> Result<Place, BenchError> {
    let mut servers = Vec::new();
    for node in 0..cluster.len() {
        servers.push(Redis::at(&cluster.node(node).url()).await?);
    }
    let service = service(cluster.url(), partitions);
    let at: Vec<usize> =
        tokio::task::block_in_place(|| service.inputs().iter().map(|key| cluster.owner_of(key)).collect());
    let raw = (0..)
        .zip(&at)
        .map(|(number, node)| raw(cluster.node(*node).url(), number));
    Ok(Place {
        raw: raw.collect(),
        servers,
        service,
        at,
    })
}

/// Says what filling and draining came to; of the most partitions on several servers, the draining is the workload's own.
async fn repeated(
    options: &Options,
    place: &Place,
    servers: &str,
    say: &mut dyn FnMut(&Figures),
) -> Result<(), BenchError> {
    let n = options.n.unwrap_or(JOBS);
    let name = Workload::W7.name();
    let partitions = place.service.partitions;
    let submit = format!("{name}.{servers}.{partitions}.submit");
    let drain = if servers == "several" && PARTITIONS.last() == Some(&partitions) {
        name.to_owned()
    } else {
        format!("{name}.{servers}.{partitions}")
    };
    let (mut submits, mut drains) = (Vec::new(), Vec::new());
    for _ in 0..options.runs {
        place.clear().await?;
        let raw_submit = place.raw_fill(options, n).await?;
        let parts = Part::RawDrains(Drains {
            streams: place.raw.clone(),
            consumer: "one".to_owned(),
            count: 100,
        });
        let keys = place.raw.iter().map(|stream| stream.key.clone()).collect();
        let raw_drain = place.drain(options, fleet("raw", n, parts, keys)).await?;
        place.clear().await?;
        let ours = place.submit(options, submit.clone(), n).await?;
        submits.push(compared(ours, &raw_submit));
        let parts = Part::Serve(Serve {
            service: place.service.clone(),
            limits: Some(Limits::BUSY),
        });
        let ours = place
            .drain(options, fleet(&drain, n, parts, place.service.inputs()))
            .await?;
        drains.push(compared(ours, &raw_drain));
    }
    median(submits).iter().for_each(&mut *say);
    median(drains).iter().for_each(&mut *say);
    Ok(())
}

fn fleet(workload: &str, n: u64, part: Part, streams: Vec<String>) -> Fleet {
    Fleet {
        workload: workload.to_owned(),
        n,
        parts: vec![part],
        streams,
    }
}
