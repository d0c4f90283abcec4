//! The page's pure functions, in the browser that runs them.

use serde_json::Value;

use crate::browser::Browser;
use crate::stage::Stage;

/// Each row: what is computed, and what must come out.
const ROWS: &str = include_str!("words.js");

#[tokio::test(flavor = "multi_thread")]
async fn numbers_names_and_verdicts_are_put_into_the_right_words() {
    let stage = Stage::start().await;
    let browser = Browser::start().await;
    browser.open(&stage.url("overview")).await;
    browser.sees_in("#top", "Live").await;
    let wrong = browser
        .client
        .execute_async(ROWS, Vec::new())
        .await
        .expect("the script runs");
    assert_eq!(wrong, Value::Array(Vec::new()));
}
