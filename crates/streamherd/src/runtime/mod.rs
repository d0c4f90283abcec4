//! What runs: the state that the tasks share, and the one place that starts and stops them.

mod handle;
mod reader;
mod slots;
mod state;
mod supervisor;

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{Notify, mpsc};
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
use crate::registry::Row;
use crate::store::{Connection, Operation, Store, StoreError};

pub(crate) use handle::{Endings, Handle, Shutdown};
pub use handle::{ShutdownReport, TerminatedReason};
pub(crate) use slots::{Slot, Slots};
pub(crate) use state::{Complaints, Due, Pause, Vitals};
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
    pub(crate) slots: Arc<Slots>,
    pub(crate) pause: Pause,
    pub(crate) due: Due,
    /// Asks for a scan now, whoever holds the gate.
    pub(crate) scan_now: Notify,
    /// No more reading: set first at a shutdown.
    pub(crate) closing: CancellationToken,
    /// What became of leases since then.
    pub(crate) endings: Endings,
    host: String,
    /// Unix time by this machine's clock.
    started_ms: u64,
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
    pub(crate) fn hand_back(&self, id: EntryId, token: Option<Token>, operation: Operation, slot: Option<Slot>) {
        self.leases.note(id);
        let mut settlement = Settlement::unattended(id, token, None, operation);
        settlement.slot = slot;
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
                let name = held.entry.coalesced_name();
                self.settle(Settlement::unattended(
                    held.id(),
                    Some(held.token),
                    name,
                    Operation::Release,
                ));
            }
            // The handler's failure, and counted as one, or a stream that hangs every handler would go round for ever.
            DisownedReason::HeldTooLong => {
                let operation = Operation::Retry {
                    delay: held.retry_after(),
                    error: "held longer than max_hold".to_owned(),
                };
                let name = held.entry.coalesced_name();
                self.settle(Settlement::unattended(held.id(), Some(held.token), name, operation));
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
    fn disown_all(&self) {
        for held in self.leases.all() {
            self.disown(&held, DisownedReason::Shutdown);
        }
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

    /// Writes this consumer's row, and learns whether it is paused.
    pub(crate) async fn register(&self, store: &Store) -> Result<(), StoreError> {
        let row = Row {
            host: self.host.clone(),
            pid: std::process::id(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            started_ms: self.started_ms,
            capacity: self.slots.count(),
            held: self.leases.len(),
            lock_ttl_ms: u64::try_from(self.settings.lock_ttl.as_millis()).unwrap_or(u64::MAX),
        };
        let row = serde_json::to_string(&row).unwrap_or_default();
        let paused = store.register(&row).await?;
        self.paused(paused);
        Ok(())
    }

    /// Notes whether Redis says that this worker is to take no new work.
    pub(crate) fn paused(&self, paused: bool) {
        if self.pause.set(paused) {
            self.metrics.paused(paused);
            let said = if paused {
                "paused: no new work is taken"
            } else {
                "resumed"
            };
            tracing::info!(service = %self.settings.service, consumer = %self.consumer, "{said}");
        }
    }

    pub(crate) fn dead_lettered(&self, id: impl fmt::Display, reason: DeadLetterReason, trimmed: u64) {
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
