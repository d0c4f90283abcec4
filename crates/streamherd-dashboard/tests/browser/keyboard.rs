//! Everything without a pointer.

use fantoccini::key::Key;
use serde_json::json;

use crate::browser::Browser;
use crate::stage::{Stage, TOKEN};

/// Tabs until what has the focus has this name or text.
async fn tab_to(browser: &Browser, name: &str) {
    let tab = char::from(Key::Tab).to_string();
    let mut passed = Vec::new();
    for _ in 0..80 {
        browser.press(&tab).await;
        let focused = browser
            .eval(
                "const at = document.activeElement; const own = at.getAttribute('aria-label') ?? at.labels?.[0]?.innerText; \
                 return own ?? (at === document.body ? '' : at.innerText)",
            )
            .await;
        let focused = focused
            .as_str()
            .unwrap_or_default()
            .split_whitespace()
            .collect::<Vec<_>>()
            .join(" ");
        if focused == name {
            let ring = browser
                .eval("return getComputedStyle(document.activeElement).outlineStyle")
                .await;
            assert_eq!(ring, "solid", "{name} has the focus, and it does not show");
            return;
        }
        passed.push(focused);
    }
    panic!("{name:?} is not reached by Tab: {passed:#?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dead_letter_is_found_and_redriven_by_keys_alone() {
    let stage = Stage::start().await;
    stage.kill(&["session-7"], "no such customer").await;
    let browser = Browser::start().await;
    browser.open(&stage.url("overview")).await;
    browser.sees_in("#nav", "Dead letters").await;
    let enter = char::from(Key::Enter).to_string();
    let escape = char::from(Key::Escape).to_string();
    let tab = char::from(Key::Tab).to_string();

    tab_to(&browser, "Skip to the content").await;
    browser.press(&enter).await;
    browser
        .holds(
            "the content has the focus".into(),
            "return document.activeElement.id === 'main'".into(),
        )
        .await;
    browser
        .eval("document.activeElement.blur(); window.getSelection().removeAllRanges()")
        .await;
    browser.open(&stage.url("consumers")).await;
    browser.sees_in("#nav", "Dead letters").await;
    tab_to(&browser, "Dead letters 1").await;
    browser.press(&enter).await;
    browser.sees_in("tbody tr", "session-7").await;
    tab_to(&browser, "session-7").await;
    browser.press(&enter).await;
    browser.sees_in("h1", "Dead letter").await;
    browser.found("#redrive").await;
    tab_to(&browser, "Redrive").await;
    browser.press(&enter).await;
    browser.sees_in("#dialog", "Admin token").await;
    browser.press(&format!("{TOKEN}{enter}")).await;
    browser.sees_in("#dialog", "Redrive 1 dead letter?").await;

    // The focus stays in the dialog, and goes back to where it came from.
    for _ in 0..7 {
        browser.press(&tab).await;
        let inside = "const at = document.activeElement; return at === document.body || document.getElementById('dialog').contains(at)";
        assert_eq!(browser.eval(inside).await, true, "Tab leads out of the dialog");
    }
    browser.press(&escape).await;
    browser
        .holds(
            "the dialog is closed".into(),
            "return !document.getElementById('dialog').open".into(),
        )
        .await;
    assert_eq!(stage.dead_letters(), 1);
    assert_eq!(browser.eval("return document.activeElement.id").await, json!("redrive"));

    browser.press(&enter).await;
    browser.sees_in("#dialog", "Redrive 1 dead letter?").await;
    tab_to(&browser, "Redrive").await;
    browser.press(&enter).await;
    browser.sees_in("#outcome", "1 queued again").await;
    browser.press(&enter).await;
    browser.sees("It is no dead letter any more").await;
    assert_eq!(stage.dead_letters(), 0);
    browser.said_nothing_bad().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_chart_is_read_out_by_arrow_keys_and_as_a_table() {
    let stage = Stage::start().await;
    stage.submit(&[("one", json!(1)), ("two", json!(2))]).await;
    let browser = Browser::start().await;
    browser.open(&stage.url("overview")).await;
    browser.sees_in(".chart h2", "Streams").await;
    let value = "return document.querySelectorAll('.plot')[1].getAttribute('aria-valuetext')";
    browser
        .holds(
            "the newest point has both".into(),
            format!("{value}.includes('queued 2')"),
        )
        .await;
    tab_to(&browser, "Streams: read out by the arrow keys").await;
    let left = char::from(Key::Left).to_string();
    browser.press(&left).await;
    browser.press(&left).await;
    browser
        .holds(
            "the cursor is ten seconds back".into(),
            format!("{value}.startsWith('10 s ago')"),
        )
        .await;
    tab_to(&browser, "As a table").await;
    browser.press(&char::from(Key::Enter).to_string()).await;
    browser.sees_in(".chart table", "in work").await;
    browser.said_nothing_bad().await;
}
