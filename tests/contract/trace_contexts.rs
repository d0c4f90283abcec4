//! The trace context of a submit reaches every handler of its stream, whatever happens in between and whoever wrote it.

use std::time::{Duration, SystemTime};

use serde_json::json;
use streamherd::{DeadLetterFilter, Duplicates, Producer, Recovery, RequeueOutcome, RetryAfter, TraceContext};
use streamherd_testkit::eventually;
use streamherd_tests::letters::{admin, input, list, redrive};
use streamherd_tests::{Redis, SOON, Truth, Worker, builder, field, hold, patient, recovery};

use super::retain::retaining;

const BINARY: &str = env!("CARGO_BIN_EXE_contract-worker");
const FIELD: &str = "_sh_traceparent";

/// One of several contexts.
fn context(number: u8) -> TraceContext {
    TraceContext::new([0xab; 16], [number; 8], number & 1).unwrap()
}

async fn producer(server: &Redis) -> Producer {
    builder(server).connect_producer().await.unwrap()
}

#[tokio::test]
async fn a_trace_context_survives_a_crash_all_endings_the_dead_letters_and_a_redrive() {
    let server = Redis::start(crate::TOPOLOGY);
    let mut truth = Truth::at(&server, "a");
    let traced = context(1);
    producer(&server).await.traced(traced).submit("a", &1).await.unwrap();
    let is_carried = |truth: &mut Truth, lane: &str| {
        let (_, fields) = truth.entries(lane).remove(0);
        assert_eq!(field(&fields, FIELD), traced.to_string());
    };
    is_carried(&mut truth, "input");

    let mut crashed = hold(BINARY, &server, 1).await;
    crashed.process.kill();
    let mut worker = Worker::start(&server).await;
    let lease = worker.added().await;
    assert_eq!((lease.abandonments(), lease.trace_context()), (1, Some(traced)));
    is_carried(&mut truth, "front");
    lease.retry(RetryAfter::now()).await.unwrap();
    let lease = worker.added().await;
    assert_eq!((lease.failures(), lease.trace_context()), (1, Some(traced)));
    let later = Duration::from_millis(100);
    lease.retry(RetryAfter::after(later)).await.unwrap();
    let lease = worker.added().await;
    assert_eq!((lease.failures(), lease.trace_context()), (2, Some(traced)));
    lease.release().await.unwrap();
    let lease = worker.added().await;
    let admin = admin(&server).await;
    let taken = admin.requeue("a", true).await.unwrap();
    assert!(matches!(taken, RequeueOutcome::Requeued { .. }), "{taken:?}");
    drop(lease);
    let lease = worker.added().await;
    assert_eq!(lease.trace_context(), Some(traced));
    lease.dead_letter("no").await.unwrap();

    let letter = list(&admin, DeadLetterFilter::default()).await.remove(0);
    assert_eq!(letter.trace_context(), Some(traced));
    assert_eq!(redrive(&admin, DeadLetterFilter::default()).await, ["redriven"]);
    let lease = worker.added().await;
    assert_eq!((lease.attempt(), lease.trace_context()), (0, Some(traced)));
    is_carried(&mut truth, "front");
    lease.done().await.unwrap();
    truth.becomes_clean().await;
}

#[tokio::test]
async fn every_way_to_submit_carries_a_context_and_a_producer_that_was_told_none_carries_none() {
    let server = Redis::start(crate::TOPOLOGY);
    let plain = producer(&server).await;
    let (soon, now) = (Duration::from_millis(50), SystemTime::now());
    let mut wanted = Vec::new();
    for (number, duplicates) in [(1, Duplicates::Coalesce), (2, Duplicates::Parallel)] {
        let traced = plain.clone().duplicates(duplicates).traced(context(number));
        let untraced = traced.clone().traced(None);
        for (producer, trace) in [(&traced, Some(context(number))), (&untraced, None)] {
            let name = |way: &str| format!("{way}-{duplicates:?}-{}", trace.is_some());
            producer.submit(&name("submit"), &()).await.unwrap();
            producer.schedule(&name("at"), &(), now + soon).await.unwrap();
            producer.schedule_after(&name("after"), &(), soon).await.unwrap();
            let many = ["many-1", "many-2"].map(|way| (name(way), ()));
            for result in producer.submit_many(many).await {
                result.unwrap();
            }
            producer.schedule_many_after([(name("many-after"), ())], soon).await[0]
                .as_ref()
                .unwrap();
            let ways = ["submit", "at", "after", "many-1", "many-2", "many-after"];
            wanted.extend(ways.map(|way| (name(way), trace)));
        }
    }
    // Those with and those without go in one call.
    let (traced, untraced) = (plain.clone().traced(context(3)), plain.clone());
    let together = futures_util::future::join_all((0..20).map(|n| {
        let producer = if n % 2 == 0 { &traced } else { &untraced };
        let name = format!("together-{n:02}");
        async move { producer.submit(&name, &n).await }
    }));
    for (n, result) in together.await.into_iter().enumerate() {
        result.unwrap();
        wanted.push((format!("together-{n:02}"), (n % 2 == 0).then(|| context(3))));
    }
    let mut worker = Worker::start(&server).await;
    let mut seen = Vec::new();
    for lease in worker.added_many(wanted.len()).await {
        seen.push((lease.stream().to_owned(), lease.trace_context()));
        lease.done().await.unwrap();
    }
    seen.sort_by(|a, b| a.0.cmp(&b.0));
    wanted.sort_by(|a, b| a.0.cmp(&b.0));
    assert_eq!(seen, wanted);
}

#[tokio::test]
async fn what_is_no_trace_context_stops_no_entry_and_stays_as_it_was_written() {
    let server = Redis::start(crate::TOPOLOGY);
    let mut truth = Truth::at(&server, "a");
    let good = context(1).to_string();
    let later = format!("cc{}-and-more", &good[2..]);
    let hostile: Vec<Vec<u8>> = vec![
        Vec::new(),
        b"\xff\x00\r\n".to_vec(),
        vec![b'0'; 100_000],
        good.to_uppercase().into_bytes(),
        format!("ff{}", &good[2..]).into_bytes(),
        format!("{good}-more").into_bytes(),
        b"00-00000000000000000000000000000000-0000000000000000-00".to_vec(),
        later.clone().into_bytes(),
    ];
    truth.make_groups();
    for (n, value) in hostile.iter().enumerate() {
        let name = server.beside("a", [format!("hostile-{n}")]).remove(0);
        let input = input(&name);
        truth
            .call(&[
                b"XADD",
                b"T:input".as_slice(),
                b"*",
                b"lbs-input",
                input.as_bytes(),
                FIELD.as_bytes(),
                value,
            ])
            .ok();
        // Half of them are found by a scan.
        if n % 2 == 0 {
            truth.abandon();
        }
    }
    let mut worker = Worker::start(&server).await;
    let leases = worker.added_many(hostile.len()).await;
    // As far as this version goes.
    let known: Vec<_> = leases.iter().filter_map(|lease| lease.trace_context()).collect();
    assert_eq!(known, [context(1)]);
    for lease in leases {
        lease.dead_letter("no").await.unwrap();
    }
    let letters = list(&admin(&server).await, DeadLetterFilter::default()).await;
    let mut kept: Vec<Vec<u8>> = letters
        .iter()
        .map(|letter| {
            let traces = letter.fields.iter().filter(|(name, _)| name == FIELD.as_bytes());
            traces.map(|(_, value)| value.clone()).next().unwrap()
        })
        .collect();
    let mut wanted = hostile.clone();
    kept.sort();
    wanted.sort();
    assert_eq!(kept, wanted);
    let known: Vec<_> = letters
        .iter()
        .filter_map(streamherd::DeadLetter::trace_context)
        .collect();
    assert_eq!(known, [context(1)]);
}

#[tokio::test]
async fn the_context_of_the_submit_whose_info_counts_is_the_one_that_counts() {
    let server = Redis::start(crate::TOPOLOGY);
    let producer = producer(&server).await;
    let submit = async |trace: Option<u8>, info: u8| {
        let traced = producer.clone().traced(trace.map(context));
        traced.submit("a", &info).await.unwrap();
    };
    submit(Some(1), 1).await;
    // The run that waits serves it.
    submit(Some(2), 1).await;
    let mut worker = Worker::start(&server).await;
    let lease = worker.added().await;
    assert_eq!(lease.trace_context(), Some(context(1)));
    submit(Some(3), 3).await;
    submit(Some(4), 4).await;
    lease.retry(RetryAfter::now()).await.unwrap();
    let lease = worker.added().await;
    assert_eq!(
        (lease.info::<u8>().unwrap(), lease.trace_context()),
        (1, Some(context(1)))
    );
    lease.done().await.unwrap();
    let lease = worker.added().await;
    assert_eq!(
        (lease.info::<u8>().unwrap(), lease.trace_context()),
        (4, Some(context(4)))
    );
    // Who says none has none, whatever was there before.
    submit(Some(5), 5).await;
    submit(None, 6).await;
    lease.done().await.unwrap();
    let lease = worker.added().await;
    assert_eq!((lease.info::<u8>().unwrap(), lease.trace_context()), (6, None));
    lease.done().await.unwrap();
    Truth::of(&server).becomes_clean().await;
}

#[tokio::test]
async fn what_redis_has_lost_comes_back_with_its_context() {
    let server = Redis::start(crate::TOPOLOGY);
    let mut truth = Truth::of(&server);
    let names = server.neighbours(["held", "kept"]);
    let mut worker = Worker::with(patient(&server).max_in_flight(1)).await;
    let producer = retaining(&server).await;
    producer
        .clone()
        .traced(context(1))
        .submit(&names[0], &())
        .await
        .unwrap();
    let held = worker.added().await;
    let parallel = producer.clone().duplicates(Duplicates::Parallel).traced(context(2));
    parallel.submit(&names[1], &json!({"n": 1})).await.unwrap();
    producer
        .clone()
        .traced(context(3))
        .submit(&names[1], &json!({"n": 2}))
        .await
        .unwrap();
    truth.each("FLUSHALL");
    eventually(SOON, "all of them are back", || {
        let back = truth.length() == 3;
        async move { back.then_some(()) }
    })
    .await;
    let mut contexts: Vec<String> = truth
        .entries("input")
        .iter()
        .map(|(_, fields)| field(fields, FIELD).to_owned())
        .collect();
    contexts.sort();
    assert_eq!(contexts, [1, 2, 3].map(|number| context(number).to_string()));
    held.done().await.unwrap();
    for _ in 0..2 {
        let lease = worker.added().await;
        let number = if lease.info::<serde_json::Value>().unwrap()["n"] == 1 {
            2
        } else {
            3
        };
        assert_eq!(lease.trace_context(), Some(context(number)));
        lease.done().await.unwrap();
    }
    producer.close().await;
}

#[tokio::test]
async fn an_entry_without_room_for_a_context_is_queued_without_one() {
    let server = Redis::start(crate::TOPOLOGY);
    let producer = producer(&server).await.traced(context(1));
    let around = "lbs-input_sh_livea".len() + r#"{"DataStreamName":"a","Info":""}"#.len();
    let room = FIELD.len() + context(1).to_string().len();
    let mut worker = Worker::with(builder(&server).recovery(Recovery {
        max_failures: 0,
        ..recovery()
    }))
    .await;
    for (left, carried) in [(room, Some(context(1))), (room - 1, None), (0, None)] {
        let info = "i".repeat(1024 * 1024 - around - left);
        producer.submit("a", &info).await.unwrap();
        let lease = worker.added().await;
        assert_eq!(lease.trace_context(), carried, "{left}");
        lease.retry(RetryAfter::now()).await.unwrap();
        let lease = worker.added().await;
        assert_eq!(
            (lease.info::<String>().unwrap().len(), lease.trace_context()),
            (info.len(), carried)
        );
        lease.done().await.unwrap();
    }
    assert!(Truth::of(&server).is_clean());
}
