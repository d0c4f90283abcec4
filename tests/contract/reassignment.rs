//! How long the streams of a killed worker wait. Promises in seconds are measured in a binary of their own, one row at a
//! time, on a machine that has nothing else to do.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use streamherd::{Builder, KeyspaceEvents, Notification};
use streamherd_tests::{MIN_IDLE, Redis, SCAN, SOON, Truth, Worker, builder, hold, names, queue};
use tokio::sync::mpsc;

const WORKER: &str = env!("CARGO_BIN_EXE_contract-worker");

/// From the kill until a survivor has been given the last orphan.
const BOUND: Duration = MIN_IDLE.saturating_add(SCAN).saturating_add(Duration::from_secs(1));

const ORPHANS: usize = 100;

/// How the survivors may hear of the expired locks.
#[derive(Clone, Copy, PartialEq)]
enum Events {
    On,
    Off,
    /// Subscribed, but the subscription breaks as the worker dies, and Redis does not expire keys by itself.
    Lost,
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn guarantee_4_orphans_are_reassigned_in_time_with_notifications() {
    orphans_are_reassigned(0, Events::On).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn guarantee_4_orphans_are_reassigned_in_time_without_notifications() {
    orphans_are_reassigned(0, Events::Off).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn guarantee_4_orphans_are_reassigned_in_time_when_notifications_are_lost() {
    orphans_are_reassigned(0, Events::Lost).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn guarantee_4_orphans_are_reassigned_in_time_among_20_000_other_keys_with_notifications() {
    orphans_are_reassigned(20_000, Events::On).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn guarantee_4_orphans_are_reassigned_in_time_among_20_000_other_keys_without_notifications() {
    orphans_are_reassigned(20_000, Events::Off).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn guarantee_4_orphans_are_reassigned_in_time_among_20_000_other_keys_when_notifications_are_lost() {
    orphans_are_reassigned(20_000, Events::Lost).await;
}

/// One row of the table: a worker with 100 leases is killed while 5,000 entries wait and two others are at work.
async fn orphans_are_reassigned(other_keys: u32, events: Events) {
    let _row = crate::ALONE.acquire().await.unwrap();
    let server = Redis::start(crate::TOPOLOGY);
    let mut truth = Truth::of(&server);
    let fill = "for i = 1, ARGV[1] do redis.call('SET', 'other:' .. i, i, 'EX', 3600 + i) end";
    truth.call(&["EVAL", fill, "0", &other_keys.to_string()]).ok();
    queue(&server, &names("orphan", ORPHANS));
    queue(&server, &names("later", 5_000));
    let mut victim = hold(WORKER, &server, ORPHANS).await;

    let keyspace = match events {
        Events::Off => KeyspaceEvents::Off,
        _ => KeyspaceEvents::Ensure,
    };
    let (tell, mut told) = mpsc::unbounded_channel();
    for _ in 0..2 {
        let slots = builder(&server).max_in_flight(100).keyspace_events(keyspace);
        tokio::spawn(work_on(slots, tell.clone()));
    }
    let _ = told.recv().await.expect("the survivors are at work");
    if events == Events::Lost {
        server.stop_active_expire();
        truth.kill_subscriptions();
    }

    victim.process.kill();
    let killed = Instant::now();
    let mut orphans = BTreeSet::new();
    let all = async {
        while orphans.len() < ORPHANS {
            let (stream, attempt) = told.recv().await.expect("the survivors are at work");
            if stream.starts_with("orphan") {
                assert_eq!(attempt, 1, "{stream}");
                assert!(orphans.insert(stream), "given twice");
            }
        }
    };
    let _ = tokio::time::timeout(SOON, all).await;
    let took = killed.elapsed();
    println!("re-assigned {} of {ORPHANS} in {took:?}", orphans.len());
    assert_eq!(orphans.len(), ORPHANS);
    assert!(took <= BOUND, "re-assigned after {took:?}, not within {BOUND:?}");
    assert!(truth.cmd("XLEN T:input").int() > 1_000, "before the backlog");
}

/// Works on each stream for a moment, and claims what it hears of.
async fn work_on(worker: Builder, tell: mpsc::UnboundedSender<(String, u32)>) {
    let (client, mut notifications) = worker.connect().await.unwrap();
    while let Some(notification) = notifications.recv().await {
        match notification {
            Notification::StreamAdded(lease) => {
                let _ = tell.send((lease.stream().to_owned(), lease.attempt()));
                tokio::spawn(async move {
                    // The work itself: it keeps the queue long and slots coming free.
                    tokio::time::sleep(Duration::from_millis(400)).await;
                    lease.done().await.unwrap();
                });
            }
            Notification::StreamExpired(orphan) => drop(client.claim(&orphan).await),
            other => panic!("{other:?}"),
        }
    }
}

#[tokio::test]
async fn guarantee_4_workers_that_start_when_all_others_were_killed_take_over_everything() {
    let _row = crate::ALONE.acquire().await.unwrap();
    let server = Redis::start(crate::TOPOLOGY);
    let mut truth = Truth::of(&server);
    queue(&server, &names("s", 30));
    let mut dead = Vec::new();
    for _ in 0..3 {
        dead.push(hold(WORKER, &server, 10).await);
    }
    assert_eq!(truth.pending_count(), 30);
    for worker in &mut dead {
        worker.process.kill();
    }
    let killed = Instant::now();
    let mut worker = Worker::deaf(&server).await;
    let leases = worker.added_many(30).await;
    let took = killed.elapsed();
    println!("taken over in {took:?}");
    assert!(took <= BOUND, "taken over after {took:?}, not within {BOUND:?}");
    let streams: BTreeSet<_> = leases.iter().map(|lease| lease.stream().to_owned()).collect();
    assert_eq!(streams, names("s", 30).into_iter().collect());
    for lease in leases {
        lease.done().await.unwrap();
    }
    assert!(truth.is_clean());
}
