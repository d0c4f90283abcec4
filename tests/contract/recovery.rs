//! Workers die, hang and stall; their streams go to the others, once and soon.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::time::{Duration, Instant};

use streamherd::error::ClaimError;
use streamherd::{Claimed, KeyspaceEvents, Lane, Lease, Recovery};
use streamherd_testkit::{Command, Fault, Matcher, eventually};
use streamherd_tests::{MIN_IDLE, Redis, SOON, TTL, Truth, Worker, builder, hold, names, queue, recovery, submit};
use tokio::sync::{mpsc, oneshot};

const WORKER: &str = env!("CARGO_BIN_EXE_contract-worker");

const ORPHANS: usize = 100;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn guarantee_4_every_slot_that_comes_free_goes_to_an_orphan_before_the_backlog() {
    let server = Redis::start(crate::TOPOLOGY);
    let mut truth = Truth::of(&server);
    queue(&server, &server.beside("any", names("orphan", ORPHANS)));
    queue(&server, &server.beside("any", names("later", 5_000)));
    let mut victim = hold(WORKER, &server, ORPHANS).await;
    let mut survivor = Worker::with(builder(&server).max_in_flight(60)).await;
    let mut held = survivor.added_many(60).await;
    victim.process.kill();
    eventually(SOON, "all orphans wait at the front", || {
        let requeued = truth.cmd("XLEN T:front").int();
        async move { (requeued == 100).then_some(()) }
    })
    .await;

    let mut given = Vec::new();
    for freed in [1, 2, 27, 40, 50] {
        done(held.drain(..freed)).await;
        for lease in survivor.added_many(freed).await {
            given.push(lease.id().lane);
            held.push(lease);
        }
    }
    let last = given.iter().rposition(|lane| *lane == Lane::Front).unwrap();
    let before: usize = given[..last].iter().filter(|lane| **lane == Lane::Input).count();
    assert_eq!(
        before, 0,
        "so many of the backlog came before the last orphan: {given:?}"
    );
}

async fn done(leases: impl Iterator<Item = Lease>) {
    let mut under_way = tokio::task::JoinSet::new();
    for lease in leases {
        under_way.spawn(lease.done());
    }
    for outcome in under_way.join_all().await {
        outcome.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn guarantee_2_a_lease_held_for_ten_times_min_idle_is_never_touched() {
    let (ttl, min_idle) = (Duration::from_millis(2_200), Duration::from_millis(2_450));
    let server = Redis::start(crate::TOPOLOGY);
    let mut truth = Truth::of(&server);
    let settings = || {
        let mut recovery = recovery();
        recovery.min_idle = Some(min_idle);
        recovery.scan_interval = Duration::from_millis(100);
        builder(&server).lock_ttl(ttl).recovery(recovery)
    };
    let mut holder = Worker::with(settings()).await;
    submit(&server, ["long"]).await;
    let lease = holder.added().await;
    let mut others = Vec::new();
    for _ in 0..3 {
        others.push(Worker::with(settings()).await);
    }
    let owned = format!("{}:{}", holder.client.consumer(), lease.token());
    let lock = format!("T:lock:{}", lease.id());
    let pending = truth.pending("input");

    let mut watching = tokio::task::JoinSet::new();
    for mut other in others {
        watching.spawn(async move {
            other.listen_for(10 * min_idle).await;
            other
        });
    }
    let end = Instant::now() + 10 * min_idle;
    while Instant::now() < end {
        holder.listen_for(Duration::from_millis(50)).await;
        assert!(lease.is_valid() && !lease.lost().is_cancelled());
        assert_eq!(truth.call(&["GET", &lock]).text(), owned);
    }
    assert_eq!((holder.unasked(), holder.unasked_disowned()), (0, 0));
    for other in watching.join_all().await {
        assert_eq!(other.unasked(), 0, "nobody else is given it");
        let since = other.client.health().since_scan.expect("it scanned");
        assert!(since < min_idle, "{since:?}");
    }
    assert_eq!(truth.pending("input"), pending);
    assert_eq!(truth.length(), 1);
    lease.done().await.unwrap();
    assert!(truth.is_clean());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn guarantee_5_eight_rivals_claiming_one_orphan_requeue_it_once() {
    let server = Redis::start(crate::TOPOLOGY);
    let mut truth = Truth::of(&server);
    queue(&server, &names("s", 1));
    let mut victim = hold(WORKER, &server, 1).await;
    let mut rivals = Vec::new();
    for _ in 0..8 {
        let mut unscanned: Recovery = recovery();
        unscanned.scan_interval = Duration::ZERO;
        rivals.push(Worker::with(builder(&server).recovery(unscanned)).await);
    }
    victim.process.kill();

    let mut claims = Vec::new();
    for rival in &mut rivals {
        let orphan = rival.expired().await;
        assert_eq!((orphan.stream(), orphan.attempt()), ("s-0", 0));
        let client = rival.client.clone();
        claims.push(async move { client.claim(&orphan).await });
    }
    let mut under_way: tokio::task::JoinSet<_> = claims.into_iter().collect();
    let mut requeued = Vec::new();
    while let Some(outcome) = under_way.join_next().await {
        match outcome.unwrap() {
            Ok(Claimed::Requeued(id)) => requeued.push(id),
            Err(ClaimError::AlreadyClaimed(_)) => {}
            other => panic!("{other:?}"),
        }
    }
    assert_eq!(requeued.len(), 1, "one winner: {requeued:?}");
    assert_eq!((truth.length(), truth.dead_letters().len()), (1, 0), "it exists once");
    let (tell, mut told) = mpsc::unbounded_channel();
    for mut rival in rivals {
        let tell = tell.clone();
        tokio::spawn(async move { tell.send(rival.added().await) });
    }
    let lease = told.recv().await.unwrap();
    assert_eq!(lease.id(), requeued[0]);
    assert_eq!((lease.attempt(), lease.abandonments(), lease.failures()), (1, 1, 0));
    lease.done().await.unwrap();
    assert!(truth.is_clean());
}

#[test]
fn guarantee_2_a_handler_that_blocks_its_whole_runtime_keeps_its_leases() {
    let server = Redis::start(crate::TOPOLOGY);
    let url = server.address();
    let runtime = || {
        tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .unwrap()
    };
    std::thread::scope(|threads| {
        let (blocking, may_watch) = std::sync::mpsc::channel();
        let watching = threads.spawn(move || {
            may_watch.recv().unwrap();
            runtime().block_on(async {
                let mut other = Worker::start(&url).await;
                other.listen_for(3 * TTL - Duration::from_millis(500)).await.unasked()
            })
        });
        runtime().block_on(async {
            queue(&server, &names("s", 10));
            let mut worker = Worker::start(&server).await;
            let leases = worker.added_many(10).await;
            blocking.send(()).unwrap();
            // The handler: nothing else runs on this runtime until it returns.
            std::thread::sleep(3 * TTL);
            assert!(leases.iter().all(|lease| lease.is_valid() && lease.attempt() == 0));
            done(leases.into_iter()).await;
            assert_eq!(worker.unasked_disowned(), 0);
        });
        assert_eq!(watching.join().unwrap(), 0, "nobody else was given one");
    });
    assert!(Truth::of(&server).is_clean());
}

/// The client library finds a connection unresponsive whose answer it could not read in the meantime, and drops it; the
/// settlement comes just then.
#[tokio::test]
async fn a_settlement_right_after_a_long_block_counts() {
    let server = Redis::start(crate::TOPOLOGY);
    let mut truth = Truth::of(&server);
    queue(&server, &names("s", 8));
    let timeout = Duration::from_millis(100);
    let settings = builder(&server).command_timeout(timeout).max_in_flight(8);
    let mut worker = Worker::with(settings).await;
    for lease in worker.added_many(8).await {
        let producer = worker.client.producer();
        let under_way = tokio::spawn(async move { producer.submit("more", &()).await });
        // Sent, and not answered yet.
        for _ in 0..3 {
            tokio::task::yield_now().await;
        }
        std::thread::sleep(5 * timeout);
        lease.done().await.unwrap();
        let _ = under_way.await.unwrap();
    }
    assert_eq!(truth.cmd("EXISTS T:dlq").int(), 0);
    worker.client.shutdown(Duration::ZERO).await;
    assert_eq!(truth.pending_count(), 0);
}

#[tokio::test]
async fn guarantee_3_a_frozen_worker_learns_on_waking_that_its_lease_is_lost() {
    let server = Redis::start(crate::TOPOLOGY);
    let mut truth = Truth::of(&server);
    queue(&server, &names("s", 1));
    let mut frozen = hold(WORKER, &server, 1).await;
    let mut survivor = Worker::start(&server).await;
    frozen.process.freeze();
    let lease = survivor.added().await;
    assert_eq!((lease.stream(), lease.attempt()), ("s-0", 1));
    let (entries, pending) = (truth.entries("front"), truth.pending("front"));

    frozen.process.thaw();
    let lost = frozen.says("disowned").await;
    assert_eq!(
        (&lost["stream"], &lost["reason"]),
        (&"s-0".into(), &"deadline_passed".into())
    );
    frozen.order("done");
    let settled = frozen.says("settled").await;
    assert_eq!(
        (&settled["outcome"], &settled["was_valid"]),
        (&"disowned".into(), &false.into())
    );
    assert!(lease.is_valid());
    assert_eq!((truth.entries("front"), truth.pending("front")), (entries, pending));
    assert_eq!(survivor.unasked_disowned(), 0);
    lease.done().await.unwrap();
    assert!(truth.is_clean());
}

#[tokio::test]
async fn guarantee_3_a_settlement_that_is_the_first_thing_a_woken_worker_does_changes_nothing() {
    for order in ["done", "retry"] {
        let server = Redis::start(crate::TOPOLOGY);
        let mut truth = Truth::of(&server);
        queue(&server, &names("s", 1));
        let mut frozen = hold(WORKER, &server, 1).await;
        let mut survivor = Worker::start(&server).await;
        frozen.process.freeze();
        let lease = survivor.added().await;
        frozen.order(order);
        frozen.process.thaw();
        let settled = frozen.says("settled").await;
        assert_eq!(
            (&settled["outcome"], &settled["was_valid"]),
            (&"disowned".into(), &false.into())
        );
        assert_eq!((truth.length(), truth.pending_count()), (1, 1));
        assert!(lease.is_valid());
        lease.done().await.unwrap();
        assert!(truth.is_clean());
    }
}

#[tokio::test]
async fn a_worker_that_stalls_between_its_read_and_its_lock_does_not_start_what_was_requeued() {
    let server = Redis::start(crate::TOPOLOGY);
    let mut truth = Truth::of(&server);
    let proxy = server.proxy().await;
    let mut stalled = Worker::with(builder(&proxy).keyspace_events(KeyspaceEvents::Off)).await;
    // Over whatever connection it asks.
    let stands_still = Arc::new(AtomicBool::new(true));
    let (releases, faults): (Vec<_>, Vec<_>) = (1..=20)
        .map(|nth| {
            let stands_still = Arc::clone(&stands_still);
            let acquires = move |command: &Command| {
                matches!(command.script(), Some("seize" | "acquire")) && stands_still.load(Relaxed)
            };
            let (release, held) = oneshot::channel();
            (
                release,
                proxy.on(Matcher::custom(acquires), nth, Fault::HoldUntil(held)),
            )
        })
        .unzip();
    // It is sent right behind a read that blocks.
    faults[0].wait_fired(SOON).await;
    submit(&server, ["s"]).await;
    eventually(SOON, "it has read the stream", || {
        let pending = truth.pending("input");
        let read = pending
            .iter()
            .any(|one| one.consumer == stalled.client.consumer().as_str());
        async move { read.then_some(()) }
    })
    .await;

    let mut other = Worker::start(&server).await;
    let lease = other.added().await;
    assert_eq!((lease.stream(), lease.attempt()), ("s", 1));
    stands_still.store(false, Relaxed);
    drop(releases);
    assert_eq!(stalled.listen_for(MIN_IDLE).await.unasked(), 0);
    assert!(lease.is_valid());
    lease.done().await.unwrap();
    assert!(truth.is_clean());

    submit(&server, ["next"]).await;
    let _ = other.client.shutdown(Duration::ZERO).await;
    assert_eq!(stalled.added().await.stream(), "next", "it works on after the stall");
}
