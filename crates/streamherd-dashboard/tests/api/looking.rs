//! What is shown is what is there.

use std::time::Duration;

use axum::http::StatusCode;
use serde_json::json;
use streamherd::{Lease, Notification, Notifications, RetryAfter};

use crate::support::{Herd, SOON, builder, bury, code, names};

/// Takes the next stream.
pub(crate) async fn added(notifications: &mut Notifications) -> Lease {
    tokio::time::timeout(SOON, async {
        loop {
            if let Some(Notification::StreamAdded(lease)) = notifications.recv().await {
                return lease;
            }
        }
    })
    .await
    .expect("a stream is handed out")
}

#[tokio::test]
async fn a_queue_in_all_its_states_is_shown_as_it_is() {
    let herd = Herd::start().await;
    let (client, mut notifications) = builder(&herd.server).max_in_flight(3).connect().await.unwrap();
    herd.submit(&["held", "done", "rejected"]).await;
    let (mut held, mut later) = (Vec::new(), Vec::new());
    for _ in 0..3 {
        let lease = added(&mut notifications).await;
        match lease.stream() {
            "held" => held.push(lease),
            _ => later.push(lease),
        }
    }
    herd.submit(&["waits"]).await;
    client.pause().await.unwrap();
    for lease in later {
        match lease.stream() {
            "done" => drop(lease.done().await.unwrap()),
            _ => drop(lease.dead_letter("no such order").await.unwrap()),
        }
    }
    let producer = client.producer();
    producer
        .schedule_after("much later", &(), Duration::from_secs(3_600))
        .await
        .unwrap();

    let overview = herd
        .until("all is seen", |overview| {
            let queue = &overview["queue"];
            queue["delayed"] == 1 && queue["dead_letters"] == 1 && overview["consumers"]["paused"] == 1
        })
        .await;
    assert_eq!(
        (&overview["service"], &overview["used"]),
        (&json!("orders"), &json!(true))
    );
    assert_eq!(overview["error"], json!(null));
    assert_eq!(overview["read_only"], false);
    assert!(overview["queue"]["delayed_next_ms"].as_u64().unwrap() > 3_000_000);
    assert_eq!(overview["consumers"]["alive"], 1);
    assert_eq!(overview["consumers"]["free"], 0, "a paused consumer takes nothing");
    assert_eq!(overview["pauses"].as_array().unwrap().len(), 1);
    let at = herd.server.url().replace("redis://", "");
    assert_eq!(overview["partitions"][0]["server"], json!(at));
    assert_eq!(overview["masters"][0]["server"], json!(at));
    assert_eq!(overview["masters"][0]["breaker"], "closed");

    let consumers = herd.ok("/consumers").await;
    let row = &consumers["consumers"][0];
    assert_eq!(row["consumer"], json!(client.consumer().to_string()));
    assert_eq!(
        (&row["state"], &row["capacity"], &row["paused"]),
        (&json!("alive"), &json!(3), &json!(true))
    );

    let leases = herd.ok("/leases").await;
    let lease = &leases["leases"][0];
    assert_eq!((&lease["stream"], &lease["state"]), (&json!("held"), &json!("leased")));
    assert_eq!(lease["consumer"], row["consumer"]);
    assert_eq!(lease["token"], json!(held[0].token().to_string()));
    assert_eq!(leases["leases"].as_array().unwrap().len(), 1);
    assert_eq!(herd.ok("/leases?state=orphan").await["leases"], json!([]));
    assert_eq!(herd.ok("/leases?consumer=nobody").await["leases"], json!([]));
    assert_eq!(herd.ok("/delayed").await["delayed"][0]["stream"], "much later");

    let letters = herd.ok("/dead-letters").await;
    let letter = &letters["dead_letters"][0];
    assert_eq!(
        (&letter["stream"], &letter["error"]),
        (&json!("rejected"), &json!("no such order"))
    );
    let id = format!("0:{}", letter["id"].as_str().unwrap());
    let whole = herd.ok(&format!("/dead-letters/{id}")).await;
    assert_eq!(whole["fields"][0][0], "lbs-input");
    assert_eq!(
        whole,
        herd.ok(&format!("/dead-letters/{}", id.replace(':', "%2F"))).await
    );
    held.pop().unwrap().retry(RetryAfter::now()).await.unwrap();
    client.shutdown(Duration::ZERO).await;
}

#[tokio::test]
async fn what_is_pending_at_silent_consumers_is_counted_as_orphans() {
    let herd = Herd::start().await;
    herd.submit(&["one", "two", "three", "four"]).await;
    let mut redis = herd.redis();
    redis.cmd("XGROUP CREATE {orders:0}:input workers 0").ok();
    // Dead since 1970, alive, and another program of which nobody knows.
    for (consumer, streams, seen_ms) in [
        ("dead.1", 2, Some(5)),
        ("alive.2", 1, Some(u64::MAX / 2)),
        ("other", 1, None),
    ] {
        redis
            .cmd(&format!(
                "XREADGROUP GROUP workers {consumer} COUNT {streams} STREAMS {{orders:0}}:input >"
            ))
            .ok();
        if let Some(seen_ms) = seen_ms {
            let row = format!("{seen_ms} {}", json!({ "capacity": 8, "lock_ttl_ms": 6_000 }));
            redis.call(&["HSET", "{orders:0}:consumers", consumer, &row]).ok();
        }
    }
    let overview = herd
        .until("all is seen", |overview| {
            overview["queue"]["pending"] == 4 && overview["consumers"]["unregistered"] == 1
        })
        .await;
    let counts = &overview["consumers"];
    assert_eq!((&counts["alive"], &counts["silent"]), (&json!(1), &json!(1)));
    assert_eq!(counts["orphans"], 2);
}

#[tokio::test]
async fn the_doctor_s_findings_are_shown_with_the_worst_first() {
    let herd = Herd::start().await;
    herd.redis().cmd("CONFIG SET maxmemory-policy allkeys-lru").ok();
    let overview = herd
        .until("the doctor has looked", |overview| {
            overview["health"]["verdict"] != "unknown"
        })
        .await;
    let findings = overview["health"]["findings"].as_array().unwrap();
    let order: Vec<_> = findings.iter().map(|one| one["verdict"].as_str().unwrap()).collect();
    let rank = |verdict: &&str| {
        ["failure", "warning", "ok"]
            .iter()
            .position(|one| one == verdict)
            .unwrap()
    };
    assert!(order.is_sorted_by_key(rank), "{order:?}");
    assert_eq!(overview["health"]["verdict"], order[0]);
    assert!(findings.len() > 5);
}

#[tokio::test]
async fn dead_letters_are_shown_in_pages_of_those_that_are_meant() {
    let herd = Herd::start().await;
    let mut redis = herd.redis();
    let first = bury(&mut redis, &names("a", 5), "rejected", "broken");
    bury(&mut redis, &names("b", 3), "max_failures", "broken");
    let mut seen = Vec::new();
    let mut next = String::new();
    loop {
        let page = herd.ok(&format!("/dead-letters?limit=3{next}")).await;
        let streams = page["dead_letters"].as_array().unwrap().iter();
        seen.extend(streams.map(|letter| letter["stream"].as_str().unwrap().to_owned()));
        match page["next"].as_str() {
            Some(after) => next = format!("&after={after}"),
            None => break,
        }
    }
    assert_eq!(seen, [names("a", 5), names("b", 3)].concat());
    for (query, count) in [
        ("reason=max_failures", 3),
        ("stream=a-2", 1),
        ("reason=rejected&stream=b-1", 0),
        ("older_than_s=3600", 0),
        ("older_than_s=0", 8),
        ("reason=&stream=", 8),
    ] {
        let page = herd.ok(&format!("/dead-letters?{query}")).await;
        assert_eq!(page["dead_letters"].as_array().unwrap().len(), count, "{query}");
    }
    let gone = herd.get("/dead-letters/0:5-1").await;
    assert_eq!((gone.status, code(&gone)), (StatusCode::NOT_FOUND, "not_found"));
    let elsewhere = format!("/dead-letters/7:{}", first[0].strip_prefix("0:").unwrap());
    assert_eq!(herd.get(&elsewhere).await.status, StatusCode::NOT_FOUND);
}

#[tokio::test]
async fn a_question_that_is_none_is_told_so() {
    let herd = Herd::start().await;
    for path in [
        "/leases?state=asleep",
        "/leases?limit=201",
        "/delayed?limit=0",
        "/dead-letters?limit=0",
        "/dead-letters?limit=201",
        "/dead-letters?limit=many",
        "/dead-letters?reason=boredom",
        "/dead-letters?older_than=5",
        "/dead-letters?after=5-x",
        "/dead-letters?older_than_s=-1",
        "/dead-letters/nothing",
        "/dead-letters/front:5-1",
    ] {
        let answer = herd.get(path).await;
        assert_eq!(
            (answer.status, code(&answer)),
            (StatusCode::BAD_REQUEST, "bad_request"),
            "{path}"
        );
    }
    let long = format!("/dead-letters?stream={}", "x".repeat(9_000));
    assert_eq!(herd.get(&long).await.status, StatusCode::BAD_REQUEST);
    let longest = format!("/dead-letters?stream={}", "%C3%A4".repeat(512));
    assert_eq!(herd.get(&longest).await.status, StatusCode::OK, "a name of 1 KiB");
}

#[tokio::test]
async fn history_and_rates_tell_what_moved() {
    let herd = Herd::start().await;
    herd.until("it was looked at", |overview| overview["at_ms"] != 0).await;
    let history = herd.ok("/history").await;
    assert_eq!(
        (&history["step_ms"], &history["series"]["queued"]),
        (&json!(5_000), &json!([0]))
    );
    let (client, mut notifications) = builder(&herd.server).connect().await.unwrap();
    herd.submit(&["a", "b", "c"]).await;
    for _ in 0..3 {
        added(&mut notifications).await.done().await.unwrap();
    }
    herd.until("the rates are known", |overview| {
        let above = |name: &str| overview["rates"][name].as_f64().is_some_and(|rate| rate > 0.0);
        above("done") && (above("queued") || overview["rates"]["queued"].is_null())
    })
    .await;
    client.shutdown(Duration::ZERO).await;
}
