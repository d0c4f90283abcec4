//! What the library counts, read back from the one recorder that a process can have.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use metrics_util::MetricKind;
use metrics_util::debugging::{DebugValue, DebuggingRecorder};
use streamherd::{Builder, KeyspaceEvents, RetryAfter};
use streamherd_testkit::eventually;
use streamherd_tests::{ANSWER, BEAT, Redis, SOON, TTL, Truth, Worker, recovery};

/// Not the service of the other tests, which count into the same recorder.
const SERVICE: &str = "metered";
/// Part of every stream's name and info here.
const SECRET: &str = "alice-s-session";

fn metered(server: &Redis) -> Builder {
    let mut recovery = recovery();
    recovery.dlq_max_len = 100;
    server
        .service(SERVICE)
        .consumer("w")
        .lock_ttl(TTL)
        .heartbeat(BEAT)
        .command_timeout(ANSWER)
        .read_block(Duration::from_secs(1))
        .keyspace_events(KeyspaceEvents::Off)
        .recovery(recovery)
}

#[tokio::test]
async fn every_step_is_counted_by_service_and_outcome_and_never_by_stream() {
    let recorder = DebuggingRecorder::new();
    let snapshotter = recorder.snapshotter();
    recorder.install().expect("nobody else installs one");
    let server = Redis::start(crate::TOPOLOGY);
    let all = server.together(SECRET, 22);
    let name = |n: usize| all[n].clone();
    let mut truth = Truth::of_service(&server, SERVICE, &all[0]);

    let mut worker = Worker::with(metered(&server).max_in_flight(4)).await;
    let producer = metered(&server).connect_producer().await.unwrap();
    producer.submit("", &()).await.unwrap_err();
    for n in 0..4 {
        producer.submit(&name(n), &name(n)).await.unwrap();
    }
    let mut leases = worker.added_many(4).await;
    leases.sort_by_key(|lease| lease.stream().to_owned());
    let mut leases = leases.into_iter();
    let mut next = || leases.next().unwrap();
    // A heartbeat or more, and a scan or more.
    worker.listen_for(TTL / 2).await;
    next().done().await.unwrap();
    next().dead_letter(SECRET).await.unwrap();
    next().retry(RetryAfter::now().because(SECRET)).await.unwrap();
    worker.added().await.done().await.unwrap();
    next().release().await.unwrap();
    worker.added().await.done().await.unwrap();

    // Poison, and enough of it that the dead letters are trimmed. Somebody with more slots helps, as a
    // worker with few reads one busy partition of six slowly.
    let helper = Worker::with(metered(&server)).await;
    for _ in 0..250 {
        truth.call(&["XADD", "T:input", "*", "lbs-input", SECRET]).ok();
    }
    eventually(SOON, "the poison is buried", || {
        let left = truth.cmd("XLEN T:input").int();
        async move { (left == 0).then_some(()) }
    })
    .await;
    helper.client.shutdown(Duration::ZERO).await;
    // Two orphans, one of them without a body, whose owner had no lock.
    let mut busy = Vec::new();
    for n in 10..14 {
        producer.submit(&name(n), &()).await.unwrap();
        busy.push(worker.added().await);
    }
    for n in 20..22 {
        producer.submit(&name(n), &()).await.unwrap();
    }
    let read = truth.cmd("XREADGROUP GROUP workers ghost STREAMS T:input >").array();
    let gone = read[0].array()[1].array()[0].array()[0].text();
    truth.cmd(&format!("XDEL T:input {gone}")).ok();
    for lease in busy {
        lease.done().await.unwrap();
    }
    let orphan = worker.added().await;
    assert_eq!(orphan.abandonments(), 1);
    orphan.done().await.unwrap();
    worker.client.shutdown(Duration::ZERO).await;

    let mut counters: BTreeMap<String, u64> = BTreeMap::new();
    let mut others = BTreeSet::new();
    for (key, _, _, value) in snapshotter.snapshot().into_vec() {
        let (kind, key) = key.into_parts();
        let mut labels: Vec<(&str, &str)> = key.labels().map(|label| (label.key(), label.value())).collect();
        if !labels.contains(&("service", SERVICE)) {
            continue;
        }
        assert!(key.name().starts_with("streamherd_"), "{}", key.name());
        for (label, value) in &labels {
            let known = [
                "service",
                "outcome",
                "operation",
                "kind",
                "lane",
                "reason",
                "by",
                "where",
                "state",
                "partition",
            ];
            assert!(known.contains(label), "{} has a label {label}", key.name());
            assert!(
                !value.contains(SECRET) && !value.contains("-0"),
                "{}: {label}={value}",
                key.name()
            );
        }
        labels.retain(|(label, _)| *label != "service" && *label != "partition");
        labels.sort_unstable();
        let labels: Vec<_> = labels.iter().map(|(_, value)| *value).collect();
        let name = [&[key.name().trim_start_matches("streamherd_")], labels.as_slice()]
            .concat()
            .join(" ");
        match (kind, value) {
            (MetricKind::Counter, DebugValue::Counter(n)) => {
                // The sum over the partitions.
                *counters.entry(name).or_default() += n;
            }
            _ => {
                others.insert(name);
            }
        }
    }
    println!("{counters:#?}\n{others:#?}");
    let count = |name: &str| counters.get(name).copied().unwrap_or_default();
    let exactly = [
        ("submitted_total new", 10),
        ("submitted_total invalid", 1),
        ("read_total input", 4 + 250 + 4),
        ("read_total front", 3),
        ("acquired_total ok", 4 + 2 + 4 + 1),
        // Labels in the order of their names: operation, then outcome.
        ("settled_total done ok", 3 + 4 + 1),
        ("settled_total dead_letter dead_lettered", 1 + 250),
        ("settled_total retry ok", 1),
        ("settled_total release ok", 1),
        ("dead_lettered_total rejected", 1),
        ("dead_lettered_total unparseable", 250),
        ("requeued_total scan requeued", 1),
        ("requeued_total scan vanished", 1),
        ("vanished_total", 1),
        ("disowned_total shutdown", 0),
    ];
    for (name, wanted) in exactly {
        assert_eq!(count(name), wanted, "{name}");
    }
    for name in ["renewed_total kept", "scans_total ok"] {
        assert!(count(name) > 0, "{name}");
    }
    let left = truth.cmd("XLEN T:dlq").int();
    assert_eq!(count("dlq_trimmed_total"), 251 - u64::try_from(left).unwrap());
    assert!(count("dlq_trimmed_total") > 0);
    for name in [
        "store_seconds settle",
        "lease_seconds",
        "orphan_idle_seconds scan",
        "leases_held",
        "slots_free",
    ] {
        assert!(others.contains(name), "{name} is missing");
    }
}
