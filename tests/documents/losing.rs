//! Runs in which Redis goes away, forgets, or is not heard.

use std::time::Duration;

use streamherd_testkit::{Matcher, eventually};
use streamherd_tests::{Lost, Redis, SOON, Topology, Truth, Worker, builder, patient, submit};

/// Forgets all that it was not told to keep when it is killed.
fn forgetful() -> Redis {
    Redis::with(Topology::Standalone, &[("--appendonly", "no"), ("--save", "")])
}

/// Redis is killed and comes back empty: what is held and what is kept is there again.
pub(crate) async fn an_outage_and_a_loss() {
    let mut server = forgetful();
    let mut worker = Worker::with(patient(&server)).await;
    let producer = builder(&server).connect_producer().await.unwrap();
    let producer = producer.retain(SOON * 10, 2).await.unwrap();
    submit(&server, ["held"]).await;
    let held = worker.added().await;
    worker.client.pause().await.unwrap();
    for name in ["x", "y", "z"] {
        producer.submit(name, &()).await.unwrap();
    }
    server.kill();
    let client = worker.client.clone();
    eventually(SOON, "the breaker opens", || {
        let open = client.health().masters[0].breaker != streamherd::BreakerState::Closed;
        async move { open.then_some(()) }
    })
    .await;
    server.restart_empty();
    worker.data_loss().await;
    held.done().await.unwrap();
    for _ in 0..2 {
        worker.added().await.done().await.unwrap();
    }
}

/// Redis is killed and comes back with what it knew before the last stream was handed out.
pub(crate) async fn an_old_snapshot() {
    let mut server = forgetful();
    let mut worker = Worker::with(patient(&server)).await;
    submit(&server, ["before"]).await;
    let before = worker.added().await;
    Truth::of(&server).cmd("SAVE").ok();
    submit(&server, ["after"]).await;
    let after = worker.added().await;
    server.restart();
    let mut truth = Truth::of(&server);
    eventually(SOON, "both are held again", || {
        let held = truth.locks().len() == 2;
        async move { held.then_some(()) }
    })
    .await;
    before.done().await.unwrap();
    after.release().await.unwrap();
}

/// The network loses what a read brought, and what a submit was told.
pub(crate) async fn lost_answers() {
    let server = Redis::start(Topology::Standalone);
    let proxy = server.proxy().await;
    submit(&server, ["unheard"]).await;
    proxy.on(Matcher::script("read"), 1, Lost::Reply.fault());
    proxy.on(Matcher::script("submit"), 1, Lost::Reply.fault());
    let timeout = Duration::from_secs(1);
    let mut worker = Worker::with(patient(&proxy).command_timeout(timeout)).await;
    worker.added().await.done().await.unwrap();
    let producer = builder(&proxy)
        .command_timeout(timeout)
        .connect_producer()
        .await
        .unwrap();
    producer.submit("maybe", &()).await.unwrap_err();
    worker.added().await.done().await.unwrap();
}
