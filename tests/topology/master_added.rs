//! The cluster grows.

use std::time::Duration;

use streamherd_ledger::now;
use streamherd_testkit::Cluster;

use super::broken::Scene;
use super::load::{Plan, turn};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_fourth_master_that_takes_its_share_of_the_slots_costs_no_stream_and_no_lease() {
    let _turn = turn().await;
    let mut scene = Scene::set(
        Cluster::start(),
        Plan {
            // Enough for some to be in the quarter of the slots that moves.
            partitions: 12,
            ..Plan::with_ttl(Duration::from_secs(3))
        },
    )
    .await;
    scene.begins();
    let (added, done) = scene
        .stage(|cluster| {
            let added = cluster.add_master();
            cluster.rebalance();
            cluster.wait_until_whole();
            (added, now())
        })
        .await;
    scene.note("rebalanced_after_ms", done);
    scene.hit = scene.held_by(added).await;
    assert!(!scene.hit.is_empty(), "some partition has moved to the new master");
    scene.recovers().await;
    let (record, lost) = scene.ends("master_added").await;
    assert_eq!(lost, 0, "nobody has died");
    assert_eq!(record.disowned, []);
}
