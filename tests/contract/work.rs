//! From submit to done, and what a lease tells.

use std::time::Duration;

use serde_json::{Value, json};
use streamherd::{Lane, Reference, RetryAfter, Submitted};
use streamherd_testkit::eventually;
use streamherd_tests::{Redis, Truth, Worker, builder, field, names, submit};

#[tokio::test]
async fn a_submitted_stream_is_worked_on_once_and_leaves_nothing() {
    let server = Redis::start(crate::TOPOLOGY);
    let mut truth = Truth::of(&server);
    let producer = builder(&server).connect_producer().await.unwrap();
    let submitted = producer.submit("user-1", &json!({"plan": "pro"})).await.unwrap();

    let mut worker = Worker::start(&server).await;
    let lease = worker.added().await;
    assert_eq!(lease.stream(), "user-1");
    assert_eq!(lease.info::<Value>().unwrap(), json!({"plan": "pro"}));
    let id = lease.id();
    assert_eq!(submitted, Submitted::New(Reference::Queued(id)));
    assert_eq!(id.lane, Lane::Input);
    assert_eq!((lease.original_id(), lease.attempt()), (id.id, 0));
    assert!(lease.is_valid() && lease.remaining() > Duration::ZERO);
    let value = truth.cmd(&format!("GET T:lock:{id}")).text();
    assert_eq!(value, format!("{}:{}", worker.client.consumer(), lease.token()));

    lease.done().await.unwrap();
    assert!(truth.is_clean());
    assert_eq!(worker.client.shutdown(Duration::ZERO).await.done, 0);
}

#[tokio::test]
async fn a_retry_counts_and_comes_back_first_with_all_its_fields() {
    let server = Redis::start(crate::TOPOLOGY);
    let mut truth = Truth::at(&server, "a");
    truth.call(&[
        "XADD",
        "T:input",
        "*",
        "trace",
        "t1",
        "lbs-input",
        r#"{"DataStreamName":"a","Info":7}"#,
    ]);
    let mut worker = Worker::with(builder(&server).max_in_flight(1)).await;
    let lease = worker.added().await;
    let (first, origin) = (lease.token(), lease.original_id());
    let later = names("later", 20);
    submit(&server, server.beside("a", later)).await;

    lease.retry(RetryAfter::now().because("it was Tuesday")).await.unwrap();
    let again = worker.added().await;
    assert_eq!(again.stream(), "a", "before the backlog");
    assert_eq!((again.attempt(), again.failures(), again.abandonments()), (1, 1, 0));
    assert_eq!((again.id().lane, again.original_id()), (Lane::Front, origin));
    assert!(again.token() > first);
    assert_eq!(again.info::<u8>().unwrap(), 7);
    let (_, fields) = truth.entries("front").remove(0);
    assert_eq!(field(&fields, "trace"), "t1");
    assert_eq!(field(&fields, "_retry_count"), "1");
    again.done().await.unwrap();
}

#[tokio::test]
async fn all_of_many_streams_are_done_by_several_workers() {
    let server = Redis::start(crate::TOPOLOGY);
    let mut truth = Truth::of(&server);
    let mut fleet = Vec::new();
    for _ in 0..3 {
        fleet.push(Worker::start(&server).await);
    }
    submit(&server, names("s", 500)).await;
    let mut done = std::collections::BTreeSet::new();
    let (tell, mut told) = tokio::sync::mpsc::unbounded_channel();
    for mut worker in fleet {
        let tell = tell.clone();
        tokio::spawn(async move {
            loop {
                let lease = worker.added().await;
                let name = lease.stream().to_owned();
                lease.done().await.unwrap();
                tell.send((worker.client.consumer().to_string(), name)).unwrap();
            }
        });
    }
    let mut workers = std::collections::BTreeSet::new();
    while done.len() < 500 {
        let (worker, name) = tokio::time::timeout(streamherd_tests::SOON, told.recv())
            .await
            .unwrap()
            .unwrap();
        assert!(done.insert(name), "done twice");
        workers.insert(worker);
    }
    assert_eq!(workers.len(), 3, "everyone had a share");
    eventually(streamherd_tests::SOON, "the queue is empty", || {
        let clean = truth.is_clean();
        async move { clean.then_some(()) }
    })
    .await;
}
