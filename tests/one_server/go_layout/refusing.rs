//! What can't be where Go workers read, and is refused before anything starts.

use std::time::Duration;

use streamherd::error::{ConnectError, InvalidEntry, SubmitError};
use streamherd::{Client, Duplicates, Layout};
use streamherd_tests::{Redis, Worker};

use super::{Go, beside_go};

#[tokio::test]
async fn a_cluster_has_no_queue_of_go_workers() {
    let builder = Client::builder("orders").url("redis-cluster://127.0.0.1:1");
    let refused = builder.layout(Layout::GoCompatible).connect().await.unwrap_err();
    assert!(
        matches!(&refused, ConnectError::Setting(e) if e.setting == "layout"),
        "{refused}"
    );
    assert!(refused.to_string().contains("different slots"), "{refused}");
}

#[tokio::test]
async fn settings_that_go_workers_would_suffer_from_are_refused() {
    let server = Redis::start(crate::TOPOLOGY);
    let refused = beside_go(&server).partitions(2).connect().await.unwrap_err();
    assert!(
        matches!(&refused, ConnectError::Setting(e) if e.setting == "partitions"),
        "{refused}"
    );
    let slow = beside_go(&server)
        .lock_ttl(Duration::from_secs(60))
        .heartbeat(Duration::from_secs(20))
        .recovery(streamherd::Recovery::default());
    let refused = slow.connect().await.unwrap_err();
    assert!(
        matches!(&refused, ConnectError::Setting(e) if e.setting == "heartbeat"),
        "{refused}"
    );
}

#[tokio::test]
async fn a_submit_that_go_workers_would_end_at_is_refused() {
    let server = Redis::start(crate::TOPOLOGY);
    let producer = beside_go(&server).connect_producer().await.unwrap();
    for info in [serde_json::json!("text"), serde_json::json!([1]), serde_json::json!(7)] {
        let refused = producer.submit("user-1", &info).await.unwrap_err();
        assert!(
            matches!(refused, SubmitError::Invalid(InvalidEntry::InfoForGo)),
            "{refused}"
        );
    }
    producer.submit("user-1", &()).await.unwrap();
    producer
        .submit("user-1", &serde_json::json!({ "plan": "pro" }))
        .await
        .unwrap();
    // Each is a run of its own, and nothing else can be asked for.
    assert_eq!(Go::at(&server).cmd("XLEN orders-input").int(), 2);
    let refused = producer
        .duplicates(Duplicates::Coalesce)
        .submit("user-1", &())
        .await
        .unwrap_err();
    assert!(matches!(refused, SubmitError::NoCoalescing), "{refused}");
}

#[tokio::test]
async fn a_login_with_the_rules_that_are_told_is_enough() {
    let server = Redis::start(crate::TOPOLOGY);
    let admin = beside_go(&server).connect_admin().await.unwrap();
    let rules = admin.acl_rules(streamherd::Role::Worker);
    let login = server.user("w", &rules);
    let mut worker = Worker::with(beside_go(&login)).await;
    let mut go = Go::at(&server);
    let id = go.submit("user-1");
    let lease = worker.added().await;
    assert!(go.holder("user-1", &id).is_some());
    lease.done().await.unwrap();
    assert_eq!(go.left(), (0, 0, 0));
}
