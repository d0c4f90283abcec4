//! What Go workers see of a Rust worker, and it of them.

use std::time::Duration;

use streamherd::RetryAfter;
use streamherd_testkit::eventually;
use streamherd_tests::{MIN_IDLE, Redis, SOON, TTL, Worker, submit};

use super::{Beat, Go, beside_go, lock};

#[tokio::test]
async fn a_lease_is_a_lock_that_go_workers_know() {
    let server = Redis::start(crate::TOPOLOGY);
    let mut go = Go::at(&server);
    let mut worker = Worker::with(beside_go(&server)).await;
    let id = go.submit("user-1");
    let lease = worker.added().await;
    assert_eq!((lease.stream(), lease.id().to_string()), ("user-1", id.clone()));
    let holder = go.holder("user-1", &id).unwrap();
    assert!(
        holder.starts_with(&format!("{}:", worker.client.consumer())),
        "{holder}"
    );
    assert!(!go.lock("pod-1", "user-1", &id));
    // For as long as it is renewed.
    let ttl = go.cmd(&format!("PTTL {}", lock("user-1", &id))).int();
    tokio::time::sleep(TTL).await;
    assert_eq!(go.holder("user-1", &id), Some(holder));
    assert!(ttl <= i64::try_from(TTL.as_millis()).unwrap() && ttl > 0);
    lease.done().await.unwrap();
    assert_eq!(go.left(), (0, 0, 0));
    let ours = go.0.call(&["KEYS", "orders-sh:lock:*"]).array();
    assert!(ours.is_empty(), "{ours:?}");
}

#[tokio::test]
async fn a_name_is_locked_as_go_reads_it() {
    let server = Redis::start(crate::TOPOLOGY);
    let mut go = Go::at(&server);
    let mut worker = Worker::with(beside_go(&server)).await;
    // As Go escapes it; with its fields the other way round; with what JSON must escape.
    let inputs = [
        ("a<b>&c", r#"{"DataStreamName":"a\u003cb\u003e\u0026c","Info":null}"#),
        ("late", r#"{"Info":{"DataStreamName":"early"},"DataStreamName":"late"}"#),
        ("q\"\\", r#"{ "DataStreamName" : "q\"\\" }"#),
        ("camel", r#"{"dataStreamName":"camel","info":{"n":1}}"#),
        (
            "näher",
            r#"{"DataStreamName":"n\u00e4her","Info":{"DataStreamName":"other"}}"#,
        ),
    ];
    for (name, input) in inputs {
        let id = go.0.call(&["XADD", "orders-input", "*", "lbs-input", input]).text();
        let lease = worker.added().await;
        assert_eq!(lease.stream(), name);
        assert!(go.holder(name, &id).is_some(), "{name}");
        lease.done().await.unwrap();
        assert_eq!(go.left(), (0, 0, 0));
    }
}

#[tokio::test]
async fn what_a_go_worker_holds_is_left_to_it_however_long_it_takes() {
    let server = Redis::start(crate::TOPOLOGY);
    let mut go = Go::at(&server);
    go.make_group();
    let id = go.submit("user-1");
    assert_eq!(go.read("pod-1"), [id.as_str()]);
    let beat = Beat::of(&server, "pod-1", "user-1", &id);
    let mut worker = Worker::with(beside_go(&server)).await;
    worker.listen_for(MIN_IDLE * 2).await;
    assert_eq!(worker.unasked(), 0);
    assert_eq!(go.owner(&id).unwrap().0, "pod-1");
    let admin = beside_go(&server).connect_admin().await.unwrap();
    let seen = &admin.leases(10).await.unwrap()[0];
    assert_eq!(
        (seen.stream.as_deref(), seen.consumer.as_str(), seen.state),
        (Some("user-1"), "pod-1", streamherd::LeaseState::Leased)
    );
    drop(beat);
    go.unlock("user-1", &id);
    go.cmd(&format!("XACK orders-input orders-group {id}"));
    go.cmd(&format!("XDEL orders-input {id}"));
    worker.listen_for(Duration::from_millis(500)).await;
    assert_eq!((worker.unasked(), go.left()), (0, (0, 0, 0)));
}

#[tokio::test]
async fn go_workers_take_part_in_what_is_retried_and_buried() {
    let server = Redis::start(crate::TOPOLOGY);
    let mut go = Go::at(&server);
    let mut worker = Worker::with(beside_go(&server)).await;
    submit_by(&server, "user-1").await;
    let lease = worker.added().await;
    worker.client.pause().await.unwrap();
    lease
        .retry(RetryAfter::after(Duration::from_millis(100)).because("busy"))
        .await
        .unwrap();
    // When it is due, it waits where Go workers read.
    let ids = eventually(SOON, "it is due", || {
        let ids = go.read("pod-1");
        async { (!ids.is_empty()).then_some(ids) }
    })
    .await;
    let beat = Beat::of(&server, "pod-1", "user-1", &ids[0]);
    drop(beat);
    go.unlock("user-1", &ids[0]);
    go.cmd(&format!("XACK orders-input orders-group {}", ids[0]));
    go.cmd(&format!("XDEL orders-input {}", ids[0]));
    worker.client.resume().await.unwrap();
    submit_by(&server, "user-2").await;
    worker.added().await.dead_letter("no").await.unwrap();
    assert_eq!(go.cmd("XLEN orders-input-dlq").int(), 1);
    assert_eq!(go.left().0, 0);
}

async fn submit_by(server: &Redis, name: &str) {
    let producer = beside_go(server).connect_producer().await.unwrap();
    producer.submit(name, &serde_json::json!({ "of": name })).await.unwrap();
    producer.close().await;
}

#[tokio::test]
async fn the_layouts_of_one_service_do_not_see_each_other() {
    let server = Redis::start(crate::TOPOLOGY);
    let mut beside = Worker::with(beside_go(&server)).await;
    let mut native = Worker::start(&server).await;
    submit(&server, ["native"]).await;
    let mut go = Go::at(&server);
    go.submit("shared");
    assert_eq!(beside.added().await.stream(), "shared");
    assert_eq!(native.added().await.stream(), "native");
}
