//! Whole workers of both kinds on one queue, as while a fleet moves.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use serde_json::json;
use streamherd_testkit::eventually;
use streamherd_tests::go_peer::{GoWorker, NotClaimed, Told, submit};
use streamherd_tests::{Redis, SOON, Worker, WorkerProcess, names};

use super::{Go, beside_go};

/// A Go worker's reader ends for good at an entry that it can't lock or read.
fn reads_on(worker: &GoWorker) {
    let ended = worker
        .told()
        .into_iter()
        .find(|told| matches!(told, Told::Terminated(_)));
    assert_eq!(ended, None);
}

/// Finishes whatever these have or get, until all of it is done: by Rust, and by Go.
async fn finish(all: usize, rust: &mut Worker, pods: &[&GoWorker]) -> (Vec<String>, Vec<String>) {
    let (mut by_rust, mut by_go) = (Vec::new(), Vec::new());
    let began = Instant::now();
    while by_rust.len() + by_go.len() < all {
        assert!(began.elapsed() < SOON, "{} and {} of {all}", by_rust.len(), by_go.len());
        for pod in pods {
            for name in pod.held().into_keys() {
                assert!(pod.done_stream(&name));
                by_go.push(name);
            }
        }
        rust.listen_for(Duration::from_millis(20)).await;
        for _ in 0..rust.unasked() {
            let lease = rust.added().await;
            by_rust.push(lease.stream().to_owned());
            lease.done().await.unwrap();
        }
    }
    (by_rust, by_go)
}

fn submit_all(go: &mut Go, names: &[String]) {
    for name in names {
        submit(&mut go.0, "orders", name, &json!({ "of": name }));
    }
}

#[tokio::test]
async fn each_stream_is_worked_on_by_one_of_them() {
    let server = Redis::start(crate::TOPOLOGY);
    let mut go = Go::at(&server);
    let mut rust = Worker::with(beside_go(&server).max_in_flight(4)).await;
    let pods = ["pod-1", "pod-2"].map(|pod| GoWorker::init(&server, "orders", pod));
    let names = names("user", 60);
    submit_all(&mut go, &names);
    let (by_rust, by_go) = finish(60, &mut rust, &[&pods[0], &pods[1]]).await;
    let done: BTreeSet<&String> = by_rust.iter().chain(&by_go).collect();
    assert_eq!(done.len(), names.len());
    assert_eq!(go.left(), (0, 0, 0));
    pods.iter().for_each(reads_on);
}

#[tokio::test]
async fn what_a_killed_go_worker_had_is_worked_on_by_rust_workers() {
    let server = Redis::start(crate::TOPOLOGY);
    let mut go = Go::at(&server);
    let mut pod = GoWorker::init(&server, "orders", "pod-1");
    let names = names("user", 5);
    submit_all(&mut go, &names);
    for name in &names {
        pod.added(name).await;
    }
    let mut rust = Worker::with(beside_go(&server)).await;
    pod.kill();
    let (by_rust, _) = finish(5, &mut rust, &[]).await;
    assert_eq!(
        by_rust.into_iter().collect::<BTreeSet<_>>(),
        names.into_iter().collect()
    );
    assert_eq!(go.left().0, 0);
}

#[tokio::test]
async fn a_go_worker_claims_what_the_last_rust_worker_held() {
    let server = Redis::start(crate::TOPOLOGY);
    let mut go = Go::at(&server);
    let binary = env!("CARGO_BIN_EXE_contract-worker");
    let mut dying = WorkerProcess::start(binary, &server, &["then=hold", "layout=go"]);
    dying.says("ready").await;
    let id = submit(&mut go.0, "orders", "user-1", &json!({}));
    dying.says("added").await;
    let pod = GoWorker::init(&server, "orders", "pod-1");
    dying.process.kill();
    // No Rust worker is left: it is the Go worker's user who claims.
    let expired = pod.expired("user-1").await;
    assert_eq!(expired.id, id);
    assert_eq!(pod.claim(&expired), Ok(()));
    assert_eq!(pod.claim(&expired), Err(NotClaimed::AlreadyClaimed));
    let mut rust = Worker::with(beside_go(&server)).await;
    rust.listen_for(Duration::from_secs(6)).await;
    assert_eq!(rust.unasked(), 0);
    assert!(pod.done_stream("user-1"));
    assert_eq!(go.left(), (0, 0, 0));
    reads_on(&pod);
}

#[tokio::test]
async fn go_workers_that_start_leave_what_rust_workers_hold() {
    let server = Redis::start(crate::TOPOLOGY);
    let mut go = Go::at(&server);
    let mut rust = Worker::with(beside_go(&server)).await;
    submit_all(&mut go, &names("user", 3));
    let leases = rust.added_many(3).await;
    for lease in &leases {
        let (id, owner) = (lease.id(), rust.client.consumer());
        go.cmd(&format!(
            "XCLAIM orders-input orders-group {owner} 0 {id} IDLE 39500 JUSTID"
        ));
    }
    eventually(SOON, "they are touched", || {
        let idle = leases.iter().map(|lease| go.owner(&lease.id().to_string()).unwrap().1);
        let young = idle.max().unwrap() < Duration::from_secs(30);
        async move { young.then_some(()) }
    })
    .await;
    let pod = GoWorker::init(&server, "orders", "pod-1");
    submit(&mut go.0, "orders", "another", &json!({}));
    rust.client.pause().await.unwrap();
    let (mut by_rust, _) = finish(1, &mut rust, &[&pod]).await;
    by_rust.retain(|name| name != "another");
    assert!(by_rust.is_empty());
    for lease in leases {
        assert!(lease.is_valid());
        lease.done().await.unwrap();
    }
    assert_eq!(go.left(), (0, 0, 0));
    reads_on(&pod);
}

/// What can't be had with Go workers: they go on with a lock that they have lost. The others are not disturbed by it.
#[tokio::test]
async fn a_go_worker_that_hung_finishes_nothing_that_is_another_s_by_now() {
    let server = Redis::start(crate::TOPOLOGY);
    let mut go = Go::at(&server);
    let pod = GoWorker::init(&server, "orders", "pod-1");
    submit(&mut go.0, "orders", "user-1", &json!({}));
    let old = pod.added("user-1").await;
    let mut rust = Worker::with(beside_go(&server)).await;
    go.is_seen_alive(&old.id).await;
    rust.client.pause().await.unwrap();
    pod.stop_beating();
    // Its read hangs with it, and is given one thing more.
    submit(&mut go.0, "orders", "user-2", &json!({}));
    eventually(SOON, "it is given that", || {
        let pending = go.left().1;
        async move { (pending == 2).then_some(()) }
    })
    .await;
    rust.client.resume().await.unwrap();
    let lease = rust.added().await;
    assert_eq!((lease.stream(), lease.attempt()), ("user-1", 1));
    assert_ne!(lease.id().to_string(), old.id);
    pod.beat_again();
    pod.done_stream("user-1");
    pod.added("user-2").await;
    pod.done_stream("user-2");
    assert!(lease.is_valid());
    assert!(go.holder("user-1", &lease.id().to_string()).is_some());
    assert_eq!(go.left().0, 1);
    lease.done().await.unwrap();
    assert_eq!(go.left().0, 0);
}
