//! An operator has a replica take over, which closes no connection.

use std::time::Duration;

use streamherd_ledger::now;
use streamherd_testkit::{Cluster, Failover};
use streamherd_tests::BEAT;

use super::broken::Scene;
use super::load::{Plan, turn};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_failover_by_hand_costs_no_stream_and_no_lease() {
    let _turn = turn().await;
    let plan = Plan {
        adjust: |builder| builder.heartbeat(BEAT),
        ..Plan::with_ttl(Duration::from_secs(4))
    };
    let mut scene = Scene::set(Cluster::start(), plan).await;
    scene.hit = scene.held_by(2).await;
    scene.begins();
    let done = scene
        .stage(|cluster| {
            cluster.failover(cluster.replica_of(2), Failover::Graceful);
            now()
        })
        .await;
    scene.note("promoted_after_ms", done);
    scene.recovers().await;
    let (record, lost) = scene.ends("manual_failover").await;
    assert_eq!(lost, 0, "the replica has caught up before it took over");
    assert_eq!(record.disowned, []);
}
