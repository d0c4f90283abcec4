//! `Builder::connect` and its siblings.

use std::time::Duration;

use streamherd_testkit::Command;
use streamherd_tests::{Redis, Topology, Truth, Worker, builder, drop_in_strides, submit};

/// A client says hundreds of things as it connects, and more to a cluster.
const STRIDE: usize = match crate::TOPOLOGY {
    Topology::Standalone => 5,
    Topology::Sentinel => 9,
    Topology::Cluster { partitions: 1 } => 13,
    Topology::Cluster { .. } => 31,
};
/// A producer and an admin a few dozen.
const SHORT_STRIDE: usize = STRIDE.div_ceil(8);

fn any(_: &Command) -> bool {
    true
}

#[tokio::test]
async fn a_dropped_connect_ends_what_it_had_started_and_hands_back_what_it_had_read() {
    let server = Redis::start(crate::TOPOLOGY);
    let mut truth = Truth::of(&server);
    submit(&server, ["s"]).await;
    let proxy = server.proxy().await;
    drop_in_strides("Builder::connect", &proxy, any, STRIDE, async |cut| {
        drop(cut.drop(builder(&proxy).connect()).await);
        super::nothing_is_left(&mut truth).await;
    })
    .await;
    let mut worker = Worker::start(&server).await;
    let lease = worker.added().await;
    assert_eq!(lease.attempt(), 0, "nobody was ever given it");
    lease.done().await.unwrap();
    assert!(truth.is_clean());
    worker.client.shutdown(Duration::ZERO).await;
}

#[tokio::test]
async fn a_dropped_connect_of_a_producer_leaves_nothing() {
    let server = Redis::start(crate::TOPOLOGY);
    let mut truth = Truth::of(&server);
    let proxy = server.proxy().await;
    drop_in_strides("Builder::connect_producer", &proxy, any, SHORT_STRIDE, async |cut| {
        if let Some(connected) = cut.drop(builder(&proxy).connect_producer()).await {
            connected.unwrap().close().await;
        }
        super::nothing_is_left(&mut truth).await;
    })
    .await;
}

#[tokio::test]
async fn a_dropped_connect_of_an_admin_leaves_nothing() {
    let server = Redis::start(crate::TOPOLOGY);
    let mut truth = Truth::of(&server);
    let proxy = server.proxy().await;
    drop_in_strides("Builder::connect_admin", &proxy, any, SHORT_STRIDE, async |cut| {
        if let Some(connected) = cut.drop(builder(&proxy).connect_admin()).await {
            connected.unwrap().close().await;
        }
        super::nothing_is_left(&mut truth).await;
    })
    .await;
}
