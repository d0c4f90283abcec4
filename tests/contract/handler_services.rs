//! Services of the tower crates as handlers.

use std::convert::Infallible;
use std::task::{Context, Poll};
use std::time::Duration;

use streamherd::{BoxError, Job};
use streamherd_testkit::eventually;
use streamherd_tests::{
    Census, Diary, Handling, Redis, SOON, TTL, Truth, field, names, patient, patient_recovery, queue, submit,
};
use tower::{Service, ServiceBuilder, service_fn};

const LONG: Duration = Duration::from_secs(20);

#[tokio::test]
async fn a_service_s_concurrency_limit_holds_and_what_waits_for_it_keeps_its_lease_and_its_time() {
    let server = Redis::start(crate::TOPOLOGY);
    let mut truth = Truth::of(&server);
    queue(&server, &names("s", 8));
    let census = Census::default();
    let counting = census.clone();
    let service = ServiceBuilder::new()
        .concurrency_limit(2)
        .service(service_fn(move |job: Job| {
            let running = counting.enter();
            async move {
                let _running = running;
                tokio::time::sleep(TTL * 2 / 5).await;
                if job.attempt() > 0 {
                    return Err(BoxError::from("it was given away"));
                }
                Ok(())
            }
        }));
    // The last waits for three rounds of the others: longer than it may be held.
    let worker = Handling::start(patient(&server).max_in_flight(8), LONG, |w| {
        w.max_hold(TTL).run_service(service)
    })
    .await;
    eventually(SOON, "all are held", || {
        let held = truth.locks().len();
        async move { (held == 8).then_some(()) }
    })
    .await;
    truth.becomes_clean().await;
    assert_eq!((census.most(), census.now()), (2, 0));
    let report = worker.end().await;
    assert_eq!((report.done, report.retried, report.lost), (8, 0, 0));
}

#[tokio::test]
async fn a_service_s_timeout_drops_the_call_and_counts_a_failure() {
    let server = Redis::start(crate::TOPOLOGY);
    let mut truth = Truth::of(&server);
    submit(&server, ["slow", "quick"]).await;
    let mut recovery = patient_recovery();
    recovery.max_failures = 1;
    let (diary, mut reading) = Diary::open();
    let service = ServiceBuilder::new()
        .timeout(Duration::from_millis(300))
        .service(service_fn(move |job: Job| {
            let gone = diary.at_drop(format!("{} gone", job.stream()));
            async move {
                let _gone = gone;
                if job.stream() == "slow" {
                    std::future::pending::<()>().await;
                }
                Ok::<(), BoxError>(())
            }
        }));
    let worker = Handling::start(patient(&server).recovery(recovery), LONG, |w| w.run_service(service)).await;
    reading.reads("slow gone").await;
    truth.becomes_clean().await;
    let letters = truth.dead_letters();
    assert_eq!(letters.len(), 1);
    assert_eq!(field(&letters[0], "_sh_error"), "request timed out");
    let report = worker.end().await;
    assert_eq!((report.done, report.dead_lettered), (1, 1));
}

/// A service that is broken until the `n`th of its clones.
struct Mended {
    clones: std::sync::Arc<std::sync::atomic::AtomicUsize>,
    broken: bool,
}

impl Clone for Mended {
    fn clone(&self) -> Self {
        let before = self.clones.fetch_add(1, std::sync::atomic::Ordering::SeqCst);
        Self {
            clones: self.clones.clone(),
            broken: before < 2,
        }
    }
}

impl Service<Job> for Mended {
    type Response = ();
    type Error = BoxError;
    type Future = std::future::Ready<Result<(), BoxError>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        Poll::Ready(if self.broken { Err("no database".into()) } else { Ok(()) })
    }

    fn call(&mut self, job: Job) -> Self::Future {
        assert!(!self.broken, "called without being ready");
        std::future::ready(if job.attempt() == 0 {
            Ok(())
        } else {
            Err("it was counted".into())
        })
    }
}

#[tokio::test]
async fn a_service_that_is_not_ready_costs_a_stream_nothing() {
    let server = Redis::start(crate::TOPOLOGY);
    let mut truth = Truth::of(&server);
    submit(&server, ["s"]).await;
    let service = Mended {
        clones: std::sync::Arc::default(),
        broken: true,
    };
    // Shorter than the wait for the next try: that is not the handler's time either.
    let worker = Handling::start(patient(&server), LONG, |w| {
        w.max_hold(Duration::from_millis(300)).run_service(service)
    })
    .await;
    truth.becomes_clean().await;
    let report = worker.end().await;
    assert_eq!(
        (report.done, report.released, report.retried, report.lost),
        (1, 2, 0, 0)
    );
    assert!(truth.dead_letters().is_empty());
}

#[tokio::test]
async fn a_service_s_response_is_an_outcome() {
    let server = Redis::start(crate::TOPOLOGY);
    let mut truth = Truth::of(&server);
    submit(&server, ["s"]).await;
    let service = service_fn(|_: Job| async { Ok::<_, Infallible>(streamherd::Outcome::dead_letter("unwanted")) });
    let worker = Handling::start(patient(&server), LONG, |w| w.run_service(service)).await;
    truth.becomes_clean().await;
    assert_eq!(field(&truth.dead_letters()[0], "_sh_error"), "unwanted");
    assert_eq!(worker.end().await.dead_lettered, 1);
}
