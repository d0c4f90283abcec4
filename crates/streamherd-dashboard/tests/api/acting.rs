//! Actions do what they say, and nothing else.

use std::time::Duration;

use axum::http::StatusCode;
use serde_json::{Value, json};
use streamherd_testkit::RawClient;

use crate::looking::added;
use crate::support::{Herd, builder, bury, code, names};

fn lengths(redis: &mut RawClient) -> (i64, i64) {
    (
        redis.cmd("XLEN {orders:0}:dlq").int(),
        redis.cmd("XLEN {orders:0}:front").int(),
    )
}

#[tokio::test]
async fn letters_are_redriven_by_their_ids_and_by_a_filter() {
    let herd = Herd::start().await;
    let mut redis = herd.redis();
    let a = bury(&mut redis, &names("a", 4), "rejected", "broken");
    bury(&mut redis, &names("b", 4), "max_failures", "broken");

    let dry = herd
        .act("/dead-letters/redrive", json!({ "ids": a[..2], "dry_run": true }))
        .await;
    assert_eq!((&dry["redriven"], &dry["dry_run"]), (&json!(2), &json!(true)));
    assert_eq!(lengths(&mut redis), (8, 0));

    let ids = json!([a[0], a[1].replace(':', "/"), "0:5-1"]);
    let some = herd.act("/dead-letters/redrive", json!({ "ids": ids })).await;
    assert_eq!((&some["redriven"], &some["outcomes"]["gone"]), (&json!(2), &json!(1)));
    assert_eq!(lengths(&mut redis), (6, 2));

    let filter = json!({ "filter": { "reason": "max_failures" }, "limit": 3 });
    let three = herd.act("/dead-letters/redrive", filter).await;
    assert_eq!(three["redriven"], 3);
    assert_eq!(lengths(&mut redis), (3, 5));

    let more = json!({ "filter": {}, "after": three["next"] });
    let rest = herd.act("/dead-letters/redrive", more).await;
    assert_eq!((&rest["redriven"], &rest["next"]), (&json!(1), &json!(null)));
    let left = herd.ok("/dead-letters").await;
    let left: Vec<_> = left["dead_letters"]
        .as_array()
        .unwrap()
        .iter()
        .map(|one| &one["stream"])
        .collect();
    assert_eq!(left, ["a-2", "a-3"], "the list is looked at anew after an action");
}

#[tokio::test]
async fn letters_are_purged_only_when_the_word_is_said() {
    let herd = Herd::start().await;
    let mut redis = herd.redis();
    let ids = bury(&mut redis, &names("a", 3), "rejected", "broken");
    for body in [
        json!({ "ids": ids }),
        json!({ "ids": ids, "confirm": "Purge" }),
        json!({ "filter": {}, "confirm": "" }),
    ] {
        let refused = herd.post("/dead-letters/purge", &body).await;
        assert_eq!(
            (refused.status, code(&refused)),
            (StatusCode::BAD_REQUEST, "bad_request"),
            "{body}"
        );
    }
    let dry = herd
        .act("/dead-letters/purge", json!({ "filter": {}, "dry_run": true }))
        .await;
    assert_eq!(dry["purged"], 3);
    assert_eq!(lengths(&mut redis), (3, 0));
    let purged = herd
        .act("/dead-letters/purge", json!({ "ids": [ids[1]], "confirm": "purge" }))
        .await;
    assert_eq!(purged["purged"], 1);
    let rest = herd
        .act(
            "/dead-letters/purge",
            json!({ "filter": { "stream": "a-2" }, "confirm": "purge" }),
        )
        .await;
    assert_eq!(rest["purged"], 1);
    assert_eq!(lengths(&mut redis), (1, 0));
}

#[tokio::test]
async fn a_filter_that_means_few_is_gone_on_with_from_call_to_call() {
    let herd = Herd::start().await;
    let mut redis = herd.redis();
    bury(&mut redis, &names("a", 2_300), "rejected", "broken");
    bury(&mut redis, &names("b", 2), "max_failures", "broken");
    let mut done = Vec::new();
    let mut body = json!({ "filter": { "reason": "max_failures" } });
    loop {
        let answer = herd.act("/dead-letters/redrive", body.clone()).await;
        done.push(answer["redriven"].as_u64().unwrap());
        if answer["next"].is_null() {
            break;
        }
        body["after"] = answer["next"].clone();
    }
    assert_eq!(done, [0, 0, 2]);
    assert_eq!(lengths(&mut redis), (2_300, 2));
}

#[tokio::test]
async fn a_stream_is_put_back_by_its_name_and_by_its_entry() {
    let herd = Herd::start().await;
    let (client, mut notifications) = builder(&herd.server).max_in_flight(1).connect().await.unwrap();
    herd.submit(&["held", "waits"]).await;
    let lease = added(&mut notifications).await;
    let held = lease.stream().to_owned();
    let other = if held == "held" { "waits" } else { "held" };
    let queued = herd.act("/requeue", json!({ "stream": other })).await;
    assert_eq!(queued["outcome"], "already_queued");
    let refused = herd.act("/requeue", json!({ "stream": held })).await;
    assert_eq!(
        (&refused["outcome"], &refused["partition"]),
        (&json!("held"), &json!(0))
    );
    assert_eq!(refused["consumer"], json!(client.consumer().to_string()));
    let entry = json!({ "partition": 0, "id": lease.id().to_string(), "force": true });
    assert_eq!(herd.act("/requeue", entry.clone()).await["outcome"], "requeued");
    assert!(lease.done().await.is_err(), "it was taken from its owner");
    assert_eq!(herd.act("/requeue", entry).await["outcome"], "not_found");
    let nobody = herd.act("/requeue", json!({ "stream": "nobody" })).await;
    assert_eq!(
        (&nobody["outcome"], &nobody["complete"]),
        (&json!("not_found"), &json!(true))
    );
    assert_eq!(
        herd.act("/requeue", json!({ "partition": 9, "id": "5-1" })).await["outcome"],
        "not_found"
    );
    client
        .producer()
        .schedule_after("later", &(), Duration::from_secs(3_600))
        .await
        .unwrap();
    assert_eq!(
        herd.act("/requeue", json!({ "stream": "later" })).await["outcome"],
        "made_due"
    );
    let much_later = Duration::from_secs(7_200);
    client
        .producer()
        .schedule_after("much later", &(), much_later)
        .await
        .unwrap();
    let rows = herd.ok("/delayed").await;
    let row = rows["delayed"]
        .as_array()
        .unwrap()
        .iter()
        .find(|row| row["stream"] == "much later");
    let row = row.expect("it is delayed");
    let by_its_row = json!({ "partition": row["partition"], "id": row["id"] });
    assert_eq!(herd.act("/requeue", by_its_row).await["outcome"], "made_due");
    client.shutdown(Duration::ZERO).await;
}

#[tokio::test]
async fn pauses_are_written_and_taken_back() {
    let herd = Herd::start().await;
    herd.submit(&["a"]).await;
    let changed = async |path: &str, body: Value| herd.act(path, body).await["changed"].clone();
    assert_eq!(changed("/pause", json!({})).await, true);
    assert_eq!(changed("/pause", json!({})).await, false);
    let overview = herd
        .until("the pause shows", |overview| !overview["paused_ms"].is_null())
        .await;
    assert_eq!(overview["pauses"], json!([]));
    assert_eq!(changed("/pause", json!({ "consumer": "pod-7" })).await, true);
    herd.until("it shows, too", |overview| overview["pauses"][0]["consumer"] == "pod-7")
        .await;
    assert_eq!(changed("/resume", json!({ "consumer": "pod-7" })).await, true);
    assert_eq!(changed("/resume", json!({})).await, true);
    herd.until("no pause is left", |overview| {
        overview["paused_ms"].is_null() && overview["pauses"] == json!([])
    })
    .await;
}

#[tokio::test]
async fn what_is_no_action_changes_nothing() {
    let herd = Herd::start().await;
    let mut redis = herd.redis();
    bury(&mut redis, &names("a", 2), "rejected", "broken");
    let many: Vec<String> = (0..1_001).map(|n| format!("0:{n}-1")).collect();
    for (path, body) in [
        ("/dead-letters/redrive", json!({})),
        ("/dead-letters/redrive", json!({ "ids": [] })),
        ("/dead-letters/redrive", json!({ "ids": many })),
        ("/dead-letters/redrive", json!({ "ids": ["0:1-1"], "filter": {} })),
        ("/dead-letters/redrive", json!({ "ids": ["0:1-1"], "limit": 1 })),
        ("/dead-letters/redrive", json!({ "ids": ["x"] })),
        ("/dead-letters/redrive", json!({ "filter": { "reason": "boredom" } })),
        ("/dead-letters/redrive", json!({ "filter": { "older_than": 5 } })),
        ("/dead-letters/redrive", json!({ "filter": {}, "limit": 1_001 })),
        ("/dead-letters/redrive", json!({ "filter": {}, "limit": 0 })),
        ("/dead-letters/redrive", json!({ "filter": {}, "confirm": "purge" })),
        ("/dead-letters/redrive", json!({ "filter": {}, "dryrun": true })),
        ("/dead-letters/redrive", json!([])),
        ("/dead-letters/purge", json!({ "confirm": "purge" })),
        ("/requeue", json!({})),
        ("/requeue", json!({ "stream": "a", "partition": 0 })),
        ("/requeue", json!({ "partition": 0 })),
        ("/requeue", json!({ "partition": 0, "id": "x" })),
        ("/requeue", json!({ "partition": 70_000, "id": "5-1" })),
        ("/pause", json!({ "consumer": "" })),
        ("/pause", json!({ "consumers": "a" })),
        ("/pause", json!("a")),
        ("/session", json!({ "user": "a" })),
    ] {
        let answer = herd.post(path, &body).await;
        assert_eq!(
            (answer.status, code(&answer)),
            (StatusCode::BAD_REQUEST, "bad_request"),
            "{path} {body}"
        );
    }
    assert_eq!(lengths(&mut redis), (2, 0));
    let overview = herd.ok("/overview").await;
    assert_eq!(
        (&overview["paused_ms"], &overview["pauses"]),
        (&json!(null), &json!([]))
    );
    let large = json!({ "stream": "x".repeat(70_000) });
    let answer = herd.post("/requeue", &large).await;
    assert_eq!(answer.status, StatusCode::PAYLOAD_TOO_LARGE);
}
