//! What a handler is given.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use serde::de::DeserializeOwned;
use tokio_util::sync::CancellationToken;

use crate::clock::Moment;
use crate::error::LeaseLost;
use crate::id::{EntryId, StreamId, Token};
use crate::lease::{Info, Lease};
use crate::lock::{Held, HoldLimit};
use crate::progress::Progress;
use crate::runtime::Partition;
use crate::trace::{self, TraceContext};

/// One stream that a [`Handler`](crate::Handler) works on: a view of its lease. Cheap to clone, and without a lifetime,
/// so parts of the work can take it to tasks of their own.
///
/// It can't end the lease: what the handler returns does. After that, a clone that is still around says that the lease
/// holds until Redis has confirmed its end, and for a while longer; it is the handler's task to wait for its own tasks.
///
/// # Examples
///
/// ```
/// use streamherd::{BoxError, Job};
///
/// #[derive(serde::Deserialize)]
/// struct Order {
///     items: Vec<String>,
/// }
///
/// async fn handle(job: Job) -> Result<(), BoxError> {
///     let order: Order = job.info()?;
///     for item in order.items {
///         // Before each step that can't be undone; the token lets the target refuse what comes too late all the same.
///         job.ensure_valid()?;
///         println!("shipping {item} under token {}", job.token());
///     }
///     Ok(())
/// }
/// ```
#[derive(Clone)]
pub struct Job {
    held: Arc<Held>,
    partition: Arc<Partition>,
    span: tracing::Span,
    stop: CancellationToken,
    /// How long the handler may hold the lease, and how long the stream waits after that.
    limit: Option<(Duration, Duration)>,
}

impl Job {
    pub(super) fn of(lease: &Lease, limit: Option<(Duration, Duration)>) -> Self {
        let (held, partition) = lease.parts();
        Self {
            // A child of the loss: it fires in the same moment, on whatever thread notices, and needs no task of this
            // runtime for it, which the handler may be blocking.
            stop: held.lost().child_token(),
            held: Arc::clone(held),
            partition: Arc::clone(partition),
            span: lease.span().clone(),
            limit,
        }
    }

    /// From here on the handler's time counts.
    pub(super) fn start_clock(&self) {
        let limit = self.limit.map(|(span, retry_after)| HoldLimit {
            until: Moment::now() + span,
            retry_after,
        });
        self.partition.leases.limit(&self.held, limit);
    }

    /// What is waited for from here on is not the handler's time.
    #[cfg(feature = "tower")]
    pub(super) fn stop_clock(&self) {
        self.partition.leases.limit(&self.held, None);
    }

    /// The data stream's name.
    #[must_use]
    pub fn stream(&self) -> &str {
        &self.held.entry.name
    }

    /// The info that the stream was submitted with.
    ///
    /// # Errors
    /// It is not JSON of that type. Info that was left out reads as `null`.
    pub fn info<T: DeserializeOwned>(&self) -> Result<T, serde_json::Error> {
        Info(self.held.entry.info()).read()
    }

    /// The entry in the queue, as [`Lease::id`].
    #[must_use]
    pub fn id(&self) -> EntryId {
        self.held.id()
    }

    /// The id under which the stream was submitted; the same through all re-queues.
    #[must_use]
    pub fn original_id(&self) -> StreamId {
        self.held.entry.origin
    }

    /// When the stream was submitted, in Unix milliseconds by the server's clock.
    #[must_use]
    pub fn first_seen_ms(&self) -> u64 {
        self.held.entry.first_seen_ms
    }

    /// The trace that the stream was submitted in, the same through all re-queues; [`None`] where its submit said none. As
    /// [`Lease::trace_context`].
    #[must_use]
    pub fn trace_context(&self) -> Option<TraceContext> {
        trace::of(&self.held.entry.fields)
    }

    /// The fencing token: send it along with each side effect, and let the target refuse older ones.
    #[must_use]
    pub fn token(&self) -> Token {
        self.held.token
    }

    /// How often the stream was handed out before and not finished: 0 the first time. Releases don't count.
    #[must_use]
    pub fn attempt(&self) -> u32 {
        self.held.entry.attempt
    }

    /// How many of those attempts failed at their handler.
    #[must_use]
    pub fn failures(&self) -> u32 {
        self.held.entry.failures
    }

    /// How many of those attempts ended because their worker died or lost its lease.
    #[must_use]
    pub fn abandonments(&self) -> u32 {
        self.held.entry.abandonments
    }

    /// How long the lease is certain to live if no further heartbeat gets through, and at most until
    /// [`Worker::max_hold`](crate::Worker::max_hold) ends it. Zero when it is lost.
    #[must_use]
    pub fn remaining(&self) -> Duration {
        self.held.remaining()
    }

    /// Says how far the work has come, for those who look on; as [`Lease::report`].
    pub fn report(&self, progress: Progress) {
        self.partition.reports.report(&self.held, progress);
    }

    /// Whether the lease holds at this moment, by the clock at the call; as [`Lease::is_valid`].
    #[must_use]
    pub fn is_valid(&self) -> bool {
        self.held.is_valid(Moment::now())
    }

    /// [`is_valid`](Self::is_valid) as a result, for `?` before an irreversible step.
    ///
    /// # Errors
    /// The lease is lost.
    pub fn ensure_valid(&self) -> Result<(), LeaseLost> {
        if self.is_valid() {
            return Ok(());
        }
        Err(self.partition.loss(&self.held))
    }

    /// Fires when the lease is lost. Somebody else has the stream then, or will have it.
    #[must_use]
    pub fn lost(&self) -> &CancellationToken {
        self.held.lost()
    }

    /// Fires when the handler has to end: when the lease is lost, and when the time for a shutdown is over. After
    /// [`Worker::grace`](crate::Worker::grace) the handler is dropped.
    ///
    /// # Examples
    ///
    /// ```
    /// # use streamherd::{BoxError, Job};
    /// # async fn next_part() {}
    /// async fn handle(job: Job) -> Result<(), BoxError> {
    ///     loop {
    ///         tokio::select! {
    ///             () = next_part() => {}
    ///             // Not a failure: the stream goes on elsewhere.
    ///             () = job.stop().cancelled() => return Err("stopped".into()),
    ///         }
    ///     }
    /// }
    /// ```
    #[must_use]
    pub const fn stop(&self) -> &CancellationToken {
        &self.stop
    }

    /// The span of this lease, with service, stream, token and attempt. The handler runs in it; tasks that it spawns need
    /// it (`task.instrument(job.span().clone())`).
    #[must_use]
    pub const fn span(&self) -> &tracing::Span {
        &self.span
    }
}

impl fmt::Debug for Job {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Job")
            .field("stream", &self.stream())
            .field("id", &self.id())
            .field("token", &self.token())
            .field("attempt", &self.attempt())
            .finish_non_exhaustive()
    }
}
