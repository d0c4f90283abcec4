//! What strangers write is text, whatever it says.

use serde_json::json;
use streamherd::Progress;

use crate::browser::{Browser, Screen};
use crate::stage::Stage;

const HOSTILE: [&str; 7] = [
    "<img src=x onerror=\"window.xss=1\">",
    "</script><script>window.xss=2</script>",
    "\"><svg onload=window.xss=3>",
    "javascript:window.xss=4",
    "{{constructor.constructor('window.xss=5')()}}${window.xss=6}",
    "\u{202e}gnp.\u{2066}\u{200b}hidden",
    "bell\u{7} nul\u{0} line\nend\u{1b}[31m",
];

/// Nothing of it has become an element or has run.
async fn is_only_text(browser: &Browser, view: &str) {
    let state = browser
        .eval(
            "return { ran: window.xss ?? null, scripts: document.scripts.length, \
             images: [...document.images].map((one) => one.getAttribute('src')), svgs: document.querySelectorAll('[onload], [onerror]').length, \
             links: [...document.links].filter((one) => one.protocol === 'javascript:').length, \
             wide: document.documentElement.scrollWidth > document.documentElement.clientWidth, \
             raw: /[\\u0000-\\u0008\\u000b-\\u001f\\u007f-\\u009f\\u200b-\\u200f\\u202a-\\u202e\\u2060-\\u206f]/.test(document.body.innerText) }",
        )
        .await;
    let wanted = json!({ "ran": null, "scripts": 1, "images": ["./assets/icon.svg"], "svgs": 0, "links": 0, "wide": false, "raw": false });
    assert_eq!(state, wanted, "{view}");
}

#[tokio::test(flavor = "multi_thread")]
async fn hostile_names_errors_and_fields_show_as_text_and_run_nothing() {
    let stage = Stage::start().await.with_long_leases();
    let long = "n".repeat(1024);
    let names: Vec<&str> = HOSTILE.into_iter().chain([long.as_str()]).collect();
    // As another program would write them, with fields of its own.
    let mut raw = stage.raw();
    let mut undertaker = stage.worker("undertaker").await;
    for name in &names {
        let input = json!({ "DataStreamName": name, "Info": { "of": name } }).to_string();
        raw.call(&["XADD", "{orders:0}:input", "*", "lbs-input", &input, name, name])
            .ok();
    }
    let mut streams = Vec::new();
    for _ in &names {
        let lease = undertaker.added().await;
        streams.push(lease.stream().to_owned());
        lease
            .dead_letter(format!("failed at {}", HOSTILE[0]))
            .await
            .expect("buried");
    }
    assert_eq!(streams, names);
    // Held, by consumers with such names too.
    for name in &names {
        let input = json!({ "DataStreamName": name, "Info": null }).to_string();
        raw.call(&["XADD", "{orders:0}:input", "*", "lbs-input", &input]).ok();
        raw.call(&["XGROUP", "CREATECONSUMER", "{orders:0}:input", "workers", name]);
    }
    let mut leases = Vec::new();
    for name in &names {
        let lease = undertaker.added().await;
        lease.report(Progress::of(0.5).with_text(*name));
        leases.push(lease);
    }

    let browser = Browser::start().await;
    browser.open(&stage.url("overview")).await;
    browser.sees_in("[data-tile='In work'] .tile-number", "8").await;
    for screen in [Screen::Desktop, Screen::Phone] {
        browser.on(screen).await;
        for view in ["overview", "consumers", "leases", "dead-letters"] {
            browser.view(view).await;
            if view == "leases" {
                browser.sees_in(".meter-words", HOSTILE[0]).await;
                browser.sees_in(".meter-words", "\\u202egnp.").await;
            }
            if view != "overview" {
                browser.sees_in("tbody", HOSTILE[0]).await;
                browser.sees_in("tbody", HOSTILE[1]).await;
                browser.sees_in("tbody", "\\u202egnp.\\u2066\\u200bhidden").await;
                browser
                    .sees_in("tbody", "bell\\u0007 nul\\u0000 line\\nend\\u001b[31m")
                    .await;
            }
            is_only_text(&browser, view).await;
        }
        // A name of 1 KiB takes two lines, however it is shown.
        let rows = "return Math.max(...[...document.querySelectorAll('tbody a.name')].map((one) => one.offsetHeight))";
        let tallest = browser.eval(rows).await;
        assert!(
            tallest.as_f64().is_some_and(|height| (20.0..60.0).contains(&height)),
            "{tallest}"
        );
        browser
            .picture(
                if screen == Screen::Phone {
                    "hostile-phone"
                } else {
                    "hostile-desktop"
                },
                screen,
            )
            .await;
    }
    browser.on(Screen::Desktop).await;
    // Each letter in full.
    let letters = browser
        .eval("return [...document.querySelectorAll('tbody a')].map((one) => one.getAttribute('href').slice(2))")
        .await;
    let letters: Vec<String> = serde_json::from_value(letters).expect("addresses");
    assert_eq!(letters.len(), names.len());
    for letter in &letters {
        browser.view(letter).await;
        browser
            .sees_in("#error-text", &format!("failed at {}", HOSTILE[0]))
            .await;
        is_only_text(&browser, letter).await;
    }
    // A filter and an address are a stranger's, too.
    browser
        .view("dead-letters?stream=%3Cimg%20src%3Dx%20onerror%3Dwindow.xss%3D7%3E")
        .await;
    browser.sees("No dead letter matches").await;
    is_only_text(&browser, "a hostile filter").await;
    browser
        .view("dead-letters?reason=%3Cimg%20src%3Dx%20onerror%3Dwindow.xss%3D8%3E")
        .await;
    browser.sees_in("[role=alert]", "reason").await;
    is_only_text(&browser, "an unknown reason").await;
    browser
        .view("leases?consumer=%3Cimg%20src%3Dx%20onerror%3Dwindow.xss%3D8%3E")
        .await;
    browser.sees("<img src=x onerror=window.xss=8>").await;
    is_only_text(&browser, "a hostile consumer").await;
    browser.view("__proto__/<svg onload=window.xss=9>").await;
    browser.sees_in("h1", "Overview").await;
    is_only_text(&browser, "a hostile view").await;
    browser.said_nothing_bad().await;
}
