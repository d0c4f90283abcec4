//! What is due is queued soon, also where there is much of it, and where Redis refuses.

use std::time::Duration;

use streamherd::{Recovery, RetryAfter};
use streamherd_tests::{Redis, Truth, Worker, builder, names, recovery, submit};

fn rarely_looking() -> Recovery {
    Recovery {
        scan_interval: Duration::from_secs(600),
        ..recovery()
    }
}

#[tokio::test]
async fn large_streams_that_are_due_at_one_time_do_not_wait_for_the_next_scans() {
    let server = Redis::start(crate::TOPOLOGY);
    let producer = builder(&server).connect_producer().await.unwrap();
    let info = "x".repeat(900_000);
    for name in names("s", 12) {
        producer
            .schedule_after(&name, &info, Duration::from_millis(1))
            .await
            .unwrap();
    }
    let mut worker = Worker::with(builder(&server).recovery(rarely_looking())).await;
    // Within SOON, of the ten minutes.
    for lease in worker.added_many(12).await {
        lease.done().await.unwrap();
    }
}

#[tokio::test]
async fn a_due_time_is_no_reason_to_ask_a_server_that_refuses_without_pause() {
    let server = Redis::start(crate::TOPOLOGY);
    let mut truth = Truth::at(&server, "a");
    let mut worker = Worker::deaf(&server).await;
    submit(&server, ["a"]).await;
    let retry = RetryAfter::after(Duration::from_millis(500));
    worker.added().await.retry(retry).await.unwrap();
    truth.cmd("RENAME T:delayed T:hidden").ok();
    truth.cmd("SET T:delayed x").ok();
    worker.listen_for(Duration::from_millis(600)).await;
    truth.cmd("CONFIG RESETSTAT").ok();
    worker.listen_for(Duration::from_secs(1)).await;
    let calls = truth.calls("evalsha");
    assert!(
        calls < 60 * u64::from(server.address().partitions),
        "{calls} calls in a second"
    );

    truth.cmd("RENAME T:hidden T:delayed").ok();
    worker.added().await.done().await.unwrap();
}
