//! What a worker is told: one stream of notifications.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use futures_core::Stream;
use serde::de::DeserializeOwned;
use tokio::sync::mpsc;

use crate::entry::Entry;
use crate::error::DisownedReason;
use crate::id::{EntryId, StreamId, Token};
use crate::lease::{Info, Lease};
use crate::lock::Held;
use crate::metrics::Metrics;
use crate::runtime::{Handle, TerminatedReason};

/// Something that happened to a stream, or to the client.
#[derive(Debug)]
#[non_exhaustive]
pub enum Notification {
    /// This worker now holds a stream: work on it, then settle the lease.
    StreamAdded(Lease),
    /// The owner of a stream has let its lock expire. Claim it to have it re-queued now; if nobody does, the scan does
    /// it a little later.
    StreamExpired(Orphan),
    /// This worker lost a stream: stop working on it.
    StreamDisowned(Disowned),
    /// Redis lost the service's data.
    DataLoss(DataLoss),
    /// The client has ended. The last notification.
    Terminated(TerminatedReason),
}

/// A stream whose owner seems to be dead.
#[derive(Debug, Clone)]
pub struct Orphan {
    partition: u16,
    entry: Entry,
    owner: String,
    idle: Duration,
}

impl Orphan {
    pub(crate) const fn new(partition: u16, entry: Entry, owner: String, idle: Duration) -> Self {
        Self {
            partition,
            entry,
            owner,
            idle,
        }
    }

    /// The partition that its entry is in; with the entry's [`id`](Self::id) it is unique.
    #[must_use]
    pub const fn partition(&self) -> u16 {
        self.partition
    }

    /// The data stream's name.
    #[must_use]
    pub fn stream(&self) -> &str {
        &self.entry.name
    }

    /// The entry that is without an owner.
    #[must_use]
    pub const fn id(&self) -> EntryId {
        self.entry.id
    }

    /// The id under which the stream was submitted.
    #[must_use]
    pub const fn original_id(&self) -> StreamId {
        self.entry.origin
    }

    /// How often the stream was handed out before and not finished, not counting the present time.
    #[must_use]
    pub const fn attempt(&self) -> u32 {
        self.entry.attempt
    }

    /// The consumer that let the lock expire.
    #[must_use]
    pub fn owner(&self) -> &str {
        &self.owner
    }

    /// How long the entry had been pending when it was looked at.
    #[must_use]
    pub const fn idle(&self) -> Duration {
        self.idle
    }

    /// The info it was submitted with.
    ///
    /// # Errors
    /// It is not JSON of that type.
    pub fn info<T: DeserializeOwned>(&self) -> Result<T, serde_json::Error> {
        Info(self.entry.info()).read()
    }
}

/// A lease that was lost.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Disowned {
    /// The data stream's name.
    pub stream: String,
    /// The partition that its entry is in.
    pub partition: u16,
    /// Its entry.
    pub id: EntryId,
    /// The fencing token of the lost lease.
    pub token: Token,
    /// How often the stream had been handed out before.
    pub attempt: u32,
    /// Why it was lost.
    pub reason: DisownedReason,
    held: Arc<Held>,
}

impl Disowned {
    pub(crate) fn new(partition: u16, held: &Arc<Held>, reason: DisownedReason) -> Self {
        Self {
            stream: held.entry.name.clone(),
            partition,
            id: held.id(),
            token: held.token,
            attempt: held.entry.attempt,
            reason,
            held: Arc::clone(held),
        }
    }
}

/// Redis came back without the service's data, or without its group.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct DataLoss {
    /// The partition whose data was lost.
    pub partition: u16,
    /// How often this client has seen that happen to it.
    pub times: u64,
}

/// Receives a client's notifications. Dropping it stops the reading, and gives back what nobody has received.
///
/// Also a [`Stream`]. It never delays a heartbeat: leases wait in it without lapsing, and there are never more of them
/// than `max_in_flight`. Hints of expired locks are dropped while more than 1,024 of them wait, as the scan finds the
/// same orphans.
#[derive(Debug)]
pub struct Notifications {
    inbox: mpsc::UnboundedReceiver<Notification>,
    hints: Arc<AtomicUsize>,
    _alive: Handle,
}

impl Notifications {
    pub(crate) fn new(inbox: Inbox, alive: Handle) -> Self {
        Self {
            inbox: inbox.0,
            hints: inbox.1,
            _alive: alive,
        }
    }

    /// The next notification; [`None`] after [`Notification::Terminated`].
    ///
    /// # Cancel safety
    /// Cancel safe: no notification is lost by dropping the future.
    pub async fn recv(&mut self) -> Option<Notification> {
        std::future::poll_fn(|cx| self.poll_recv(cx)).await
    }

    fn poll_recv(&mut self, cx: &mut Context<'_>) -> Poll<Option<Notification>> {
        loop {
            let next = self.inbox.poll_recv(cx);
            match &next {
                Poll::Ready(Some(Notification::StreamExpired(_))) => {
                    self.hints.fetch_sub(1, Ordering::Relaxed);
                }
                // Lost before it was received, in a process that stood still: there is nothing to start, nor to stop.
                Poll::Ready(Some(Notification::StreamAdded(lease))) if !lease.deliver() => continue,
                Poll::Ready(Some(Notification::StreamDisowned(lost))) if !lost.held.is_delivered() => continue,
                // The clients that still exist hold senders, which have nothing to say any more.
                Poll::Ready(Some(Notification::Terminated(_))) => self.inbox.close(),
                _ => {}
            }
            return next;
        }
    }
}

impl Stream for Notifications {
    type Item = Notification;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.poll_recv(cx)
    }
}

/// The sending side. Sending never waits: what must arrive is bounded by the slots (every lease in the channel holds
/// one), and hints are dropped beyond a bound of their own.
#[derive(Debug, Clone)]
pub(crate) struct Outbox {
    channel: mpsc::UnboundedSender<Notification>,
    hints: Arc<AtomicUsize>,
    metrics: Metrics,
}

#[derive(Debug)]
pub(crate) struct Inbox(mpsc::UnboundedReceiver<Notification>, Arc<AtomicUsize>);

const MAX_WAITING_HINTS: usize = 1024;

impl Outbox {
    pub(crate) fn new(metrics: Metrics) -> (Self, Inbox) {
        let (channel, inbox) = mpsc::unbounded_channel();
        let hints = Arc::new(AtomicUsize::new(0));
        let outbox = Self {
            channel,
            hints: Arc::clone(&hints),
            metrics,
        };
        (outbox, Inbox(inbox, hints))
    }

    pub(crate) fn send(&self, notification: Notification) {
        // Nobody listens any more: a lease in it gives itself back as it is dropped.
        let _ = self.channel.send(notification);
    }

    pub(crate) fn hint(&self, orphan: Orphan) {
        // A count, not a lock: being off by a few under a race of senders only moves where hints begin to be dropped.
        if self.hints.fetch_add(1, Ordering::Relaxed) >= MAX_WAITING_HINTS {
            self.hints.fetch_sub(1, Ordering::Relaxed);
            self.metrics.hint_dropped();
            return;
        }
        self.send(Notification::StreamExpired(orphan));
    }

    /// Resolves when nobody receives any more.
    pub(crate) async fn closed(&self) {
        self.channel.closed().await;
    }

    pub(crate) fn is_closed(&self) -> bool {
        self.channel.is_closed()
    }
}
