//! What an operator does with live work: pause, take away, queue now.

use std::time::Duration;

use serde_json::json;
use streamherd::Duplicates;
use streamherd_testkit::eventually;

use crate::browser::Browser;
use crate::driver::PATIENCE;
use crate::stage::{Stage, TOKEN};

/// A page whose visitor has entered the token before.
async fn operator(stage: &Stage, view: &str) -> Browser {
    let browser = Browser::start().await;
    browser.open(&stage.url(view)).await;
    browser
        .eval(&format!("sessionStorage.setItem('streamherd.token', '{TOKEN}')"))
        .await;
    browser
}

#[tokio::test(flavor = "multi_thread")]
async fn a_consumer_and_the_service_are_paused_and_resumed() {
    let stage = Stage::start().await;
    let worker = stage.worker("alpha").await;
    let is_paused = |wanted: bool| {
        let client = worker.client.clone();
        eventually(PATIENCE, "the worker has heard of it", move || {
            let is = client.health().paused == wanted;
            async move { is.then_some(()) }
        })
    };
    let browser = operator(&stage, "consumers").await;
    browser.click("[aria-label='Pause alpha']").await;
    browser.click_on("#dialog", "Pause").await;
    browser.sees_in("#outcome", "Paused.").await;
    is_paused(true).await;
    browser.click_on("#dialog", "Close").await;
    browser.sees_in("tbody tr", "paused").await;
    browser.view("overview").await;
    browser.sees("Paused consumers").await;
    browser.view("consumers").await;
    browser.click("[aria-label='Resume alpha']").await;
    browser.click_on("#dialog", "Resume").await;
    browser.sees_in("#outcome", "Resumed.").await;
    is_paused(false).await;
    browser.click_on("#dialog", "Close").await;

    browser.view("overview").await;
    browser.click_on("main", "Pause the service").await;
    browser.click_on("#dialog", "Pause").await;
    browser.sees_in("#outcome", "Paused.").await;
    browser.click_on("#dialog", "Close").await;
    is_paused(true).await;
    browser.sees_in("#verdict", "The service is paused").await;
    browser.click_on("main", "Resume the service").await;
    browser.click_on("#dialog", "Resume").await;
    browser.sees_in("#outcome", "Resumed.").await;
    is_paused(false).await;
    browser.said_nothing_bad().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_held_stream_is_taken_from_its_owner_and_a_delayed_one_made_due() {
    let stage = Stage::start().await;
    let mut owner = stage.worker("alpha").await;
    stage.submit(&[("checkout-17", json!(null))]).await;
    let lease = owner.added().await;
    let browser = operator(&stage, "leases").await;
    browser.click("[aria-label='Take away: checkout-17']").await;
    browser.sees_in("#dialog", "may work on for up to a heartbeat").await;
    browser.click_on("#dialog", "Take it").await;
    browser.sees_in("#outcome", "at the front of the queue").await;
    browser.click_on("#dialog", "Close").await;
    tokio::time::timeout(PATIENCE, lease.lost().cancelled())
        .await
        .expect("the owner loses its lease");
    let again = owner.added().await;
    assert_eq!(
        (again.stream(), again.failures(), again.abandonments()),
        ("checkout-17", 0, 0)
    );

    schedule(&stage, "reminder-1", Duplicates::Coalesce).await;
    browser.click_on("#nav", "Delayed 1").await;
    browser.sees_in("tbody tr", "in 1 h").await;
    browser.click("[aria-label='Queue now: reminder-1']").await;
    browser.click_on("#dialog", "Queue it").await;
    browser.sees_in("#outcome", "It is on the queue now.").await;
    assert_eq!(owner.added().await.stream(), "reminder-1");
    browser.click_on("#dialog", "Close").await;
    browser.sees("Nothing is delayed").await;

    // One whose name can't be read is meant by its entry, as the list gives it.
    schedule(&stage, "reminder-2", Duplicates::Parallel).await;
    let spoil = "for _, id in ipairs(redis.call('HKEYS', KEYS[1])) do local body = string.gsub(redis.call('HGET', KEYS[1], id), \
                 'DataStreamName', 'WhoKnowsWhat--') redis.call('HSET', KEYS[1], id, body) end";
    stage.raw().call(&["EVAL", spoil, "1", "{orders:0}:delayed:body"]).ok();
    browser.sees_in("tbody tr", "unreadable").await;
    browser.click("[aria-label^='Queue now: delayed:']").await;
    browser.click_on("#dialog", "Queue it").await;
    browser.sees_in("#outcome", "It is on the queue now.").await;
    browser.click_on("#dialog", "Close").await;
    browser.click_on("#nav", "Dead letters 1").await;
    browser.sees_in("tbody tr", "unparseable").await;
    browser.said_nothing_bad().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn of_two_runs_of_one_name_the_row_s_own_is_taken_and_none_in_its_place() {
    let stage = Stage::start().await.with_long_leases();
    let producer = stage.builder("producer").connect_producer().await.expect("it connects");
    let parallel = producer.clone().duplicates(Duplicates::Parallel);
    for _ in 0..2 {
        parallel.submit("twin", &()).await.expect("a submit is accepted");
    }
    let mut owner = stage.worker("alpha").await;
    let mut leases = [owner.added().await, owner.added().await];
    leases.sort_by_key(streamherd::Lease::id);
    let [first, second] = leases;
    let browser = operator(&stage, "leases").await;
    let take = async |id: String| {
        browser.sees_in("tbody", &id).await;
        let row = format!("[...document.querySelectorAll('tbody tr')].find((row) => row.textContent.includes('{id}'))");
        browser
            .eval(&format!(
                "{row}.querySelector('[aria-label=\"Take away: twin\"]').click()"
            ))
            .await;
        browser.sees_in("#dialog", "may work on for up to a heartbeat").await;
    };
    take(second.id().to_string()).await;
    browser.click_on("#dialog", "Take it").await;
    browser.sees_in("#outcome", "at the front of the queue").await;
    browser.click_on("#dialog", "Close").await;
    tokio::time::timeout(PATIENCE, second.lost().cancelled())
        .await
        .expect("the owner of that row loses its lease");
    let third = owner.added().await;

    // Done, while the question stands open.
    take(first.id().to_string()).await;
    first.done().await.expect("the other run is still held");
    browser.click_on("#dialog", "Take it").await;
    browser.sees_in("#outcome", "It has moved on; look again.").await;
    third.done().await.expect("nothing was taken in its place");
    producer.close().await;
    browser.said_nothing_bad().await;
}

async fn schedule(stage: &Stage, stream: &str, duplicates: Duplicates) {
    let producer = stage.builder("producer").connect_producer().await.expect("it connects");
    producer
        .clone()
        .duplicates(duplicates)
        .schedule_after(stream, &(), Duration::from_secs(3_600))
        .await
        .expect("a stream is scheduled");
    producer.close().await;
}
