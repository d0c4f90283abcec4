//! From the layout that Go workers share to the native one, while both are in use.

use std::time::Duration;

use streamherd::{Moved, RetryAfter};
use streamherd_testkit::eventually;
use streamherd_tests::{MIN_IDLE, Redis, SOON, Worker, builder, names};

use super::{Beat, Go, beside_go};

async fn walk(server: &Redis, dry_run: bool) -> Moved {
    let migration = builder(server).connect_migration().await.unwrap();
    let moved = migration.walk(dry_run).await.unwrap();
    migration.close().await;
    moved
}

#[tokio::test]
async fn what_waits_is_moved_in_its_order_and_a_dry_run_moves_nothing() {
    let server = Redis::start(crate::TOPOLOGY);
    let mut go = Go::at(&server);
    let worker = Worker::with(beside_go(&server)).await;
    worker.client.shutdown(Duration::ZERO).await;
    let producer = beside_go(&server).connect_producer().await.unwrap();
    let names = names("user", 250);
    for name in &names {
        go.submit(name);
    }
    producer
        .schedule_after("later", &(), Duration::from_secs(600))
        .await
        .unwrap();
    producer
        .schedule_after("soon", &(), Duration::from_millis(1))
        .await
        .unwrap();
    go.0.call(&[
        "XADD",
        "orders-input-dlq",
        "*",
        "lbs-input",
        r#"{"DataStreamName":"dead"}"#,
    ]);

    let dry = walk(&server, true).await;
    assert!(go.0.call(&["KEYS", "orders-sh:name:*"]).array().is_empty());
    assert_eq!((dry.queued, dry.delayed, dry.dead_letters, dry.held), (250, 2, 1, 0));
    assert_eq!(go.left().0, 250);
    assert!(go.0.call(&["KEYS", "{orders:*"]).array().is_empty());

    assert_eq!(walk(&server, false).await, dry);
    assert!(walk(&server, false).await.is_complete());
    assert_eq!((go.left().0, go.cmd("XLEN orders-input-dlq").int()), (0, 0));
    let mut native = Worker::with(builder(&server).max_in_flight(300)).await;
    let mut added = Vec::new();
    for lease in native.added_many(251).await {
        added.push(lease.stream().to_owned());
        lease.done().await.unwrap();
    }
    added.retain(|name| name != "soon");
    assert_eq!(added, names);
    let admin = builder(&server).connect_admin().await.unwrap();
    let status = admin.status().await.unwrap();
    assert_eq!((status.delayed, status.dead_letters, status.pending), (1, 1, 0));
    let wait = status.delayed_next_ms.unwrap();
    assert!((500_000..=600_000).contains(&wait), "{wait}");
}

#[tokio::test]
async fn partitions_get_the_streams_of_their_names() {
    let server = Redis::start(crate::TOPOLOGY);
    let mut go = Go::at(&server);
    let names = names("user", 40);
    for name in &names {
        go.submit(name);
    }
    let migration = builder(&server).partitions(4).connect_migration().await.unwrap();
    assert_eq!(migration.walk(false).await.unwrap().queued, 40);
    for partition in 0..4 {
        let there = names
            .iter()
            .filter(|name| streamherd::partition_of(name, 4) == partition);
        let length = go.cmd(&format!("XLEN {{orders:{partition}}}:input")).int();
        assert_eq!(usize::try_from(length).unwrap(), there.count());
    }
    // Who comes with another number is refused, as always.
    assert!(builder(&server).partitions(3).connect_migration().await.is_err());
}

#[tokio::test]
async fn what_is_held_is_left_to_be_finished_and_what_dead_workers_held_is_moved() {
    let server = Redis::start(crate::TOPOLOGY);
    let mut go = Go::at(&server);
    go.make_group();
    let (held, dead) = (go.submit("held"), go.submit("dead"));
    go.read("pod-1");
    let beat = Beat::of(&server, "pod-1", "held", &held);
    let dying = Beat::of(&server, "pod-1", "dead", &dead);
    assert_eq!(walk(&server, false).await.held, 2);
    drop(dying);
    // A body that a Go worker has acknowledged and not deleted.
    let finished = go.submit("finished");
    go.read("pod-1");
    go.cmd(&format!("XACK orders-input orders-group {finished}"));
    tokio::time::sleep(MIN_IDLE).await;
    assert_eq!(go.owner(&held).unwrap().0, "pod-1");
    let moved = eventually(SOON, "the dead worker's is moved", || async {
        let moved = walk(&server, false).await;
        assert_eq!((moved.queued, moved.finished), (0, 1));
        (moved.orphans == 1).then_some(moved)
    })
    .await;
    assert_eq!(moved.held, 1);
    let mut native = Worker::start(&server).await;
    let lease = native.added().await;
    assert_eq!((lease.stream(), lease.attempt()), ("dead", 1));
    assert!(!walk(&server, false).await.is_complete());
    drop(beat);
    go.unlock("held", &held);
    go.cmd(&format!("XACK orders-input orders-group {held}"));
    go.cmd(&format!("XDEL orders-input {held}"));
    assert!(walk(&server, false).await.is_complete());
}

#[tokio::test]
async fn nothing_is_lost_or_doubled_while_workers_of_both_layouts_run() {
    let server = Redis::start(crate::TOPOLOGY);
    let mut go = Go::at(&server);
    let mut old = Worker::with(beside_go(&server).max_in_flight(20)).await;
    let mut new = Worker::with(builder(&server).max_in_flight(400)).await;
    let names = names("user", 300);
    for name in &names {
        go.submit(name);
    }
    let mut seen = Vec::new();
    let held = old.added_many(20).await;
    assert_eq!(walk(&server, false).await.held, 20);
    // One fails and one is given back: both go on where the others went.
    for (n, lease) in held.into_iter().enumerate() {
        match n {
            0 => lease
                .retry(RetryAfter::after(Duration::from_millis(1)).because("busy"))
                .await
                .map(drop)
                .unwrap(),
            1 => lease.release().await.map(drop).unwrap(),
            _ => {
                seen.push(lease.stream().to_owned());
                lease.done().await.unwrap();
            }
        }
    }
    old.client.shutdown(Duration::ZERO).await;
    eventually(SOON, "all is moved", || async {
        walk(&server, false).await.is_complete().then_some(())
    })
    .await;
    for lease in new.added_many(300 - seen.len()).await {
        seen.push(lease.stream().to_owned());
        lease.done().await.unwrap();
    }
    seen.sort();
    let mut wanted = names;
    wanted.sort();
    assert_eq!(seen, wanted);
    assert_eq!(go.left(), (0, 0, 0));
}

#[tokio::test]
async fn a_login_with_the_rules_that_are_told_can_migrate_and_one_that_may_not_delete_doubles_nothing() {
    let server = Redis::start(crate::TOPOLOGY);
    let mut go = Go::at(&server);
    go.make_group();
    let held = go.submit("held");
    go.read("pod-1");
    let _beat = Beat::of(&server, "pod-1", "held", &held);
    go.submit("waits");
    go.0.call(&[
        "XADD",
        "orders-input-dlq",
        "*",
        "lbs-input",
        r#"{"DataStreamName":"dead"}"#,
    ]);
    let migration = builder(&server).connect_migration().await.unwrap();
    let rules = migration.acl_rules();
    let may_not = [rules.clone(), vec!["-xack".to_owned()]].concat();
    let login = server.user("half", &may_not);
    let half = builder(&login).connect_migration().await.unwrap();
    half.walk(false).await.unwrap_err();
    assert_eq!(go.cmd("XLEN {orders:0}:input").int(), 0);
    let login = server.user("whole", &rules);
    let whole = builder(&login).connect_migration().await.unwrap();
    let moved = whole.walk(false).await.unwrap();
    assert_eq!(
        (moved.queued, moved.dead_letters, moved.held, moved.refused),
        (1, 1, 1, 0)
    );
}

#[tokio::test]
async fn what_a_live_lock_holds_is_left_also_where_the_group_was_made_anew() {
    let server = Redis::start(crate::TOPOLOGY);
    let mut go = Go::at(&server);
    go.make_group();
    let id = go.submit("user-1");
    go.read("pod-1");
    let beat = Beat::of(&server, "pod-1", "user-1", &id);
    go.cmd("XGROUP DESTROY orders-input orders-group");
    assert_eq!(walk(&server, false).await.held, 1);
    drop(beat);
    go.unlock("user-1", &id);
    assert_eq!(walk(&server, false).await.queued, 1);
}
