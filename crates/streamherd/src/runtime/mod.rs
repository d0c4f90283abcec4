//! What runs: the state that the tasks share, and the one place that starts and stops them.

mod handle;
mod reader;
mod supervisor;

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore, mpsc};
use tokio_util::sync::CancellationToken;

use crate::clock::Moment;
use crate::config::Settings;
use crate::dead_letter::DeadLetterReason;
use crate::error::{DisownedReason, LeaseLost};
use crate::id::{ConsumerId, EntryId, Token};
use crate::keys::Keys;
use crate::lock::{Held, Leases, Phase, Settlement};
use crate::metrics::Metrics;
use crate::notification::{Disowned, Notification, Outbox};
use crate::recovery::Session;
use crate::store::{Connection, Operation, Store, StoreError};

pub(crate) use handle::{Handle, Shutdown};
pub use handle::{ShutdownReport, TerminatedReason};
pub(crate) use supervisor::start;

/// The state that all tasks of one client share.
pub(crate) struct Core {
    pub(crate) settings: Settings,
    pub(crate) consumer: ConsumerId,
    pub(crate) store: Store,
    /// The same connection, for scripts that leases wait for.
    pub(crate) leasing: Store,
    pub(crate) session: Session,
    pub(crate) leases: Leases,
    pub(crate) outbox: Outbox,
    pub(crate) health: Vitals,
    pub(crate) metrics: Metrics,
    /// One permit per stream that this worker may hold.
    pub(crate) slots: Arc<Semaphore>,
    /// Asks for a scan now, whoever holds the gate.
    pub(crate) scan_now: Notify,
    /// No more reading: set first at a shutdown.
    pub(crate) closing: CancellationToken,
    keys: Arc<Keys>,
    settlements: mpsc::UnboundedSender<Settlement>,
}

impl Core {
    pub(crate) fn store_on(&self, connection: Connection, timeout: Duration) -> Store {
        Store::new(connection, Arc::clone(&self.keys), self.consumer.clone(), timeout)
    }

    pub(crate) fn keys(&self) -> Arc<Keys> {
        Arc::clone(&self.keys)
    }

    /// The local end of a lease whose lock was set or extended by a call sent at `start`.
    pub(crate) fn deadline(&self, start: Moment) -> Moment {
        start + (self.settings.lock_ttl - self.settings.margin)
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
    pub(crate) fn hand_back(
        &self,
        id: EntryId,
        token: Option<Token>,
        operation: Operation,
        permit: Option<OwnedSemaphorePermit>,
    ) {
        self.leases.note(id);
        let mut settlement = Settlement::unattended(id, token, operation);
        settlement.permit = permit;
        self.settle(settlement);
    }

    /// Ends a lease against its owner's will; true for the one call that did it.
    pub(crate) fn disown(&self, held: &Arc<Held>, reason: DisownedReason) -> bool {
        if !held.disown(reason) {
            return false;
        }
        self.metrics.disowned(reason);
        self.outbox
            .send(Notification::StreamDisowned(Disowned::new(held, reason)));
        match reason {
            // Somebody else's already; there is nothing to give back.
            DisownedReason::TakenOver | DisownedReason::DataLoss => self.leases.remove(&held.id()),
            // Still mine in Redis, perhaps: given back there, so that it need not wait for its lock to expire. The id
            // stays known until that is answered, or the audit would lease it again while its handler still runs.
            DisownedReason::DeadlinePassed | DisownedReason::Shutdown => {
                self.settle(Settlement::unattended(held.id(), Some(held.token), Operation::Release));
            }
            // The handler's failure, and counted as one, or a stream that hangs every handler would go round for ever.
            DisownedReason::HeldTooLong => {
                let operation = Operation::Retry {
                    delay: held.retry_after(),
                    error: "held longer than max_hold".to_owned(),
                };
                self.settle(Settlement::unattended(held.id(), Some(held.token), operation));
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

    /// Hands back every lease that is still held at a shutdown, and says how many.
    fn disown_all(&self) -> usize {
        let held = self.leases.all();
        held.iter()
            .filter(|held| self.disown(held, DisownedReason::Shutdown))
            .count()
    }

    /// Says hello to the store and takes over its epoch; a new one is told to the user.
    pub(crate) async fn hello(&self, store: &Store) -> Result<(), StoreError> {
        if let Some(loss) = self.session.hello(store, &self.settings).await? {
            tracing::error!(
                service = %self.settings.service,
                "Redis lost the data of this service, or its group: the epoch changed"
            );
            self.metrics.data_loss();
            self.outbox.send(Notification::DataLoss(loss));
            self.scan_now.notify_one();
        }
        Ok(())
    }

    pub(crate) fn dead_lettered(&self, id: EntryId, reason: DeadLetterReason, trimmed: u64) {
        self.metrics.dead_lettered(reason, trimmed);
        tracing::warn!(service = %self.settings.service, entry = %id, %reason, "an entry is a dead letter now");
        if trimmed > 0 {
            tracing::warn!(
                service = %self.settings.service,
                trimmed,
                "older dead letters were trimmed; redrive or purge them in time, or raise recovery.dlq_max_len"
            );
        }
    }

    pub(crate) fn vanished(&self, id: EntryId) {
        self.metrics.vanished();
        tracing::warn!(
            service = %self.settings.service,
            entry = %id,
            "a pending entry had no body: another program deleted it, and it was tidied away"
        );
    }
}

/// Tells of trouble once per kind, and of its end: an outage is two log lines, not one per try.
#[derive(Debug)]
pub(crate) struct Complaints(Option<&'static str>);

impl Complaints {
    pub(crate) const fn new() -> Self {
        Self(None)
    }

    pub(crate) fn about(&mut self, error: &StoreError, what: &'static str) {
        if self.0.replace(error.kind_name()) != Some(error.kind_name()) {
            tracing::warn!(error = %error, "{what}");
        }
    }

    pub(crate) fn settled(&mut self, what: &'static str) {
        if self.0.take().is_some() {
            tracing::info!("{what}");
        }
    }
}

/// When each part last got through to Redis.
#[derive(Debug, Default)]
pub(crate) struct Vitals(Mutex<Marks>);

#[derive(Debug, Default, Clone, Copy)]
pub(crate) struct Marks {
    pub(crate) read: Option<Moment>,
    pub(crate) renewed: Option<Moment>,
    pub(crate) scanned: Option<Moment>,
    pub(crate) listening: bool,
}

impl Vitals {
    pub(crate) fn read(&self) {
        self.mark(|m| m.read = Some(Moment::now()));
    }

    pub(crate) fn renewed(&self, well: bool) {
        if well {
            self.mark(|m| m.renewed = Some(Moment::now()));
        }
    }

    pub(crate) fn scanned(&self) {
        self.mark(|m| m.scanned = Some(Moment::now()));
    }

    pub(crate) fn listening(&self, listening: bool) {
        self.mark(|m| m.listening = listening);
    }

    pub(crate) fn marks(&self) -> Marks {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn mark(&self, change: impl FnOnce(&mut Marks)) {
        change(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner));
    }
}
