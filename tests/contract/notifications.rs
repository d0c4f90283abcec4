//! Keyspace notifications: what they tell, what they are worth, and that nothing depends on them.

use std::time::{Duration, Instant};

use serde_json::{Value, json};
use streamherd::error::ClaimError;
use streamherd::{Builder, Claimed, KeyspaceEvents};
use streamherd_testkit::{Fault, Matcher, eventually};
use streamherd_tests::{
    MIN_IDLE, Redis, SCAN, SOON, Stopwatch, TTL, Truth, Worker, WorkerProcess, builder, names, plain, queue, recovery,
};

const WORKER: &str = env!("CARGO_BIN_EXE_contract-worker");

/// A worker that never scans by the clock: only once when it starts and once with each subscription.
fn unscanned(server: &Redis, interval: Duration) -> Builder {
    let mut recovery = recovery();
    recovery.scan_interval = interval;
    builder(server).recovery(recovery)
}

/// Has a consumer that is none of ours read everything, and set no lock.
fn read_by_a_ghost(truth: &mut Truth) -> Vec<String> {
    truth.cmd("XREADGROUP GROUP workers ghost STREAMS T:input >").ok();
    let pending = truth.pending("input");
    pending
        .into_iter()
        .filter(|p| p.consumer == "ghost")
        .map(|p| p.id)
        .collect()
}

async fn flags_become(truth: &mut Truth, wanted: &str) {
    eventually(SOON, "the flags are set", || {
        let set = flags(truth) == sorted(wanted);
        async move { set.then_some(()) }
    })
    .await;
}

fn flags(truth: &mut Truth) -> String {
    sorted(&truth.cmd("CONFIG GET notify-keyspace-events").strings()[1])
}

fn sorted(letters: &str) -> String {
    let mut letters: Vec<char> = letters.chars().collect();
    letters.sort_unstable();
    letters.into_iter().collect()
}

#[tokio::test]
async fn an_expired_lock_is_told_with_name_info_attempt_and_owner_and_may_be_claimed_at_once() {
    let server = Redis::start(crate::TOPOLOGY);
    let mut truth = Truth::at(&server, "s");
    let input = json!({ "DataStreamName": "s", "Info": { "plan": "pro" } }).to_string();
    let id = truth
        .call(&["XADD", "T:input", "*", "lbs-input", &input, "_retry_count", "2"])
        .text();
    let mut victim = WorkerProcess::start(WORKER, &server, &["then=hold", "slots=1"]);
    let owner = victim.says("ready").await["consumer"].as_str().unwrap().to_owned();
    victim.says("added").await;
    let mut worker = Worker::with(unscanned(&server, Duration::ZERO)).await;
    victim.process.kill();
    let killed = Instant::now();

    let orphan = worker.expired().await;
    assert_eq!(
        (orphan.stream(), orphan.attempt(), orphan.owner()),
        ("s", 2, owner.as_str())
    );
    assert_eq!(orphan.info::<Value>().unwrap(), json!({ "plan": "pro" }));
    assert_eq!(
        (orphan.id().to_string(), orphan.original_id().to_string()),
        (id.clone(), id)
    );
    assert!(orphan.idle() >= TTL - Duration::from_millis(100), "{:?}", orphan.idle());
    let claimed = worker.client.claim(&orphan).await.unwrap();
    let lease = worker.added().await;
    println!("claimed {:?} after the kill", killed.elapsed());
    assert_eq!(Claimed::Requeued(lease.id()), claimed);
    assert_eq!((lease.attempt(), lease.abandonments()), (3, 1));
    lease.done().await.unwrap();
    assert!(truth.is_clean());
}

#[tokio::test]
async fn only_what_is_still_pending_and_without_a_lock_is_told() {
    let server = Redis::start(crate::TOPOLOGY);
    let names = server.beside("busy", names("s", 3));
    let mut truth = Truth::at(&server, "busy");
    let mut worker = Worker::with(unscanned(&server, Duration::ZERO).max_in_flight(1)).await;
    queue(&server, &["busy".to_owned()]);
    let busy = worker.added().await;
    queue(&server, &names);
    let ids = read_by_a_ghost(&mut truth);
    let lock = |id: &str| format!("T:lock:{id}");
    // Finished, never there, not a lock, not an entry's, another service's, and the third for real.
    truth.cmd(&format!("XACK T:input workers {}", ids[0])).ok();
    let others = [
        lock(&ids[0]),
        lock("7-7"),
        lock("x"),
        "T:other".to_owned(),
        format!("others:{}", truth.key("lock:7-7")),
    ];
    for key in others.iter().chain([&lock(&ids[2])]) {
        truth.call(&["SET", key, "ghost:1", "PX", "50"]).ok();
    }
    let orphan = worker.expired().await;
    assert_eq!((plain(orphan.stream()), orphan.owner()), ("s-2", "ghost"));
    eventually(SOON, "all of them have expired", || {
        let left = truth.cmd("KEYS *lock:*").strings().len();
        async move { (left == 1).then_some(()) }
    })
    .await;
    let mut hints = 0;
    // The second one's lock expires last: what is told before it is all there was.
    truth.call(&["SET", &lock(&ids[1]), "ghost:2", "PX", "50"]).ok();
    while plain(worker.expired().await.stream()) != "s-1" {
        hints += 1;
    }
    assert_eq!(hints, 0);
    busy.done().await.unwrap();
}

#[tokio::test]
async fn a_claim_that_comes_too_early_says_how_long_to_wait() {
    let server = Redis::start(crate::TOPOLOGY);
    let mut truth = Truth::at(&server, "busy");
    let mut worker = Worker::with(unscanned(&server, Duration::ZERO).max_in_flight(1)).await;
    queue(&server, &["busy".to_owned()]);
    let busy = worker.added().await;
    queue(&server, &server.beside("busy", ["s"]));
    let id = read_by_a_ghost(&mut truth).remove(0);
    let lock = format!("T:lock:{id}");
    truth.call(&["SET", &lock, "ghost:1", "PX", "50"]).ok();
    let orphan = worker.expired().await;

    let mut idle = || {
        let record = truth
            .cmd(&format!("XPENDING T:input workers {id} {id} 1"))
            .array()
            .remove(0);
        Duration::from_millis(u64::try_from(record.array()[2].int()).unwrap())
    };
    let before = idle();
    let Err(ClaimError::TooEarly { wait, .. }) = worker.client.claim(&orphan).await else {
        panic!("it was read a moment ago");
    };
    let full = TTL - Duration::from_millis(100);
    assert!((full - idle()..=full - before).contains(&wait), "{wait:?}");
    let told = tokio::time::Instant::now();
    truth.call(&["SET", &lock, "ghost:1", "PX", "60000"]).ok();
    assert!(matches!(
        worker.client.claim(&orphan).await,
        Err(ClaimError::StillAlive(_))
    ));
    truth.call(&["DEL", &lock]).ok();
    tokio::time::sleep_until(told + wait).await;
    worker
        .client
        .claim(&orphan)
        .await
        .expect("it is in time after that wait");
    assert!(matches!(
        worker.client.claim(&orphan).await,
        Err(ClaimError::AlreadyClaimed(_))
    ));
    busy.done().await.unwrap();
    worker.added().await.done().await.unwrap();
    assert!(truth.is_clean());
}

#[tokio::test]
async fn guarantee_4_an_orphan_that_is_told_and_not_claimed_is_recovered_by_the_scan() {
    let server = Redis::start(crate::TOPOLOGY);
    queue(&server, &names("s", 1));
    let mut victim = WorkerProcess::start(WORKER, &server, &["then=hold", "slots=1"]);
    victim.says("added").await;
    let mut worker = Worker::start(&server).await;
    victim.process.kill();
    let killed = Stopwatch::start();
    let lease = worker.added().await;
    let took = killed.elapsed();
    assert!(took <= MIN_IDLE + SCAN + Duration::from_secs(1), "{took:?}");
    assert_eq!((lease.stream(), lease.attempt()), ("s-0", 1));
    lease.done().await.unwrap();
}

#[tokio::test]
async fn ensure_adds_the_letters_that_are_missing_and_removes_none() {
    for (before, after) in [("Ex", "KEx"), ("", "Kx"), ("AE", "AKE"), ("Kg", "Kgx"), ("KEx", "KEx")] {
        let server = Redis::start(crate::TOPOLOGY);
        let mut truth = Truth::at(&server, "busy");
        truth.call(&["CONFIG", "SET", "notify-keyspace-events", before]).ok();
        let worker = Worker::start(&server).await;
        flags_become(&mut truth, after).await;
        assert_eq!(truth.cmd("PUBSUB NUMPAT").int(), 1);
        worker.client.shutdown(Duration::ZERO).await;
        assert_eq!(flags(&mut truth), sorted(after));
    }
}

#[tokio::test]
async fn ensure_asks_again_where_it_was_not_answered() {
    let server = Redis::start(crate::TOPOLOGY);
    let proxy = server.proxy().await;
    // The first one asks for the eviction policy.
    let loss = proxy.on(Matcher::command("CONFIG GET"), 2, Fault::DropRequest);
    let worker = Worker::start(&proxy).await;
    flags_become(&mut Truth::at(&server, "any"), "Kx").await;
    assert!(loss.fired());
    eventually(SOON, "the worker listens", || {
        let listening = worker.client.health().listening;
        async move { listening.then_some(()) }
    })
    .await;
}

#[tokio::test]
async fn assume_subscribes_and_leaves_the_flags_alone() {
    let server = Redis::start(crate::TOPOLOGY);
    let mut truth = Truth::at(&server, "busy");
    truth.cmd("CONFIG SET notify-keyspace-events Ex").ok();
    let worker = Worker::with(builder(&server).keyspace_events(KeyspaceEvents::Assume)).await;
    assert!(worker.client.health().listening);
    assert_eq!(truth.cmd("PUBSUB NUMPAT").int(), 1);
    assert_eq!(flags(&mut truth), sorted("Ex"));
}

#[tokio::test]
async fn off_neither_subscribes_nor_looks_at_the_flags() {
    let server = Redis::start(crate::TOPOLOGY);
    let mut truth = Truth::at(&server, "busy");
    let proxy = server.proxy().await;
    let looks = Matcher::custom(|command| {
        command.name().contains("SUBSCRIBE")
            || command
                .args()
                .iter()
                .any(|arg| arg.starts_with(b"notify-keyspace-events"))
    });
    let looked = proxy.on(looks, 1, Fault::DropRequest);
    let worker = Worker::deaf(&proxy).await;
    assert!(!worker.client.health().listening);
    assert_eq!(truth.cmd("PUBSUB NUMPAT").int(), 0);
    assert!(!looked.fired());
}

/// A worker with one slot, as a user with these rights.
async fn restricted(server: &Redis, rights: &str) -> Worker {
    let rights = format!("~* {rights}");
    let rights: Vec<String> = rights.split(' ').map(str::to_owned).collect();
    Worker::with(builder(&server.user("limited", &rights)).max_in_flight(1)).await
}

#[tokio::test]
async fn guarantee_4_a_user_without_config_recovers_by_the_scan_and_hears_what_others_configured() {
    let server = Redis::start(crate::TOPOLOGY);
    let mut truth = Truth::at(&server, "busy");
    let mut worker = restricted(&server, "&* +@all -config").await;
    assert!(worker.client.health().listening);
    assert_eq!((truth.cmd("PUBSUB NUMPAT").int(), flags(&mut truth).as_str()), (1, ""));
    recovers_an_orphan(&server, &mut worker).await;

    truth.cmd("CONFIG SET notify-keyspace-events Kx").ok();
    queue(&server, &["busy".to_owned()]);
    let busy = worker.added().await;
    queue(&server, &server.beside("busy", ["told"]));
    let id = read_by_a_ghost(&mut truth).remove(0);
    truth
        .call(&["SET", &format!("T:lock:{id}"), "ghost:1", "PX", "50"])
        .ok();
    assert_eq!(plain(worker.expired().await.stream()), "told");
    busy.done().await.unwrap();
}

#[tokio::test]
async fn guarantee_4_a_user_without_channels_recovers_by_the_scan() {
    let server = Redis::start(crate::TOPOLOGY);
    let mut truth = Truth::at(&server, "busy");
    let mut worker = restricted(&server, "resetchannels +@all").await;
    assert!(!worker.client.health().listening);
    assert_eq!(truth.cmd("PUBSUB NUMPAT").int(), 0);
    recovers_an_orphan(&server, &mut worker).await;
}

async fn recovers_an_orphan(server: &Redis, worker: &mut Worker) {
    let mut truth = Truth::at(server, "busy");
    queue(server, &["busy".to_owned()]);
    let busy = worker.added().await;
    queue(server, &server.beside("busy", ["orphan"]));
    assert_eq!(read_by_a_ghost(&mut truth).len(), 1);
    busy.done().await.unwrap();
    let lease = worker.added().await;
    assert_eq!((plain(lease.stream()), lease.abandonments()), ("orphan", 1));
    lease.done().await.unwrap();
    assert!(truth.is_clean());
}

#[tokio::test]
async fn a_subscription_that_was_killed_is_set_up_anew_and_a_scan_follows() {
    let server = Redis::start(crate::TOPOLOGY);
    let mut truth = Truth::at(&server, "busy");
    // Scans only when something makes it.
    let mut worker = Worker::with(unscanned(&server, Duration::from_secs(3600)).max_in_flight(1)).await;
    queue(&server, &["busy".to_owned()]);
    let busy = worker.added().await;
    queue(&server, &server.beside("busy", ["s"]));
    assert_eq!(read_by_a_ghost(&mut truth).len(), 1);
    eventually(SOON, "the orphan has waited for min_idle", || {
        let due = truth.cmd(&format!(
            "XPENDING T:input workers IDLE {} - + 10 ghost",
            MIN_IDLE.as_millis()
        ));
        let due = due.array().len();
        async move { (due == 1).then_some(()) }
    })
    .await;
    assert_eq!(truth.entries("front").len(), 0, "nobody has scanned");
    assert_eq!(truth.kill_subscriptions(), 1);
    eventually(SOON, "the scan has re-queued the orphan", || {
        let requeued = truth.entries("front").len();
        async move { (requeued == 1).then_some(()) }
    })
    .await;
    assert_eq!(truth.cmd("PUBSUB NUMPAT").int(), 1);
    assert!(worker.client.health().listening);
    busy.done().await.unwrap();
    let lease = worker.added().await;
    assert_eq!((plain(lease.stream()), lease.abandonments()), ("s", 1));

    // And it hears again.
    queue(&server, &server.beside("busy", ["t"]));
    let id = read_by_a_ghost(&mut truth).remove(0);
    truth
        .call(&["SET", &format!("T:lock:{id}"), "ghost:1", "PX", "50"])
        .ok();
    assert_eq!(plain(worker.expired().await.stream()), "t");
    lease.done().await.unwrap();
}
