//! How a client ends: what it held goes to the others at once, and nothing of it is left.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use streamherd::error::{DisownedReason, SettleError};
use streamherd::{Client, Lease, Notification, ShutdownReport};
use streamherd_testkit::{Fault, Matcher, eventually};
use streamherd_tests::{Redis, SOON, Stopwatch, TTL, Truth, Worker, builder, field, names, queue};
use tokio::sync::oneshot;

#[tokio::test]
async fn guarantee_6_shutdown_hands_over_at_once_and_acks_nothing() {
    let server = Redis::start(crate::TOPOLOGY);
    let mut truth = Truth::of(&server);
    queue(&server, &names("s", 5));
    let mut leaving = Worker::with(builder(&server).max_in_flight(5)).await;
    let leases = leaving.added_many(5).await;
    let mut staying = Worker::start(&server).await;

    let began = Stopwatch::start();
    let report = leaving.client.shutdown(Duration::ZERO).await;
    assert_eq!((report.done, report.released, report.abandoned), (0, 5, 0));
    let taken = staying.added_many(5).await;
    let took = began.elapsed();
    assert!(took < TTL / 2, "no lock had to expire, but it took {took:?}");
    assert!(
        taken
            .iter()
            .all(|lease| (lease.attempt(), lease.abandonments(), lease.failures()) == (0, 0, 0))
    );
    let given: BTreeSet<_> = taken.iter().map(|lease| lease.stream().to_owned()).collect();
    assert_eq!(given, names("s", 5).into_iter().collect());

    for lease in leases {
        assert!(!lease.is_valid() && lease.lost().is_cancelled());
        assert_eq!(leaving.disowned().await.reason, DisownedReason::Shutdown);
        let outcome = lease.done().await;
        assert!(matches!(outcome, Err(SettleError::Disowned(_))), "{outcome:?}");
    }
    assert_eq!(leaving.terminated().await, "shut down");
    assert_eq!(
        (truth.length(), truth.pending_count()),
        (5, 5),
        "the late settlements changed nothing"
    );
    for lease in taken {
        lease.done().await.unwrap();
    }
    assert!(truth.is_clean() && truth.dead_letters().is_empty());
}

#[tokio::test]
async fn guarantee_6_what_finishes_before_the_deadline_counts_and_the_rest_is_handed_over() {
    let server = Redis::start(crate::TOPOLOGY);
    let mut truth = Truth::of(&server);
    queue(&server, &names("s", 5));
    let mut worker = Worker::with(builder(&server).max_in_flight(5)).await;
    let mut leases = worker.added_many(5).await;
    let ending = tokio::spawn(shut_down(worker.client.clone(), TTL));
    reader_has_ended(&mut truth).await;
    for lease in leases.drain(..2) {
        lease.done().await.unwrap();
    }
    let report = ending.await.unwrap();
    assert_eq!((report.done, report.released, report.abandoned), (2, 3, 0));
    assert_eq!((truth.entries("front").len(), truth.pending_count()), (3, 0));
    for (_, fields) in truth.entries("front") {
        assert_eq!(field(&fields, "_retry_count"), "0");
    }
    drop(leases);
}

#[tokio::test]
async fn a_shutdown_without_a_deadline_waits_for_what_is_held() {
    let server = Redis::start(crate::TOPOLOGY);
    queue(&server, &names("s", 1));
    let mut worker = Worker::start(&server).await;
    let lease = worker.added().await;
    let mut truth = Truth::of(&server);
    let ending = tokio::spawn(shut_down(worker.client.clone(), Duration::MAX));
    reader_has_ended(&mut truth).await;
    assert!(lease.is_valid() && !ending.is_finished());
    lease.done().await.unwrap();
    let report = tokio::time::timeout(SOON, ending).await.unwrap().unwrap();
    assert_eq!((report.done, report.released, report.abandoned), (1, 0, 0));
    assert_eq!(worker.terminated().await, "shut down");
}

#[tokio::test]
async fn a_shutdown_says_what_redis_refused_to_take_back() {
    let server = Redis::start(crate::TOPOLOGY);
    let mut truth = Truth::of(&server);
    queue(&server, &names("s", 1));
    let mut worker = Worker::start(&server).await;
    let lease = worker.added().await;
    // Another program's value, where streams are handed back.
    truth.cmd("DEL T:front").ok();
    truth.cmd("SET T:front foreign").ok();
    let report = worker.client.shutdown(Duration::ZERO).await;
    assert_eq!((report.done, report.released, report.abandoned), (0, 0, 1));
    assert!(!lease.is_valid());
    assert_eq!(truth.cmd("XLEN T:input").int(), 1, "it is still there");
}

#[tokio::test]
async fn a_shutdown_ends_as_soon_as_all_is_finished() {
    let server = Redis::start(crate::TOPOLOGY);
    queue(&server, &names("s", 1));
    let mut worker = Worker::start(&server).await;
    let lease = worker.added().await;
    let mut truth = Truth::of(&server);
    let began = Instant::now();
    let first = tokio::spawn(shut_down(worker.client.clone(), Duration::from_secs(600)));
    reader_has_ended(&mut truth).await;
    let second = tokio::spawn(shut_down(worker.client.clone(), Duration::ZERO));
    worker.listen_for(Duration::from_millis(100)).await;
    assert!(lease.is_valid(), "the first deadline counts");
    lease.done().await.unwrap();
    let (first, second) = (first.await.unwrap(), second.await.unwrap());
    assert!(began.elapsed() < SOON);
    assert_eq!(first, second, "calls end together");
    assert_eq!((first.done, first.released, first.abandoned), (1, 0, 0));
    assert!(truth.is_clean());
}

async fn shut_down(client: Client, deadline: Duration) -> ShutdownReport {
    client.shutdown(deadline).await
}

async fn reader_has_ended(truth: &mut Truth) {
    eventually(SOON, "the reader has ended", || {
        let reading = truth.is_read();
        async move { (!reading).then_some(()) }
    })
    .await;
}

#[tokio::test]
async fn guarantee_6_a_read_that_returns_during_the_shutdown_is_handed_back() {
    let server = Redis::start(crate::TOPOLOGY);
    let mut truth = Truth::of(&server);
    let names = server.together("s", 3);
    let proxy = server.proxy().await;
    let mut leaving = Worker::start(&proxy).await;
    let read = server.at_home(&names[0], Matcher::command("XREADGROUP"));
    let (release, held) = oneshot::channel();
    proxy.on(read, 1, Fault::HoldUntil(held)).wait_fired(SOON).await;
    queue(&server, &names);

    let begun = proxy.on(Matcher::command("CLIENT UNBLOCK"), 1, Fault::Delay(Duration::ZERO));
    let ending = tokio::spawn(shut_down(leaving.client.clone(), Duration::ZERO));
    begun.wait_fired(SOON).await;
    release.send(()).unwrap();
    let report = ending.await.unwrap();
    assert_eq!(leaving.terminated().await, "shut down");
    assert_eq!(leaving.unasked(), 0, "it was not given what it could not work on");
    assert_eq!(report.abandoned, 0);
    let front = truth.entries("front");
    assert!(!front.is_empty(), "the read came back with work");
    assert_eq!((truth.length(), truth.pending_count(), truth.locks().len()), (3, 0, 0));

    let mut staying = Worker::start(&server).await;
    for lease in staying.added_many(3).await {
        assert_eq!(lease.attempt(), 0);
        lease.done().await.unwrap();
    }
    assert!(truth.is_clean());
}

#[tokio::test]
async fn guarantee_6_dropped_notifications_give_back_what_nobody_received() {
    let server = Redis::start(crate::TOPOLOGY);
    let mut truth = Truth::of(&server);
    queue(&server, &names("s", 4));
    let (client, mut notifications) = builder(&server).max_in_flight(4).connect().await.unwrap();
    let Some(Notification::StreamAdded(mine)) = notifications.recv().await else {
        panic!("a stream is added");
    };
    eventually(SOON, "the others wait in the channel", || {
        let held = client.health().held;
        async move { (held == 4).then_some(()) }
    })
    .await;
    drop(notifications);
    queue(&server, &names("later", 1));

    let mut other = Worker::start(&server).await;
    let mut taken = other.added_many(4).await;
    taken.sort_by_key(|lease| lease.stream().to_owned());
    assert_eq!(taken[0].stream(), "later-0", "the first one reads no more");
    assert!(taken.iter().all(|lease| lease.attempt() == 0));
    assert!(mine.is_valid());
    mine.done().await.unwrap();
    assert_eq!(client.shutdown(Duration::ZERO).await.abandoned, 0);
    for lease in taken {
        lease.done().await.unwrap();
    }
    assert!(truth.is_clean());
}

#[tokio::test]
async fn guarantee_9_nothing_outlives_a_shutdown() {
    let server = Redis::start(crate::TOPOLOGY);
    let mut truth = Truth::of(&server);
    queue(&server, &names("s", 4));
    let mut worker = Worker::with(builder(&server).max_in_flight(3)).await;
    let consumer = worker.client.consumer().to_string();
    let leases = worker.added_many(3).await;
    assert!(connections(&mut truth) > 2);
    let report = worker.client.shutdown(Duration::ZERO).await;
    assert_eq!(report.released, 3);
    // The handles are still there; what ran is not.
    nothing_is_left(&mut truth, &consumer).await;
    assert_eq!(truth.length(), 4);
    drop(leases);
    drop(worker);
    assert_eq!(truth.length(), 4);
}

#[tokio::test]
async fn guarantee_9_nothing_outlives_the_last_handle() {
    for first in ["leases", "worker"] {
        let server = Redis::start(crate::TOPOLOGY);
        let mut truth = Truth::of(&server);
        queue(&server, &names("s", 4));
        let mut worker = Worker::with(builder(&server).max_in_flight(3)).await;
        let consumer = worker.client.consumer().to_string();
        let leases: Vec<Lease> = worker.added_many(3).await;
        let producer = worker.client.producer();
        if first == "leases" {
            drop(leases);
            drop(worker);
        } else {
            drop(worker);
            assert!(leases.iter().all(Lease::is_valid), "a lease keeps the client running");
            drop(leases);
        }
        producer
            .submit("one more", &())
            .await
            .expect("a producer keeps it running too");
        drop(producer);
        nothing_is_left(&mut truth, &consumer).await;
        assert_eq!((truth.length(), truth.dead_letters().len()), (5, 0), "{first}");
    }
}

/// Neither a connection, task, lock, pending entry nor a name in the group.
async fn nothing_is_left(truth: &mut Truth, consumer: &str) {
    eventually(SOON, "connections and tasks are gone", || {
        let connections = connections(truth);
        let tasks = tokio::runtime::Handle::current().metrics().num_alive_tasks();
        async move { (connections == 0 && tasks == 0).then_some(()) }
    })
    .await;
    assert!(truth.locks().is_empty());
    assert_eq!(truth.pending_count(), 0);
    for lane in ["input", "front"] {
        let consumers = truth.cmd(&format!("XINFO CONSUMERS T:{lane} workers")).array();
        assert!(consumers.is_empty(), "{lane}: {consumers:?}");
    }
    let rows = truth.cmd("HKEYS T:consumers").strings();
    assert!(!rows.iter().any(|row| row.starts_with(consumer)), "{rows:?}");
}

/// Connections other than the one that asks.
fn connections(truth: &mut Truth) -> usize {
    truth.clients().len()
}

/// Threads can't be told apart among tests that run side by side, so this one runs itself alone in a process.
#[test]
fn guarantee_9_no_heartbeat_thread_outlives_its_client() {
    const ALONE: &str = "STREAMHERD_TEST_ALONE";
    if std::env::var_os(ALONE).is_none() {
        let name = format!(
            "{}::guarantee_9_no_heartbeat_thread_outlives_its_client",
            module_path!()
        );
        let (_, name) = name.split_once("::").unwrap();
        let run = std::process::Command::new(std::env::current_exe().unwrap())
            .args(["--exact", name])
            .env(ALONE, "1")
            .output()
            .unwrap();
        let said = String::from_utf8_lossy(&run.stdout);
        assert!(run.status.success() && said.contains("1 passed"), "{said}");
        return;
    }
    let heartbeats = || {
        let tasks = std::fs::read_dir("/proc/self/task").unwrap();
        // A thread may end while it is looked at.
        let names = tasks.filter_map(|task| std::fs::read_to_string(task.unwrap().path().join("comm")).ok());
        // The kernel keeps 15 bytes of a name.
        names.filter(|name| name.trim() == "streamherd-hear").count()
    };
    let server = Redis::start(crate::TOPOLOGY);
    let url = server.address();
    let runtime = tokio::runtime::Runtime::new().unwrap();
    runtime.block_on(async {
        let become_so_many = |count: usize| {
            eventually(SOON, "so many heartbeats run", move || async move {
                (heartbeats() == count).then_some(())
            })
        };
        let shut_down = Worker::start(&url).await;
        let dropped = Worker::start(&url).await;
        let torn_down = Worker::start(&url).await;
        assert_eq!(heartbeats(), 3);
        shut_down.client.shutdown(Duration::ZERO).await;
        become_so_many(2).await;
        drop(dropped);
        become_so_many(1).await;
        std::mem::forget(torn_down);
    });
    // The runtime goes without a shutdown: nobody works on the leases, so nobody may keep them alive.
    drop(runtime);
    streamherd_testkit::eventually_blocking(SOON, "no heartbeat runs", || (heartbeats() == 0).then_some(()));
}
