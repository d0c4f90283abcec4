//! What a producer keeps is queued again when a replica takes over that never had it.

use std::time::Duration;

use streamherd::Duplicates;
use streamherd_testkit::{Cluster, Failover, eventually};
use streamherd_tests::{SOON, Worker, builder, by_name, names};

const KEY: &str = "{orders:0}:input";

/// Has a replica copy nothing any more, and its cluster not notice.
fn cut_off(cluster: &Cluster, replica: usize) {
    let mut replica = cluster.client(replica);
    // Its master asks for no password, so it takes none either.
    replica.cmd("CONFIG SET masterauth nonsense").ok();
    replica.cmd("CLIENT KILL TYPE master").ok();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn submits_that_a_failover_loses_are_back_and_what_is_held_is_not_doubled() {
    for worked in [true, false] {
        let mut cluster = Cluster::builder().node_timeout(Duration::from_millis(1_500)).start();
        let master = cluster.owner_of(KEY);
        let replica = cluster.replica_of(master);
        let url = cluster.url();
        // Its lease outlives the failover.
        let mut worker = None;
        if worked {
            worker = Some(
                Worker::with(
                    builder(&url)
                        .lock_ttl(Duration::from_secs(12))
                        .recovery(streamherd::Recovery::default())
                        .max_in_flight(1),
                )
                .await,
            );
        }
        let producer = builder(&url).connect_producer().await.unwrap();
        let producer = producer.retain(Duration::from_secs(600), 1_000).await.unwrap();
        producer.submit("known", &()).await.unwrap();
        eventually(SOON, "the replica has the first one", || {
            let mut replica = cluster.client(replica);
            replica.cmd("READONLY").ok();
            let copied = replica.cmd(&format!("XLEN {KEY}")).int();
            async move { (copied == 1).then_some(()) }
        })
        .await;
        cut_off(&cluster, replica);
        let parallel = producer.clone().duplicates(Duplicates::Parallel);
        let lost = names("lost", 10);
        for name in &lost {
            producer.submit(name, &()).await.unwrap();
            parallel.submit(&format!("parallel-{name}"), &()).await.unwrap();
        }
        // Given to a worker after the replica was cut off or before: it holds it.
        let held = match &mut worker {
            Some(worker) => Some(worker.added().await),
            None => None,
        };
        cluster.kill(master);
        cluster.failover(replica, Failover::Takeover);
        cluster.wait_for_promotion(replica);
        eventually(SOON * 2, "all of them are there", || {
            let entries = cluster.client(replica).cmd(&format!("XRANGE {KEY} - +")).array();
            let entries: Vec<_> = entries
                .iter()
                .map(|entry| (entry.array()[0].text(), entry.array()[1].pairs()))
                .collect();
            let there = by_name(&entries);
            assert!(there.values().all(|times| *times == 1), "{there:?}");
            async move { (there.len() == 21).then_some(()) }
        })
        .await;
        if let (Some(mut worker), Some(held)) = (worker, held) {
            assert!(held.is_valid(), "{held:?}");
            held.done().await.unwrap();
            for _ in 0..20 {
                worker.added().await.done().await.unwrap();
            }
            worker.listen_for(Duration::from_secs(3)).await;
            assert_eq!(worker.unasked(), 0);
        }
        producer.close().await;
    }
}
