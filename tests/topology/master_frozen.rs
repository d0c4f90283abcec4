//! A master stands still, is replaced meanwhile, and comes back not knowing that.

use std::time::Duration;

use streamherd_ledger::now;
use streamherd_testkit::Cluster;

use super::broken::{SHORT, Scene};
use super::load::{Plan, turn};

const FROZEN: Duration = Duration::from_secs(10);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_master_that_stands_still_for_ten_seconds_costs_no_stream() {
    let _turn = turn().await;
    let mut scene = Scene::set(Cluster::start(), Plan::with_ttl(SHORT)).await;
    scene.failover(1, |cluster| cluster.freeze(1)).await;
    let fault = scene.fault;
    // Not a wait for anything: the fault takes that long.
    tokio::time::sleep((fault + FROZEN).saturating_sub(now())).await;
    scene
        .stage(|cluster| {
            cluster.thaw(1);
            cluster.wait_until_whole();
        })
        .await;
    scene.recovers().await;
    scene.ends("master_frozen").await;
}
