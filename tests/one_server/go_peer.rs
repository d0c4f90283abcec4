//! The scripted Go worker by itself: that it does what the library's does, on which the tests of mixed fleets rely.

use std::time::{Duration, Instant};

use serde_json::json;
use streamherd_testkit::RawClient;
use streamherd_tests::Redis;
use streamherd_tests::go_peer::{Entry, GO_TTL, GoWorker, NotClaimed, Told, submit};

const SERVICE: &str = "orders";

fn queue(redis: &mut RawClient, name: &str) -> String {
    submit(redis, SERVICE, name, &json!({ "of": name }))
}

fn holder(redis: &mut RawClient, entry: &Entry) -> Option<String> {
    let answer = redis.call(&["GET", &entry.lock()]);
    (!answer.is_nil()).then(|| answer.text())
}

fn owner(redis: &mut RawClient) -> Vec<String> {
    let pending = redis.cmd("XPENDING orders-input orders-group - + 10").array();
    pending.iter().map(|record| record.array()[1].text()).collect()
}

/// Entries, pending entries and locks.
fn left(redis: &mut RawClient) -> (i64, usize, usize) {
    let locks = redis.cmd("KEYS *<MUTEX_KEY_SEP>*").array().len();
    (redis.cmd("XLEN orders-input").int(), owner(redis).len(), locks)
}

#[tokio::test]
async fn a_stream_is_added_and_its_lock_kept() {
    let server = Redis::start(crate::TOPOLOGY);
    let worker = GoWorker::init(&server, SERVICE, "pod-1");
    let mut redis = server.client_for("orders-input");
    let id = queue(&mut redis, "user<1>&co");
    let entry = worker.added("user<1>&co").await;
    assert_eq!(entry.lock(), format!("user<1>&co<MUTEX_KEY_SEP>{id}"));
    assert_eq!(
        worker.told(),
        [Told::Added(entry.clone(), json!({ "of": "user<1>&co" }))]
    );
    assert_eq!(owner(&mut redis), ["redis-consumer-pod-1"]);
    let end = Instant::now() + GO_TTL * 2;
    while Instant::now() < end {
        assert_eq!(holder(&mut redis, &entry).as_deref(), Some(worker.consumer()));
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

#[tokio::test]
async fn a_killed_ones_stream_is_claimed_once_its_lock_has_expired() {
    let server = Redis::start(crate::TOPOLOGY);
    let (mut first, mut second) = ["pod-1", "pod-2"]
        .map(|pod| GoWorker::init(&server, SERVICE, pod))
        .into();
    let mut redis = server.client_for("orders-input");
    queue(&mut redis, "user-1");
    // Whichever was given it.
    let taken = streamherd_testkit::eventually(streamherd_tests::SOON, "it is held", || {
        let taken = [&first, &second].map(|worker| worker.held().len());
        async move { (taken != [0, 0]).then_some(taken) }
    })
    .await;
    if taken == [0, 1] {
        std::mem::swap(&mut first, &mut second);
    }
    let entry = first.added("user-1").await;
    first.kill();
    assert_eq!(second.expired("user-1").await, entry);
    assert_eq!(second.claim(&entry), Ok(()));
    assert_eq!(holder(&mut redis, &entry).as_deref(), Some(second.consumer()));
    assert_eq!(owner(&mut redis), [second.consumer()]);
    // The dead one is handed nothing.
    queue(&mut redis, "user-2");
    second.added("user-2").await;
    second.done();
    assert_eq!(left(&mut redis), (0, 0, 0));
}

#[tokio::test]
async fn one_that_hangs_too_long_notices_when_it_goes_on() {
    let server = Redis::start(crate::TOPOLOGY);
    let first = GoWorker::init(&server, SERVICE, "pod-1");
    let mut redis = server.client_for("orders-input");
    for name in ["claimed", "left"] {
        queue(&mut redis, name);
        first.added(name).await;
    }
    let second = GoWorker::init(&server, SERVICE, "pod-2");
    first.stop_beating();
    let claimed = second.expired("claimed").await;
    let left_alone = second.expired("left").await;
    second.claim(&claimed).unwrap();
    first.beat_again();
    assert_eq!(first.disowned("claimed").await, claimed);
    // What nobody took it locks again.
    streamherd_testkit::eventually(streamherd_tests::SOON, "its lock is back", || {
        let back = holder(&mut redis, &left_alone);
        async { back }
    })
    .await;
    assert_eq!(first.held().keys().collect::<Vec<_>>(), ["left"]);
}

#[tokio::test]
async fn done_leaves_neither_entry_nor_lock() {
    let server = Redis::start(crate::TOPOLOGY);
    let worker = GoWorker::init(&server, SERVICE, "pod-1");
    let mut redis = server.client_for("orders-input");
    for name in ["user-1", "user-2", "user-3"] {
        queue(&mut redis, name);
        worker.added(name).await;
    }
    assert!(worker.done_stream("user-2") && !worker.done_stream("user-2"));
    assert_eq!(left(&mut redis), (2, 2, 2));
    worker.done();
    assert_eq!(left(&mut redis), (0, 0, 0));
}

#[tokio::test]
async fn a_claim_takes_the_entry_before_it_looks_at_the_lock() {
    let server = Redis::start(crate::TOPOLOGY);
    let owner_of_it = GoWorker::init(&server, SERVICE, "pod-1");
    let mut redis = server.client_for("orders-input");
    queue(&mut redis, "user-1");
    let entry = owner_of_it.added("user-1").await;
    let rival = GoWorker::init(&server, SERVICE, "pod-2");
    // A claim wants it idle for so long, however it is locked.
    redis
        .call(&[
            "XCLAIM",
            "orders-input",
            "orders-group",
            "redis-consumer-pod-1",
            "0",
            &entry.id,
            "IDLE",
            "10000",
        ])
        .ok();
    assert_eq!(rival.claim(&entry), Err(NotClaimed::Locked));
    assert_eq!(owner(&mut redis), [rival.consumer()]);
    assert_eq!(holder(&mut redis, &entry).as_deref(), Some(owner_of_it.consumer()));
    assert!(owner_of_it.done_stream("user-1"));
    assert_eq!(rival.claim(&entry), Err(NotClaimed::AlreadyClaimed));
}

#[tokio::test]
async fn at_its_start_it_takes_what_was_idle_for_40_s_and_ends_at_what_it_cannot_lock() {
    let server = Redis::start(crate::TOPOLOGY);
    let mut redis = server.client_for("orders-input");
    redis.cmd("XGROUP CREATE orders-input orders-group $ MKSTREAM").ok();
    let old = queue(&mut redis, "old");
    let young = queue(&mut redis, "young");
    redis
        .cmd("XREADGROUP GROUP orders-group ghost STREAMS orders-input >")
        .ok();
    for (id, idle) in [(&old, "41000"), (&young, "20000")] {
        redis
            .call(&["XCLAIM", "orders-input", "orders-group", "ghost", "0", id, "IDLE", idle])
            .ok();
    }
    let worker = GoWorker::init(&server, SERVICE, "pod-1");
    assert_eq!(worker.added("old").await.id, old);
    assert_eq!(owner(&mut redis), ["redis-consumer-pod-1", "ghost"]);
    // The next one that it reads is locked already.
    redis.cmd("MULTI").ok();
    redis
        .call(&[
            "XADD",
            "orders-input",
            "7000000000000-0",
            "lbs-input",
            r#"{"DataStreamName":"taken","Info":null}"#,
        ])
        .ok();
    redis
        .call(&["SET", "taken<MUTEX_KEY_SEP>7000000000000-0", "another"])
        .ok();
    redis.cmd("EXEC").ok();
    let reason = worker.wait_for("terminated", |told| match told {
        Told::Terminated(reason) => Some(reason.clone()),
        _ => None,
    });
    assert!(reason.await.contains("taken"));
}
