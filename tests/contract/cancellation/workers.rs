//! `Worker::run`: its handlers go with it, and what they worked on goes to the others, counting nothing.

use std::time::Duration;

use streamherd::{BoxError, Job, Worker};
use streamherd_testkit::eventually;
use streamherd_tests::{Census, Redis, SOON, Truth, builder, by_name, dropped_after, dropped_as_woken, names};
use tokio::time::timeout;

/// Longer than a worker takes to be given what waits; so much later nothing wakes it soon.
const QUIET: Duration = Duration::from_millis(300);

#[tokio::test]
async fn a_dropped_worker_hands_back_what_its_handlers_worked_on() {
    dropped_workers("Worker::run", false).await;
}

#[cfg(feature = "tower")]
#[tokio::test]
async fn a_dropped_worker_with_a_service_hands_back_what_it_worked_on() {
    dropped_workers("Worker::run_service", true).await;
}

/// Half of the streams hang in their handlers, the others end at once.
async fn dropped_workers(operation: &str, is_service: bool) {
    let server = Redis::start(crate::TOPOLOGY);
    let mut truth = Truth::of(&server);
    let mut attempts = Vec::new();
    for polls in 0..12 {
        attempts.extend([(polls, false), (polls.max(1), true)]);
    }
    for (polls, as_woken) in attempts {
        let wanted: Vec<String> = names("hangs", 3).into_iter().chain(names("ends", 3)).collect();
        streamherd_tests::submit(&server, &wanted).await;
        let (client, notifications) = builder(&server).max_in_flight(4).connect().await.unwrap();
        let seen = client.clone();
        eventually(SOON, "all slots are taken", || {
            let held = seen.health().held;
            async move { (held == 4).then_some(()) }
        })
        .await;
        drop(seen);
        let census = Census::default();
        let counted = census.clone();
        let handler = move |job: Job| {
            let here = counted.enter();
            async move {
                let _here = here;
                if job.stream().starts_with("hangs") {
                    std::future::pending::<()>().await;
                }
                Ok::<(), BoxError>(())
            }
        };
        let worker = Worker::new(client, notifications);
        let running = run(worker, handler, is_service);
        let dropped = if as_woken {
            timeout(QUIET, dropped_as_woken(polls, running)).await.unwrap_or(None)
        } else {
            timeout(QUIET, dropped_after(polls, running)).await.unwrap_or(None)
        };
        assert!(dropped.is_none(), "{operation} goes on until it is told to end");
        super::nothing_is_left(&mut truth).await;
        assert_eq!(census.now(), 0, "handlers go with it");
        assert!(truth.dead_letters().is_empty());

        let mut left: Vec<_> = truth.entries("front");
        left.extend(truth.entries("input"));
        for (id, fields) in &left {
            let counted = fields
                .iter()
                .filter(|(name, _)| name == "_retry_count" || name == "_sh_failures");
            for (name, count) in counted {
                assert_eq!(
                    count, "0",
                    "{name} of {id} after {polls} polls, woken {as_woken}: {fields:?}"
                );
            }
        }
        let left = by_name(&left);
        let hanging = left.keys().filter(|name| name.starts_with("hangs")).count();
        assert_eq!(hanging, 3, "none is lost: {left:?}");
        assert!(left.values().all(|times| *times == 1), "none is doubled: {left:?}");
    }
}

#[cfg(feature = "tower")]
async fn run<H, F>(worker: Worker, handler: H, is_service: bool)
where
    H: Fn(Job) -> F + Clone + Send + Sync + 'static,
    F: Future<Output = Result<(), BoxError>> + Send + 'static,
{
    let ended = if is_service {
        worker.run_service(tower::service_fn(handler)).await
    } else {
        worker.run(handler).await
    };
    drop(ended);
}

#[cfg(not(feature = "tower"))]
async fn run<H, F>(worker: Worker, handler: H, is_service: bool)
where
    H: Fn(Job) -> F + Clone + Send + Sync + 'static,
    F: Future<Output = Result<(), BoxError>> + Send + 'static,
{
    assert!(!is_service, "services take a feature");
    drop(worker.run(handler).await);
}
