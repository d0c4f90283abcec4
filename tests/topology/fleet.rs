//! Workers that hold what they are given until a test says how to end it, and write everything down.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use streamherd::{Builder, Client, EntryId, Lease, Notification, Notifications, RetryAfter, Settled, StreamId};
use streamherd_ledger::{At, End, Event, History, How, Ledger, Page, Target, now};
use streamherd_testkit::eventually;
use streamherd_tests::{SOON, patiently};
use tokio::sync::watch;
use tokio::task::{JoinHandle, JoinSet};

use super::verdict::holds;

/// Between two looks at a lease.
const STEP: Duration = Duration::from_millis(100);
/// What the streams are told that are to be tried again later; longer than any quiet time, which would hide it.
pub(crate) const DELAY: Duration = Duration::from_secs(8);
/// Beginnings of names whose streams are not finished at once, and that say how they end under [`Order::AsNamed`].
pub(crate) const NAMED: [&str; 6] = ["hold", "done", "retry", "later", "release", "dead"];

/// What is done with streams whose names begin as [`NAMED`] says; all others are finished at once.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Order {
    Hold,
    /// As their names say.
    AsNamed,
    Finish,
}

/// A lease as its handler saw it; in the order of the ledger.
#[derive(Debug, Clone)]
pub(crate) struct Run {
    pub(crate) stream: String,
    pub(crate) worker: usize,
    pub(crate) attempt: u32,
    pub(crate) failures: u32,
    pub(crate) abandonments: u32,
    pub(crate) origin: StreamId,
    /// Its entry when it was handed out, and when it was last looked at.
    pub(crate) entry: EntryId,
    pub(crate) last_entry: EntryId,
    pub(crate) end: Option<End>,
}

/// Workers with a client each.
#[derive(Debug)]
pub(crate) struct Fleet {
    pub(crate) clients: Vec<Client>,
    pub(crate) ledger: Arc<Ledger>,
    notes: Arc<Mutex<Notes>>,
    since: At,
    orders: watch::Sender<Order>,
    workers: Vec<JoinHandle<()>>,
}

#[derive(Debug, Default)]
struct Notes {
    runs: Vec<Run>,
    /// How often each worker was told of data loss.
    losses: Vec<usize>,
}

impl Fleet {
    pub(crate) async fn start(workers: usize, builder: impl Fn() -> Builder) -> Self {
        let mut fleet = Self {
            clients: Vec::new(),
            ledger: Arc::new(Ledger::in_memory()),
            notes: Arc::default(),
            since: now(),
            orders: watch::Sender::new(Order::Hold),
            workers: Vec::new(),
        };
        for _ in 0..workers {
            fleet.joins(&builder).await;
        }
        fleet
    }

    /// One more worker.
    pub(crate) async fn joins(&mut self, builder: impl Fn() -> Builder) {
        let (client, notifications) = patiently(|| builder().connect()).await;
        let worker = Worker {
            number: self.clients.len(),
            client: client.clone(),
            ledger: Arc::clone(&self.ledger),
            notes: Arc::clone(&self.notes),
            orders: self.orders.subscribe(),
        };
        self.notes.lock().expect("nobody panics in here").losses.push(0);
        self.clients.push(client);
        self.workers.push(tokio::spawn(worker.run(notifications)));
    }

    /// Submits streams, which are to end well.
    pub(crate) async fn submit(&self, names: &[String]) {
        let producer = self.clients[0].producer();
        for (number, name) in (0..).zip(names) {
            self.ledger.submitting("fleet", number, name, 0);
        }
        let items: Vec<(&String, ())> = names.iter().map(|name| (name, ())).collect();
        let answers = producer.submit_many(items).await;
        for (number, answer) in (0..).zip(answers) {
            let answer = answer.expect("a submit is accepted").into();
            self.ledger.submitted("fleet", number, answer, None);
        }
    }

    pub(crate) fn order(&self, order: Order) {
        self.orders.send_replace(order);
    }

    pub(crate) fn runs(&self) -> Vec<Run> {
        self.notes.lock().expect("nobody panics in here").runs.clone()
    }

    /// All leases of the streams whose names begin so, in order, stream by stream.
    pub(crate) fn runs_of(&self, beginning: &str) -> Vec<Vec<Run>> {
        let mut streams = std::collections::BTreeMap::<String, Vec<Run>>::new();
        for run in self.runs() {
            if run.stream.starts_with(beginning) {
                streams.entry(run.stream.clone()).or_default().push(run);
            }
        }
        streams.into_values().collect()
    }

    pub(crate) fn losses(&self) -> Vec<usize> {
        self.notes.lock().expect("nobody panics in here").losses.clone()
    }

    /// Waits until every worker was told of data loss that often.
    pub(crate) async fn hears_of_losses(&self, times: usize) {
        eventually(SOON, "every worker is told of the loss", || async move {
            self.losses().iter().all(|told| *told == times).then_some(())
        })
        .await;
    }

    /// Waits until so many leases are held.
    pub(crate) async fn holds(&self, count: usize) {
        let what = format!("{count} streams are held");
        eventually(SOON, &what, || async move {
            (self.runs().iter().filter(|run| run.end.is_none()).count() == count).then_some(())
        })
        .await;
    }

    /// Waits until so many leases of streams whose names begin so have ended so.
    pub(crate) async fn ended(&self, beginning: &str, count: usize, end: End) {
        let what = format!("{count} leases of {beginning} end as {end:?}");
        eventually(SOON, &what, || async move {
            let runs = self.runs();
            let ended = runs.iter().filter(|run| run.stream.starts_with(beginning));
            (ended.filter(|run| run.end == Some(end)).count() == count).then_some(())
        })
        .await;
    }

    /// Makes sure that streams whose names begin so were handed out once, so many of them, and finished by whom they were
    /// handed to without having been lost for a moment.
    pub(crate) fn was_undisturbed(&self, beginning: &str, count: usize) {
        let streams = self.runs_of(beginning);
        assert_eq!(streams.len(), count, "{beginning}");
        for runs in streams {
            assert!(
                matches!(&runs[..], [run] if run.end == Some(End::Done)),
                "{beginning}: {runs:?}"
            );
        }
        self.ledger.look_up(|record| {
            let of = record.leases.iter().filter(|held| held.stream.starts_with(beginning));
            let lost: Vec<_> = of.filter(|held| held.lost.is_some()).collect();
            assert!(lost.is_empty(), "lost for a while: {lost:?}");
        });
    }

    /// Ends the workers, and makes sure that what holds for every load holds for what they did.
    pub(crate) async fn ends(self) -> History {
        for client in &self.clients {
            client.shutdown(Duration::from_secs(1)).await;
        }
        for worker in self.workers {
            worker.await.expect("a worker does not panic");
        }
        // Whatever this was, work may be done twice because of it.
        self.ledger.fault("fleet", "test", Target::All, self.since, true);
        let record = self.ledger.history();
        let (_, problems) = holds(&record, &[]);
        assert!(problems.is_empty(), "{problems}");
        record
    }
}

#[derive(Debug, Clone)]
struct Worker {
    number: usize,
    client: Client,
    ledger: Arc<Ledger>,
    notes: Arc<Mutex<Notes>>,
    orders: watch::Receiver<Order>,
}

impl Worker {
    async fn run(self, mut notifications: Notifications) {
        let mut handlers = JoinSet::new();
        while let Some(notification) = notifications.recv().await {
            match notification {
                Notification::StreamAdded(lease) => {
                    let (page, run) = self.begins(&lease);
                    handlers.spawn(self.clone().handle(lease, page, run));
                }
                Notification::StreamExpired(orphan) => {
                    let client = self.client.clone();
                    handlers.spawn(async move { drop(client.claim(&orphan).await) });
                }
                Notification::StreamDisowned(lost) => {
                    let (partition, reason) = (lost.partition, lost.reason.as_str().to_owned());
                    self.ledger.note(&self.name(), Event::Disowned { partition, reason });
                }
                Notification::DataLoss(_) => self.note(|notes| notes.losses[self.number] += 1),
                _ => {}
            }
            while let Some(ended) = handlers.try_join_next() {
                ended.expect("a handler does not panic");
            }
        }
        while let Some(ended) = handlers.join_next().await {
            ended.expect("a handler does not panic");
        }
    }

    fn name(&self) -> String {
        self.client.consumer().as_str().to_owned()
    }

    fn note<T>(&self, note: impl FnOnce(&mut Notes) -> T) -> T {
        note(&mut self.notes.lock().expect("nobody panics in here"))
    }

    fn begins(&self, lease: &Lease) -> (Page, usize) {
        let run = Run {
            stream: lease.stream().to_owned(),
            worker: self.number,
            attempt: lease.attempt(),
            failures: lease.failures(),
            abandonments: lease.abandonments(),
            origin: lease.original_id(),
            entry: lease.id(),
            last_entry: lease.id(),
            end: None,
        };
        let run = self.note(|notes| {
            notes.runs.push(run);
            notes.runs.len() - 1
        });
        (self.ledger.added(&self.name(), lease), run)
    }

    async fn handle(mut self, lease: Lease, page: Page, run: usize) {
        let lost = lease.lost().clone();
        let name = lease.stream().to_owned();
        let kind = NAMED.into_iter().find(|kind| name.starts_with(kind)).unwrap_or("done");
        let at_once = !NAMED.iter().any(|kind| name.starts_with(kind));
        let how = loop {
            if !self.ledger.look(&page, &lease) {
                // Somebody else's business from now on.
                return self.ended(&page, run, End::Lost);
            }
            self.note(|notes| notes.runs[run].last_entry = lease.id());
            match *self.orders.borrow_and_update() {
                _ if at_once => break kind,
                Order::Finish => break "done",
                Order::AsNamed if kind != "hold" => break kind,
                Order::AsNamed | Order::Hold => {}
            }
            tokio::select! {
                () = tokio::time::sleep(STEP) => {}
                () = lost.cancelled() => {}
                _ = self.orders.changed() => {}
            }
        };
        let settlement = match how {
            "retry" | "later" => How::Retry,
            "release" => How::Release,
            "dead" => How::DeadLetter,
            _ => How::Done,
        };
        self.ledger.settling(&page, settlement);
        let outcome = match how {
            "retry" => lease.retry(RetryAfter::now().because("once more")).await,
            "later" => lease.retry(RetryAfter::after(DELAY).because("not now")).await,
            "release" => lease.release().await,
            "dead" => lease.dead_letter("that is what it is for").await,
            _ => lease.done().await,
        };
        let end = match outcome {
            Ok(Settled::Done) => End::Done,
            Ok(Settled::DeadLettered { .. }) => End::DeadLettered,
            Ok(_) => End::Requeued,
            Err(_) => End::Refused,
        };
        self.ended(&page, run, end);
    }

    fn ended(&self, page: &Page, run: usize, end: End) {
        self.ledger.ended(page, end, None);
        self.note(|notes| notes.runs[run].end = Some(end));
    }
}
