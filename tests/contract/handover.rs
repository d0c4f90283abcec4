//! Restarts cost the streams nothing: no attempt, no wait for a lock to expire.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use streamherd::{Client, Notification};
use streamherd_testkit::eventually;
use streamherd_tests::{Reachable, Redis, SOON, Truth, builder, names, patiently};
use tokio::task::JoinSet;

const FLEET: usize = 5;

/// What handlers have seen: attempts on each hand-out, and which streams were finished how often.
#[derive(Debug, Default)]
struct Seen {
    handed_out: usize,
    costly: Vec<String>,
    done: BTreeMap<String, usize>,
}

/// A worker whose handlers take longer than its shutdown waits for them.
async fn member(at: &(impl Reachable + ?Sized), seen: &Arc<Mutex<Seen>>) -> Client {
    let (client, mut notifications) = patiently(|| builder(at).max_in_flight(8).connect()).await;
    let seen = Arc::clone(seen);
    tokio::spawn(async move {
        while let Some(notification) = notifications.recv().await {
            let Notification::StreamAdded(lease) = notification else {
                continue;
            };
            let seen = Arc::clone(&seen);
            tokio::spawn(async move {
                let name = lease.stream().to_owned();
                {
                    let mut seen = seen.lock().unwrap();
                    seen.handed_out += 1;
                    if lease.attempt() > 0 {
                        seen.costly.push(name.clone());
                    }
                }
                tokio::time::sleep(Duration::from_millis(60)).await;
                if lease.done().await.is_ok() {
                    *seen.lock().unwrap().done.entry(name).or_default() += 1;
                }
            });
        }
    });
    client
}

#[tokio::test]
async fn a_rolling_restart_of_five_workers_under_load_costs_no_attempt_and_no_wait() {
    let server = Redis::start(crate::TOPOLOGY);
    let mut truth = Truth::of(&server);
    let seen = Arc::new(Mutex::new(Seen::default()));
    let mut fleet = Vec::new();
    for _ in 0..FLEET {
        fleet.push(member(&server, &seen).await);
    }
    let all = names("s", 1_500);
    let producer = builder(&server).connect_producer().await.unwrap();
    let wanted = all.clone();
    let load = tokio::spawn(async move {
        for name in wanted {
            producer.submit(&name, &()).await.unwrap();
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    });
    let mut released = 0;
    for _ in 0..2 {
        for _ in 0..FLEET {
            fleet.push(member(&server, &seen).await);
            let report = fleet.remove(0).shutdown(Duration::from_millis(20)).await;
            assert_eq!((report.retried, report.abandoned), (0, 0));
            released += report.released;
        }
    }
    load.await.unwrap();
    truth.becomes_clean().await;
    let seen = eventually(SOON, "every handler has told", || {
        let told = seen.lock().unwrap().done.len() == all.len();
        let seen = Arc::clone(&seen);
        async move { told.then_some(seen) }
    })
    .await;
    let seen = seen.lock().unwrap();
    assert!(seen.done.values().all(|times| *times == 1), "each was finished once");
    // Waiting for a lock to expire counts an abandonment.
    assert_eq!(seen.costly, Vec::<String>::new());
    assert!(released > 0, "work was in progress at the restarts");
    assert!(truth.dead_letters().is_empty());
}

#[tokio::test]
async fn a_whole_fleet_that_leaves_at_once_leaves_everything_queued() {
    let server = Redis::start(crate::TOPOLOGY);
    let mut truth = Truth::of(&server);
    let seen = Arc::new(Mutex::new(Seen::default()));
    let producer = builder(&server).connect_producer().await.unwrap();
    let mut fleet = Vec::new();
    for _ in 0..FLEET {
        fleet.push(member(&server, &seen).await);
    }
    let all = names("s", 300);
    producer.submit_many(all.iter().map(|name| (name, ()))).await;
    eventually(SOON, "work is in progress", || {
        let some = seen.lock().unwrap().handed_out > 10;
        async move { some.then_some(()) }
    })
    .await;
    let mut leaving = JoinSet::new();
    for client in fleet {
        leaving.spawn(async move { client.shutdown(Duration::ZERO).await });
    }
    for report in leaving.join_all().await {
        assert_eq!((report.retried, report.abandoned), (0, 0));
    }
    let done = seen.lock().unwrap().done.len();
    assert_eq!(truth.pending_count(), 0);
    assert_eq!(usize::try_from(truth.length()).unwrap() + done, all.len());
    assert_eq!(truth.cmd("HLEN T:consumers").int(), 0);
}
