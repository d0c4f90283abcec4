use std::time::Duration;

use streamherd_testkit::{Cluster, Sentinels};
use streamherd_tests::{Worker, builder, names};

async fn works(url: &str, partitions: u16) {
    let made = || builder(url).partitions(partitions);
    let producer = made().connect_producer().await.unwrap();
    let mut worker = Worker::with(made()).await;
    let all = names("s", 200);
    for result in producer.submit_many(all.iter().map(|name| (name, ()))).await {
        result.unwrap();
    }
    let mut seen = std::collections::BTreeSet::new();
    let mut parts = std::collections::BTreeSet::new();
    while seen.len() < all.len() {
        let lease = worker.added().await;
        parts.insert(lease.partition());
        seen.insert(lease.stream().to_owned());
        lease.done().await.unwrap();
    }
    assert_eq!(parts.len(), usize::from(partitions));
    producer.close().await;
    worker.client.shutdown(Duration::from_secs(1)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn cluster_works() {
    let cluster = Cluster::start();
    works(&cluster.url(), 6).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sentinel_works() {
    let sentinels = Sentinels::start();
    works(&sentinels.url(), 1).await;
    let sentinels = Sentinels::start();
    works(&sentinels.url(), 3).await;
}
