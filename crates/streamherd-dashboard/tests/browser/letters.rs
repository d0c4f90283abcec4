//! Dead letters: looked at, redriven, purged.

use streamherd_testkit::eventually;

use crate::browser::Browser;
use crate::driver::PATIENCE;
use crate::stage::{Stage, TOKEN};

#[tokio::test(flavor = "multi_thread")]
async fn a_dead_letter_is_inspected_and_redriven_with_the_token_and_not_without() {
    let stage = Stage::start().await;
    stage.kill(&["session-7"], "card declined:\n  insufficient funds").await;
    let browser = Browser::start().await;
    browser.open(&stage.url("overview")).await;
    browser
        .click_on(".verdict", "1 dead letter waits for a decision.")
        .await;
    browser.sees_in("tbody tr", "rejected").await;
    browser.click_on("tbody", "session-7").await;
    browser
        .sees_in("#error-text", "card declined:\n  insufficient funds")
        .await;
    browser.sees_in("main", "lbs-input").await;
    browser.sees_in("main", "\"DataStreamName\": \"session-7\"").await;
    browser.sees_in("main", "undertaker.").await;

    // Without a token nothing happens, and a wrong one is told so.
    browser.click("#redrive").await;
    browser.sees_in("#dialog", "Admin token").await;
    browser.fill("#token", "open-barley").await;
    browser.click_on("#dialog", "Continue").await;
    browser.found("#dialog [role=alert]").await;
    browser.click_on("#dialog", "Cancel").await;
    assert_eq!(stage.dead_letters(), 1);

    browser.click("#redrive").await;
    // After a wrong token the dashboard lets a moment pass.
    eventually(PATIENCE, "the token is taken", || async {
        if browser.is_there("#token").await {
            browser.fill("#token", TOKEN).await;
            browser.click_on("#dialog", "Continue").await;
        }
        let words = browser.words().await;
        words.contains("Redrive 1 dead letter?").then_some(())
    })
    .await;
    assert_eq!(stage.dead_letters(), 1, "the token alone does nothing");
    browser.click_on("#dialog", "Redrive").await;
    browser.sees_in("#outcome", "1 queued again").await;
    browser.click_on("#dialog", "Close").await;
    browser.sees("It is no dead letter any more").await;
    assert_eq!(stage.dead_letters(), 0);
    let mut worker = stage.worker("again").await;
    assert_eq!(worker.added().await.stream(), "session-7");
    browser.said_nothing_bad().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_purge_takes_what_was_chosen_once_the_word_is_typed() {
    let stage = Stage::start().await;
    stage.kill(&["old-1", "old-2", "keep"], "no such customer").await;
    let browser = Browser::start().await;
    browser.open(&stage.url("dead-letters")).await;
    browser.sees_in("tbody tr", "keep").await;
    browser
        .eval(&format!("sessionStorage.setItem('streamherd.token', '{TOKEN}')"))
        .await;

    browser.fill("#filter-stream", "old-2").await;
    browser.click_on(".filters", "Find").await;
    browser.sees_no("tbody", "old-1").await;
    browser.sees_in("tbody", "old-2").await;
    browser.fill("#filter-stream", "").await;
    browser.click_on(".filters", "Find").await;
    browser.sees_in("tbody", "keep").await;

    browser.click("[aria-label='Choose old-1']").await;
    browser.click("[aria-label='Choose old-2']").await;
    browser.click_on("main", "Purge 2").await;
    browser.sees_in("#dialog", "Purge 2 dead letters?").await;
    let purge = "#dialog button.grave";
    assert!(browser.is_there(&format!("{purge}:disabled")).await);
    browser.fill("#word", "purg").await;
    assert!(browser.is_there(&format!("{purge}:disabled")).await);
    assert_eq!(stage.dead_letters(), 3);
    browser.fill("#word", "purge").await;
    browser.click(purge).await;
    browser.sees_in("#outcome", "2 purged").await;
    browser.click_on("#dialog", "Close").await;
    browser.sees_no("tbody", "old-").await;
    browser.sees_in("tbody tr", "keep").await;
    assert_eq!(stage.dead_letters(), 1);
    browser.said_nothing_bad().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dashboard_without_a_token_shows_all_and_offers_nothing_to_do() {
    let stage = Stage::read_only().await;
    stage.kill(&["session-7"], "no").await;
    let browser = Browser::start().await;
    browser.open(&stage.url("dead-letters")).await;
    browser.sees_in("#top", "Read-only").await;
    browser.click_on("tbody", "session-7").await;
    browser.sees_in("main", "rejected").await;
    for action in ["Redrive", "Purge", "Pause", "Enter token"] {
        let offered = format!(
            "return [...document.querySelectorAll('button')].some((one) => one.textContent.includes('{action}'))"
        );
        assert_eq!(browser.eval(&offered).await, false, "{action}");
    }
    browser.said_nothing_bad().await;
}
