//! When the scan looks, and how much it finds at once. No worker here scans a second time by its interval.

use std::time::Duration;

use streamherd::{KeyspaceEvents, Recovery};
use streamherd_testkit::eventually;
use streamherd_tests::{Redis, SOON, Truth, Worker, builder, queue, recovery, submit};

/// A worker that scans once, and then in ten minutes, and hears of nothing.
async fn once(server: &Redis, max_in_flight: usize) -> Worker {
    let builder = builder(server)
        .keyspace_events(KeyspaceEvents::Off)
        .max_in_flight(max_in_flight)
        .recovery(Recovery {
            scan_interval: Duration::from_secs(600),
            ..recovery()
        });
    Worker::with(builder).await
}

#[tokio::test]
async fn an_orphan_is_requeued_when_its_lock_ends_and_not_an_interval_later() {
    let server = Redis::start(crate::TOPOLOGY);
    let mut truth = Truth::at(&server, "a");
    truth.make_groups();
    submit(&server, ["a"]).await;
    let id = truth.abandon();
    truth.cmd(&format!("SET T:lock:{id} ghost:1 PX 1000")).ok();
    let mut worker = once(&server, 1).await;
    let lease = worker.added().await;
    assert_eq!((lease.stream(), lease.abandonments()), ("a", 1));
    lease.done().await.unwrap();
    truth.becomes_clean().await;
}

#[tokio::test]
async fn one_scan_requeues_the_orphans_of_several_pages() {
    const ORPHANS: usize = 4_100;
    let server = Redis::start(crate::TOPOLOGY);
    let names = server.together("s", ORPHANS);
    let mut truth = Truth::at(&server, &names[0]);
    truth.make_groups();
    queue(&server, &names);
    truth
        .cmd(&format!(
            "XREADGROUP GROUP workers ghost COUNT {ORPHANS} STREAMS T:input >"
        ))
        .ok();
    let ids: Vec<String> = truth.pending("input").into_iter().map(|one| one.id).collect();
    let long_ago = format!("XCLAIM T:input workers ghost 0 {} IDLE 3600000 JUSTID", ids.join(" "));
    truth.cmd(&long_ago).ok();
    let _worker = once(&server, 1).await;
    eventually(SOON, "all wait at the front, but for the one that is held", || {
        let (left, front) = (truth.cmd("XLEN T:input").int(), truth.cmd("XLEN T:front").int());
        async move { (left == 0 && front == 4_100).then_some(()) }
    })
    .await;
}
