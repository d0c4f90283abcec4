//! What a service has done, as far as its workers and its queue remember.

use std::time::Duration;

use streamherd::{Admin, ConsumerStatus, RetryAfter, Status};
use streamherd_testkit::eventually;
use streamherd_tests::{Redis, SOON, Worker, builder, names, submit};

async fn told(admin: &Admin, what: &str, is: impl Fn(&ConsumerStatus) -> bool) -> Status {
    eventually(SOON, what, || async {
        let status = admin.status().await.unwrap();
        status.consumers.iter().any(&is).then_some(status)
    })
    .await
}

#[tokio::test]
async fn a_worker_says_how_its_leases_have_ended() {
    let server = Redis::start(crate::TOPOLOGY);
    let admin = builder(&server).connect_admin().await.unwrap();
    let mut worker = Worker::start(&server).await;
    submit(&server, names("s", 6)).await;
    let mut leases = worker.added_many(6).await;
    for lease in leases.split_off(3) {
        lease.done().await.unwrap();
    }
    leases.pop().unwrap().dead_letter("no").await.unwrap();
    leases
        .pop()
        .unwrap()
        .retry(RetryAfter::after(Duration::from_secs(600)))
        .await
        .unwrap();
    leases.pop().unwrap().release().await.unwrap();
    let again = worker.added().await;
    let taken = again.stream().to_owned();
    admin.requeue(&taken, true).await.unwrap();
    worker.disowned().await;
    told(&admin, "each ending is counted once", |one| {
        one.registration.as_ref().is_some_and(|about| {
            let t = &about.totals;
            (t.done, t.retried, t.dead_lettered, t.released, t.lost) == (3, 1, 1, 1, 1)
        })
    })
    .await;
    let json = serde_json::to_value(admin.status().await.unwrap()).unwrap();
    assert_eq!(json["consumers"][0]["totals"]["done"], 3);
}

#[tokio::test]
async fn what_was_ever_queued_is_counted_where_redis_can_tell() {
    let server = Redis::start(crate::TOPOLOGY);
    let admin = builder(&server).connect_admin().await.unwrap();
    let mut worker = Worker::start(&server).await;
    submit(&server, names("s", 40)).await;
    for lease in worker.added_many(40).await {
        lease.done().await.unwrap();
    }
    worker.client.shutdown(Duration::ZERO).await;
    submit(&server, names("t", 2)).await;
    let status = admin.status().await.unwrap();
    assert_eq!(status.queued_total, Some(42));
    assert!(status.at_ms > 1_700_000_000_000);
}
