//! The dashboard in somebody else's service.

use serde_json::json;

use crate::browser::Browser;
use crate::stage::Stage;

#[tokio::test(flavor = "multi_thread")]
async fn mounted_below_a_path_it_works_with_and_without_a_stroke_at_the_end() {
    let stage = Stage::start().await;
    stage.submit(&[("checkout-17", json!(null))]).await;
    let mut worker = stage.worker("alpha").await;
    let _lease = worker.added().await;
    let address = stage.mounted_at("/ops/herd").await;
    let browser = Browser::start().await;
    for path in ["/ops/herd", "/ops/herd/", "/ops/herd/index.html"] {
        browser.open(&format!("http://{address}{path}")).await;
        browser.sees_in("#verdict", "All is well.").await;
        browser.click_on("#nav", "Leases 1").await;
        browser.sees_in("tbody tr", "checkout-17").await;
        browser.open("about:blank").await;
    }
    browser.said_nothing_bad().await;
}
