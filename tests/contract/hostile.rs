//! What a hostile producer, or another program with the rights of one, can send: guarantee 8.

use std::time::Duration;

use serde_json::value::RawValue;
use streamherd::RetryAfter;
use streamherd::error::{InvalidEntry, SettleError, SubmitError};
use streamherd_tests::{Log, Redis, SOON, Truth, Worker, builder, field, patient, plain, queue, submit};
use tracing_subscriber::filter::LevelFilter;

/// A cleared screen, a title, a line written over, a log line of its own, a NUL, the C1 forms of the same, an override of
/// direction, and letters without width.
const STEERING: &str =
    "a\u{1b}[2J\u{1b}]0;t\u{7}\r\n2026-01-01T00:00:00Z ERROR forged\u{8}\0\u{9b}31m\u{85}\u{202e}x\u{2066}\u{200b}";

/// The info of an entry of the Go library's wire format, as text.
fn input(name: &str, info: &str) -> String {
    format!("{{\"DataStreamName\":{},\"Info\":{info}}}", serde_json::json!(name))
}

fn nested(depth: usize) -> String {
    "[".repeat(depth) + &"]".repeat(depth)
}

#[tokio::test]
async fn a_name_of_any_characters_is_a_name_and_forges_no_line_of_a_log() {
    let log = Log::of_this_thread(LevelFilter::TRACE);
    let server = Redis::start(crate::TOPOLOGY);
    let names = server.neighbours(["plain", STEERING]);
    let mut truth = Truth::at(&server, &names[0]);
    let mut worker = Worker::with(patient(&server)).await;
    // The first meets all that is logged, and the second is heard.
    for name in &names {
        submit(&server, [name]).await;
        let poison = format!("{{\"DataStreamName\":[{}]}}", serde_json::json!(name));
        truth
            .call(&["XADD", "T:input", "*", "lbs-input", &poison, STEERING, STEERING])
            .ok();
        log.hears_what_others_have_met();
        let lease = worker.added().await;
        assert_eq!(lease.stream(), *name);
        lease.retry(RetryAfter::now().because(STEERING)).await.unwrap();
        worker.added().await.dead_letter(STEERING).await.unwrap();
    }
    worker.client.shutdown(Duration::ZERO).await;

    let text = log.take();
    assert!(text.contains("stream added") && text.contains("dead letter"), "{text}");
    for line in text.lines() {
        assert!(
            !line.contains("ERROR forged") || line.contains("\\r\\n2026"),
            "{line:?}"
        );
        assert!(!line.starts_with("2026-01-01"), "a forged line");
        let steers = |c: &char| c.is_control() || (STEERING.contains(*c) && !c.is_ascii());
        assert_eq!(line.chars().find(steers), None, "{line:?}");
    }
}

#[tokio::test]
async fn info_nested_100_000_deep_is_handed_out_and_an_error_for_who_reads_it_as_a_tree() {
    let server = Redis::start(crate::TOPOLOGY);
    let names = server.together("deep", 3);
    let mut truth = Truth::at(&server, &names[0]);
    let deep = nested(100_000);
    let add = |truth: &mut Truth, input: &str| truth.call(&["XADD", "T:input", "*", "lbs-input", input]).ok();
    // As a name, after one, and instead of the object: poison, which costs nobody a stack.
    add(&mut truth, &format!("{{\"DataStreamName\":{deep}}}"));
    add(&mut truth, &format!("{{\"x\":{deep},\"DataStreamName\":7}}"));
    add(&mut truth, &deep);
    add(&mut truth, &input(&names[0], &deep));
    add(
        &mut truth,
        &format!("{{\"x\":{deep},\"DataStreamName\":{}}}", serde_json::json!(names[1])),
    );
    let producer = builder(&server).connect_producer().await.unwrap();
    let raw = RawValue::from_string(deep.clone()).unwrap();
    producer.submit(&names[2], &raw).await.unwrap();

    let mut worker = Worker::start(&server).await;
    for lease in worker.added_many(3).await {
        let raw: Box<RawValue> = lease.info().unwrap();
        if lease.stream() == names[1] {
            assert_eq!(raw.get(), "null");
        } else {
            assert_eq!(raw.get(), deep);
            let error = lease.info::<serde_json::Value>().unwrap_err();
            assert!(error.to_string().contains("recursion limit"), "{error}");
        }
        lease.done().await.unwrap();
    }
    truth.becomes_clean().await;
    let letters = truth.dead_letters();
    assert_eq!(letters.len(), 3);
    for letter in &letters {
        assert_eq!(field(letter, "_sh_reason"), "unparseable");
        assert!(
            field(letter, "_sh_error").len() < 1_024,
            "an error is no copy of what it is about"
        );
    }
}

#[tokio::test]
async fn a_submit_beyond_the_limits_is_refused_before_anything_is_sent() {
    let server = Redis::start(crate::TOPOLOGY);
    let mut truth = Truth::of(&server);
    let producer = builder(&server).command_timeout(SOON).connect_producer().await.unwrap();
    truth.cmd("CONFIG RESETSTAT").ok();
    let long = "n".repeat(1024 * 1024);
    let huge = "x".repeat(10 * 1024 * 1024);
    let name = |result| matches!(result, Err(SubmitError::Invalid(InvalidEntry::Name(_))));
    let large = |result| matches!(result, Err(SubmitError::Invalid(InvalidEntry::TooLarge { .. })));
    assert!(name(producer.submit(&long, &()).await) && name(producer.submit("", &()).await));
    assert!(large(producer.submit("s", &huge).await));
    let later = producer
        .schedule_many_after([("s", &huge)], Duration::from_secs(1))
        .await;
    assert!(later.into_iter().all(large));
    // Beside others, which are accepted.
    let items = [
        ("a", huge.as_str()),
        (long.as_str(), "x"),
        ("b", "x"),
        ("", "x"),
        ("c", huge.as_str()),
    ];
    for (result, (name, info)) in producer.submit_many(items).await.into_iter().zip(items) {
        let fits = name.len() < 1_024 && !name.is_empty() && info.len() < 1_024;
        match result {
            Ok(_) => assert!(fits, "{} bytes and {}", name.len(), info.len()),
            Err(SubmitError::Invalid(_)) => assert!(!fits, "{name}"),
            Err(other) => panic!("{name}: {other:?}"),
        }
    }
    assert_eq!((truth.calls("xadd"), truth.calls("zadd")), (1, 0));
    assert_eq!(truth.length(), 1);
}

/// Nothing can be added to this stream any more.
fn exhaust(truth: &mut Truth, lane: &str, name: &str) {
    let last = "18446744073709551615-18446744073709551615";
    let key = format!("T:{lane}");
    truth
        .call(&["XADD", &key, last, "lbs-input", &input(name, "null")])
        .ok();
}

#[tokio::test]
async fn an_id_that_leaves_room_for_no_other_stops_submits_with_an_error_and_nothing_that_is_queued() {
    let server = Redis::start(crate::TOPOLOGY);
    let names = server.neighbours(["held", "queued", "last", "refused"]);
    let mut truth = Truth::at(&server, &names[0]);
    let mut worker = Worker::with(patient(&server).max_in_flight(1)).await;
    submit(&server, &names[..1]).await;
    let held = worker.added().await;
    queue(&server, &names[1..2]);
    exhaust(&mut truth, "input", &names[2]);
    let producer = builder(&server).connect_producer().await.unwrap();
    match producer.submit(&names[3], &()).await {
        Err(SubmitError::NotSubmitted(error)) => assert!(error.is_certain() && !error.is_not_ready(), "{error}"),
        other => panic!("{other:?}"),
    }
    // By way of the other lane, which has room.
    held.retry(RetryAfter::now()).await.unwrap();
    let mut seen = Vec::new();
    for _ in 0..3 {
        let lease = worker.added().await;
        seen.push(plain(lease.stream()).to_owned());
        lease.done().await.unwrap();
    }
    seen.sort();
    assert_eq!(seen, ["held", "last", "queued"]);
    let status = builder(&server).connect_admin().await.unwrap().status().await.unwrap();
    assert_eq!((status.queued, status.pending, status.delayed), (0, 0, 0));
    assert!(truth.is_clean());
}

#[tokio::test]
async fn a_front_lane_without_room_keeps_what_is_put_back_pending_and_the_rest_going() {
    let server = Redis::start(crate::TOPOLOGY);
    let names = server.neighbours(["retried", "other", "last"]);
    let mut truth = Truth::at(&server, &names[0]);
    truth.make_groups();
    exhaust(&mut truth, "front", &names[2]);
    let mut worker = Worker::with(patient(&server)).await;
    worker.added().await.done().await.unwrap();
    submit(&server, &names[..2]).await;
    for lease in worker.added_many(2).await {
        if plain(lease.stream()) == "other" {
            lease.done().await.unwrap();
        } else {
            let outcome = lease.retry(RetryAfter::now()).await;
            assert!(
                matches!(&outcome, Err(SettleError::Store(error)) if !error.is_not_ready()),
                "{outcome:?}"
            );
        }
    }
    assert_eq!(truth.pending_count(), 1, "it is not lost");
    // What mends it: the lane is empty, and begins anew. The scan brings back what is pending in the other.
    truth.cmd("DEL T:front").ok();
    let lease = worker.added().await;
    assert_eq!(plain(lease.stream()), "retried");
    lease.done().await.unwrap();
    truth.becomes_clean().await;
}
