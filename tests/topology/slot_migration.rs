//! The slot of a partition moves to another master while it is worked on.

use std::time::{Duration, Instant};

use streamherd_ledger::now;
use streamherd_testkit::{Cluster, slot_of};
use streamherd_tests::{BEAT, TTL};

use super::broken::{Scene, key};
use super::load::{Plan, turn};

const PARTITION: u16 = 0;

async fn move_slowly(test: &str, span: Duration) {
    let _turn = turn().await;
    let plan = Plan {
        adjust: |builder| builder.heartbeat(BEAT),
        ..Plan::with_ttl(TTL)
    };
    let mut scene = Scene::set(Cluster::start(), plan).await;
    scene.hit = vec![PARTITION];
    scene.begins();
    let (begun, moved) = scene
        .stage(move |cluster| {
            let slot = slot_of(key(PARTITION));
            let from = cluster.owner_of_slot(slot);
            let masters = cluster.masters();
            let to = masters
                .into_iter()
                .find(|master| *master != from)
                .expect("another master");
            let migration = cluster.begin_migration(slot..=slot, from, to);
            let begun = now();
            let end = Instant::now() + span;
            while Instant::now() < end {
                // Few enough for there to be keys on both sides for as long as that takes.
                migration.move_keys(slot, 1);
                std::thread::sleep(Duration::from_millis(100));
            }
            migration.finish();
            cluster.wait_until_whole();
            assert_eq!(cluster.owner_of_slot(slot), to);
            (begun, now())
        })
        .await;
    scene.note("begun_after_ms", begun);
    scene.note("moved_after_ms", moved);
    scene.recovers().await;
    let (record, lost) = scene.ends(test).await;
    assert_eq!(lost, 0, "nobody has died");
    assert_eq!(record.disowned, []);
    let held = record.leases.iter().filter(|held| {
        let ended = held.ended.map_or(begun, |(at, _)| at);
        held.partition == PARTITION && held.handed_out < begun && ended > begun
    });
    assert!(held.count() > 0, "some leases were held through it");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_partition_that_moves_to_another_master_loses_no_stream_and_no_lease() {
    move_slowly("slot_migration", Duration::ZERO).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_move_that_takes_longer_than_a_lock_lives_costs_no_lease() {
    move_slowly("slot_migration_longer_than_a_ttl", TTL * 2).await;
}
