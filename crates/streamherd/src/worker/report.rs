//! How a worker ended.

use crate::error::SettingError;
use crate::runtime::{ShutdownReport, TerminatedReason};

use super::attempt::{Ending, Fate};

/// What a worker did, from its start to its end. Counts what Redis has confirmed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct WorkerReport {
    /// Streams finished.
    pub done: u64,
    /// Streams put back as failed attempts.
    pub retried: u64,
    /// Streams that went to the dead-letter stream.
    pub dead_lettered: u64,
    /// Streams handed back unfinished, counting nothing.
    pub released: u64,
    /// Leases that were lost, and settlements that did not count or were not answered: others have these streams, or will
    /// have them.
    pub lost: u64,
    /// Handlers that panicked. Their streams are among the others.
    pub panicked: u64,
    /// Handlers that were still running, as they block their threads, when the worker ended without them.
    pub stuck: usize,
    /// What the client did since its shutdown began, by its handlers and by itself.
    pub client: ShutdownReport,
}

impl WorkerReport {
    pub(super) const fn count(&mut self, ending: Ending) {
        let counter = match ending.fate {
            Fate::Done => &mut self.done,
            Fate::Retried => &mut self.retried,
            Fate::DeadLettered => &mut self.dead_lettered,
            Fate::Released => &mut self.released,
            Fate::Lost => &mut self.lost,
        };
        *counter += 1;
        self.panicked += ending.panicked as u64;
    }
}

/// Why a worker did not run, or did not end as it should.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RunError {
    /// A setting of the worker breaks a rule. No handler was called; what the client had read already was handed back.
    #[error(transparent)]
    Setting(#[from] SettingError),
    /// The client ended by itself.
    #[error("the client ended: {reason}")]
    Terminated {
        /// Why.
        reason: TerminatedReason,
        /// What the worker did until then.
        report: WorkerReport,
    },
}
