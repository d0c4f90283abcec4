//! A master dies when its replica has not had its last writes: submits, reads and locks.

use std::time::Duration;

use streamherd::Durability;
use streamherd_ledger::{Answer, At, History, now};
use streamherd_testkit::{Cluster, eventually};
use streamherd_tests::SOON;

use super::broken::{LONG, SHORT, Scene};
use super::load::{Plan, turn};

/// What is to be at the master alone when it dies: leases of entries that the replica has too, other leases, and submits.
const KNOWN: usize = 5;
const LEASES: usize = 15;
const SUBMITS: usize = 20;
/// Entries that wait and that the replica has, so that among them are some that are held for long.
const BACKLOG: usize = 120;
/// As it is unless somebody sets it.
const SLOTS: usize = 64;

/// Has the replica copy nothing any more, and its cluster not notice. Returns from when on.
async fn cut_off(scene: &Scene<Cluster>, master: usize) -> At {
    scene
        .stage(move |cluster| {
            let mut replica = cluster.client(cluster.replica_of(master));
            // Its master asks for no password, so it takes none either.
            replica.cmd("CONFIG SET masterauth nonsense").ok();
            replica.cmd("CLIENT KILL TYPE master").ok();
            now()
        })
        .await
}

/// Waits until the ledger has so many of something.
async fn ledger_has(scene: &Scene<Cluster>, least: usize, what: &str, count: impl Fn(&History) -> usize) {
    eventually(SOON, what, || {
        let counted = scene.load.ledger.look_up(&count);
        async move { (counted >= least).then_some(()) }
    })
    .await;
}

/// Waits until submits of these partitions that were asked for since were answered so.
async fn submits(scene: &Scene<Cluster>, least: usize, hit: &[u16], since: At, answer: impl Fn(&Answer) -> bool) {
    ledger_has(scene, least, "submits are answered", |record| {
        let new = record.submits.iter().filter(|submit| submit.asked > since);
        new.filter(|submit| hit.contains(&submit.partition) && answer(&submit.answer))
            .count()
    })
    .await;
}

/// Cuts a master's replica off, and waits until leases are held of which it knows nothing: of entries that it has, so
/// that it would hand them out, and of others. Returns the partitions, and since when it is cut off.
async fn hold_what_only_the_master_knows(scene: &Scene<Cluster>) -> (Vec<u16>, At) {
    let hit = scene.held_by(0).await;
    scene.load.slots(1);
    let since = now();
    submits(scene, BACKLOG, &hit, since, |answer| matches!(answer, Answer::New(_))).await;
    let cut = cut_off(scene, 0).await;
    scene.load.slots(SLOTS);
    let held = |record: &History, of_known: bool| {
        let held = record.leases.iter().filter(|held| held.ended.is_none());
        let held = held.filter(|held| hit.contains(&held.partition) && held.handed_out > cut);
        let known = |stream: &str| {
            let mut submits = record.submits.iter().rev();
            submits.any(|submit| submit.stream == stream && submit.answered < cut)
        };
        held.filter(|held| !of_known || known(&held.stream)).count()
    };
    ledger_has(scene, KNOWN, "held are entries that the replica has", |record| {
        held(record, true)
    })
    .await;
    ledger_has(scene, LEASES, "more are held", |record| held(record, false)).await;
    (hit, cut)
}

/// Kills a master of whose last writes the replica knows nothing: leases that were given since, and submits that nobody
/// was given yet.
async fn lose_the_last_writes(scene: &mut Scene<Cluster>) {
    let (hit, _) = hold_what_only_the_master_knows(scene).await;
    scene.load.pause(true).await;
    let paused = now();
    submits(scene, SUBMITS, &hit, paused, |answer| matches!(answer, Answer::New(_))).await;
    scene.failover(0, |cluster| cluster.kill(0)).await;
    scene.load.pause(false).await;
    scene.recovers().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn leases_of_which_the_promoted_replica_never_heard_stay_single_and_are_kept() {
    let _turn = turn().await;
    let mut scene = Scene::set(
        Cluster::start(),
        Plan {
            long: 16,
            adjust: |builder| builder.heartbeat(Duration::from_secs(1)),
            ..Plan::with_ttl(LONG)
        },
    )
    .await;
    lose_the_last_writes(&mut scene).await;
    let (record, lost) = scene.ends("lost_replication_long_locks").await;
    assert!(lost > 0, "submits were lost, and it is told by what");
    assert_eq!(record.disowned, [], "the failover was over in time");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn leases_that_ran_out_while_their_writes_were_lost_stay_single() {
    let _turn = turn().await;
    let mut scene = Scene::set(Cluster::start(), Plan::with_ttl(SHORT)).await;
    lose_the_last_writes(&mut scene).await;
    let (_, lost) = scene.ends("lost_replication_short_locks").await;
    assert!(lost > 0, "submits were lost, and it is told by what");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_submit_that_waited_for_a_replica_is_lost() {
    let _turn = turn().await;
    let mut scene = Scene::set(
        Cluster::start(),
        Plan {
            produce: |producer| {
                producer.durability(Durability::Replicas {
                    count: 1,
                    within: Duration::from_millis(500),
                })
            },
            ..Plan::with_ttl(SHORT)
        },
    )
    .await;
    let hit = scene.held_by(0).await;
    let cut = cut_off(&scene, 0).await;
    scene.load.pause(true).await;
    // Accepted by the master, but by nobody else, which the producer is told.
    submits(&scene, SUBMITS, &hit, cut, |answer| *answer == Answer::Maybe).await;
    scene.failover(0, |cluster| cluster.kill(0)).await;
    // As a replica now, without which nothing would be acknowledged any more.
    scene.stage(|cluster| cluster.restart(0)).await;
    scene.load.pause(false).await;
    scene.recovers().await;
    let (_, lost) = scene.ends("lost_replication_durable").await;
    assert_eq!(lost, 0, "what was acknowledged had reached the replica");
}
