//! Runs in which Redis is well.

use std::time::Duration;

use streamherd::error::ClaimError;
use streamherd::{
    BoxError, Client, DeadLetterFilter, Duplicates, Durability, Job, Outcome, Progress, Recovery, RetryAfter,
    RetryPolicy,
};
use streamherd_testkit::eventually;
use streamherd_tests::letters::{admin, bury, outcomes};
use streamherd_tests::{
    Handling, Redis, SCAN, SOON, Topology, Truth, Worker, WorkerProcess, builder, names, recovery, submit,
};

const WORKER: &str = env!("CARGO_BIN_EXE_contract-worker");

/// Handlers that end in each way, and what they are submitted by.
pub(crate) async fn handlers_of_every_outcome() {
    let server = Redis::start(Topology::Standalone);
    let mut truth = Truth::of(&server);
    let recovery = Recovery {
        max_failures: 2,
        ..recovery()
    };
    let handler = async |job: Job| match job.stream() {
        "reject" => Ok(Outcome::dead_letter("no")),
        "release" if job.attempt() == 0 => Ok(Outcome::Release),
        "error" => Err(BoxError::from("no")),
        "panic" => panic!("on purpose"),
        "stopped" => {
            job.stop().cancelled().await;
            Err("stopped".into())
        }
        _ => Ok(Outcome::Done),
    };
    let handling = Handling::start(builder(&server).recovery(recovery), Duration::ZERO, |worker| {
        let policy = RetryPolicy {
            first: Duration::from_millis(10),
            longest: Duration::from_millis(10),
        };
        worker.retry(policy).run(handler)
    })
    .await;
    let producer = builder(&server).connect_producer().await.unwrap();
    for name in ["done", "reject", "error", "panic"] {
        producer.submit(name, &()).await.unwrap();
    }
    producer
        .schedule_after("later", &(), Duration::from_millis(50))
        .await
        .unwrap();
    producer.submit("", &()).await.unwrap_err();
    let parallel = producer.clone().duplicates(Duplicates::Parallel);
    parallel.submit("done", &()).await.unwrap();
    let durable = producer.durability(Durability::Replicas {
        count: 1,
        within: Duration::from_millis(10),
    });
    durable.submit("alone", &()).await.unwrap_err();
    eventually(SOON, "all have ended", || {
        let ended = truth.dead_letters().len() == 3 && truth.length() == 0 && truth.cmd("ZCARD T:delayed").int() == 0;
        async move { ended.then_some(()) }
    })
    .await;
    submit(&server, ["stopped", "stopped"]).await;
    eventually(SOON, "it is held", || {
        let held = !truth.locks().is_empty();
        async move { held.then_some(()) }
    })
    .await;
    handling.client.pause().await.unwrap();
    handling.end().await;
}

/// Operators: dead letters, looks, pauses.
pub(crate) async fn operators() {
    let server = Redis::start(Topology::Standalone);
    bury(&server, &names("dead", 6), "rejected");
    let admin = admin(&server).await;
    let all = DeadLetterFilter::default();
    outcomes(admin.redrive(all.clone().limit(3))).await;
    outcomes(admin.purge(all)).await;
    admin.status().await.unwrap();
    admin.delayed_page(None, 1).await.unwrap();
    let mut worker = Worker::with(builder(&server)).await;
    submit(&server, ["a"]).await;
    let lease = worker.added().await;
    lease.report(Progress::of(0.5));
    eventually(SOON, "what was reported is told", || async {
        let leases = admin.leases(10).await.unwrap();
        leases.iter().any(|lease| lease.progress.is_some()).then_some(())
    })
    .await;
    lease.done().await.unwrap();
}

/// More poison than dead letters are kept.
pub(crate) async fn trimmed_dead_letters() {
    let server = Redis::start(Topology::Standalone);
    let mut truth = Truth::of(&server);
    let recovery = Recovery {
        dlq_max_len: 100,
        ..recovery()
    };
    let _worker = Worker::with(builder(&server).recovery(recovery)).await;
    for _ in 0..250 {
        truth.call(&["XADD", "T:input", "*", "lbs-input", "poison"]).ok();
    }
    eventually(SOON, "the poison is buried", || {
        let buried = truth.length() == 0;
        async move { buried.then_some(()) }
    })
    .await;
}

/// Streams of dead workers, found by scans and by whoever hears of them.
pub(crate) async fn orphans() {
    let server = Redis::start(Topology::Standalone);
    let mut truth = Truth::of(&server);
    let sweeping = Recovery {
        sweep_interval: SCAN,
        reap_after: Duration::from_millis(100),
        ..recovery()
    };
    submit(&server, ["a", "b"]).await;
    let mut dead = WorkerProcess::start(WORKER, &server, &["then=hold", "slots=2"]);
    dead.says_times("added", 2).await;
    dead.process.kill();
    let mut worker = Worker::with(builder(&server).recovery(sweeping)).await;
    for lease in worker.added_many(2).await {
        assert_eq!(lease.abandonments(), 1);
        lease.done().await.unwrap();
    }
    eventually(SOON, "the dead one's name is gone", || {
        let alone = truth
            .cmd("HKEYS T:consumers")
            .strings()
            .iter()
            .filter(|row| !row.ends_with(":last"))
            .count()
            == 1;
        async move { alone.then_some(()) }
    })
    .await;

    // Whoever does not scan claims.
    let server = Redis::start(Topology::Standalone);
    let mut truth = Truth::of(&server);
    let unscanned = Recovery {
        scan_interval: Duration::from_secs(600),
        ..recovery()
    };
    submit(&server, ["c"]).await;
    let mut dead = WorkerProcess::start(WORKER, &server, &["then=hold", "slots=1"]);
    dead.says("added").await;
    let mut worker = Worker::with(builder(&server).recovery(unscanned)).await;
    dead.process.kill();
    let id = truth.pending("input").remove(0).id;
    eventually(SOON, "its lock is gone", || {
        // Asking is what Redis tells of.
        let gone = truth.cmd(&format!("EXISTS T:lock:{id}")).int() == 0;
        async move { gone.then_some(()) }
    })
    .await;
    let orphan = worker.expired().await;
    match worker.client.claim(&orphan).await {
        // The scan that comes with a new subscription may have been first.
        Ok(_) | Err(ClaimError::AlreadyClaimed(_)) => {}
        Err(e) => panic!("{e}"),
    }
    let lease = worker.added().await;
    lease.retry(RetryAfter::now()).await.unwrap();
}

/// Other programs that delete bodies, strand entries, take streams away and reset.
pub(crate) async fn other_programs() {
    let server = Redis::start(Topology::Standalone);
    let mut truth = Truth::of(&server);
    truth.make_groups();
    let sweeping = Recovery {
        sweep_interval: SCAN,
        ..recovery()
    };
    submit(&server, names("s", 3)).await;
    for _ in 0..3 {
        truth.abandon();
    }
    let ids: Vec<_> = truth.pending("input").into_iter().map(|pending| pending.id).collect();
    truth.cmd(&format!("XDEL T:input {}", ids[0])).ok();
    truth.cmd(&format!("XACK T:input workers {}", ids[1])).ok();
    let mut worker = Worker::with(builder(&server).recovery(sweeping)).await;
    let mut leases = worker.added_many(2).await;
    let taken = leases.remove(0);
    let (lane, id) = (taken.id().lane, taken.id());
    let thief = format!("SET T:lock:{id} thief PX 60000");
    assert!(!matches!(lane, streamherd::Lane::Input), "both were handed out before");
    truth.cmd(&thief).ok();
    worker.disowned().await;
    taken.done().await.unwrap_err();
    hold_too_long(&worker.client, leases).await;
}

/// Leases that are left at a shutdown.
async fn hold_too_long(client: &Client, leases: Vec<streamherd::Lease>) {
    client.shutdown(Duration::ZERO).await;
    drop(leases);
}
