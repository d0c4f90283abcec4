//! How far work has come, as its owner says and others see.

use std::time::Duration;

use streamherd::{Admin, BoxError, Job, Lease, LeaseStatus, Progress, ProgressStatus, RetryAfter};
use streamherd_testkit::eventually;
use streamherd_tests::{Handling, Redis, SOON, Truth, Worker, builder, submit};

async fn admin(server: &Redis) -> Admin {
    builder(server).connect_admin().await.unwrap()
}

/// A worker that holds the stream `a`.
async fn holding(server: &Redis) -> (Worker, Lease) {
    let mut worker = Worker::start(server).await;
    submit(server, ["a"]).await;
    let lease = worker.added().await;
    (worker, lease)
}

/// What is told of a stream that is pending, once it is as it should be.
async fn shows(admin: &Admin, stream: &str, said: impl Fn(Option<&ProgressStatus>) -> bool) -> LeaseStatus {
    eventually(SOON, "what was reported is told", || async {
        let leases = admin.leases(100).await.unwrap();
        let lease = leases.into_iter().find(|one| one.stream.as_deref() == Some(stream))?;
        said(lease.progress.as_ref()).then_some(lease)
    })
    .await
}

fn is(value: Option<f64>, text: &str) -> impl Fn(Option<&ProgressStatus>) -> bool {
    move |told| told.is_some_and(|told| told.value == value && told.text.as_deref().unwrap_or_default() == text)
}

#[tokio::test]
async fn what_an_owner_says_last_is_seen_with_its_lease_and_goes_with_it() {
    let server = Redis::start(crate::TOPOLOGY);
    let admin = admin(&server).await;
    let mut truth = Truth::at(&server, "a");
    let (worker, lease) = holding(&server).await;
    shows(&admin, "a", |told| told.is_none()).await;

    lease.report(Progress::of(0.1));
    lease.report(Progress::of(3.0 / 7.0).with_text("3 of 7 files\u{1b}[31m"));
    let told = shows(&admin, "a", is(Some(0.4286), "3 of 7 files\u{1b}[31m")).await;
    let json = serde_json::to_value(&told).unwrap();
    assert_eq!(json["progress"]["value"], 0.4286);
    assert!(json["progress"]["age_ms"].as_u64().unwrap() < 20_000, "{json}");
    lease.report(Progress::said("the last file"));
    shows(&admin, "a", is(None, "the last file")).await;

    lease.done().await.unwrap();
    let key = format!("T:progress:{}", worker.client.consumer());
    eventually(SOON, "it is forgotten", || {
        let is_gone = truth.cmd(&format!("EXISTS {key}")).int() == 0;
        async move { is_gone.then_some(()) }
    })
    .await;
}

#[tokio::test]
async fn a_stream_that_is_handed_out_again_has_no_progress_yet() {
    let server = Redis::start(crate::TOPOLOGY);
    let admin = admin(&server).await;
    let (mut worker, lease) = holding(&server).await;
    lease.report(Progress::of(0.9));
    shows(&admin, "a", is(Some(0.9), "")).await;
    lease.retry(RetryAfter::now()).await.unwrap();
    let again = worker.added().await;
    shows(&admin, "a", |told| told.is_none()).await;
    again.report(Progress::of(0.2));
    let told = shows(&admin, "a", is(Some(0.2), "")).await;
    assert_eq!(told.entry, again.id());
}

#[tokio::test]
async fn progress_is_told_again_after_a_redis_that_lost_it() {
    let server = Redis::start(crate::TOPOLOGY);
    let admin = admin(&server).await;
    let mut truth = Truth::at(&server, "a");
    let (_worker, lease) = holding(&server).await;
    lease.report(Progress::of(0.5));
    shows(&admin, "a", is(Some(0.5), "")).await;
    truth.cmd("FLUSHALL").ok();
    let told = shows(&admin, "a", is(Some(0.5), "")).await;
    assert_eq!(told.entry, lease.id());
    lease.done().await.unwrap();
}

#[tokio::test]
async fn what_a_worker_said_goes_as_it_leaves_and_by_itself_if_it_dies() {
    let server = Redis::start(crate::TOPOLOGY);
    let admin = admin(&server).await;
    let mut truth = Truth::at(&server, "a");
    let (worker, lease) = holding(&server).await;
    lease.report(Progress::of(0.5));
    shows(&admin, "a", is(Some(0.5), "")).await;
    let key = format!("T:progress:{}", worker.client.consumer());
    assert!((1..=120_000).contains(&truth.cmd(&format!("PTTL {key}")).int()));
    worker.client.shutdown(Duration::ZERO).await;
    assert_eq!(truth.cmd(&format!("EXISTS {key}")).int(), 0);
}

#[tokio::test]
async fn a_handler_reports_through_its_job() {
    let server = Redis::start(crate::TOPOLOGY);
    let admin = admin(&server).await;
    let (go, wait) = tokio::sync::watch::channel(false);
    let handler = move |job: Job| {
        let mut wait = wait.clone();
        async move {
            job.report(Progress::of(0.25).with_text("read"));
            let _ = wait.wait_for(|go| *go).await;
            Ok::<_, BoxError>(())
        }
    };
    let worker = Handling::start(builder(&server), SOON, |w| w.run(handler)).await;
    submit(&server, ["a"]).await;
    shows(&admin, "a", is(Some(0.25), "read")).await;
    go.send(true).unwrap();
    assert_eq!(worker.end().await.done, 1);
}

#[tokio::test]
async fn reports_of_hundreds_of_leases_are_told_in_bounded_calls() {
    let server = Redis::start(crate::TOPOLOGY);
    let admin = admin(&server).await;
    let all = server.together("s", 900);
    let mut worker = Worker::with(builder(&server).max_in_flight(900)).await;
    submit(&server, all.iter().map(String::as_str)).await;
    let leases = worker.added_many(900).await;
    for (number, lease) in leases.iter().enumerate() {
        lease.report(Progress::said(format!("{number} {}", "x".repeat(400))));
    }
    eventually(SOON, "all are told", || async {
        let told = admin.leases(1_000).await.unwrap();
        let texts = told.iter().filter_map(|one| one.progress.as_ref()?.text.as_deref());
        (texts.filter(|text| text.len() == 256).count() == 900).then_some(())
    })
    .await;
}
