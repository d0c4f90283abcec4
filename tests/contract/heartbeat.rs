//! What may go wrong with a heartbeat without costing a lease.

use std::time::Duration;

use streamherd::Recovery;
use streamherd_testkit::{Fault, Matcher};
use streamherd_tests::{Redis, SOON, TTL, Truth, Worker, builder, recovery, submit};

#[tokio::test]
async fn guarantee_2_a_lease_that_can_not_be_renewed_costs_the_others_nothing() {
    let server = Redis::start(crate::TOPOLOGY);
    let mut truth = Truth::at(&server, "bad");
    submit(&server, server.neighbours(["bad", "good"])).await;
    let mut worker = Worker::start(&server).await;
    let (mut bad, mut good) = (worker.added().await, worker.added().await);
    if bad.stream() != "bad" {
        std::mem::swap(&mut bad, &mut good);
    }
    // Its lock would have to be set again, which is refused.
    truth.call(&["ACL", "SETUSER", "default", "-set"]).ok();
    truth.cmd(&format!("DEL T:lock:{}", bad.id())).ok();

    let lost = worker.disowned().await;
    assert_eq!(lost.stream, "bad");
    worker.listen_for(TTL * 2).await;
    assert_eq!(worker.unasked_disowned(), 0);
    assert!(good.is_valid());
    truth.call(&["ACL", "SETUSER", "default", "+set"]).ok();
    good.done().await.unwrap();
    drop(bad);
    worker.added().await.done().await.unwrap();
    truth.becomes_clean().await;
}

#[tokio::test]
async fn guarantee_2_a_half_open_heartbeat_connection_costs_no_lease() {
    let server = Redis::start(crate::TOPOLOGY);
    let mut truth = Truth::of(&server);
    let proxy = server.proxy().await;
    submit(&server, ["s"]).await;
    // The rarest renewals that there may be, and a ttl that is left of a machine that stands still between two.
    let ttl = TTL * 3 / 2;
    let recovery = Recovery {
        min_idle: None,
        ..recovery()
    };
    let rarely = builder(&proxy).lock_ttl(ttl).heartbeat(ttl / 3).recovery(recovery);
    let mut worker = Worker::with(rarely).await;
    let lease = worker.added().await;
    // Holds this renewal and whatever follows it on its connection.
    let held = proxy.on(Matcher::script("renew"), 1, Fault::Delay(ttl * 5));
    held.wait_fired(SOON).await;
    worker.listen_for(ttl * 3 / 2).await;
    assert_eq!(worker.unasked_disowned(), 0);
    assert!(lease.is_valid());
    lease.done().await.unwrap();
    assert!(truth.is_clean());
}

#[tokio::test]
async fn leases_of_many_calls_are_all_renewed() {
    const LEASES: usize = 1_000;
    let server = Redis::start(crate::TOPOLOGY);
    submit(&server, streamherd_tests::names("s", LEASES)).await;
    let many = streamherd_tests::builder(&server).max_in_flight(LEASES).read_batch(500);
    let mut worker = Worker::with(many).await;
    let leases = worker.added_many(LEASES).await;
    worker.listen_for(TTL + Duration::from_millis(500)).await;
    assert_eq!(worker.unasked_disowned(), 0);
    assert!(leases.iter().all(streamherd::Lease::is_valid));
    let report = worker.client.shutdown(Duration::ZERO).await;
    assert_eq!((report.released, report.abandoned), (LEASES, 0));
}

#[test]
fn leases_of_a_runtime_that_was_torn_down_are_not_kept_alive() {
    let server = Redis::start(crate::TOPOLOGY);
    let doomed = tokio::runtime::Runtime::new().unwrap();
    let (worker, lease) = doomed.block_on(async {
        submit(&server, ["s"]).await;
        let mut worker = Worker::deaf(&server).await;
        let lease = worker.added().await;
        (worker, lease)
    });
    drop(doomed);

    tokio::runtime::Runtime::new().unwrap().block_on(async {
        let mut survivor = Worker::deaf(&server).await;
        let again = survivor.added().await;
        assert_eq!((again.stream(), again.abandonments()), ("s", 1));
        assert!(!lease.is_valid());
        again.done().await.unwrap();
    });
    drop((worker, lease));
}
