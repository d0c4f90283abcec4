//! Work that goes on while a topology changes: four workers, two thousand streams, and a submitter that never stops.

use std::sync::Arc;
use std::time::Duration;

use streamherd::{Builder, Client, Producer, Recovery};
use streamherd_ledger::{At, History, Ledger, now};
use streamherd_testkit::{RawClient, eventually};
use streamherd_tests::load::{Pace, submit_all, work};
use streamherd_tests::{SERVICE, patiently};
use tokio::sync::SemaphorePermit;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

const WORKERS: usize = 4;
const STREAMS: usize = 2_000;
/// Until a fault is over and all that it left behind is worked off.
/// Every so many streams one is submitted again.
const AGAIN: usize = 25;
/// Between two looks at a lease.
const STEP: Duration = Duration::from_millis(20);
const DRAINED: Duration = Duration::from_secs(60);

/// So many loads at a time, as more would measure each other: one takes about half a processor, with its servers.
static AT_A_TIME: tokio::sync::Semaphore = tokio::sync::Semaphore::const_new(2);

/// Waits until there is room for a load.
pub(crate) async fn turn() -> SemaphorePermit<'static> {
    AT_A_TIME.acquire().await.expect("it is never closed")
}

/// What a load is like.
#[derive(Debug, Clone)]
pub(crate) struct Plan {
    pub(crate) partitions: u16,
    pub(crate) lock_ttl: Duration,
    pub(crate) streams: usize,
    /// Between two submits.
    pub(crate) pace: Duration,
    /// One of so many streams is worked on for longer than a lock lives.
    pub(crate) long: u64,
    /// What a test has to say about its builders.
    pub(crate) adjust: fn(Builder) -> Builder,
    /// The same for the submitter's.
    pub(crate) produce: fn(streamherd::Producer) -> streamherd::Producer,
}

impl Plan {
    /// Locks that live this long.
    pub(crate) fn with_ttl(lock_ttl: Duration) -> Self {
        Self {
            partitions: 6,
            lock_ttl,
            streams: STREAMS,
            pace: Duration::from_millis(5),
            long: 8,
            adjust: |builder| builder,
            produce: |producer| producer,
        }
    }

    pub(crate) fn builder(&self, url: &str) -> Builder {
        let builder = Client::builder(SERVICE)
            .url(url)
            .consumer("w")
            .lock_ttl(self.lock_ttl)
            .read_block(Duration::from_secs(1))
            .health_interval(Duration::from_secs(1))
            .partitions(self.partitions)
            .recovery(Recovery {
                scan_interval: Duration::from_millis(300),
                // Streams are to end by what their handlers do, not by how often a test breaks something.
                max_abandonments: 0,
                ..Recovery::default()
            });
        (self.adjust)(builder)
    }
}

/// A load that runs.
#[derive(Debug)]
pub(crate) struct Load {
    pub(crate) plan: Plan,
    pub(crate) ledger: Arc<Ledger>,
    pub(crate) clients: Vec<Client>,
    workers: Vec<JoinHandle<()>>,
    submitter: JoinHandle<Producer>,
    enough: CancellationToken,
}

impl Load {
    pub(crate) async fn start(url: &str, plan: Plan) -> Self {
        let ledger = Arc::new(Ledger::in_memory());
        let mut clients = Vec::new();
        let mut workers = Vec::new();
        for _ in 0..WORKERS {
            let (client, notifications) = patiently(|| plan.builder(url).connect()).await;
            let name = client.consumer().as_str().to_owned();
            let working = work(name, STEP, client.clone(), notifications, Arc::clone(&ledger));
            workers.push(tokio::spawn(working));
            clients.push(client);
        }
        let enough = CancellationToken::new();
        let producer = patiently(|| plan.builder(url).connect_producer()).await;
        let producer = (plan.produce)(producer);
        let pace = Pace {
            name: "s".to_owned(),
            partitions: plan.partitions,
            every: plan.pace,
            lock_ttl: plan.lock_ttl,
            long: plan.long,
        };
        let (stop, least) = (enough.clone(), plan.streams + plan.streams / AGAIN);
        let is_enough = move |submits| submits >= least as u64 && stop.is_cancelled();
        let submitter = tokio::spawn(submit_all(producer, pace, Arc::clone(&ledger), is_enough));
        Self {
            plan,
            ledger,
            clients,
            workers,
            submitter,
            enough,
        }
    }

    /// Waits until so many of a hundred streams have been submitted, and work goes on in every partition.
    pub(crate) async fn under_way(&self, percent: usize) {
        let wanted = self.plan.streams * percent / 100;
        let what = format!("{wanted} streams are submitted");
        eventually(DRAINED, &what, || {
            let submitted = self.ledger.look_up(|record| record.submits.len());
            async move { (submitted >= wanted).then_some(()) }
        })
        .await;
        let since = now();
        eventually(DRAINED, "streams of all partitions are handed out", || {
            let all = (0..self.plan.partitions).all(|partition| self.handed_out_since(partition, since));
            async move { all.then_some(()) }
        })
        .await;
    }

    /// Waits until a stream of this partition that was submitted later than this is done.
    pub(crate) async fn flows_again(&self, partition: u16, since: At) {
        let what = format!("a stream of partition {partition} that was submitted later is handed out");
        eventually(DRAINED, &what, || {
            let flows = self.ledger.look_up(|record| {
                let later = record.submits.iter().filter(|submit| submit.partition == partition);
                let later: Vec<_> = later
                    .filter(|submit| submit.asked > since && submit.acknowledged().is_some())
                    .collect();
                record.leases.iter().any(|held| {
                    held.ended.is_some()
                        && held.handed_out > since
                        && later.iter().any(|submit| submit.stream == held.stream)
                })
            });
            async move { flows.then_some(()) }
        })
        .await;
    }

    /// How many streams each worker may hold, of which Redis is not told.
    pub(crate) fn slots(&self, slots: usize) {
        for client in &self.clients {
            client.set_max_in_flight(slots).expect("within bounds");
        }
    }

    /// Has the workers take no new streams, or take them again.
    pub(crate) async fn pause(&self, pause: bool) {
        let client = &self.clients[0];
        eventually(DRAINED, "Redis takes the pause", || async move {
            let taken = if pause {
                client.pause().await
            } else {
                client.resume().await
            };
            taken.ok()
        })
        .await;
    }

    fn handed_out_since(&self, partition: u16, since: At) -> bool {
        self.ledger.look_up(|record| {
            record
                .leases
                .iter()
                .rev()
                .any(|held| held.partition == partition && held.handed_out > since)
        })
    }

    /// Waits until at least [`STREAMS`] are submitted and all are worked off, ends the workers, and hands over what the ledger says. `redis` are
    /// connections to where the partitions are by now.
    pub(crate) async fn finish(self, mut redis: Vec<RawClient>) -> History {
        self.enough.cancel();
        let submitter = tokio::time::timeout(DRAINED, self.submitter).await;
        let producer = submitter.expect("all is submitted in time");
        producer.expect("the submitter does not panic").close().await;
        let mut left = String::new();
        let end = tokio::time::Instant::now() + DRAINED;
        while !drained(&mut redis, &mut left) {
            let now = tokio::time::Instant::now();
            assert!(now < end, "not worked off within {DRAINED:?}: {left}");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        for client in &self.clients {
            client.shutdown(Duration::from_secs(1)).await;
        }
        for worker in self.workers {
            worker.await.expect("a worker does not panic");
        }
        self.ledger.history()
    }
}

/// Whether nothing of any work is left in any partition; else says what.
fn drained(redis: &mut [RawClient], left: &mut String) -> bool {
    left.clear();
    for (partition, redis) in redis.iter_mut().enumerate() {
        for count in ["XLEN input", "XLEN front", "ZCARD delayed", "HLEN live"] {
            let (command, key) = count.split_once(' ').expect("a command and a key");
            let reply = redis.cmd(&format!("{command} {{{SERVICE}:{partition}}}:{key}"));
            let is_zero = !reply.is_error() && reply.int() == 0;
            if !is_zero {
                left.push_str(&format!("partition {partition} has {count} = {reply:?}; "));
            }
        }
    }
    left.is_empty()
}
