//! A service with an odd name hears of its own expired locks, and of no others.

use std::time::Duration;

use streamherd_testkit::eventually;
use streamherd_tests::{Redis, SERVICE, SOON, patiently};

#[tokio::test]
async fn a_service_name_with_glob_characters_hears_its_own_expiries_and_no_others() {
    let server = Redis::start(crate::TOPOLOGY);
    let services = [
        ("ord*rs", SERVICE),
        ("or?ers", SERVICE),
        ("order[s]", SERVICE),
        ("order[^x]", SERVICE),
        (r"order\s", SERVICE),
        ("*", SERVICE),
    ];
    for (service, other) in services {
        let (client, _notifications) = patiently(|| server.service(service).connect()).await;
        let home = format!("{{{service}:0}}");
        let heard = |service: &str| {
            let channel = format!("__keyspace@0__:{{{service}:0}}:lock:1-0");
            server.client_for(&home).call(&["PUBLISH", &channel, "expired"]).int()
        };
        // On a machine that stands still the first subscription may fail, and the next takes its place.
        eventually(SOON, "it hears its own", || async {
            (client.health().listening && heard(service) == 1).then_some(())
        })
        .await;
        assert_eq!(heard(other), 0, "{service}");
        client.shutdown(Duration::ZERO).await;
    }
}
