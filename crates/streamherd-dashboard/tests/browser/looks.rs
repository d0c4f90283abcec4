//! Every view on every screen: pictures of all, and what can be judged without eyes.

use std::time::Duration;

use serde_json::{Value, json};
use streamherd::Progress;
use streamherd_testkit::eventually;

use crate::browser::{Browser, Screen};
use crate::driver::PATIENCE;
use crate::stage::{Stage, TOKEN, Worker};

/// A view, and words that it shows once all of it is there.
const VIEWS: [(&str, &str); 8] = [
    ("overview", "Slots"),
    ("consumers", "of 64"),
    ("leases", "43 % · 3 of 7 files"),
    ("orphans", "legacy-import"),
    ("delayed", "reminder-1"),
    ("dead-letters", "invoice-2"),
    ("partitions", "Partition 0"),
    ("health", "Checks without a finding"),
];

/// A service in the middle of a day that isn't its best.
struct Scene {
    stage: Stage,
    _workers: [Worker; 2],
    _leases: Vec<streamherd::Lease>,
}

async fn scene() -> Scene {
    let stage = Stage::start().await.with_long_leases();
    stage
        .kill(
            &["invoice-1", "invoice-2"],
            "no such customer: 4711\n  at look_up (customers.rs:31)",
        )
        .await;
    let mut alpha = stage.worker("alpha").await;
    let beta = stage.worker("beta").await;
    beta.client.pause().await.expect("beta is paused");
    let streams: Vec<_> = (0..6).map(|n| format!("checkout-{n}")).collect();
    let streams: Vec<_> = streams.iter().map(|name| (name.as_str(), json!(null))).collect();
    stage.submit(&streams).await;
    let mut leases = Vec::new();
    for _ in &streams {
        leases.push(alpha.added().await);
    }
    let long = "copied s3://invoices/2026/11/ and its 12 parts to the archive; 3 of 7 files are left ".repeat(3);
    let told = [
        Progress::of(0.43).with_text("3 of 7 files"),
        Progress::of(0.9),
        Progress::said("waits for the customer's answer"),
        Progress::of(1.0).with_text(long),
    ];
    for (lease, progress) in leases.iter().zip(told) {
        lease.report(progress);
    }
    let producer = stage.builder("producer").connect_producer().await.expect("it connects");
    for n in 1..4 {
        let (name, delay) = (format!("reminder-{n}"), Duration::from_secs(900 * n));
        let later = producer.schedule_after(&name, &(), delay);
        later.await.expect("a stream is scheduled");
    }
    producer.close().await;
    Scene {
        stage,
        _workers: [alpha, beta],
        _leases: leases,
    }
}

/// Gives a stream to a consumer that never locks: for the scan an orphan from the first moment, and taken up only after the
/// shortest idle time.
fn orphan(stage: &Stage) {
    // In one step, as workers would be faster otherwise.
    let hand_out = "redis.call('XADD', KEYS[1], '*', 'lbs-input', ARGV[1]) \
                    return redis.call('XREADGROUP', 'GROUP', 'workers', 'an-old-consumer', 'COUNT', 1, 'STREAMS', KEYS[1], '>')";
    let input = json!({ "DataStreamName": "legacy-import", "Info": null }).to_string();
    let words = ["EVAL", hand_out, "1", "{orders:0}:front", &input];
    stage.raw().call(&words).ok();
}

#[tokio::test(flavor = "multi_thread")]
async fn every_view_is_accessible_and_fits_on_desktop_and_phone_in_light_and_dark() {
    let scene = scene().await;
    let browser = Browser::start().await;
    browser.open(&scene.stage.url("overview")).await;
    browser
        .eval(&format!("sessionStorage.setItem('streamherd.token', '{TOKEN}')"))
        .await;
    browser.sees_in("#nav", "Dead letters").await;
    let letter = letter_of(&browser).await;
    let mut wrong = Vec::new();
    for screen in [Screen::Desktop, Screen::Phone] {
        browser.on(screen).await;
        for scheme in ["light", "dark"] {
            browser.prefer(scheme).await;
            for (view, words) in VIEWS.into_iter().chain([(letter.as_str(), "no such customer")]) {
                look(&scene, &browser, view, words, screen, scheme, &mut wrong).await;
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
    browser.said_nothing_bad().await;
}

async fn look(
    scene: &Scene,
    browser: &Browser,
    view: &str,
    words: &str,
    screen: Screen,
    scheme: &str,
    wrong: &mut Vec<String>,
) {
    let is_letter = view.contains('/');
    let name = if is_letter { "dead-letter" } else { view };
    browser.view(view).await;
    if view == "orphans" {
        orphans(scene, browser).await;
    } else {
        browser.sees_in("main", words).await;
    }
    let device = if screen == Screen::Phone { "phone" } else { "desktop" };
    browser.picture(&format!("{name}-{device}-{scheme}"), screen).await;
    wrong.extend(
        faults(browser, screen)
            .await
            .into_iter()
            .map(|fault| format!("{name} on a {device}, {scheme}: {fault}")),
    );
}

/// One that workers find while the page is looked at makes room for another.
async fn orphans(scene: &Scene, browser: &Browser) {
    eventually(PATIENCE, "an orphan is seen", || async {
        orphan(&scene.stage);
        let end = tokio::time::Instant::now() + Duration::from_secs(3);
        while tokio::time::Instant::now() < end {
            if browser.words().await.contains("legacy-import") {
                return Some(());
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        None
    })
    .await;
}

async fn faults(browser: &Browser, screen: Screen) -> Vec<String> {
    let touched = json!(screen == Screen::Phone);
    let found = browser
        .client
        .execute(include_str!("checks.js"), vec![touched])
        .await
        .expect("the checks run");
    let text = |one: &Value| one.as_str().unwrap_or_default().to_owned();
    found
        .as_array()
        .map(|all| all.iter().map(text).collect())
        .unwrap_or_default()
}

/// The view of the first dead letter.
async fn letter_of(browser: &Browser) -> String {
    browser.view("dead-letters").await;
    browser.sees_in("tbody", "invoice-1").await;
    let href = browser
        .eval("return document.querySelector('tbody a').getAttribute('href')")
        .await;
    href.as_str().unwrap_or_default().trim_start_matches("#/").to_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn the_theme_follows_the_system_until_somebody_chooses_and_that_is_kept() {
    let stage = Stage::start().await;
    let browser = Browser::start().await;
    let ground = "return getComputedStyle(document.documentElement).backgroundColor";
    browser.prefer("light").await;
    browser.open(&stage.url("overview")).await;
    browser.sees_in("#theme", "Auto").await;
    let light = browser.eval(ground).await;
    browser.prefer("dark").await;
    browser
        .holds(
            "it is dark".into(),
            format!("return (() => {{ {ground} }})() !== {light}"),
        )
        .await;
    let dark = browser.eval(ground).await;

    browser.click("#theme").await;
    browser.sees_in("#theme", "Light").await;
    assert_eq!(browser.eval(ground).await, light);
    browser.client.refresh().await.expect("the page is loaded again");
    browser.sees_in("#theme", "Light").await;
    assert_eq!(browser.eval(ground).await, light);
    browser.click("#theme").await;
    browser.sees_in("#theme", "Dark").await;
    assert_eq!(browser.eval(ground).await, dark);
    browser.said_nothing_bad().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn dialogs_and_empty_views_are_accessible_too() {
    let stage = Stage::start().await;
    let browser = Browser::start().await;
    let mut wrong = Vec::new();
    for screen in [Screen::Desktop, Screen::Phone] {
        browser.on(screen).await;
        let device = if screen == Screen::Phone { "phone" } else { "desktop" };
        browser.open(&stage.url("overview")).await;
        browser.sees("Nothing was ever submitted").await;
        for (view, words) in [
            ("overview", "streamherd --service orders submit"),
            ("consumers", "No consumer"),
            ("leases", "Nothing is held"),
            ("orphans", "No orphans"),
            ("delayed", "Nothing is delayed"),
            ("dead-letters", "No dead letters"),
        ] {
            browser.view(view).await;
            browser.sees_in("main", words).await;
            wrong.extend(faults(&browser, screen).await);
        }
        browser.picture(&format!("empty-{device}"), screen).await;
        browser.view("overview").await;
        browser.click_on("main", "Pause the service").await;
        browser.fill("#token", TOKEN).await;
        wrong.extend(faults(&browser, screen).await);
        browser.picture(&format!("token-{device}"), screen).await;
        browser.click_on("#dialog", "Continue").await;
        browser.sees_in("#dialog", "Pause the service?").await;
        wrong.extend(faults(&browser, screen).await);
        browser.picture(&format!("confirm-{device}"), screen).await;
        browser.click_on("#dialog", "Cancel").await;
        // The page keeps the token in its memory, too.
        browser.eval("sessionStorage.clear()").await;
        browser.client.refresh().await.expect("the page is loaded again");
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
    browser.said_nothing_bad().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_checks_find_what_is_planted() {
    let stage = Stage::start().await;
    let browser = Browser::start().await;
    browser.on(Screen::Phone).await;
    browser.open(&stage.url("overview")).await;
    browser.sees("Nothing was ever submitted").await;
    assert_eq!(faults(&browser, Screen::Phone).await, Vec::<String>::new());
    let plant = "
        const add = (tag, change) => document.querySelector('#told').before(Object.assign(document.createElement(tag), change));
        add('button', { id: 'skip' });
        add('h4', { textContent: 'deep' });
        add('p', { textContent: 'faint' });
        document.querySelector('h4 + p').style.color = '#999';
        add('input', { type: 'text' });
        add('table', {});
        add('div', { id: 'wide' });
        document.querySelector('button#skip').style.minHeight = '0';
        document.getElementById('wide').style.cssText = 'width: 500px; height: 1px';
        document.documentElement.lang = '';
    ";
    browser.eval(plant).await;
    let found = faults(&browser, Screen::Phone).await.join("\n");
    for fault in [
        "no language",
        "the id skip is there twice",
        "no name: <button",
        "high to be touched: <button",
        "a heading of level 4 after",
        "a contrast of",
        "no label: <input",
        "wide on a screen of 390",
    ] {
        assert!(found.contains(fault), "{fault} is not found: {found}");
    }
}
