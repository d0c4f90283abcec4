//! What runs: the state that the tasks share, and the one place that starts and stops them.

mod handle;
mod partition;
mod reader;
mod slots;
mod state;
mod supervisor;

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::AtomicUsize;

use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

use crate::clock::Moment;
use crate::config::Settings;
use crate::dead_letter::DeadLetterReason;
use crate::id::{ConsumerId, EntryId};
use crate::metrics::Metrics;
use crate::notification::Outbox;
use crate::recovery::Masters;

pub(crate) use handle::{Endings, Handle, Shutdown};
pub use handle::{ShutdownReport, TerminatedReason};
pub(crate) use partition::{Asked, Inboxes, Partition, Partitions};
pub(crate) use slots::{Slot, Slots};
pub(crate) use state::{Complaints, Due, Marks, Pause, Vitals};
pub(crate) use supervisor::{Started, start};

/// The state that all tasks of one client share.
#[derive(Debug)]
pub(crate) struct Core {
    pub(crate) settings: Settings,
    pub(crate) consumer: ConsumerId,
    pub(crate) outbox: Outbox,
    pub(crate) metrics: Metrics,
    pub(crate) slots: Arc<Slots>,
    pub(crate) masters: Masters,
    /// Reads of any partition in a row that found nothing waiting.
    pub(crate) empty_takes: AtomicUsize,
    /// No more reading: set first at a shutdown.
    pub(crate) closing: CancellationToken,
    /// Asks for new subscriptions everywhere.
    pub(crate) resubscribe: Notify,
    /// What became of leases since then.
    pub(crate) endings: Endings,
    /// What became of leases since the start.
    pub(crate) totals: Endings,
    host: String,
    /// Unix time by this machine's clock.
    started_ms: u64,
}

impl Core {
    /// The local end of a lease whose lock was set or extended by a call sent at `start`.
    pub(crate) fn deadline(&self, start: Moment) -> Moment {
        start + (self.settings.lock_ttl - self.settings.margin)
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
