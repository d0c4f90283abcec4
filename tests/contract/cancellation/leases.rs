//! `Lease::done` and its siblings.

use std::time::Duration;

use streamherd::{Lane, Lease, RetryAfter};
use streamherd_testkit::{Command, eventually};
use streamherd_tests::{Cut, Redis, SOON, Truth, Worker, builder, drop_everywhere, field, submit};

#[tokio::test]
async fn a_dropped_done_is_carried_out_and_frees_its_slot() {
    a_dropped_settlement(
        "Lease::done",
        async |cut, lease| cut.drop(lease.done()).await.map(drop),
        async |_, server, _| assert!(Truth::of(server).dead_letters().is_empty()),
    )
    .await;
}

#[tokio::test]
async fn a_dropped_retry_is_carried_out_and_frees_its_slot() {
    a_dropped_settlement(
        "Lease::retry",
        async |cut, lease| {
            // A lease that is dropped is tried again at once.
            let later = RetryAfter::after(Duration::from_secs(600)).because("it broke");
            cut.drop(lease.retry(later)).await.map(drop)
        },
        async |name, server, worker| {
            let mut truth = Truth::of(server);
            eventually(SOON, "it waits for its time", || {
                let waits = truth.cmd("ZCARD T:delayed").int() == 1;
                async move { waits.then_some(()) }
            })
            .await;
            // Which makes it due.
            submit(server, [name]).await;
            let again = worker.added().await;
            assert_eq!((again.stream(), again.failures(), again.abandonments()), (name, 1, 0));
            again.done().await.unwrap();
        },
    )
    .await;
}

#[tokio::test]
async fn a_dropped_dead_letter_is_carried_out_and_frees_its_slot() {
    a_dropped_settlement(
        "Lease::dead_letter",
        async |cut, lease| cut.drop(lease.dead_letter("it is bad")).await.map(drop),
        async |name, server, _| {
            let mut truth = Truth::of(server);
            truth.becomes_clean().await;
            let letters = truth.dead_letters();
            assert_eq!(letters.len(), 1);
            assert!(field(&letters[0], "lbs-input").contains(name));
            assert_eq!(field(&letters[0], "_sh_error"), "it is bad");
            truth.cmd("DEL T:dlq").ok();
        },
    )
    .await;
}

#[tokio::test]
async fn a_dropped_release_is_carried_out_and_frees_its_slot() {
    a_dropped_settlement(
        "Lease::release",
        async |cut, lease| cut.drop(lease.release()).await.map(drop),
        async |name, _, worker| {
            let again = worker.added().await;
            assert_eq!((again.stream(), again.attempt()), (name, 0));
            assert_eq!(again.id().lane, Lane::Front, "it was handed back");
            again.done().await.unwrap();
        },
    )
    .await;
}

/// A worker with one slot settles one stream after the other; each is given to it only if the slot is free. Never polled, a
/// settlement is a lease that was dropped: a failed attempt.
async fn a_dropped_settlement(
    operation: &str,
    settle: impl AsyncFn(&Cut<'_>, Lease) -> Option<()>,
    check: impl AsyncFn(&str, &Redis, &mut Worker),
) {
    let server = Redis::start(crate::TOPOLOGY);
    let mut truth = Truth::of(&server);
    let proxy = server.proxy().await;
    let mut worker = Worker::with(builder(&proxy).max_in_flight(1)).await;
    let of = |command: &Command| command.script() == Some("settle");
    drop_everywhere(operation, &proxy, of, async |cut| {
        let name = cut.name("s");
        submit(&server, [&name]).await;
        let lease = worker.added().await;
        assert_eq!((lease.stream(), lease.attempt()), (name.as_str(), 0));
        settle(cut, lease).await;
        if cut.is_before_all() {
            let again = worker.added().await;
            assert_eq!((again.stream(), again.failures()), (name.as_str(), 1));
            again.done().await.unwrap();
        } else {
            check(&name, &server, &mut worker).await;
        }
        truth.becomes_clean().await;
        assert_eq!((worker.unasked(), worker.unasked_disowned()), (0, 0));
    })
    .await;
    assert_eq!(worker.client.health().held, 0);
    worker.client.shutdown(Duration::ZERO).await;
    super::nothing_is_left(&mut truth).await;
}
