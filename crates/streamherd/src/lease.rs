//! A worker's right to work on one stream.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use serde::de::DeserializeOwned;
use tokio::sync::oneshot;
use tokio_util::sync::CancellationToken;

use crate::clock::Moment;
use crate::dead_letter::DeadLetterReason;
use crate::entry::Entry;
use crate::error::{LeaseLost, SettleError};
use crate::id::{EntryId, StreamId, Token};
use crate::lock::{Held, HoldLimit, Settlement};
use crate::progress::Progress;
use crate::runtime::{Handle, Partition, Slot};
use crate::store::Operation;
use crate::trace;

/// The right to work on one stream, kept alive by heartbeats until it is settled or lost.
///
/// End it with [`done`](Self::done), [`retry`](Self::retry), [`dead_letter`](Self::dead_letter) or
/// [`release`](Self::release). Dropping it unsettled is [`retry`](Self::retry) without waiting for the outcome: a
/// handler that panics or returns early has failed, and the failure is counted.
///
/// A lease can be lost while its owner works, when Redis can't be reached or this process stands still for longer than
/// the lock lives. [`lost`](Self::lost) fires then; [`is_valid`](Self::is_valid) tells at the call. Ask
/// [`ensure_valid`](Self::ensure_valid) before each irreversible step, and send the [`token`](Self::token) along: between
/// the check and the step only the target's refusal of older tokens protects.
#[must_use = "a lease that is dropped unsettled counts as a failed attempt"]
pub struct Lease {
    held: Arc<Held>,
    partition: Arc<Partition>,
    span: tracing::Span,
    /// Gone once the lease is settled.
    open: Option<(Slot, Handle)>,
}

impl Lease {
    pub(crate) fn new(held: Arc<Held>, partition: Arc<Partition>, slot: Slot, alive: Handle) -> Self {
        Self {
            span: trace::lease(&partition, &held),
            held,
            partition,
            open: Some((slot, alive)),
        }
    }

    /// The data stream's name.
    #[must_use]
    pub fn stream(&self) -> &str {
        &self.entry().name
    }

    /// The partition that its entry is in; with the entry's [`id`](Self::id) it is unique.
    #[must_use]
    pub fn partition(&self) -> u16 {
        self.partition.number
    }

    /// The info that the stream was submitted with.
    ///
    /// # Errors
    /// It is not JSON of that type. Info that was left out reads as `null`.
    pub fn info<T: DeserializeOwned>(&self) -> Result<T, serde_json::Error> {
        Info(self.entry().info()).read()
    }

    /// The entry in the queue. It changes with each re-queue, and is not a fencing token: a failover can hand out the
    /// same id twice.
    #[must_use]
    pub fn id(&self) -> EntryId {
        self.held.id()
    }

    /// The id under which the stream was submitted; the same through all re-queues.
    #[must_use]
    pub fn original_id(&self) -> StreamId {
        self.entry().origin
    }

    /// When the stream was submitted, in Unix milliseconds by the server's clock.
    #[must_use]
    pub fn first_seen_ms(&self) -> u64 {
        self.entry().first_seen_ms
    }

    /// The fencing token of this lease.
    #[must_use]
    pub fn token(&self) -> Token {
        self.held.token
    }

    /// How often the stream was handed out before and not finished: 0 the first time. Releases don't count.
    #[must_use]
    pub fn attempt(&self) -> u32 {
        self.entry().attempt
    }

    /// How many of those attempts failed at their handler.
    #[must_use]
    pub fn failures(&self) -> u32 {
        self.entry().failures
    }

    /// How many of those attempts ended because their worker died or lost its lease.
    #[must_use]
    pub fn abandonments(&self) -> u32 {
        self.entry().abandonments
    }

    /// How long the lease is certain to live if no further heartbeat gets through. Zero when it is lost.
    #[must_use]
    pub fn remaining(&self) -> Duration {
        self.held.remaining()
    }

    /// Whether the lease holds at this moment. Compares the clock at the call, so a process that was stopped or a machine
    /// that was suspended is told the truth as it wakes. False from a margin (a twelfth of `lock_ttl`, at least 100 ms)
    /// before anybody else may be given the stream.
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

    /// Ends the lease this long from now if it is not settled by then, although its heartbeats get through: for work
    /// that may hang. It is lost then ([`HeldTooLong`](crate::error::DisownedReason::HeldTooLong)), and its stream goes
    /// back to the queue as a failed attempt. Works also while the handler blocks its thread, or its whole runtime; in the
    /// latter case the stream is taken over by another worker once the lock has expired, as from a dead one.
    ///
    /// Counted from the call; of several calls the last counts, so work may call it again with each progress it makes.
    /// Zero ends the lease now. Default: no limit.
    ///
    /// # Examples
    ///
    /// ```no_run
    /// # async fn example(lease: streamherd::Lease, chunks: Vec<String>) -> Result<(), streamherd::BoxError> {
    /// # async fn copy(_: String) {}
    /// for chunk in chunks {
    ///     lease.hold_at_most(std::time::Duration::from_secs(60));
    ///     copy(chunk).await; // each may take a minute, all together as long as they want
    /// }
    /// lease.done().await?;
    /// # Ok(())
    /// # }
    /// ```
    pub fn hold_at_most(&self, span: Duration) {
        let limit = HoldLimit {
            until: Moment::now() + span,
            retry_after: Duration::ZERO,
        };
        self.partition.leases.limit(&self.held, Some(limit));
    }

    /// Says how far the work has come, for those who look on: the dashboard, `streamherd top` and `status`. It is told with
    /// the next heartbeat (a third of `lock_ttl` by default); of several reports the last one counts, so that reporting often
    /// costs nothing. It changes nothing about the lease, and does not outlive it.
    pub fn report(&self, progress: Progress) {
        self.partition.reports.report(&self.held, progress);
    }

    /// Fires when the lease is lost. It fires at the deadline at the latest, also while Redis can't be reached.
    #[must_use]
    pub fn lost(&self) -> &CancellationToken {
        self.held.lost()
    }

    /// The span of this lease, with service, stream, token and attempt: run the work in it
    /// (`work.instrument(lease.span().clone())`), and its log lines tell which stream they are about.
    ///
    /// With the feature `opentelemetry` it is a consumer's span, the root of a trace of its own, and linked to the submit's
    /// [`trace_context`](Self::trace_context). It is exported when the lease and all that holds this span have ended.
    #[must_use]
    pub const fn span(&self) -> &tracing::Span {
        &self.span
    }

    /// The work is finished: the stream leaves the queue for good.
    ///
    /// Returns when Redis has confirmed it, however long that takes; the lease stays alive meanwhile.
    ///
    /// # Errors
    /// [`SettleError::Disowned`]: the lease was lost, nothing was changed, and the stream is worked on elsewhere.
    ///
    /// # Cancel safety
    /// The settlement is on its way from the first poll; dropping the future then only forgoes its outcome. Dropped before
    /// it was ever polled, it drops the lease.
    pub async fn done(self) -> Result<Settled, SettleError> {
        self.settle(Operation::Done).await
    }

    /// The attempt failed: the stream goes back to the front of the queue, at once or when the delay is over, with one more
    /// failure counted; at
    /// `recovery.max_failures` it goes to the dead-letter stream instead, which the outcome tells.
    ///
    /// # Errors
    /// As [`done`](Self::done), and [`SettleError::Vanished`] if someone deleted the entry.
    ///
    /// # Cancel safety
    /// As [`done`](Self::done).
    pub async fn retry(self, retry: RetryAfter) -> Result<Settled, SettleError> {
        self.settle(Operation::Retry {
            delay: retry.delay,
            error: retry.error,
        })
        .await
    }

    /// The stream can't be worked on: it goes to the dead-letter stream as
    /// [`Rejected`](DeadLetterReason::Rejected), with this text.
    ///
    /// # Errors
    /// As [`retry`](Self::retry).
    ///
    /// # Cancel safety
    /// As [`done`](Self::done).
    pub async fn dead_letter(self, reason: impl Into<String>) -> Result<Settled, SettleError> {
        self.settle(Operation::DeadLetter {
            reason: DeadLetterReason::Rejected,
            error: reason.into(),
        })
        .await
    }

    /// Hands the stream back unfinished, counting nothing: it goes to the front of the queue.
    ///
    /// # Errors
    /// As [`retry`](Self::retry).
    ///
    /// # Cancel safety
    /// As [`done`](Self::done).
    pub async fn release(self) -> Result<Settled, SettleError> {
        self.settle(Operation::Release).await
    }

    async fn settle(mut self, operation: Operation) -> Result<Settled, SettleError> {
        let (reply, outcome) = oneshot::channel();
        let id = self.id();
        // The handle stays here until the answer, so that the client does not end while somebody waits for it.
        let Some((slot, _alive)) = self.open.take() else {
            return Err(SettleError::Unknown { id });
        };
        self.submit(operation, Some(slot), Some(reply))?;
        let outcome = outcome.await.unwrap_or(Err(SettleError::Unknown { id }));
        if let Ok(settled) = &outcome {
            trace::settled(&self.span, settled);
        }
        outcome
    }

    fn submit(
        &self,
        operation: Operation,
        slot: Option<Slot>,
        reply: Option<oneshot::Sender<Result<Settled, SettleError>>>,
    ) -> Result<(), LeaseLost> {
        self.span
            .in_scope(|| tracing::debug!(operation = operation.name(), "settling"));
        if self.held.begin_settling(Moment::now()).is_err() {
            trace::ending(&self.span, "lost");
            self.partition.core.metrics.settled_late(operation.name());
            return Err(self.partition.loss(&self.held));
        }
        trace::ending(&self.span, operation.name());
        self.partition.core.metrics.held_for(self.held.since.elapsed());
        let mut settlement = Settlement::of(&self.held, operation);
        settlement.reply = reply;
        settlement.slot = slot;
        self.partition.settle(settlement);
        Ok(())
    }

    /// [`release`](Self::release) without waiting for the outcome; nothing if it is lost.
    pub(crate) fn hand_back(mut self) {
        let Some((permit, _alive)) = self.open.take() else {
            return;
        };
        if self.is_valid() {
            let _ = self.submit(Operation::Release, Some(permit), None);
        } else {
            trace::ending(&self.span, "lost");
        }
    }

    /// What a [`Job`](crate::Job) looks at.
    pub(crate) fn parts(&self) -> (&Arc<Held>, &Arc<Partition>) {
        (&self.held, &self.partition)
    }

    /// Notes that the user receives it now; false if it is lost already, and then the user never hears of it.
    pub(crate) fn deliver(&self) -> bool {
        self.held.deliver(Moment::now())
    }

    fn entry(&self) -> &Entry {
        &self.held.entry
    }
}

impl Drop for Lease {
    /// Gives the stream back as a failed attempt, without waiting: the settler's inbox takes any number of requests.
    fn drop(&mut self) {
        let Some((slot, _alive)) = self.open.take() else {
            return;
        };
        let operation = if self.held.is_delivered() {
            Operation::Retry {
                delay: Duration::ZERO,
                error: "the handler dropped its lease".to_owned(),
            }
        } else {
            // Nobody ever saw it: not the stream's fault.
            Operation::Release
        };
        let _ = self.submit(operation, Some(slot), None);
    }
}

impl fmt::Debug for Lease {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Lease")
            .field("stream", &self.stream())
            .field("id", &self.id())
            .field("token", &self.token())
            .field("attempt", &self.attempt())
            .finish_non_exhaustive()
    }
}

/// What became of a stream whose lease was settled.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Settled {
    /// It has left the queue for good.
    Done,
    /// It is back at the front of the queue.
    Requeued,
    /// It goes back to the front of the queue when its delay is over.
    Delayed,
    /// It is in the dead-letter stream.
    DeadLettered {
        /// Why.
        reason: DeadLetterReason,
    },
}

/// When a failed stream is to be tried again, and why it failed.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct RetryAfter {
    delay: Duration,
    error: String,
}

impl RetryAfter {
    /// As soon as a worker has a free slot.
    #[must_use]
    pub fn now() -> Self {
        Self::default()
    }

    /// Not before this time has passed, by the clock of Redis, and at most about a scan interval later. Whole milliseconds,
    /// at most ten years; no time is [`now`](Self::now).
    #[must_use]
    pub fn after(delay: Duration) -> Self {
        Self {
            delay,
            error: String::new(),
        }
    }

    /// Says what went wrong; kept with the dead letter if this was the last attempt. Cut at 4 KiB.
    #[must_use]
    pub fn because(mut self, error: impl fmt::Display) -> Self {
        self.error = error.to_string();
        self
    }
}

/// The info of an entry, read on demand.
pub(crate) struct Info<'a>(pub(crate) Option<&'a str>);

impl Info<'_> {
    pub(crate) fn read<T: DeserializeOwned>(&self) -> Result<T, serde_json::Error> {
        serde_json::from_str(self.0.unwrap_or("null"))
    }
}
