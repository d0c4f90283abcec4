//! A queue in parts, each where its slot is, under one shared capacity.

use std::collections::BTreeSet;
use std::time::Duration;

use streamherd::error::ConnectError;
use streamherd::{Client, KeyspaceEvents, partition_of};
use streamherd_testkit::{Cluster, Sentinels, Server, eventually};
use streamherd_tests::{SOON, Worker, builder, names};

const PARTITIONS: u16 = 6;

/// Everything that is submitted is handed out by the partition that its name says.
async fn works(url: &str, partitions: u16, slots: usize) {
    let made = || builder(url).partitions(partitions).max_in_flight(slots);
    let producer = made().connect_producer().await.unwrap();
    let mut worker = Worker::with(made()).await;
    let all = names("s", 200);
    for result in producer.submit_many(all.iter().map(|name| (name, ()))).await {
        result.unwrap();
    }
    let mut done = BTreeSet::new();
    let mut parts = BTreeSet::new();
    while done.len() < all.len() {
        let lease = worker.added().await;
        assert_eq!(lease.partition(), partition_of(lease.stream(), partitions));
        assert!(
            worker.client.health().held <= slots,
            "more is held than there are slots"
        );
        parts.insert(lease.partition());
        done.insert(lease.stream().to_owned());
        lease.done().await.unwrap();
    }
    assert_eq!(parts.len(), usize::from(partitions));
    producer.close().await;
    worker.client.shutdown(Duration::from_secs(1)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stream_is_in_the_partition_that_its_name_says_on_every_topology() {
    works(&Server::start().url(), 4, 64).await;
    works(&Sentinels::start().url(), 3, 64).await;
    works(&Cluster::builder().replicas_per_master(0).start().url(), PARTITIONS, 64).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_worker_with_fewer_slots_than_partitions_reads_them_all() {
    let cluster = Cluster::builder().replicas_per_master(0).start();
    works(&cluster.url(), PARTITIONS, 2).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_comes_with_another_number_of_partitions_is_told_both() {
    let server = Server::start();
    let first = builder(&server.url())
        .partitions(PARTITIONS)
        .connect_producer()
        .await
        .unwrap();
    let other = || Client::builder("orders").url(server.url()).partitions(4);
    let refusals = [
        other().connect().await.map(drop),
        other().connect_producer().await.map(drop),
        other().connect_admin().await.map(drop),
    ];
    for refused in refusals {
        let error = refused.unwrap_err();
        assert!(
            matches!(
                error,
                ConnectError::Partitions {
                    stored: 6,
                    wanted: 4,
                    ..
                }
            ),
            "{error:?}"
        );
        let text = error.to_string();
        assert!(text.contains('6') && text.contains('4'), "{text}");
    }
    // Who only looks is told.
    let admin = Client::builder("orders")
        .url(server.url())
        .connect_admin()
        .await
        .unwrap();
    assert_eq!(admin.partitions().unwrap(), PARTITIONS);
    admin.close().await;
    first.close().await;
}

/// The connections that listen to expired locks, on all masters.
fn listeners(cluster: &Cluster) -> BTreeSet<String> {
    let ids = cluster.masters().into_iter().flat_map(|node| {
        let list = cluster.client(node).cmd("CLIENT LIST TYPE pubsub").text();
        let ids: Vec<String> = list
            .lines()
            .filter_map(|line| Some(format!("{node} {}", line.split(' ').next()?)))
            .collect();
        ids
    });
    ids.collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_topology_that_is_reset_is_subscribed_to_anew_on_every_master() {
    let cluster = Cluster::builder().replicas_per_master(0).start();
    let made = builder(&cluster.url())
        .partitions(PARTITIONS)
        .keyspace_events(KeyspaceEvents::Ensure);
    let worker = Worker::with(made).await;
    let masters: BTreeSet<usize> = (0..PARTITIONS)
        .map(|partition| cluster.owner_of(format!("{{orders:{partition}}}:input")))
        .collect();
    let settled = |without: BTreeSet<String>| {
        let (cluster, client, masters) = (&cluster, &worker.client, masters.len());
        eventually(SOON, "every master with a partition is listened to, once", move || {
            let now = listeners(cluster);
            let done = now.len() == masters && now.is_disjoint(&without) && client.health().listening;
            async move { done.then_some(now) }
        })
    };
    let before = settled(BTreeSet::new()).await;
    worker.client.reset_topology().await;
    settled(before).await;
}
