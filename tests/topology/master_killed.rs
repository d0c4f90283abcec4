//! A master dies, and its replica takes over.

use std::time::Duration;

use streamherd_testkit::Cluster;

use super::broken::{LONG, SHORT, Scene};
use super::load::{Plan, turn};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_failover_that_is_over_before_the_locks_are_costs_no_stream_and_no_lease() {
    let _turn = turn().await;
    let mut scene = Scene::set(
        Cluster::start(),
        Plan {
            // At its death a lock has almost all its life before it.
            long: 16,
            adjust: |builder| builder.heartbeat(Duration::from_secs(1)),
            ..Plan::with_ttl(LONG)
        },
    )
    .await;
    scene.failover(0, |cluster| cluster.kill(0)).await;
    scene.recovers().await;
    let (record, _) = scene.ends("master_killed_long_locks").await;
    assert_eq!(record.disowned, []);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_failover_that_takes_longer_than_the_locks_live_costs_no_stream() {
    let _turn = turn().await;
    let mut scene = Scene::set(Cluster::start(), Plan::with_ttl(SHORT)).await;
    scene.failover(0, |cluster| cluster.kill(0)).await;
    scene.recovers().await;
    let (record, _) = scene.ends("master_killed_short_locks").await;
    assert!(!record.disowned.is_empty(), "the failover was long enough for that");
}
