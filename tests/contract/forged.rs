//! What an entry can't gain by fields that only the library writes: whoever may add entries may forge all of them.

use std::time::Duration;

use streamherd::{RetryAfter, Submitted};
use streamherd_tests::{Redis, Truth, Worker, builder, field, names, plain, submit};

/// What is no count, though some reader of numbers takes it for one.
const NO_COUNTS: [&str; 14] = [
    "-1",
    "+5",
    " 5",
    "5\n",
    "0x10",
    "1e9",
    "NaN",
    "inf",
    "-inf",
    "4294967295",
    "4294967296",
    "18446744073709551615",
    "99999999999999999999999999999999",
    "五",
];
/// What is no time and no id, or one that nothing can have.
const NO_IDS: [&str; 8] = [
    "",
    "-",
    "x-y",
    "-1--1",
    "18446744073709551616-0",
    "18446744073709551615-18446744073709551615",
    "9999999999999999",
    "front:5-5",
];

/// An entry of this name with more fields, as a hostile producer adds it.
fn forge(truth: &mut Truth, name: &str, fields: &[(&str, &str)]) -> String {
    let input = serde_json::json!({ "DataStreamName": name, "Info": { "of": name } }).to_string();
    let mut words = vec!["XADD", "T:input", "*", "lbs-input", &input];
    words.extend(fields.iter().flat_map(|(name, value)| [*name, *value]));
    truth.call(&words).text()
}

#[tokio::test]
async fn a_forged_counter_counts_as_none_for_the_worker_and_for_redis_alike() {
    let server = Redis::start(crate::TOPOLOGY);
    let names = server.together("forged", NO_COUNTS.len());
    let mut truth = Truth::at(&server, &names[0]);
    for (name, count) in names.iter().zip(NO_COUNTS) {
        let counters = ["_retry_count", "_sh_failures", "_sh_abandonments"];
        forge(&mut truth, name, &counters.map(|counter| (counter, count)));
    }
    let mut worker = Worker::start(&server).await;
    for lease in worker.added_many(names.len()).await {
        let told = (lease.attempt(), lease.failures(), lease.abandonments());
        assert_eq!(told, (0, 0, 0), "{}", lease.stream());
        lease.retry(RetryAfter::now()).await.unwrap();
    }
    for lease in worker.added_many(names.len()).await {
        let told = (lease.attempt(), lease.failures(), lease.abandonments());
        assert_eq!(told, (1, 1, 0), "{}", lease.stream());
        lease.done().await.unwrap();
    }
    assert!(truth.is_clean() && truth.dead_letters().is_empty());
}

#[tokio::test]
async fn a_forged_count_ends_its_own_stream_early_and_no_other() {
    let server = Redis::start(crate::TOPOLOGY);
    let names = server.neighbours(["forged", "honest"]);
    let mut truth = Truth::at(&server, "forged");
    forge(
        &mut truth,
        &names[0],
        &[("_sh_failures", "999999999"), ("_retry_count", "999999999")],
    );
    submit(&server, &names[1..]).await;
    let mut worker = Worker::start(&server).await;
    for lease in worker.added_many(2).await {
        lease.retry(RetryAfter::now()).await.unwrap();
    }
    let lease = worker.added().await;
    assert_eq!((plain(lease.stream()), lease.failures()), ("honest", 1));
    lease.done().await.unwrap();
    let letters = truth.dead_letters();
    assert_eq!(letters.len(), 1);
    assert_eq!(field(&letters[0], "_sh_reason"), "max_failures");
    assert_eq!(field(&letters[0], "_sh_failures"), "1000000000");
    assert!(truth.is_clean());
}

#[tokio::test]
async fn a_forged_origin_or_age_stops_neither_its_stream_nor_a_look_at_it() {
    let server = Redis::start(crate::TOPOLOGY);
    let names = server.together("forged", NO_IDS.len());
    let mut truth = Truth::at(&server, &names[0]);
    let mut added = Vec::new();
    for (name, id) in names.iter().zip(NO_IDS) {
        added.push(forge(&mut truth, name, &[("_sh_origin", id), ("_sh_first_seen", id)]));
    }
    let mut worker = Worker::start(&server).await;
    let leases = worker.added_many(names.len()).await;
    let admin = builder(&server).connect_admin().await.unwrap();
    assert_eq!(admin.leases(100).await.unwrap().len(), names.len());
    for lease in leases {
        let turn = names.iter().position(|name| name == lease.stream()).unwrap();
        // Where it says nothing of the kind, what Redis says counts.
        if NO_IDS[turn].parse::<streamherd::StreamId>().is_err() {
            assert_eq!(lease.original_id().to_string(), added[turn], "{:?}", NO_IDS[turn]);
        }
        // One way out each.
        match turn % 3 {
            0 => drop(lease.retry(RetryAfter::now()).await.unwrap()),
            1 => drop(
                lease
                    .retry(RetryAfter::after(Duration::from_millis(300)))
                    .await
                    .unwrap(),
            ),
            _ => drop(lease.dead_letter("no").await.unwrap()),
        }
    }
    let buried = names.iter().skip(2).step_by(3).count();
    for lease in worker.added_many(names.len() - buried).await {
        lease.done().await.unwrap();
    }
    let mut letters = admin.dead_letters(streamherd::DeadLetterFilter::default());
    let mut seen = 0;
    while letters.next().await.unwrap().is_some() {
        seen += 1;
    }
    assert_eq!(seen, buried);
    assert!(truth.is_clean());
}

#[tokio::test]
async fn an_entry_that_forges_another_streams_name_leaves_that_stream_coalesced_and_held() {
    let server = Redis::start(crate::TOPOLOGY);
    let victim = server.neighbours(["victim"]).remove(0);
    let forgers = server.beside(&victim, names("forger", 4));
    let mut truth = Truth::at(&server, &victim);
    let mut worker = Worker::start(&server).await;
    let producer = builder(&server).connect_producer().await.unwrap();
    let Submitted::New(reference) = producer.submit(&victim, &()).await.unwrap() else {
        panic!("it is new");
    };
    let held = worker.added().await;
    for forger in &forgers {
        forge(
            &mut truth,
            forger,
            &[("_sh_live", &victim), ("_sh_origin", &held.id().to_string())],
        );
    }
    for (turn, lease) in worker.added_many(forgers.len()).await.into_iter().enumerate() {
        match turn {
            0 => drop(lease.done().await.unwrap()),
            1 => drop(lease.retry(RetryAfter::now()).await.unwrap()),
            2 => drop(lease.release().await.unwrap()),
            _ => drop(lease.dead_letter("no").await.unwrap()),
        }
    }
    for lease in worker.added_many(2).await {
        lease.done().await.unwrap();
    }
    let again = producer.submit(&victim, &()).await.unwrap();
    assert!(
        matches!(&again, Submitted::Coalesced(to) if *to == reference),
        "{again:?}"
    );
    assert!(held.is_valid());
    held.done().await.unwrap();
    let once_more = worker.added().await;
    assert_eq!(once_more.stream(), victim);
    once_more.done().await.unwrap();
    truth.becomes_clean().await;
}
