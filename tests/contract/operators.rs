//! What operators see: status, leases; and what they switch: pause, resume.

use std::collections::BTreeSet;
use std::time::Duration;

use streamherd::{Admin, Builder, ConsumerState, KeyspaceEvents, LeaseState, PauseTarget, Recovery, RetryAfter};
use streamherd_testkit::eventually;
use streamherd_tests::{Reachable, Redis, SOON, TTL, Truth, Worker, builder, names, queue, recovery, submit};

/// A worker that leaves orphans alone.
fn quiet(at: &(impl Reachable + ?Sized)) -> Builder {
    let recovery = Recovery {
        scan_interval: Duration::ZERO,
        ..recovery()
    };
    builder(at).keyspace_events(KeyspaceEvents::Off).recovery(recovery)
}

async fn admin(server: &Redis) -> Admin {
    builder(server).connect_admin().await.unwrap()
}

fn ms(span: Duration) -> u64 {
    u64::try_from(span.as_millis()).unwrap()
}

#[tokio::test]
async fn an_unused_service_and_a_drained_one_can_be_told_apart() {
    let server = Redis::start(crate::TOPOLOGY);
    let admin = admin(&server).await;
    // A pause under a misspelt name doesn't make it one that was used.
    admin.pause(&PauseTarget::Service).await.unwrap();
    let unused = admin.status().await.unwrap();
    assert!(!unused.used && unused.paused_ms.is_some() && unused.consumers.is_empty());
    admin.resume(&PauseTarget::Service).await.unwrap();

    submit(&server, ["a"]).await;
    assert!(admin.status().await.unwrap().used);
    let mut worker = Worker::start(&server).await;
    worker.added().await.done().await.unwrap();
    worker.client.shutdown(Duration::ZERO).await;
    let drained = admin.status().await.unwrap();
    let counts = (
        drained.queued,
        drained.requeued,
        drained.pending,
        drained.delayed,
        drained.dead_letters,
    );
    assert_eq!((drained.used, counts), (true, (0, 0, 0, 0, 0)));
    assert!(drained.paused_ms.is_none() && drained.consumers.is_empty());
    assert_eq!((drained.queued_oldest_ms, drained.delayed_next_ms), (None, None));
}

#[tokio::test]
async fn the_status_of_a_busy_service_counts_everything_where_it_is() {
    let server = Redis::start(crate::TOPOLOGY);
    let mut truth = Truth::at(&server, "orphan");
    let admin = admin(&server).await;
    truth.make_groups();
    submit(&server, ["orphan"]).await;
    truth.abandon();
    let mut worker = Worker::with(quiet(&server).max_in_flight(2)).await;
    submit(&server, ["dead"]).await;
    worker.added().await.dead_letter("no").await.unwrap();
    submit(&server, ["held-1", "held-2"]).await;
    let held = worker.added_many(2).await;
    submit(&server, names("queued", 3)).await;
    truth
        .cmd("XADD T:front 5-1 lbs-input {\"DataStreamName\":\"back\"}")
        .ok();
    let producer = builder(&server).connect_producer().await.unwrap();
    for (name, seconds) in [("later", 600), ("soon", 60)] {
        let delay = Duration::from_secs(seconds);
        producer.schedule_after(name, &1, delay).await.unwrap();
    }
    truth
        .call(&[
            "HSET",
            "T:consumers",
            "silent.aaaaaaaa",
            r#"1 {"host":"h","lock_ttl_ms":6000}"#,
        ])
        .ok();
    admin.pause(&PauseTarget::Consumer("w".to_owned())).await.unwrap();

    let status = eventually(SOON, "the worker has said that it holds two", || async {
        let status = admin.status().await.unwrap();
        let held = |row: &streamherd::ConsumerStatus| row.registration.as_ref().is_some_and(|r| r.held == 2);
        status.consumers.iter().any(held).then_some(status)
    })
    .await;
    let counts = (
        status.queued,
        status.requeued,
        status.pending,
        status.delayed,
        status.dead_letters,
    );
    assert_eq!((status.used, counts), (true, (3, 1, 3, 2, 1)));
    assert!(status.queued_oldest_ms.unwrap() < ms(SOON), "{status:?}");
    assert!(status.requeued_oldest_ms.unwrap() > ms(SOON), "its id is of 1970");
    assert!((1..=60_000).contains(&status.delayed_next_ms.unwrap()), "{status:?}");
    assert_eq!(status.paused_ms, None);
    assert_eq!(status.pauses.len(), 1);
    assert_eq!(status.pauses[0].consumer, "w");

    let rows: Vec<_> = status
        .consumers
        .iter()
        .map(|row| (row.state, row.paused, row.pending))
        .collect();
    assert_eq!(
        rows,
        [
            (ConsumerState::Unregistered, false, 1),
            (ConsumerState::Silent, false, 0),
            (ConsumerState::Alive, true, 2)
        ],
        "the ghost, the silent one and the worker"
    );
    assert!(status.consumers[0].registration.is_none() && status.consumers[1].idle_ms.is_none());
    let row = &status.consumers[2];
    assert_eq!(row.consumer, worker.client.consumer().as_str());
    let about = row.registration.as_ref().unwrap();
    assert_eq!(
        (about.capacity, about.pid, about.lock_ttl_ms),
        (2, std::process::id(), ms(TTL))
    );
    assert_eq!(about.version, env!("CARGO_PKG_VERSION"));
    assert!(!about.host.is_empty() && about.started_ms > 0 && about.seen_ms <= ms(TTL));
    let json = serde_json::to_value(&status).unwrap();
    assert_eq!(
        (&json["consumers"][2]["held"], &json["consumers"][2]["state"]),
        (&2.into(), &"alive".into())
    );
    drop(held);
}

#[tokio::test]
async fn leases_tell_who_has_what_since_when_and_how_often() {
    let server = Redis::start(crate::TOPOLOGY);
    let mut truth = Truth::at(&server, "held");
    let admin = admin(&server).await;
    truth.make_groups();
    assert_eq!(admin.leases(10).await.unwrap(), []);
    for body in ["orphan", "garbage", "hash", "deleted"] {
        truth
            .cmd(&format!(
                "XADD T:input * lbs-input {{\"DataStreamName\":\"{body}\"}} _sh_abandonments 2 _retry_count 2"
            ))
            .ok();
    }
    // As a producer may write it whose language sorts the keys otherwise.
    let long = format!(r#"{{"Info":"{}","DataStreamName":"info first"}}"#, "x".repeat(20_000));
    truth.call(&["XADD", "T:input", "*", "lbs-input", &long]).ok();
    truth.cmd("XADD T:input * other x").ok();
    let ids: Vec<String> = (0..6).map(|_| truth.abandon()).collect();
    truth.cmd(&format!("SET T:lock:{} garbage PX 60000", ids[1])).ok();
    truth.cmd(&format!("HSET T:lock:{} a b", ids[2])).ok();
    truth.cmd(&format!("PEXPIRE T:lock:{} 60000", ids[2])).ok();
    truth.cmd(&format!("XDEL T:input {}", ids[3])).ok();
    let mut worker = Worker::with(quiet(&server)).await;
    submit(&server, ["held"]).await;
    worker.added().await.retry(RetryAfter::now()).await.unwrap();
    let held = worker.added().await;

    let leases = admin.leases(100).await.unwrap();
    let seen: Vec<_> = leases
        .iter()
        .map(|lease| (lease.stream.as_deref(), lease.state))
        .collect();
    assert_eq!(
        seen,
        [
            (Some("held"), LeaseState::Leased),
            (Some("orphan"), LeaseState::Orphan),
            (Some("garbage"), LeaseState::Leased),
            (Some("hash"), LeaseState::Leased),
            (None, LeaseState::Orphan),
            (Some("info first"), LeaseState::Orphan),
            (None, LeaseState::Orphan),
        ]
    );
    let one = &leases[0];
    assert_eq!((one.entry, one.token), (held.id(), Some(held.token())));
    assert_eq!(one.consumer, worker.client.consumer().as_str());
    assert_eq!((one.attempt, one.failures, one.abandonments), (1, 1, 0));
    assert!(one.remaining_ms > 0 && one.remaining_ms <= ms(TTL));
    assert!(one.age_ms >= one.pending_ms && one.age_ms < ms(SOON), "{one:?}");
    let orphan = &leases[1];
    assert_eq!(
        (orphan.consumer.as_str(), orphan.remaining_ms, orphan.token),
        ("ghost", 0, None)
    );
    assert_eq!((orphan.attempt, orphan.abandonments), (2, 2));
    assert!(orphan.pending_ms >= 3_600_000);
    assert!(leases[2..].iter().all(|lease| lease.token.is_none()));
    let json = serde_json::to_value(one).unwrap();
    assert_eq!(json["token"], held.token().to_string());
    assert_eq!(
        (&json["id"], &json["state"]),
        (&held.id().to_string().into(), &"leased".into())
    );
    held.done().await.unwrap();
}

#[tokio::test]
async fn many_and_large_leases_are_told_once_each_and_in_pages() {
    let server = Redis::start(crate::TOPOLOGY);
    let all = server.together("s", 1_450);
    let mut truth = Truth::at(&server, &all[0]);
    let admin = admin(&server).await;
    truth.make_groups();
    queue(&server, &all);
    let large = format!(r#"{{"DataStreamName":"large","Info":"{}"}}"#, "x".repeat(1_000_000));
    for lane in ["input", "front"] {
        for _ in 0..25 {
            truth
                .call(&["XADD", &format!("T:{lane}"), "*", "lbs-input", &large])
                .ok();
        }
        truth
            .cmd(&format!("XREADGROUP GROUP workers ghost COUNT 2000 STREAMS T:{lane} >"))
            .ok();
    }
    let leases = admin.leases(usize::MAX).await.unwrap();
    let ids: BTreeSet<_> = leases.iter().map(|lease| lease.entry).collect();
    assert_eq!((leases.len(), ids.len()), (1_500, 1_500));
    let large = leases.iter().filter(|lease| lease.stream.as_deref() == Some("large"));
    assert_eq!(large.count(), 50);
    let some = admin.leases(150).await.unwrap();
    assert!(
        some.iter()
            .map(|lease| lease.entry)
            .eq(leases[..150].iter().map(|lease| lease.entry))
    );
    assert_eq!(admin.leases(0).await.unwrap(), []);
}

#[tokio::test]
async fn a_service_a_name_and_one_consumer_can_be_paused_and_resumed() {
    let server = Redis::start(crate::TOPOLOGY);
    let admin = admin(&server).await;
    let mut worker = Worker::start(&server).await;
    let id = worker.client.consumer().to_string();
    let targets = [
        PauseTarget::Service,
        PauseTarget::Consumer("w".to_owned()),
        PauseTarget::Consumer(id.clone()),
    ];
    let paused = async || {
        admin
            .status()
            .await
            .unwrap()
            .consumers
            .iter()
            .any(|row| row.consumer == id && row.paused)
    };
    for target in targets {
        assert!(admin.pause(&target).await.unwrap());
        assert!(!admin.pause(&target).await.unwrap(), "once is enough");
        assert!(paused().await, "{target:?}");
        submit(&server, ["a"]).await;
        eventually(SOON, "the worker knows", || {
            let paused = worker.client.health().paused;
            async move { paused.then_some(()) }
        })
        .await;
        assert_eq!(
            worker.listen_for(Duration::from_millis(300)).await.unasked(),
            0,
            "{target:?}"
        );
        assert!(admin.resume(&target).await.unwrap());
        assert!(!admin.resume(&target).await.unwrap());
        let lease = worker.added().await;
        assert_eq!(lease.attempt(), 0, "a pause costs nothing");
        lease.done().await.unwrap();
        assert!(!paused().await);
    }
    for nobody in ["", "v", "w."] {
        let nobody = PauseTarget::Consumer(nobody.to_owned());
        admin.pause(&nobody).await.unwrap();
        assert!(!paused().await, "{nobody:?}");
    }
    assert_eq!(admin.status().await.unwrap().pauses.len(), 2, "no name is nobody");
    submit(&server, ["b"]).await;
    worker.added().await.done().await.unwrap();
}
