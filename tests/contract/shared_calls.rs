//! Submits that share a call: each learns its own outcome, and none waits for what it should not.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use futures_util::future::join_all;
use streamherd::error::SubmitError;
use streamherd::{Duplicates, Submitted};
use streamherd_testkit::{Fault, Matcher};
use streamherd_tests::{Proxied, Redis, SOON, Truth, Worker, builder, by_name};

/// Counts the calls that submit.
fn calls(proxy: &Proxied) -> Arc<AtomicUsize> {
    let count = Arc::new(AtomicUsize::new(0));
    let seen = Arc::clone(&count);
    let submits = Matcher::custom(move |command| {
        if command.script() == Some("submit") {
            seen.fetch_add(1, Ordering::Relaxed);
        }
        false
    });
    proxy.on(submits, 1, Fault::DropRequest);
    count
}

#[tokio::test]
async fn what_is_submitted_together_leaves_together_and_each_learns_its_own_outcome() {
    let server = Redis::start(crate::TOPOLOGY);
    let names = server.together("s", 300);
    let mut truth = Truth::at(&server, &names[0]);
    let proxy = server.proxy().await;
    let producer = builder(&proxy).connect_producer().await.unwrap();
    let calls = calls(&proxy);
    // Every third is what the one before it is.
    let wanted: Vec<&String> = (0..300).map(|n| &names[if n % 3 == 2 { n - 1 } else { n }]).collect();
    let submitted = join_all(wanted.iter().map(|name| producer.submit(name, &7))).await;
    let outcomes: Vec<Submitted> = submitted.into_iter().map(Result::unwrap).collect();
    for (n, outcome) in outcomes.iter().enumerate() {
        assert_eq!(matches!(outcome, Submitted::New(_)), n % 3 != 2, "{n}: {outcome:?}");
        if n % 3 == 2 {
            assert_eq!(outcome.reference(), outcomes[n - 1].reference());
        }
    }
    assert!((2..=3).contains(&calls.load(Ordering::Relaxed)), "{calls:?} calls");
    let queued = by_name(&truth.entries("input"));
    assert_eq!((queued.len(), queued.values().sum::<usize>()), (200, 200));
    producer.close().await;
}

#[tokio::test]
async fn wishes_as_large_as_entries_may_be_are_looked_at_a_few_per_call_and_all_accepted() {
    let server = Redis::start(crate::TOPOLOGY);
    let names = server.together("s", 12);
    let mut truth = Truth::at(&server, &names[0]);
    let mut worker = Worker::start(&server).await;
    let proxy = server.proxy().await;
    let producer = builder(&proxy).connect_producer().await.unwrap();
    for submitted in producer.submit_many(names.iter().map(|name| (name, ""))).await {
        submitted.unwrap();
    }
    let held = worker.added_many(names.len()).await;
    let large = "x".repeat(900_000);
    for submitted in producer.submit_many(names.iter().map(|name| (name, &large))).await {
        assert!(matches!(submitted, Ok(Submitted::Coalesced(_))), "{submitted:?}");
    }
    // What is sent is small now, and what it is compared with is not.
    let calls = calls(&proxy);
    for submitted in join_all(names.iter().map(|name| producer.submit(name, "small"))).await {
        assert!(matches!(submitted, Ok(Submitted::Coalesced(_))), "{submitted:?}");
    }
    assert!(calls.load(Ordering::Relaxed) >= 5, "{calls:?} calls");
    // The same for all that ends at once.
    for settled in join_all(held.into_iter().map(streamherd::Lease::done)).await {
        settled.unwrap();
    }
    for lease in worker.added_many(names.len()).await {
        assert_eq!(lease.info::<String>().unwrap(), "small");
        lease.done().await.unwrap();
    }
    truth.becomes_clean().await;
    producer.close().await;
}

#[test]
fn a_submit_whose_runtime_is_gone_says_so() {
    let server = Redis::start(crate::TOPOLOGY);
    let runtime = || {
        let mut builder = tokio::runtime::Builder::new_multi_thread();
        builder.worker_threads(1).enable_all().build().unwrap()
    };
    let (first, second) = (runtime(), runtime());
    let producer = first
        .block_on(async { builder(&server).connect_producer().await })
        .unwrap();
    let parallel = producer.clone().duplicates(Duplicates::Parallel);
    first.shutdown_background();
    for producer in [producer, parallel] {
        let submitted = second.block_on(async { tokio::time::timeout(SOON, producer.submit("a", &1)).await });
        let submitted = submitted.expect("it ends");
        assert!(
            matches!(submitted, Err(SubmitError::MaybeSubmitted(_))),
            "{submitted:?}"
        );
    }
}

#[tokio::test]
async fn a_submit_that_nobody_waits_for_keeps_no_other_from_leaving() {
    let server = Redis::start(crate::TOPOLOGY);
    let names = server.together("s", 3);
    let mut truth = Truth::at(&server, &names[0]);
    let proxy = server.proxy().await;
    let producer = builder(&proxy).connect_producer().await.unwrap();
    let (release, held) = tokio::sync::oneshot::channel();
    let first = proxy.on(Matcher::script("submit"), 1, Fault::HoldUntil(held));
    let waits = tokio::spawn({
        let (producer, name) = (producer.clone(), names[0].clone());
        async move { producer.submit(&name, &1).await }
    });
    first.wait_fired(SOON).await;
    // Behind the one that is held, and given up before that is answered.
    let given_up = tokio::time::timeout(Duration::from_millis(20), producer.submit(&names[1], &1)).await;
    assert!(given_up.is_err());
    let last = producer.submit(&names[2], &1);
    let (_, last) = tokio::join!(async { release.send(()).unwrap() }, last);
    last.unwrap();
    waits.await.unwrap().unwrap();
    let queued = by_name(&truth.entries("input"));
    assert_eq!(queued.keys().collect::<Vec<_>>(), [&names[0], &names[2]]);
    producer.close().await;
}
