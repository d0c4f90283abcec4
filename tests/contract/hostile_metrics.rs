//! Nothing that others have written becomes a label: their number must not grow with what a producer sends.

use std::collections::BTreeSet;
use std::time::Duration;

use metrics_util::debugging::DebuggingRecorder;
use streamherd::{DeadLetterFilter, Recovery, RetryAfter};
use streamherd_testkit::eventually;
use streamherd_tests::letters::{admin, bury, outcomes};
use streamherd_tests::{Redis, SCAN, SERVICE, SOON, Truth, Worker, builder, recovery, submit};

/// Every label, and all that it may be.
const LABELS: [(&str, &[&str]); 8] = [
    ("lane", &["input", "front"]),
    ("by", &["scan", "claim"]),
    ("where", &["subscription", "channel"]),
    (
        "state",
        &[
            "queued",
            "requeued",
            "pending",
            "delayed",
            "open",
            "half_open",
            "closed",
        ],
    ),
    (
        "reason",
        &[
            "unparseable",
            "too_large",
            "max_failures",
            "max_abandonments",
            "rejected",
            "deadline_passed",
            "taken_over",
            "data_loss",
            "shutdown",
            "held_too_long",
        ],
    ),
    (
        "kind",
        &[
            "timeout",
            "not_connected",
            "connection_lost",
            "login",
            "tls",
            "denied",
            "out_of_memory",
            "not_ready",
            "epoch_changed",
            "refused",
            "reply",
        ],
    ),
    (
        "operation",
        &[
            // Settlements.
            "done",
            "retry",
            "dead_letter",
            "release",
            // Commands.
            "audit",
            "body",
            "config",
            "connect",
            "info",
            "probe",
            "script_load",
            "subscribe",
            "topology",
            "unblock",
            "wait",
            // Scripts.
            "acquire",
            "census",
            "consumers",
            "deregister",
            "hello",
            "join",
            "letters",
            "list",
            "look",
            "promote",
            "purge",
            "read",
            "reap",
            "redrive",
            "register",
            "renew",
            "renew_one",
            "requeue",
            "restore",
            "settle",
            "status",
            "submit",
            "sweep",
            "sweep_live",
        ],
    ),
    (
        "outcome",
        &[
            "again",
            "alive",
            "coalesced",
            "dead_lettered",
            "disowned",
            "failed",
            "gated",
            "gone",
            "held",
            "invalid",
            "kept",
            "lost",
            "maybe",
            "new",
            "not_durable",
            "ok",
            "paused",
            "purged",
            "reacquired",
            "redriven",
            "refused",
            "requeued",
            "settled",
            "superseded",
            "too_early",
            "too_large",
            "vanished",
            "written",
        ],
    ),
];

#[tokio::test]
async fn no_name_reason_or_consumer_of_others_becomes_a_label() {
    let recorder = DebuggingRecorder::new();
    let snapshotter = recorder.snapshotter();
    let _recording = metrics::set_default_local_recorder(&recorder);
    let server = Redis::start(crate::TOPOLOGY);
    let names = server.together("hostile\u{1b}[2J", 12);
    let mut truth = Truth::at(&server, &names[0]);
    truth.make_groups();
    // Dead letters with a reason of their own, orphans of a consumer of any name, rows and lanes of any kind.
    bury(&server, &names[..4], "hostile reason");
    for name in &names[4..8] {
        let input = serde_json::json!({ "DataStreamName": name }).to_string();
        let fields = [
            "_sh_reason",
            "hostile",
            "_sh_consumer",
            "hostile",
            "_sh_origin",
            "hostile",
            "hostile",
            "hostile",
        ];
        truth
            .call(&[&["XADD", "T:input", "*", "lbs-input", &input][..], &fields[..]].concat())
            .ok();
    }
    let read = [
        "XREADGROUP",
        "GROUP",
        "workers",
        "hostile ghost",
        "STREAMS",
        "T:input",
        ">",
    ];
    truth.call(&read).ok();
    truth.call(&["HSET", "T:consumers", "hostile row", "5 hostile"]).ok();
    truth.call(&["XADD", "T:input", "*", "hostile", "hostile"]).ok();
    let recovery = Recovery {
        sweep_interval: SCAN,
        max_failures: 1,
        ..recovery()
    };
    let mut worker = Worker::with(builder(&server).recovery(recovery)).await;
    submit(&server, &names[8..]).await;
    for turn in 0..8 {
        let lease = worker.added().await;
        match turn % 4 {
            0 => drop(lease.retry(RetryAfter::now().because("hostile")).await.unwrap()),
            1 => drop(lease.dead_letter("hostile").await.unwrap()),
            2 => drop(lease.release().await.unwrap()),
            _ => drop(lease.done().await.unwrap()),
        }
    }
    for _ in 0..2 {
        worker.added().await.done().await.unwrap();
    }
    let admin = admin(&server).await;
    assert!(outcomes(admin.redrive(DeadLetterFilter::default())).await.len() > 4);
    eventually(SOON, "what was redriven waits", || {
        let waits = truth.length() > 0;
        async move { waits.then_some(()) }
    })
    .await;
    outcomes(admin.purge(DeadLetterFilter::default())).await;
    // A census, a sweep, a scan.
    worker.listen_for(Duration::from_secs(2)).await;
    worker.client.shutdown(Duration::ZERO).await;

    let mut seen = BTreeSet::new();
    for (key, ..) in snapshotter.snapshot().into_vec() {
        let (_, key) = key.into_parts();
        for label in key.labels() {
            let (name, value) = (label.key(), label.value());
            let known = match name {
                "service" => value == SERVICE,
                "partition" => value
                    .parse()
                    .is_ok_and(|number: u16| number < server.address().partitions),
                _ => LABELS
                    .iter()
                    .any(|(known, values)| *known == name && values.contains(&value)),
            };
            assert!(known, "{}: {name}={value:?}", key.name());
            seen.insert(format!("{name}={value}"));
        }
    }
    for label in [
        "reason=unparseable",
        "reason=max_failures",
        "outcome=redriven",
        "by=scan",
        "operation=sweep",
    ] {
        assert!(seen.contains(label), "{label} is not among {seen:?}");
    }
}
