//! Sentinels make a replica the primary, because the primary is dead or stands still.

use std::time::Duration;

use streamherd_ledger::now;
use streamherd_testkit::Sentinels;

use super::broken::{SHORT, Scene};
use super::load::{Plan, turn};

const FROZEN: Duration = Duration::from_secs(10);

fn plan() -> Plan {
    Plan {
        partitions: 2,
        ..Plan::with_ttl(SHORT)
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_primary_that_dies_costs_no_stream() {
    let _turn = turn().await;
    let mut scene = Scene::set(Sentinels::start(), plan()).await;
    scene.failover(0, |sentinels| sentinels.kill(0)).await;
    scene.recovers().await;
    scene.ends("sentinel_primary_killed").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_primary_that_stands_still_for_ten_seconds_costs_no_stream() {
    let _turn = turn().await;
    let mut scene = Scene::set(Sentinels::start(), plan()).await;
    scene.failover(0, |sentinels| sentinels.freeze(0)).await;
    // Not a wait for anything: the fault takes that long.
    tokio::time::sleep((scene.fault + FROZEN).saturating_sub(now())).await;
    scene
        .stage(|sentinels| {
            sentinels.thaw(0);
            sentinels.wait_for_promotion(1);
        })
        .await;
    scene.recovers().await;
    scene.ends("sentinel_primary_frozen").await;
}
