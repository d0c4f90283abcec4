//! A stream's life, as it is seen from the page.

use serde_json::json;
use streamherd::Progress;
use streamherd_testkit::Proxy;

use crate::browser::{Browser, Screen};
use crate::stage::{Stage, Worker};

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_is_seen_to_appear_be_held_be_orphaned_and_move() {
    let stage = Stage::start().await;
    let browser = Browser::start().await;
    browser.open(&stage.url("overview")).await;
    browser.sees("Nothing was ever submitted").await;
    browser.eval("window.sameDocument = true").await;

    stage.submit(&[("checkout-17", json!({ "plan": "pro" }))]).await;
    browser.sees_in("[data-tile=Waiting] .tile-number", "1").await;
    browser
        .sees_in("#verdict", "Nobody works: 1 stream waits and no consumer is alive.")
        .await;

    // Cut off later, as by a dead network: its process can do nothing about it.
    let network = Proxy::start(&stage.server).await;
    let mut first = Worker::start(stage.builder("alpha").url(network.url())).await;
    let lease = first.added().await;
    assert_eq!(lease.stream(), "checkout-17");
    browser.sees_in("#verdict", "All is well.").await;
    browser.sees_in("[data-tile=Waiting] .tile-number", "0").await;
    browser.sees_in("[data-tile='In work'] .tile-number", "1").await;
    browser.click_on("#nav", "Consumers 1").await;
    browser.sees_in("tbody tr", &first.id()).await;
    browser.sees_in("tbody tr", "1 of 64").await;
    browser.click_on("#nav", "Leases 1").await;
    browser.sees_in("tbody tr", "checkout-17").await;
    browser.sees_in("tbody tr", "leased").await;
    browser.sees_in("tbody tr", &first.id()).await;
    browser.sees_in("tbody tr", &format!("token {}", lease.token())).await;
    lease.report(Progress::of(0.43).with_text("3 of 7 files"));
    browser.sees_in("tbody tr", "43 % · 3 of 7 files").await;
    browser.found("tbody tr [role=progressbar][aria-valuenow='43']").await;

    network.refuse(true);
    browser.sees_in("tbody tr", "orphan").await;
    browser.sees_in("#nav", "1 silent").await;
    browser.view("overview").await;
    browser.sees_in("[data-tile='In work']", "1 orphan").await;
    browser
        .sees_in("#verdict", "Nobody works: 1 orphan is left and no consumer is alive.")
        .await;
    browser.picture("orphaned-desktop", Screen::Desktop).await;
    browser.picture("orphaned-phone", Screen::Phone).await;
    browser.on(Screen::Desktop).await;
    browser.click_on("#nav", "Orphans 1").await;
    browser.sees_in("tbody tr", "checkout-17").await;

    let mut second = stage.worker("beta").await;
    let moved = second.added().await;
    browser.sees("No orphans").await;
    browser.click_on("#nav", "Leases 1").await;
    browser.sees_in("tbody tr", &second.id()).await;
    browser.sees_in("tbody tr", "leased").await;
    browser.sees_in("tbody tr", "1 abandoned").await;
    browser.sees_no("tbody tr", "3 of 7 files").await;
    moved.done().await.expect("the second owner finishes");
    browser.sees("Nothing is held").await;

    assert_eq!(
        browser.eval("return window.sameDocument").await,
        true,
        "the page was loaded anew"
    );
    browser.said_nothing_bad().await;
}
