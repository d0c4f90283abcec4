//! # A Redis Cluster, and what is where
//!
//! **What.** A service's queue is divided into partitions. All keys of a partition have one hash tag, `{cluster:3}`, and so lie on one
//! master; a stream's name decides which partition is its own. More partitions spread the load over more masters. When a master
//! dies its partitions wait until a replica has taken over; the others go on.
//!
//! **Run.** It starts a cluster of its own, of three masters and three replicas, unless `REDIS_URL` names one
//! (`redis-cluster://host:port`). It takes redis-server on the `PATH`, and ends with Ctrl-C:
//!
//! ```sh
//! cargo run -p streamherd-examples --example cluster
//! ```
//!
//! ```text
//! redis-cluster://127.0.0.1:…
//! 127.0.0.1:… is process …
//! partition 0 is at 127.0.0.1:…
//! partition 5 is at 127.0.0.1:…
//! order-0 is of partition …: attempt 0
//! order-9 is of partition …: attempt 0
//! ```
//!
//! **Try.** Kill the master of a partition. For a few seconds the orders of its partitions are missing, and what it held is
//! started again if its lock expires meanwhile; then the replica that has taken over is named, and all go on:
//!
//! ```sh
//! kill -9 PID    # the process of its address
//! ```
//!
//! ```text
//! partition … is now at 127.0.0.1:…
//! ```
//!
//! Or start a second worker on the same cluster, with the URL that the first one named; `status` shows both, and every partition's
//! server:
//!
//! ```sh
//! REDIS_URL='URL' cargo run -p streamherd-examples --example cluster
//! cargo run -p streamherd-cli -- --url 'URL' --service cluster status
//! ```

use std::collections::BTreeMap;
use std::time::Duration;

use streamherd::{BoxError, Client, Job, Worker, partition_of};
use streamherd_testkit::Cluster;

/// A few times as many as masters, so that chance gives each its share. All workers and producers say the same number.
const PARTITIONS: u16 = 6;

#[tokio::main]
async fn main() -> Result<(), BoxError> {
    tracing_subscriber::fmt().with_writer(std::io::stderr).init();
    let own = std::env::var("REDIS_URL").is_err().then(Cluster::start);
    let url = own
        .as_ref()
        .map_or_else(|| std::env::var("REDIS_URL"), |own| Ok(own.url()))?;
    println!("{url}");
    for node in own.iter().flat_map(|own| (0..own.len()).map(|node| own.node(node))) {
        println!("127.0.0.1:{} is process {}", node.port(), node.pid());
    }

    // Any one node would do, as it leads to the others; several are named in case it is away.
    let (client, notifications) = Client::builder("cluster")
        .url(url)
        .partitions(PARTITIONS)
        .max_in_flight(16)
        .connect()
        .await?;
    tokio::spawn(tell_where(client.clone()));

    // Nothing in it knows of partitions: the name decides.
    let producer = client.producer();
    tokio::spawn(async move {
        for number in 0.. {
            // A partition whose master is away refuses, and takes nothing from the others.
            if let Err(e) = producer.submit(&format!("order-{number}"), &()).await {
                println!("order-{number}: {e}");
            }
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
    });

    let report = Worker::new(client, notifications)
        .shutdown_on(tokio::signal::ctrl_c(), Duration::from_secs(1))
        .run(work)
        .await?;
    println!("done {}", report.done);
    Ok(())
}

async fn work(job: Job) -> Result<(), BoxError> {
    let partition = partition_of(job.stream(), PARTITIONS);
    println!(
        "{} is of partition {partition}: attempt {}",
        job.stream(),
        job.attempt()
    );
    tokio::time::sleep(Duration::from_millis(500)).await;
    Ok(())
}

/// Says where each partition is, and where it goes.
async fn tell_where(client: Client) {
    let mut known = BTreeMap::<u16, String>::new();
    loop {
        for master in client.health().masters {
            for partition in master.partitions {
                let before = known.insert(partition, master.address.clone());
                match before {
                    None => println!("partition {partition} is at {}", master.address),
                    Some(before) if before != master.address => {
                        println!("partition {partition} is now at {}", master.address);
                    }
                    Some(_) => {}
                }
            }
        }
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
}
