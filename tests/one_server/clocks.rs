//! A server whose clock jumps.

use std::time::Duration;

use streamherd_testkit::{Server, eventually};
use streamherd_tests::{SOON, Worker, names, patient, submit};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn guarantee_2_a_clock_that_jumps_ahead_takes_no_stream_from_its_owner() {
    let server = Server::builder().own_clock().start();
    let mut owner = Worker::with(patient(&server.url())).await;
    submit(&server.url(), names("held", 8)).await;
    let held = owner.added_many(8).await;
    let mut other = Worker::with(patient(&server.url())).await;
    // All locks have expired now, and everything has been pending for a minute.
    server.set_clock(Duration::from_secs(60), Duration::ZERO);
    eventually(SOON, "the generation is another one", || {
        let epoch = server.client().cmd("GET {orders:0}:epoch").text();
        async move { (!epoch.contains(".0.")).then_some(()) }
    })
    .await;
    other.listen_for(Duration::from_secs(8)).await;
    owner.listen_for(Duration::from_millis(1)).await;
    assert_eq!((other.unasked(), owner.unasked(), owner.unasked_disowned()), (0, 0, 0));
    for lease in held {
        lease.done().await.unwrap();
    }
    assert_eq!(server.client().cmd("XLEN {orders:0}:input").int(), 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_clock_that_jumps_back_holds_up_nothing_for_long() {
    let server = Server::builder().own_clock().start();
    let mut worker = Worker::with(patient(&server.url())).await;
    submit(&server.url(), ["held"]).await;
    let held = worker.added().await;
    server.set_clock(Duration::ZERO, Duration::from_secs(3_600));
    submit(&server.url(), ["new"]).await;
    let new = worker.added().await;
    assert!(new.token() > held.token(), "tokens grow, whatever the clock says");
    held.done().await.unwrap();
    new.done().await.unwrap();
    assert_eq!(server.client().cmd("XLEN {orders:0}:input").int(), 0);
}
