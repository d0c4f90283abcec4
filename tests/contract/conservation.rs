//! No stream is lost and none is doubled, whatever becomes of its workers: guarantee 1.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use serde_json::Value;
use streamherd::error::SettleError;
use streamherd::{Lease, Notification, RetryAfter};
use streamherd_tests::{Address, Redis, Truth, WorkerProcess, builder, patiently, queue};

const WORKER: &str = env!("CARGO_BIN_EXE_contract-worker");

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn guarantee_1_a_stream_is_in_exactly_one_state_at_every_instant_of_a_churn() {
    let server = Redis::start(crate::TOPOLOGY);
    let mut truth = Truth::of(&server);
    let ledger = Arc::new(Ledger::default());
    let mut supply = Supply {
        server: &server,
        ledger: &ledger,
        next: 0,
    };
    supply.queue(200);
    let over = Arc::new(AtomicBool::new(false));
    let observer = std::thread::spawn({
        let (mut truth, ledger, over) = (Truth::of(&server), Arc::clone(&ledger), Arc::clone(&over));
        move || observe(&mut truth, &ledger, &over)
    });

    for number in 0..3 {
        tokio::spawn(churn(server.address(), number, Arc::clone(&ledger)));
    }
    // Two that die again and again: one with all it holds, one in the middle of finishing.
    let mut dying: BTreeSet<String> = BTreeSet::new();
    for _ in 0..3 {
        let mut holding = WorkerProcess::start(WORKER, &server, &["then=hold", "slots=10"]);
        let mut finishing = WorkerProcess::start(WORKER, &server, &["then=done", "slots=2"]);
        // However long they take to start, there is something left for them.
        supply.while_waiting_for(holding.says("added")).await;
        supply.while_waiting_for(finishing.says("added")).await;
        finishing.process.kill();
        holding.process.kill();
        for line in finishing.rest().await {
            if line["event"] == "added" {
                dying.insert(line["stream"].as_str().unwrap().to_owned());
            }
        }
    }
    truth.becomes_clean().await;
    over.store(true, Ordering::Relaxed);
    let seen = observer.join().unwrap();
    println!(
        "{} samples, {} gone, {} dead",
        seen.samples,
        seen.gone.len(),
        truth.dead_letters().len()
    );
    assert!(seen.samples > 50, "{}", seen.samples);
    let unexplained: Vec<_> = seen.unexplained.difference(&dying).collect();
    assert!(
        unexplained.is_empty(),
        "gone, and nobody finished them: {unexplained:?}"
    );
    let dead = truth.dead_letters().len();
    assert_eq!(seen.gone.len() + dead, supply.next, "each is done or a dead letter");
    assert!(dead > 0 && seen.gone.len() > 100);
    assert_eq!(*ledger.refused.lock().unwrap(), Vec::<String>::new());
}

/// Queues one stream after the other.
struct Supply<'a> {
    server: &'a Redis,
    ledger: &'a Ledger,
    /// The number of the next one.
    next: usize,
}

impl Supply<'_> {
    fn queue(&mut self, count: usize) {
        let names: Vec<String> = (self.next..self.next + count).map(|n| format!("s-{n}")).collect();
        self.next += count;
        queue(self.server, &names);
        self.ledger.submitted.lock().unwrap().extend(names);
    }

    /// As long as that takes, and no more than is worked on meanwhile.
    async fn while_waiting_for<T>(&mut self, said: impl Future<Output = T>) -> T {
        tokio::pin!(said);
        let mut truth = Truth::of(self.server);
        let mut turn = tokio::time::interval(Duration::from_millis(100));
        loop {
            tokio::select! {
                biased;
                said = &mut said => return said,
                _ = turn.tick() => {
                    if truth.length() < 100 {
                        self.queue(12);
                    }
                }
            }
        }
    }
}

/// What was submitted, and what the workers in this process have finished.
#[derive(Default)]
struct Ledger {
    /// On the queue, or further.
    submitted: Mutex<BTreeSet<String>>,
    /// About to be done.
    finishing: Mutex<BTreeSet<String>>,
    /// Confirmed.
    done: Mutex<BTreeSet<String>>,
    /// What could not be settled, though it was not lost.
    refused: Mutex<Vec<String>>,
}

#[derive(Default)]
struct Seen {
    samples: usize,
    gone: BTreeSet<String>,
    /// Gone without a worker of this process having finished them.
    unexplained: BTreeSet<String>,
}

/// Looks at all places at one moment, again and again.
fn observe(truth: &mut Truth, ledger: &Ledger, over: &AtomicBool) -> Seen {
    let script =
        "local all = {} for _, key in ipairs(KEYS) do for _, e in ipairs(redis.call('XRANGE', key, '-', '+')) do
        for i = 1, #e[2], 2 do if e[2][i] == 'lbs-input' then all[#all + 1] = e[2][i + 1] end end end end return all";
    let words = ["EVAL", script, "3", "T:input", "T:front", "T:dlq"];
    let mut seen = Seen::default();
    loop {
        let last = over.load(Ordering::Relaxed);
        let done = ledger.done.lock().unwrap().clone();
        let submitted = ledger.submitted.lock().unwrap().clone();
        let mut copies: BTreeMap<String, usize> = BTreeMap::new();
        for input in truth.call(&words).strings() {
            let input: Value = serde_json::from_str(&input).unwrap();
            *copies
                .entry(input["DataStreamName"].as_str().unwrap().to_owned())
                .or_default() += 1;
        }
        let finishing = ledger.finishing.lock().unwrap();
        for name in &submitted {
            match copies.get(name) {
                None => {
                    seen.gone.insert(name.clone());
                    if !finishing.contains(name) {
                        seen.unexplained.insert(name.clone());
                    }
                }
                Some(1) => {
                    assert!(!seen.gone.contains(name), "{name} came back");
                    assert!(!done.contains(name), "{name} is done and there");
                }
                Some(many) => panic!("{name} exists {many} times"),
            }
        }
        drop(finishing);
        seen.samples += 1;
        if last {
            return seen;
        }
        std::thread::sleep(Duration::from_millis(2));
    }
}

/// Takes what comes and ends it in one way or the other.
async fn churn(at: Address, number: usize, ledger: Arc<Ledger>) {
    let (client, mut notifications) = patiently(|| builder(&at).max_in_flight(8).connect()).await;
    let mut turn = number;
    while let Some(notification) = notifications.recv().await {
        match notification {
            Notification::StreamAdded(lease) => {
                turn += 1;
                tokio::spawn(end_somehow(lease, turn, Arc::clone(&ledger)));
            }
            Notification::StreamExpired(orphan) => drop(client.claim(&orphan).await),
            // On a machine that stood still. It is somebody else's now, which the observer sees.
            Notification::StreamDisowned(_) => {}
            other => panic!("{other:?}"),
        }
    }
}

async fn end_somehow(lease: Lease, turn: usize, ledger: Arc<Ledger>) {
    // The work: long enough that the killed workers get their share.
    tokio::time::sleep(Duration::from_millis(40)).await;
    let name = lease.stream().to_owned();
    let settled = match turn % 10 {
        0..=2 => lease.retry(RetryAfter::now()).await,
        3..=4 => lease.release().await,
        5 => return drop(lease),
        6 if turn.is_multiple_of(4) => lease.dead_letter("enough").await,
        _ => {
            ledger.finishing.lock().unwrap().insert(name.clone());
            let done = lease.done().await;
            if done.is_ok() {
                ledger.done.lock().unwrap().insert(name.clone());
            }
            done
        }
    };
    match settled {
        Ok(_) | Err(SettleError::Disowned(_)) => {}
        Err(e) => ledger.refused.lock().unwrap().push(format!("{name}: {e}")),
    }
}
