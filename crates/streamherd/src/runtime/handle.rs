//! What keeps a client running, and how it is asked to end.

use std::fmt;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Weak};
use std::time::Duration;

use tokio::sync::watch;
use tokio_util::sync::{CancellationToken, DropGuard};

use crate::lease::Settled;
use crate::registry::Totals;
use crate::store::Operation;

/// Keeps the client running. Client, notifications and each lease hold one; when the last is dropped the client ends.
#[derive(Debug, Clone)]
pub(crate) struct Handle {
    _guard: Arc<DropGuard>,
}

#[derive(Debug, Clone)]
pub(super) struct WeakHandle(Weak<DropGuard>);

impl Handle {
    /// Cancels the token when the last of its clones is dropped.
    pub(super) fn over(alive: &CancellationToken) -> (Self, WeakHandle) {
        let guard = Arc::new(alive.clone().drop_guard());
        let weak = WeakHandle(Arc::downgrade(&guard));
        (Self { _guard: guard }, weak)
    }
}

impl WeakHandle {
    pub(super) fn upgrade(&self) -> Option<Handle> {
        self.0.upgrade().map(|guard| Handle { _guard: guard })
    }
}

/// Asks for a shutdown, and learns how it went.
#[derive(Clone)]
pub(crate) struct Shutdown {
    request: Arc<watch::Sender<Option<Duration>>>,
    report: watch::Receiver<Option<ShutdownReport>>,
}

impl Shutdown {
    pub(super) fn new(
        request: watch::Sender<Option<Duration>>,
        report: watch::Receiver<Option<ShutdownReport>>,
    ) -> Self {
        Self {
            request: Arc::new(request),
            report,
        }
    }

    /// The first request's deadline counts.
    pub(crate) fn ask(&self, deadline: Duration) {
        self.request.send_if_modified(|asked| {
            let first = asked.is_none();
            asked.get_or_insert(deadline);
            first
        });
    }

    /// Whether it is over.
    pub(crate) fn is_over(&self) -> bool {
        self.report.borrow().is_some()
    }

    pub(crate) async fn request(&self, deadline: Duration) -> ShutdownReport {
        self.ask(deadline);
        let mut report = self.report.clone();
        let report = report.wait_for(Option::is_some).await.map(|r| *r);
        // The supervisor is gone only with the runtime it ran on, and everything else with it.
        report.ok().flatten().unwrap_or_default()
    }
}

/// What became of leases since some moment.
#[derive(Debug, Default)]
pub(crate) struct Endings {
    done: AtomicUsize,
    retried: AtomicUsize,
    dead_lettered: AtomicUsize,
    released: AtomicUsize,
    refused: AtomicUsize,
    lost: AtomicUsize,
}

impl Endings {
    /// Counts what Redis has confirmed.
    pub(crate) fn count(&self, operation: &Operation, settled: &Settled) {
        let counter = match (settled, operation) {
            (Settled::Done, _) => &self.done,
            (Settled::DeadLettered { .. }, _) => &self.dead_lettered,
            (_, Operation::Release) => &self.released,
            _ => &self.retried,
        };
        counter.fetch_add(1, Ordering::Relaxed);
    }

    /// Counts what Redis has refused for good: it waits for its lock to expire, as what is not answered does.
    pub(crate) fn count_refused(&self) {
        self.refused.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn count_lost(&self) {
        self.lost.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn totals(&self) -> Totals {
        let read = |counter: &AtomicUsize| counter.load(Ordering::Relaxed) as u64;
        Totals {
            done: read(&self.done),
            retried: read(&self.retried),
            dead_lettered: read(&self.dead_lettered),
            released: read(&self.released),
            lost: read(&self.lost),
        }
    }

    /// With what is still unanswered.
    pub(super) fn report(&self, unanswered: usize) -> ShutdownReport {
        let read = |counter: &AtomicUsize| counter.load(Ordering::Relaxed);
        ShutdownReport {
            done: read(&self.done),
            retried: read(&self.retried),
            dead_lettered: read(&self.dead_lettered),
            released: read(&self.released),
            abandoned: unanswered + read(&self.refused),
        }
    }
}

/// What a shutdown did with the leases that were held when it began, and with what was being read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct ShutdownReport {
    /// Finished within the deadline.
    pub done: usize,
    /// Given back by their handlers within the deadline, as failed attempts.
    pub retried: usize,
    /// Sent to the dead-letter stream within the deadline.
    pub dead_lettered: usize,
    /// Handed back unfinished, by their handlers or by the shutdown, counting nothing; another worker can take them at
    /// once.
    pub released: usize,
    /// Could not be handed back, as Redis did not answer or refused; another worker takes them when their locks have
    /// expired.
    pub abandoned: usize,
}

/// Why a client ended.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum TerminatedReason {
    /// It was shut down, or all its handles were dropped.
    Shutdown,
    /// A task of the client panicked, which is a bug in streamherd; please report it.
    Panicked(String),
}

impl fmt::Display for TerminatedReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Shutdown => f.write_str("shut down"),
            Self::Panicked(what) => {
                write!(f, "a task panicked, which is a bug in streamherd: {what}")
            }
        }
    }
}
