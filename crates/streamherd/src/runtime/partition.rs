//! What a client has to do with one partition of its service.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{Notify, mpsc, oneshot};

use super::{Core, Due, Pause, Slot, Vitals};
use crate::clock::Moment;
use crate::error::{DisownedReason, LeaseLost};
use crate::id::{EntryId, Token};
use crate::keys::Keys;
use crate::lock::{Held, Leases, Phase, Reports, Settlement};
use crate::notification::{DataLoss, Disowned, Notification};
use crate::recovery::{BreakerState, Master, News, Session, restore};
use crate::registry::Row;
use crate::store::{Lines, Operation, Store, StoreError};

/// One partition, as all tasks that deal with it share it. Entries, leases and the epoch are a partition's own; slots and
/// notifications are the client's.
#[derive(Debug)]
pub(crate) struct Partition {
    pub(crate) core: Arc<Core>,
    pub(crate) number: u16,
    pub(crate) keys: Arc<Keys>,
    pub(crate) store: Store,
    /// The same connection, for scripts that leases wait for.
    pub(crate) leasing: Store,
    pub(crate) session: Session,
    pub(crate) leases: Leases,
    /// What is said of how far the work on some of them has come.
    pub(crate) reports: Reports,
    pub(crate) due: Due,
    pub(crate) pause: Pause,
    pub(crate) health: Vitals,
    /// Asks for a scan now, whoever holds the gate.
    pub(crate) scan_now: Notify,
    settlements: mpsc::UnboundedSender<Settlement>,
    hellos: mpsc::UnboundedSender<Asked>,
}

/// Who waits for a hello.
pub(crate) type Asked = oneshot::Sender<Result<(), StoreError>>;

/// What the tasks of a partition are asked.
pub(crate) struct Inboxes {
    pub(crate) settlements: mpsc::UnboundedReceiver<Settlement>,
    pub(crate) hellos: mpsc::UnboundedReceiver<Asked>,
}

/// All partitions of a service, by number.
#[derive(Debug, Clone)]
pub(crate) struct Partitions {
    pub(crate) core: Arc<Core>,
    all: Arc<[Arc<Partition>]>,
}

impl Partitions {
    pub(super) fn new(core: Arc<Core>, all: Vec<Arc<Partition>>) -> Self {
        Self { core, all: all.into() }
    }

    pub(crate) fn of(&self, number: u16) -> Option<&Arc<Partition>> {
        self.all.get(usize::from(number))
    }

    pub(crate) fn iter(&self) -> std::slice::Iter<'_, Arc<Partition>> {
        self.all.iter()
    }

    pub(crate) fn len(&self) -> usize {
        self.all.len()
    }

    /// Streams held, settling or being handed back.
    pub(crate) fn held(&self) -> usize {
        self.iter().map(|partition| partition.leases.len()).sum()
    }

    /// Streams that could be held in addition. The slots that readers have reserved are free: nothing is in them yet.
    pub(crate) fn free(&self) -> usize {
        self.core.slots.count().saturating_sub(self.held())
    }
}

impl Partition {
    pub(super) fn new(core: Arc<Core>, number: u16, store: Store, session: Session) -> (Self, Inboxes) {
        let (settlements, settlement_inbox) = mpsc::unbounded_channel();
        let (hellos, hello_inbox) = mpsc::unbounded_channel();
        let partition = Self {
            keys: store.keys(),
            leasing: store.with_timeout(core.settings.lease_timeout),
            number,
            store,
            session,
            leases: Leases::default(),
            reports: Reports::default(),
            due: Due::default(),
            pause: Pause::default(),
            health: Vitals::default(),
            scan_now: Notify::new(),
            settlements,
            hellos,
            core,
        };
        let inboxes = Inboxes {
            settlements: settlement_inbox,
            hellos: hello_inbox,
        };
        (partition, inboxes)
    }

    /// The partition over other connections.
    pub(crate) fn store_on(&self, lines: &Lines, timeout: Duration) -> Store {
        let line = lines.to(self.number);
        Store::new(line, Arc::clone(&self.keys), self.core.consumer.clone(), timeout)
    }

    /// What is known of the server that holds it; [`None`] where none does at present.
    pub(crate) fn master(&self) -> Option<Arc<Master>> {
        self.store.line.node().map(|node| self.core.masters.of(&node))
    }

    /// Waits while the server that holds it is away. Whatever is not a heartbeat waits here before it asks.
    pub(crate) async fn reachable(&self) {
        let mut changes = self.store.line.network().changes();
        while let Some(master) = self.master().filter(|master| !master.is_asked()) {
            tokio::select! {
                () = master.becomes(|state| state == BreakerState::Closed) => {}
                // Another server may hold it by now.
                changed = changes.changed() => if changed.is_err() { return },
            }
        }
    }

    /// Notes what came of asking the server that holds it.
    pub(crate) fn heard<T>(&self, said: &Result<T, StoreError>) {
        let Some(node) = self.store.line.node() else { return };
        let masters = &self.core.masters;
        match said {
            Ok(_) => masters.answered(&node),
            Err(e) if e.is_away() => masters.failed(&node, e),
            Err(e) => masters.refused(&node, e),
        }
    }

    /// For how long orphans are left to their owners.
    pub(crate) fn owners_first(&self) -> Duration {
        self.master().map_or(Duration::ZERO, |master| master.owners_first())
    }

    /// Hands a settlement to the settler. Never waits; after the end of the client it does nothing, and the entry is
    /// recovered by another worker.
    pub(crate) fn settle(&self, settlement: Settlement) {
        let id = settlement.step.id;
        if self.settlements.send(settlement).is_err() {
            self.leases.remove(&id);
        }
    }

    /// Gives back an entry that the user has never seen.
    pub(crate) fn hand_back(&self, id: EntryId, token: Option<Token>, operation: Operation, slot: Option<Slot>) {
        self.leases.note(id);
        let mut settlement = Settlement::of_entry(id, token, operation);
        settlement.slot = slot;
        self.settle(settlement);
    }

    /// Ends a lease against its owner's will; true for the one call that did it.
    pub(crate) fn disown(&self, held: &Arc<Held>, reason: DisownedReason) -> bool {
        if !held.disown(reason) {
            return false;
        }
        self.core.metrics.disowned(reason);
        self.core.totals.count_lost();
        self.core
            .outbox
            .send(Notification::StreamDisowned(Disowned::new(self.number, held, reason)));
        match reason {
            // Somebody else's already; there is nothing to give back.
            DisownedReason::TakenOver => self.leases.remove_held(held),
            // Still mine in Redis, perhaps: given back there, so that it need not wait for its lock to expire; or written back,
            // where Redis has lost it. The id stays known until that is answered, or the audit would lease it again while its
            // handler still runs.
            DisownedReason::DeadlinePassed | DisownedReason::DataLoss | DisownedReason::Shutdown => {
                self.settle(Settlement::of(held, Operation::Release));
            }
            // The handler's failure, and counted as one, or a stream that hangs every handler would go round for ever.
            DisownedReason::HeldTooLong => {
                let operation = Operation::Retry {
                    delay: held.retry_after(),
                    error: "held longer than max_hold".to_owned(),
                };
                self.settle(Settlement::of(held, operation));
            }
        }
        true
    }

    /// Why a lease is lost; whoever notices first says so to everybody.
    pub(crate) fn loss(&self, held: &Arc<Held>) -> LeaseLost {
        let unnoticed = held.overdue(Moment::now());
        self.disown(held, unnoticed.unwrap_or(DisownedReason::DeadlinePassed));
        let reason = match held.phase() {
            Phase::Disowned(reason) => reason,
            _ => DisownedReason::DeadlinePassed,
        };
        LeaseLost { id: held.id(), reason }
    }

    /// Hands back every lease that is still held at a shutdown.
    pub(super) fn disown_all(&self) {
        for held in self.leases.all() {
            self.disown(&held, DisownedReason::Shutdown);
        }
    }

    /// Has hello said to the store, by the heartbeat, and waits until what it told is in force: whatever is held is restored
    /// then. One task does it for all, as two could take over what they heard in the wrong order; and it is the heartbeat's,
    /// because leases wait for it, and that does not wait for a runtime that its user blocks.
    ///
    /// # Errors
    /// Redis did not answer, or the service has become impossible.
    pub(crate) async fn hello(&self) -> Result<(), StoreError> {
        let (answer, answered) = oneshot::channel();
        let _ = self.hellos.send(answer);
        answered.await.unwrap_or_else(|_| Err(StoreError::interrupted("hello")))
    }

    /// Says hello to the store and takes over what it says; new data loss is told to the user. What is held is restored
    /// before anything is done under a new epoch: a renewal would be told that it is lost.
    pub(crate) async fn say_hello(&self, store: &Store) -> Result<(), StoreError> {
        let core = &self.core;
        let heard = self.session.hello(store, self.number, &core.settings).await;
        self.heard(&heard);
        let heard = heard?;
        let news = heard.news;
        if news != News::Nothing {
            let era = self.session.draw_era();
            restore(self, store, &heard.epoch, era).await?;
        }
        let losses = self.session.adopt(heard);
        match news {
            News::Nothing => return Ok(()),
            News::Generation => {
                tracing::warn!(
                    service = %core.settings.service, partition = self.number,
                    "Redis may have lost its last writes (a failover, a restart, or a clock that jumped); what is held was \
                     restored, and nothing is handed out for one lock_ttl"
                );
                core.metrics.generation();
            }
            News::Loss => {
                self.reports.tell_again();
                tracing::error!(
                    service = %core.settings.service, partition = self.number,
                    "Redis lost the data of this service, or its group: the epoch changed"
                );
                core.metrics.data_loss();
                let partition = self.number;
                core.outbox.send(Notification::DataLoss(DataLoss {
                    partition,
                    times: losses,
                }));
            }
        }
        self.scan_now.notify_one();
        Ok(())
    }

    /// Writes this consumer's row, and learns whether it is paused.
    pub(crate) async fn register(&self, store: &Store) -> Result<(), StoreError> {
        let core = &self.core;
        let row = Row {
            host: core.host.clone(),
            pid: std::process::id(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            started_ms: core.started_ms,
            capacity: core.slots.count(),
            held: self.leases.len(),
            totals: core.totals.totals(),
            lock_ttl_ms: u64::try_from(core.settings.lock_ttl.as_millis()).unwrap_or(u64::MAX),
        };
        let row = serde_json::to_string(&row).unwrap_or_default();
        let paused = store.register(&row, core.settings.lock_ttl).await?;
        self.paused(paused);
        Ok(())
    }

    /// Notes whether Redis says that this worker is to take no new work.
    pub(crate) fn paused(&self, paused: bool) {
        // The whole service is paused partition by partition; the first one speaks for it.
        if self.pause.set(paused) && self.number == 0 {
            self.core.metrics.paused(paused);
            let said = if paused {
                "paused: no new work is taken"
            } else {
                "resumed"
            };
            tracing::info!(service = %self.core.settings.service, consumer = %self.core.consumer, "{said}");
        }
    }
}
