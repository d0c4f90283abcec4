//! The workers: some stay from the beginning to the end, others are shut down and begun anew.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use streamherd::error::DisownedReason;
use streamherd::{
    BoxError, BreakerState, Builder, Client, Job, Lease, Notification, Notifications, Outcome, Recovery, RetryAfter,
    RetryPolicy, Worker,
};
use streamherd_testkit::eventually;
use streamherd_tests::{Proxied, builder, patiently, recovery};
use tokio::task::JoinHandle;

const WORKERS: usize = 4;
/// Those that stay.
pub(crate) const STAYING: usize = 2;
pub(crate) const IN_FLIGHT: usize = 64;
/// Slots of a worker that waits for work: one for each lane.
const RESERVED: usize = 2;
const SOME: Duration = Duration::from_millis(20);
/// What a stall, an outage and a restart may take together.
const FAULT_OVER: Duration = Duration::from_secs(60);

pub(crate) fn settings(at: &Proxied) -> Builder {
    builder(at)
        .max_in_flight(IN_FLIGHT)
        .read_batch(IN_FLIGHT)
        .command_timeout(Duration::from_secs(1))
        .recovery(Recovery {
            // Streams end by what their handlers do, not by how often something was broken.
            max_abandonments: 0,
            sweep_interval: Duration::from_secs(1),
            reap_after: Duration::from_secs(4),
            ..recovery()
        })
}

/// What came of the work, all workers together.
#[derive(Debug, Default)]
pub(crate) struct Tally {
    leases: AtomicUsize,
    abandonments: AtomicUsize,
    disowned: AtomicUsize,
}

impl Tally {
    pub(crate) fn leases(&self) -> usize {
        self.leases.load(Ordering::Relaxed)
    }

    /// How often the streams that were handed out had been abandoned, at least.
    pub(crate) fn abandoned(&self) -> usize {
        self.abandonments.load(Ordering::Relaxed)
    }

    /// Counts a lease, and says which it is.
    fn count(&self, abandonments: u32) -> usize {
        self.abandonments.fetch_add(abandonments as usize, Ordering::Relaxed);
        self.leases.fetch_add(1, Ordering::Relaxed)
    }
}

pub(crate) struct Fleet {
    at: Builder,
    hands: Vec<Hand>,
    pub(crate) tally: Arc<Tally>,
    next: usize,
}

struct Hand {
    client: Client,
    task: JoinHandle<()>,
}

impl Fleet {
    pub(crate) async fn start(at: &Proxied) -> Self {
        let mut fleet = Self {
            at: settings(at),
            hands: Vec::new(),
            tally: Arc::default(),
            next: 0,
        };
        for number in 0..WORKERS {
            let hand = fleet.hire(number).await;
            fleet.hands.push(hand);
        }
        fleet
    }

    /// Half of them take what they are told themselves, and the others have handlers.
    async fn hire(&self, number: usize) -> Hand {
        let (client, notifications) = patiently(|| self.at.clone().connect()).await;
        let tally = Arc::clone(&self.tally);
        let task = if number.is_multiple_of(2) {
            tokio::spawn(listen(client.clone(), notifications, tally))
        } else {
            let worker = Worker::new(client.clone(), notifications).retry(RetryPolicy {
                first: SOME,
                longest: SOME,
            });
            tokio::spawn(async move {
                let ended = worker.run(move |job| handle(job, Arc::clone(&tally))).await;
                ended.expect("it is told to end");
            })
        };
        Hand { client, task }
    }

    /// Ends one of those that don't stay, and begins another.
    pub(crate) async fn replace_one(&mut self) {
        let number = STAYING + self.next % (WORKERS - STAYING);
        self.next += 1;
        let fresh = self.hire(number).await;
        let old = std::mem::replace(&mut self.hands[number], fresh);
        old.end().await;
    }

    pub(crate) fn client(&self) -> &Client {
        &self.hands[0].client
    }

    /// Whether all are connected, hear, and hold nothing.
    pub(crate) fn is_well(&self) -> bool {
        self.hands.iter().all(|hand| {
            let health = hand.client.health();
            let closed = health
                .masters
                .iter()
                .all(|master| master.breaker == BreakerState::Closed);
            closed && health.listening && health.held == 0 && health.free + RESERVED >= IN_FLIGHT
        })
    }

    /// Waits until so many leases have been given.
    pub(crate) async fn has_worked(&self, leases: usize) {
        eventually(FAULT_OVER, "work goes on", || {
            let there = self.tally.leases() >= leases;
            async move { there.then_some(()) }
        })
        .await;
    }

    pub(crate) async fn end(self) {
        for hand in self.hands {
            hand.end().await;
        }
    }
}

impl Hand {
    async fn end(self) {
        self.client.shutdown(SOME).await;
        drop(self.client);
        self.task.await.expect("it does not panic");
    }
}

async fn listen(client: Client, mut notifications: Notifications, tally: Arc<Tally>) {
    while let Some(told) = notifications.recv().await {
        match told {
            Notification::StreamAdded(lease) => {
                let number = tally.count(lease.abandonments());
                tokio::spawn(work(lease, number));
            }
            Notification::StreamExpired(orphan) => {
                let client = client.clone();
                tokio::spawn(async move {
                    // One of the workers, or the scan, is first.
                    let _ = client.claim(&orphan).await;
                });
            }
            Notification::StreamDisowned(lost) => {
                let known = !matches!(lost.reason, DisownedReason::HeldTooLong);
                assert!(known, "nobody has set a limit");
                tally.disowned.fetch_add(1, Ordering::Relaxed);
            }
            _ => {}
        }
    }
}

/// Ends a lease in each of the ways, mostly well. Refusals are for those that were lost to a fault.
async fn work(lease: Lease, number: usize) {
    let settled = match number % 40 {
        0 => lease.retry(RetryAfter::now().because("at once")).await,
        1 => lease.retry(RetryAfter::after(SOME).because("later")).await,
        2 => lease.dead_letter("no good").await,
        3 => lease.release().await,
        4 => return drop(lease),
        5 => {
            tokio::time::sleep(SOME).await;
            lease.done().await
        }
        _ => lease.done().await,
    };
    drop(settled);
}

async fn handle(job: Job, tally: Arc<Tally>) -> Result<Outcome, BoxError> {
    let number = tally.count(job.abandonments());
    match number % 40 {
        0 => Ok(Outcome::retry_after(Duration::ZERO, "at once")),
        1 => Err("it broke".into()),
        2 => Ok(Outcome::dead_letter("no good")),
        3 => Ok(Outcome::Release),
        5 => {
            tokio::time::sleep(SOME).await;
            Ok(Outcome::Done)
        }
        _ => Ok(Outcome::Done),
    }
}
