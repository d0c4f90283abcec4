//! What is counted of the queue and of dead letters.

use std::collections::BTreeMap;
use std::time::Duration;

use metrics_util::debugging::{DebugValue, DebuggingRecorder, Snapshotter};
use streamherd::{DeadLetterFilter, Recovery};
use streamherd_testkit::eventually;
use streamherd_tests::letters::{admin, bury};
use streamherd_tests::{Redis, SOON, Truth, Worker, builder, names, queue, recovery};

/// What was told of a partition, and of what belongs to none, since the last look, by name and other labels: a look takes
/// it away.
fn told(snapshotter: &Snapshotter, partition: u16) -> BTreeMap<String, f64> {
    let mut found = BTreeMap::new();
    for (key, _, _, value) in snapshotter.snapshot().into_vec() {
        let (_, key) = key.into_parts();
        let partition = partition.to_string();
        if key
            .labels()
            .any(|label| label.key() == "partition" && label.value() != partition)
        {
            continue;
        }
        let labels = key
            .labels()
            .filter(|label| label.key() != "service" && label.key() != "partition");
        let words: Vec<_> = [key.name()]
            .into_iter()
            .chain(labels.map(|label| label.value()))
            .collect();
        match value {
            DebugValue::Gauge(value) => found.insert(words.join(" "), value.into_inner()),
            DebugValue::Counter(value) => found.insert(words.join(" "), value as f64),
            DebugValue::Histogram(_) => None,
        };
    }
    found
}

/// One worker, that holds two streams and can hold no more, of all kinds of work.
#[tokio::test]
async fn every_worker_tells_how_much_waits_where_and_how_old_the_oldest_dead_letter_is() {
    let recorder = DebuggingRecorder::new();
    let snapshotter = recorder.snapshotter();
    let _recording = metrics::set_default_local_recorder(&recorder);
    let server = Redis::start(crate::TOPOLOGY);
    let waiting = server.together("s", 7);
    let partition = server.partition_of(&waiting[0]);
    let mut truth = Truth::at(&server, &waiting[0]);
    truth.make_groups();
    queue(&server, &waiting);
    let producer = builder(&server).connect_producer().await.unwrap();
    producer
        .schedule_after(&server.beside(&waiting[0], ["later"])[0], &(), Duration::from_secs(600))
        .await
        .unwrap();
    // An hour old, and 9 of at most 10.
    let time: u64 = truth.cmd("TIME").strings()[0].parse().unwrap();
    let old = (time - 3_600) * 1_000;
    truth.cmd(&format!("XADD T:dlq {old}-0 lbs-input x _sh_at {old}")).ok();
    bury(&server, &server.beside(&waiting[0], names("dead", 8)), "rejected");

    // What no worker of ours has written is counted anew.
    truth.call(&["HSET", "T:control", "census", "garbage 1 2"]).ok();
    // A worker that scans, and one that does not.
    for scan_interval in [Duration::from_millis(200), Duration::ZERO] {
        let recovery = Recovery {
            scan_interval,
            dlq_max_len: 10,
            ..recovery()
        };
        let mut worker = Worker::with(builder(&server).max_in_flight(2).recovery(recovery)).await;
        let held = worker.added_many(2).await;
        let wanted = [
            ("queue_entries delayed", 1.0..=1.0),
            ("queue_entries pending", 2.0..=2.0),
            ("queue_entries queued", 5.0..=5.0),
            ("queue_entries requeued", 0.0..=0.0),
            ("queue_oldest_seconds queued", 0.001..=600.0),
            ("queue_oldest_seconds requeued", 0.0..=0.0),
            ("dead_letters", 9.0..=9.0),
            ("dlq_fill_ratio", 0.9..=0.9),
            ("dlq_oldest_seconds", 3_600.0..=3_700.0),
        ];
        let mut last = BTreeMap::new();
        let counted = eventually(SOON, "all is counted", || {
            let now = told(&snapshotter, partition);
            if now.get("streamherd_dead_letters").is_some_and(|letters| *letters > 0.0) {
                last = now;
            }
            let right = wanted.iter().all(|(name, range)| {
                let value = last.get(&format!("streamherd_{name}"));
                value.is_some_and(|value| range.contains(value))
            });
            async move { right.then_some(()) }
        });
        counted.await;
        drop(held);
        worker.client.shutdown(Duration::ZERO).await;
        // As it was; the next one counts for itself, as the last census seems to be of the future.
        let future = "9999999999999 0 0 0 0 1 1 1 1";
        truth.call(&["HSET", "T:control", "census", future]).ok();
        truth.cmd("DEL T:input").ok();
        truth.cmd("DEL T:front").ok();
        truth.make_groups();
        queue(&server, &waiting);
    }
    let admin = admin(&server).await;
    let only = DeadLetterFilter::default().reason(streamherd::DeadLetterReason::Rejected);
    admin.redrive(only.clone().limit(3)).finish().await.unwrap();
    admin.redrive(only.clone()).dry_run().finish().await.unwrap();
    admin.purge(only).finish().await.unwrap();
    let told = told(&snapshotter, partition);
    assert_eq!(told["streamherd_redriven_total redriven"], 3.0);
    assert_eq!(told["streamherd_purged_total purged"], 5.0);
}

#[tokio::test]
async fn a_fleet_counts_the_queue_once_for_all() {
    let server = Redis::start(crate::TOPOLOGY);
    let mut truth = Truth::at(&server, "any");
    let mut workers = Vec::new();
    for _ in 0..5 {
        workers.push(Worker::start(&server).await);
    }
    let census = |truth: &mut Truth| truth.cmd("HGET T:control census").text();
    let first = census(&mut truth);
    eventually(SOON, "it is counted again", || {
        let again = census(&mut truth) != first;
        async move { again.then_some(()) }
    })
    .await;
    // Each counting needs one ZCARD; nothing else here does.
    let calls = truth.calls("zcard");
    let partitions = u64::from(server.address().partitions);
    assert!((2..=3 * partitions).contains(&calls), "{calls}");
}
