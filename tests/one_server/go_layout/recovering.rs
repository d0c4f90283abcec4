//! Deaths on either side.

use std::time::Duration;

use streamherd::{Recovery, RequeueOutcome};
use streamherd_testkit::eventually;
use streamherd_tests::{MIN_IDLE, Redis, SOON, TTL, Worker, WorkerProcess, recovery};

use super::{Beat, Go, beside_go, lock};

/// For so long the lock of a Go worker has to be absent.
const GRACE: Duration = Duration::from_secs(4);

#[tokio::test]
async fn what_a_dead_go_worker_held_comes_to_a_rust_worker() {
    let server = Redis::start(crate::TOPOLOGY);
    let mut go = Go::at(&server);
    go.make_group();
    let id = go.submit("user-1");
    go.read("pod-1");
    let beat = Beat::of(&server, "pod-1", "user-1", &id);
    let mut worker = Worker::with(beside_go(&server)).await;
    go.is_seen_alive(&id).await;
    drop(beat);
    let died = std::time::Instant::now();
    let lease = worker.added().await;
    // Its lock lives on for up to two seconds.
    assert!(died.elapsed() >= GRACE, "after {:?}", died.elapsed());
    assert_eq!((lease.stream(), lease.attempt()), ("user-1", 1));
    lease.done().await.unwrap();
    assert_eq!(go.left(), (0, 0, 0));
}

#[tokio::test]
async fn a_go_worker_whose_lock_lapses_now_and_then_keeps_its_stream() {
    let server = Redis::start(crate::TOPOLOGY);
    let mut go = Go::at(&server);
    go.make_group();
    let id = go.submit("user-1");
    go.read("pod-1");
    let mut worker = Worker::with(beside_go(&server)).await;
    tokio::time::sleep(MIN_IDLE).await;
    // It misses beats, and makes its lock anew: absent for most of the time, but never for long.
    for _ in 0..4 {
        assert!(go.lock("pod-1", "user-1", &id));
        worker.listen_for(Duration::from_millis(500)).await;
        go.unlock("user-1", &id);
        worker.listen_for(GRACE / 2).await;
    }
    assert_eq!((worker.unasked(), go.owner(&id).unwrap().0.as_str()), (0, "pod-1"));
}

#[tokio::test]
async fn what_a_go_worker_has_just_unlocked_is_not_taken_before_it_acknowledges() {
    let server = Redis::start(crate::TOPOLOGY);
    let mut go = Go::at(&server);
    go.make_group();
    let id = go.submit("user-1");
    go.read("pod-1");
    let beat = Beat::of(&server, "pod-1", "user-1", &id);
    let sweeping = Recovery {
        sweep_interval: Duration::from_millis(200),
        ..recovery()
    };
    let mut worker = Worker::with(beside_go(&server).recovery(sweeping)).await;
    worker.listen_for(MIN_IDLE + Duration::from_secs(1)).await;
    drop(beat);
    go.unlock("user-1", &id);
    worker.listen_for(GRACE / 2).await;
    assert_eq!(go.cmd(&format!("XACK orders-input orders-group {id}")).int(), 1);
    // Finished, and not deleted yet: no stray body either.
    worker.listen_for(Duration::from_secs(1)).await;
    assert_eq!(go.cmd(&format!("XDEL orders-input {id}")).int(), 1);
    assert_eq!((worker.unasked(), go.left()), (0, (0, 0, 0)));
}

#[tokio::test]
async fn a_go_worker_claims_what_a_dead_rust_worker_held() {
    let server = Redis::start(crate::TOPOLOGY);
    let mut go = Go::at(&server);
    let mut dying = hold_one(&server, &mut go).await;
    let id = go.cmd("XRANGE orders-input - +").array()[0].array()[0].text();
    // It hears of the lock's end as of any Go worker's.
    go.cmd("CONFIG SET notify-keyspace-events KEx").ok();
    let mut heard = server.client_for("orders-input");
    heard.set_timeout(Some(SOON)).unwrap();
    heard.call(&["PSUBSCRIBE", "__keyspace@0__:*<MUTEX_KEY_SEP>*"]);
    dying.process.kill();
    let event = heard.receive().unwrap().array();
    assert_eq!(event[2].text(), format!("__keyspace@0__:{}", lock("user-1", &id)));
    assert_eq!(event[3].text(), "expired");
    let claimed = go.cmd(&format!("XCLAIM orders-input orders-group pod-1 2000 {id}"));
    assert_eq!(claimed.array().len(), 1);
    let _beat = Beat::of(&server, "pod-1", "user-1", &id);
    // And Rust workers leave it alone.
    let mut peer = Worker::with(beside_go(&server)).await;
    peer.listen_for(MIN_IDLE + GRACE + Duration::from_secs(1)).await;
    assert_eq!((peer.unasked(), go.owner(&id).unwrap().0.as_str()), (0, "pod-1"));
}

#[tokio::test]
async fn a_rust_worker_has_a_dead_one_s_stream_without_waiting_for_a_go_worker_s_grace() {
    let server = Redis::start(crate::TOPOLOGY);
    let mut go = Go::at(&server);
    let mut dying = hold_one(&server, &mut go).await;
    let mut peer = Worker::with(beside_go(&server)).await;
    dying.process.kill();
    let killed = std::time::Instant::now();
    let lease = peer.added().await;
    assert_eq!((lease.stream(), lease.attempt()), ("user-1", 1));
    // A Go worker's would have to be without a lock for that long, after its end.
    let waited = killed.elapsed();
    assert!(waited > TTL / 2, "{waited:?}");
    let absent = go.0.call(&["KEYS", "orders-sh:absent:*"]).array();
    assert!(absent.is_empty(), "{absent:?}");
}

/// A worker process that holds `user-1`.
async fn hold_one(server: &Redis, go: &mut Go) -> WorkerProcess {
    go.submit("user-1");
    let binary = env!("CARGO_BIN_EXE_contract-worker");
    let mut worker = WorkerProcess::start(binary, server, &["then=hold", "layout=go"]);
    worker.says("added").await;
    worker
}

#[tokio::test]
async fn a_lease_is_not_taken_by_go_workers_that_start() {
    let server = Redis::start(crate::TOPOLOGY);
    let mut go = Go::at(&server);
    let mut worker = Worker::with(beside_go(&server)).await;
    let id = go.submit("user-1");
    let lease = worker.added().await;
    let owner = worker.client.consumer().to_string();
    // Had nobody touched it, it would be this old some time.
    go.cmd(&format!(
        "XCLAIM orders-input orders-group {owner} 0 {id} IDLE 39000 JUSTID"
    ));
    eventually(SOON, "it is touched", || {
        let found = go.owner(&id);
        async move { found.filter(|(_, idle)| *idle < Duration::from_secs(30)) }
    })
    .await;
    let claimed = go
        .cmd("XAUTOCLAIM orders-input orders-group pod-1 40000 0-0 COUNT 1000")
        .array();
    assert!(claimed[1].array().is_empty());
    // One that has claimed it all the same can't lock it, and it goes back.
    go.cmd(&format!("XCLAIM orders-input orders-group pod-1 0 {id}"));
    assert!(!go.lock("pod-1", "user-1", &id));
    eventually(SOON, "it is back", || {
        let found = go.owner(&id);
        let owner = owner.clone();
        async move { found.filter(|(consumer, _)| *consumer == owner) }
    })
    .await;
    assert!(lease.is_valid());
    lease.done().await.unwrap();
    assert_eq!(go.left(), (0, 0, 0));
}

#[tokio::test]
async fn a_redis_that_comes_back_empty_ends_leases_and_is_worked_on() {
    let mut server = Redis::start(crate::TOPOLOGY);
    let mut worker = Worker::with(beside_go(&server)).await;
    Go::at(&server).submit("user-1");
    let _lease = worker.added().await;
    server.restart_empty();
    worker.data_loss().await;
    assert_eq!(worker.disowned().await.stream, "user-1");
    let mut go = Go::at(&server);
    let id = go.submit("user-2");
    let lease = worker.added().await;
    assert_eq!(lease.stream(), "user-2");
    assert!(go.holder("user-2", &id).is_some());
    lease.done().await.unwrap();
}

#[tokio::test]
async fn what_a_go_worker_has_read_and_not_begun_is_its_own_for_forty_seconds() {
    let server = Redis::start(crate::TOPOLOGY);
    let mut go = Go::at(&server);
    go.make_group();
    let (old, young) = (go.submit("old"), go.submit("young"));
    assert_eq!(go.read("pod-1").len(), 2);
    // It reads all that waits, and locks one after the other.
    for (id, idle) in [(&old, 39_000), (&young, 25_000)] {
        let claim = format!("XCLAIM orders-input orders-group pod-1 0 {id} IDLE {idle} JUSTID");
        go.cmd(&claim).ok();
    }
    let mut worker = Worker::with(beside_go(&server)).await;
    let began = std::time::Instant::now();
    let lease = worker.added().await;
    assert_eq!(lease.stream(), "old");
    assert!(began.elapsed() >= GRACE, "after {:?}", began.elapsed());
    worker.listen_for(Duration::from_secs(1)).await;
    assert_eq!((worker.unasked(), go.owner(&young).unwrap().0.as_str()), (0, "pod-1"));
}

#[tokio::test]
async fn a_lease_says_by_its_deliveries_for_how_long_it_was_held() {
    let server = Redis::start(crate::TOPOLOGY);
    let mut go = Go::at(&server);
    let mut dying = hold_one(&server, &mut go).await;
    let id = go.cmd("XRANGE orders-input - +").array()[0].array()[0].text();
    let owner = go.owner(&id).unwrap().0;
    let claim = |deliveries: u32, idle: u32| {
        format!("XCLAIM orders-input orders-group {owner} 0 {id} IDLE {idle} RETRYCOUNT {deliveries} JUSTID")
    };
    let deliveries = |go: &mut Go| {
        let record = go.cmd(&format!("XPENDING orders-input orders-group {id} {id} 1"));
        record.array()[0].array()[3].int()
    };
    go.cmd(&claim(500, 39_000)).ok();
    eventually(SOON, "it is counted anew", || {
        let held = deliveries(&mut go);
        async move { (held < 400).then_some(()) }
    })
    .await;
    // What has been held for more than ten minutes has not died of its last abandonment.
    let last = Recovery {
        max_abandonments: 1,
        ..recovery()
    };
    let mut peer = Worker::with(beside_go(&server).recovery(last)).await;
    go.cmd(&claim(700, 5_000)).ok();
    dying.process.kill();
    let lease = peer.added().await;
    assert_eq!((lease.stream(), go.cmd("XLEN orders-input-dlq").int()), ("user-1", 0));
}

#[tokio::test]
async fn what_go_workers_would_end_at_is_not_put_before_them_again() {
    let server = Redis::start(crate::TOPOLOGY);
    let mut go = Go::at(&server);
    go.make_group();
    let inputs = [
        r#"{"DataStreamName":"text","Info":"text"}"#,
        r#"{"DataStreamName":"list", "Info": [1]}"#,
        r#"{"Info":{}}"#,
        "nonsense",
    ];
    let add = |go: &mut Go| {
        for input in inputs {
            go.0.call(&["XADD", "orders-input", "*", "lbs-input", input]).ok();
        }
    };
    add(&mut go);
    for id in go.read("pod-1") {
        go.cmd(&format!(
            "XCLAIM orders-input orders-group pod-1 0 {id} IDLE 60000 JUSTID"
        ))
        .ok();
    }
    let mut worker = Worker::with(beside_go(&server)).await;
    // Those that a dead Go worker had, and those that are read here.
    add(&mut go);
    eventually(SOON, "all are dead letters", || {
        let letters = go.cmd("XLEN orders-input-dlq").int();
        async move { (letters == 8).then_some(()) }
    })
    .await;
    worker.listen_for(Duration::from_millis(100)).await;
    assert_eq!((worker.unasked(), go.left().0), (0, 0));
}

#[tokio::test]
async fn an_operator_can_t_take_from_a_go_worker_that_would_not_learn_of_it() {
    let server = Redis::start(crate::TOPOLOGY);
    let mut go = Go::at(&server);
    go.make_group();
    let id = go.submit("user-1");
    go.read("pod-1");
    let beat = Beat::of(&server, "pod-1", "user-1", &id);
    let admin = beside_go(&server).connect_admin().await.unwrap();
    for force in [false, true] {
        let refused = admin.requeue("user-1", force).await.unwrap();
        assert!(
            matches!(refused, RequeueOutcome::Held { remaining_ms: 1.., .. }),
            "{refused:?}"
        );
    }
    // Nor while it may be between two locks.
    drop(beat);
    go.unlock("user-1", &id);
    let refused = admin.requeue("user-1", true).await.unwrap();
    assert!(
        matches!(refused, RequeueOutcome::Held { remaining_ms: 0, .. }),
        "{refused:?}"
    );
    assert_eq!(go.owner(&id).unwrap().0, "pod-1");
}
