//! Redis is away, or the dashboard's own server.

use std::time::Duration;

use serde_json::json;
use streamherd_testkit::Port;
use tokio::net::TcpListener;

use crate::browser::Browser;
use crate::stage::Stage;

#[tokio::test(flavor = "multi_thread")]
async fn while_redis_is_away_the_page_says_how_old_it_is_and_recovers_by_itself() {
    let stage = Stage::start().await;
    stage.submit(&[("checkout-17", json!(null))]).await;
    let mut worker = stage.worker("alpha").await;
    let _lease = worker.added().await;
    let browser = Browser::start().await;
    browser.open(&stage.url("overview")).await;
    browser.sees_in("#verdict", "All is well.").await;

    stage.proxy.refuse(true);
    browser.sees_in("#banner", "Redis does not answer").await;
    browser.sees_in("#banner", "ago").await;
    browser.sees_in("#top", "Not live").await;
    // What was known stays to be seen.
    browser.sees_in("[data-tile='In work'] .tile-number", "1").await;
    browser.picture("redis-away", crate::browser::Screen::Desktop).await;

    stage.proxy.refuse(false);
    browser.sees_no("body", "Redis does not answer").await;
    browser.sees_in("#verdict", "All is well.").await;
    assert!(!browser.is_there("#banner").await);
    browser.said_nothing_bad().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn while_its_own_server_is_away_the_page_says_so_and_connects_again() {
    let mut stage = Stage::start().await;
    // A server that can be ended, on a port that nobody takes meanwhile.
    let (_port, listener) = Port::listen().expect("a free port");
    listener.set_nonblocking(true).expect("a listener for tokio");
    let listener = TcpListener::from_std(listener).expect("a listener of tokio");
    stage.address = listener.local_addr().expect("its address");
    let (end, ended) = tokio::sync::oneshot::channel::<()>();
    let served = stage.dashboard.clone();
    let server = tokio::spawn(async move {
        let until = async move { drop(ended.await) };
        served.serve(listener, until).await
    });
    let browser = Browser::start().await;
    browser.open(&stage.url("overview")).await;
    browser.sees_in("#top", "Live").await;

    drop(end);
    tokio::time::timeout(Duration::from_secs(10), server)
        .await
        .expect("streams of events keep no server from ending")
        .expect("it does not panic")
        .expect("it ends well");
    browser
        .sees_in("#banner", "Connection to the dashboard's server lost")
        .await;
    stage.serve_again().await;
    browser
        .sees_no("body", "Connection to the dashboard's server lost")
        .await;
    browser.sees_in("#top", "Live").await;
}
