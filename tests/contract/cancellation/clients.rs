//! What is asked of a running client.

use std::time::Duration;

use streamherd::Recovery;
use streamherd::error::ClaimError;
use streamherd_testkit::{Command, eventually};
use streamherd_tests::{
    Cut, Redis, SOON, Topology, Truth, Worker, builder, drop_at_each_poll, drop_everywhere, drop_in_strides,
    dropped_after, names, recovery, submit,
};

/// So many places at most has a claim.
const ORPHANS: usize = 30;

#[tokio::test]
async fn a_dropped_claim_is_carried_out_once_or_not_at_all() {
    let server = Redis::start(crate::TOPOLOGY);
    let orphans = server.together("s", ORPHANS);
    let mut truth = Truth::at(&server, &orphans[0]);
    truth.make_groups();
    submit(&server, &orphans).await;
    let mut ids = Vec::new();
    for _ in &orphans {
        let id = truth.abandon();
        truth.cmd(&format!("SET T:lock:{id} ghost:1 PX 600000")).ok();
        ids.push(id);
    }
    let proxy = server.proxy().await;
    let unscanned = Recovery {
        scan_interval: Duration::ZERO,
        ..recovery()
    };
    let mut worker = Worker::with(builder(&proxy).recovery(unscanned)).await;
    eventually(SOON, "it hears of expired locks", || {
        let listening = worker.client.health().listening;
        async move { listening.then_some(()) }
    })
    .await;
    let standing = super::Standing::of(&mut truth);
    let mut left = ids.into_iter();
    let of = |command: &Command| command.script() == Some("requeue");
    drop_everywhere("Client::claim", &proxy, of, async |cut| {
        let id = left.next().expect("orphans enough");
        truth.expire(&id);
        let orphan = worker.expired().await;
        assert_eq!(orphan.id().to_string(), id);
        let unclaimed = cut.drop(worker.client.claim(&orphan)).await.is_none();
        let again = worker.client.claim(&orphan).await;
        if cut.is_before_all() {
            assert!(again.is_ok(), "nobody has claimed it: {again:?}");
        } else {
            let known = again.is_ok() && unclaimed || matches!(again, Err(ClaimError::AlreadyClaimed(_)));
            assert!(known, "{again:?}");
        }
        let lease = worker.added().await;
        assert_eq!((lease.attempt(), lease.abandonments()), (1, 1));
        lease.done().await.unwrap();
        assert_eq!(truth.length(), i64::try_from(left.len()).unwrap(), "once");
        assert_eq!((worker.unasked(), truth.pending_count()), (0, left.len()));
    })
    .await;
    standing.returns(&mut truth).await;
    worker.client.shutdown(Duration::ZERO).await;
}

#[tokio::test]
async fn a_dropped_pause_or_resume_can_be_asked_for_again() {
    let server = Redis::start(crate::TOPOLOGY);
    let mut truth = Truth::of(&server);
    let proxy = server.proxy().await;
    let mut worker = Worker::with(builder(&proxy).max_in_flight(1)).await;
    works(&server, &mut worker, "first").await;
    let standing = super::Standing::of(&mut truth);
    let of = |command: &Command| command.script() == Some("pause");
    drop_everywhere("Client::pause", &proxy, of, async |cut| {
        cut.drop(worker.client.pause()).await;
        worker.client.pause().await.unwrap();
        assert!(!worker.client.pause().await.unwrap(), "it is paused everywhere");
        worker.client.resume().await.unwrap();
        works(&server, &mut worker, &cut.name("s")).await;
    })
    .await;
    drop_everywhere("Client::resume", &proxy, of, async |cut| {
        worker.client.pause().await.unwrap();
        cut.drop(worker.client.resume()).await;
        worker.client.resume().await.unwrap();
        assert!(!worker.client.resume().await.unwrap(), "it is paused nowhere");
        works(&server, &mut worker, &cut.name("t")).await;
    })
    .await;
    standing.returns(&mut truth).await;
    worker.client.shutdown(Duration::ZERO).await;
    super::nothing_is_left(&mut truth).await;
}

#[tokio::test]
async fn a_dropped_reset_of_the_topology_leaves_a_client_that_works_and_hears() {
    let server = Redis::start(crate::TOPOLOGY);
    let mut truth = Truth::of(&server);
    let proxy = server.proxy().await;
    let mut worker = Worker::with(builder(&proxy).max_in_flight(1)).await;
    works(&server, &mut worker, "first").await;
    let standing = super::Standing::of(&mut truth);
    if crate::TOPOLOGY == Topology::Standalone {
        // There is nobody to be asked where things are.
        assert!(dropped_after(1, worker.client.reset_topology()).await.is_some());
    } else {
        drop_at_each_poll("Client::reset_topology", &mut async |cut: &Cut<'_>| {
            cut.drop(worker.client.reset_topology()).await;
            works(&server, &mut worker, &cut.name("s")).await;
        })
        .await;
    }
    standing.returns(&mut truth).await;
    worker.client.shutdown(Duration::ZERO).await;
    super::nothing_is_left(&mut truth).await;
}

/// The worker, which has one slot, is given a stream and finishes it; and it hears of expired locks.
async fn works(server: &Redis, worker: &mut Worker, name: &str) {
    submit(server, [name]).await;
    let lease = worker.added().await;
    assert_eq!((lease.stream(), lease.attempt()), (name, 0));
    lease.done().await.unwrap();
    eventually(SOON, "it hears of expired locks", || {
        let listening = worker.client.health().listening;
        async move { listening.then_some(()) }
    })
    .await;
}

/// The streams go through all of these shutdowns, and nothing of them is ever counted.
#[tokio::test]
async fn a_shutdown_that_was_polled_goes_on_though_it_is_dropped() {
    let server = Redis::start(crate::TOPOLOGY);
    let mut truth = Truth::of(&server);
    let streams = names("s", 2);
    submit(&server, &streams).await;
    let proxy = server.proxy().await;
    let of = |_: &Command| true;
    let stride = if crate::TOPOLOGY == Topology::Standalone { 1 } else { 4 };
    drop_in_strides("Client::shutdown", &proxy, of, stride, async |cut| {
        let mut worker = Worker::with(builder(&proxy).max_in_flight(2)).await;
        let leases = worker.added_many(streams.len()).await;
        assert!(leases.iter().all(|lease| lease.attempt() == 0));
        cut.drop(worker.client.shutdown(Duration::ZERO)).await;
        if cut.is_before_all() {
            assert!(
                leases.iter().all(streamherd::Lease::is_valid),
                "nobody has asked for it"
            );
            for lease in leases {
                lease.release().await.unwrap();
            }
            worker.client.shutdown(Duration::ZERO).await;
        } else {
            assert_eq!(worker.terminated().await, "shut down");
            assert!(leases.iter().all(|lease| !lease.is_valid()));
        }
        super::nothing_is_left(&mut truth).await;
        assert_eq!(truth.length(), 2);
    })
    .await;
    let mut worker = Worker::start(&server).await;
    for lease in worker.added_many(streams.len()).await {
        lease.done().await.unwrap();
    }
    assert!(truth.is_clean());
}
