//! A service in another database than 0.

use std::time::Duration;

use streamherd::Lane;
use streamherd_tests::{Redis, Truth, Worker, builder, patient, recovery, submit};

#[tokio::test]
async fn a_service_in_another_database_works_and_hears_its_own_expiries() {
    let server = Redis::start(crate::TOPOLOGY);
    let mut truth = Truth::of(&server);
    truth.cmd("SELECT 3").ok();
    truth.make_groups();
    let at = server.address().in_database(3);
    // Without a scan, which would be first; what is claimed comes from the notification.
    let mut recovery = recovery();
    recovery.scan_interval = Duration::ZERO;
    let mut there = Worker::with(builder(&at).recovery(recovery)).await;
    let mut namesake = Worker::with(patient(&server)).await;
    submit(&at, ["a"]).await;
    let lease = there.added().await;
    assert_eq!(lease.stream(), "a");

    // Given to a consumer that dies with a lock that is about to expire; nobody else reads this one.
    submit_to_a_ghost(&mut truth, "b");
    let orphan = there.expired().await;
    assert_eq!((orphan.stream(), orphan.owner()), ("b", "ghost"));
    there.client.claim(&orphan).await.unwrap();
    let recovered = there.added().await;
    assert_eq!((recovered.stream(), recovered.id().lane), ("b", Lane::Front));
    assert!(lease.is_valid());
    lease.done().await.unwrap();
    recovered.done().await.unwrap();
    assert!(truth.is_clean());

    submit(&server, ["elsewhere"]).await;
    let other = namesake.added().await;
    assert_eq!(other.stream(), "elsewhere");
    there.listen_for(Duration::from_millis(300)).await;
    assert_eq!((there.unasked(), namesake.unasked()), (0, 0));
    other.done().await.unwrap();
}

/// Adds an entry and gives it to a dead consumer in one step, so that no reader comes between.
fn submit_to_a_ghost(truth: &mut Truth, name: &str) {
    let script = "local id = redis.call('XADD', KEYS[1], '*', 'lbs-input', ARGV[1])
        redis.call('XREADGROUP', 'GROUP', 'workers', 'ghost', 'COUNT', 1, 'STREAMS', KEYS[1], '>')
        redis.call('XCLAIM', KEYS[1], 'workers', 'ghost', 0, id, 'IDLE', 3600000)
        redis.call('SET', KEYS[2] .. id, 'ghost:1', 'PX', 300)";
    let input = serde_json::json!({ "DataStreamName": name }).to_string();
    truth.call(&["EVAL", script, "2", "T:input", "T:lock:", &input]).ok();
}
