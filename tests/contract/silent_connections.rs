//! A connection that stays open and says nothing any more, as a firewall leaves one that has forgotten it, while the server
//! is well.

use std::time::Duration;

use streamherd::Admin;
use streamherd_testkit::{Fault, Matcher, eventually};
use streamherd_tests::{Redis, SOON, builder};
use tokio::sync::oneshot;

/// Calls follow each other faster than the client library would take a connection for dead.
const TIMEOUT: Duration = Duration::from_millis(300);

#[tokio::test]
async fn a_producer_leaves_a_connection_that_has_fallen_silent_while_it_goes_on_submitting() {
    let server = Redis::start(crate::TOPOLOGY);
    let proxy = server.proxy().await;
    let producer = builder(&proxy)
        .command_timeout(TIMEOUT)
        .connect_producer()
        .await
        .unwrap();
    producer.submit("before", &()).await.unwrap();
    let (_for_ever, held) = oneshot::channel();
    let silent = proxy.on(Matcher::script("submit"), 1, Fault::HoldUntil(held));
    producer.submit("lost", &()).await.unwrap_err();
    assert!(silent.fired());
    eventually(SOON, "it submits again", || async {
        producer.submit("lost", &()).await.is_ok().then_some(())
    })
    .await;
    producer.close().await;
}

#[tokio::test]
async fn an_admin_leaves_a_connection_that_has_fallen_silent_while_it_goes_on_looking() {
    let server = Redis::start(crate::TOPOLOGY);
    let proxy = server.proxy().await;
    let admin = builder(&proxy).command_timeout(TIMEOUT).connect_admin().await.unwrap();
    assert!(sees_all(&admin).await);
    let (_for_ever, held) = oneshot::channel();
    let silent = proxy.on(Matcher::script("status"), 1, Fault::HoldUntil(held));
    assert!(!sees_all(&admin).await && silent.fired());
    eventually(SOON, "it looks again", || async {
        sees_all(&admin).await.then_some(())
    })
    .await;
    admin.close().await;
}

async fn sees_all(admin: &Admin) -> bool {
    let status = admin.status().await;
    status.is_ok_and(|status| status.partitions.iter().all(|partition| partition.answered))
}
