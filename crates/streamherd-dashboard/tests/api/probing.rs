//! What an orchestrator and Prometheus ask.

use std::collections::BTreeSet;
use std::path::Path;

use axum::http::{Method, StatusCode};
use streamherd_testkit::eventually;

use crate::support::{Herd, SOON, answer_of, bury, names, request};

async fn asked(herd: &Herd, path: &str) -> (StatusCode, String) {
    // As a Service of Kubernetes has it.
    let answer = answer_of(
        &herd.dashboard.probes(),
        request(Method::GET, path, &[("host", "herd.ops.svc")], ""),
    )
    .await;
    let text = answer
        .body
        .as_str()
        .map_or_else(|| answer.body.to_string(), str::to_owned);
    (answer.status, text)
}

#[tokio::test(flavor = "multi_thread")]
async fn it_is_ready_while_redis_answers_and_alive_all_along() {
    let mut herd = Herd::start().await;
    assert_eq!(asked(&herd, "/readyz").await.0, StatusCode::OK);
    herd.server.kill();
    assert_eq!(asked(&herd, "/livez").await, (StatusCode::OK, "alive\n".to_owned()));
    herd.server.restart();
    eventually(SOON, "it is ready", || async {
        (asked(&herd, "/readyz").await.0 == StatusCode::OK).then_some(())
    })
    .await;
}

#[tokio::test]
async fn the_backlog_is_told_also_while_no_worker_runs() {
    let herd = Herd::start().await;
    herd.submit(&["a", "b"]).await;
    bury(&mut herd.redis(), &names("c", 3), "rejected", "broken");
    herd.until("all is seen", |overview| {
        overview["queue"]["queued"] == 2 && overview["queue"]["dead_letters"] == 3
    })
    .await;
    let (status, text) = asked(&herd, "/metrics").await;
    assert_eq!(status, StatusCode::OK);
    for line in [
        r#"streamherd_queue_entries{service="orders",partition="0",state="queued"} 2"#,
        r#"streamherd_dead_letters{service="orders",partition="0"} 3"#,
        r#"streamherd_service_consumers{service="orders",state="alive"} 0"#,
        r#"streamherd_service_slots_free{service="orders"} 0"#,
        "# TYPE streamherd_service_oldest_seconds gauge",
    ] {
        assert!(text.lines().any(|one| one == line), "{line} is not in\n{text}");
    }
    assert_eq!(told(&text), listed(), "told, and listed in docs/METRICS.md");
}

/// Names of metrics, but for those that workers tell as well.
fn told(text: &str) -> BTreeSet<String> {
    let names = text
        .lines()
        .filter_map(|line| line.strip_prefix("# TYPE ")?.split(' ').next());
    let of_workers = ["streamherd_queue_entries", "streamherd_dead_letters"];
    names
        .filter(|name| !of_workers.contains(name))
        .map(str::to_owned)
        .collect()
}

fn listed() -> BTreeSet<String> {
    let document = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/METRICS.md");
    let text = std::fs::read_to_string(document).unwrap();
    let (_, own) = text.split_once("## Told by the dashboard").unwrap();
    let (own, _) = own.split_once("\n## ").unwrap();
    let names = own
        .lines()
        .filter_map(|line| line.strip_prefix("| `")?.split('`').next());
    names.map(str::to_owned).collect()
}
