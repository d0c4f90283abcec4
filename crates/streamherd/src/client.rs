//! The handle to a running client.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use crate::builder::Builder;
use crate::clock::Moment;
use crate::config::check_max_in_flight;
use crate::dead_letter::DeadLetterReason;
use crate::error::{ClaimError, SettingError, StoreError};
use crate::id::{ConsumerId, EntryId};
use crate::notification::{Notifications, Orphan};
use crate::producer::Producer;
use crate::recovery::BreakerState;
use crate::runtime::{Core, Handle, Marks, Partitions, Shutdown, ShutdownReport, Started};
use crate::store::{Judged, Network, Node, RequeueLimits, Requeued};

/// A worker's connection to a service. Cheap to clone.
///
/// The client ends when it is [shut down](Self::shutdown), or when every `Client`, its
/// [`Notifications`](crate::Notifications), every [`Lease`](crate::Lease) and every [`Producer`] of it have been dropped.
#[derive(Clone)]
pub struct Client {
    core: Arc<Core>,
    partitions: Partitions,
    network: Network,
    shutdown: Shutdown,
    _alive: Handle,
}

impl Client {
    /// Starts the configuration of a worker for a service.
    pub fn builder(service: impl Into<String>) -> Builder {
        Builder::new(service.into())
    }

    pub(crate) fn new(started: Started) -> (Self, Notifications) {
        let client = Self {
            core: started.core,
            partitions: started.partitions,
            network: started.network,
            shutdown: started.shutdown,
            _alive: started.handle.clone(),
        };
        (client, Notifications::new(started.inbox, started.handle))
    }

    pub(crate) const fn core(&self) -> &Arc<Core> {
        &self.core
    }

    /// [`shutdown`](Self::shutdown) without waiting for its end.
    pub(crate) fn begin_shutdown(&self, deadline: Duration) {
        self.shutdown.ask(deadline);
    }

    /// This client's name in the consumer group.
    #[must_use]
    pub fn consumer(&self) -> &ConsumerId {
        &self.core.consumer
    }

    /// A producer for the same service, on this client's connection.
    #[must_use]
    pub fn producer(&self) -> Producer {
        let stores = self.partitions.iter().map(|partition| partition.store.clone());
        Producer::of(
            stores.collect(),
            self.core.metrics.clone(),
            self.core.settings.lock_ttl,
            self._alive.clone(),
        )
    }

    /// Puts an orphan back at the front of the queue, counting an abandonment; it arrives as a
    /// [`StreamAdded`](crate::Notification::StreamAdded) at whoever reads it, which may be this worker. One that was
    /// abandoned too often goes to the dead-letter stream instead.
    ///
    /// # Errors
    /// [`ClaimError::AlreadyClaimed`] for all but one of any number of rivals.
    ///
    /// # Cancel safety
    /// Dropping the future may or may not keep the claim from being carried out; nothing is lost either way.
    pub async fn claim(&self, orphan: &Orphan) -> Result<Claimed, ClaimError> {
        let core = &self.core;
        let id = orphan.id();
        let Some(partition) = self.partitions.of(orphan.partition()) else {
            return Err(ClaimError::AlreadyClaimed(id));
        };
        let limits = RequeueLimits {
            min_idle: core.settings.claim_idle,
            max_abandonments: core.settings.recovery.max_abandonments,
            forgive_after: core.settings.recovery.forgive_after,
            dlq_max_len: core.settings.recovery.dlq_max_len,
        };
        let wait = partition.owners_first();
        if !wait.is_zero() {
            return Err(ClaimError::TooEarly { id, wait });
        }
        let (epoch, _) = partition.session.current();
        let latest = partition.session.latest_us(core.settings.command_timeout);
        let outcome = match partition.store.requeue(&epoch, limits, latest, &[id]).await? {
            Judged::Ok(outcomes) => outcomes.into_iter().next(),
            Judged::Quiet(wait) => return Err(ClaimError::TooEarly { id, wait }),
            Judged::EpochChanged => {
                partition.hello().await?;
                return Err(ClaimError::AlreadyClaimed(id));
            }
        };
        if let Some(outcome) = &outcome {
            core.requeued("claim", id, outcome);
        }
        match outcome {
            Some(Requeued::Ok { new, .. }) => Ok(Claimed::Requeued(new)),
            Some(Requeued::DeadLettered { reason, .. }) => Ok(Claimed::DeadLettered { reason }),
            Some(Requeued::Alive) => Err(ClaimError::StillAlive(id)),
            Some(Requeued::TooEarly(wait)) => Err(ClaimError::TooEarly { id, wait }),
            Some(Requeued::Failed(e)) => Err(ClaimError::Store(e)),
            Some(Requeued::Gone | Requeued::Vanished) => Err(ClaimError::AlreadyClaimed(id)),
            Some(Requeued::Later) | None => Err(ClaimError::Store(StoreError::epoch_changed("requeue"))),
        }
    }

    /// How the client is doing.
    #[must_use]
    pub fn health(&self) -> Health {
        let marks: Vec<Marks> = self
            .partitions
            .iter()
            .map(|partition| partition.health.marks())
            .collect();
        // Of all partitions the one that has waited longest.
        let ago = |mark: fn(&Marks) -> Option<Moment>| {
            let all: Option<Vec<Moment>> = marks.iter().map(mark).collect();
            all?.into_iter().min().map(Moment::elapsed)
        };
        Health {
            masters: self.masters(),
            since_read: ago(|marks| marks.read),
            has_read: marks.iter().any(|marks| marks.read.is_some()),
            since_renewal: ago(|marks| marks.renewed),
            since_scan: ago(|marks| marks.scanned),
            listening: marks.iter().all(|marks| marks.listening),
            held: self.partitions.held(),
            free: self.partitions.free(),
            paused: self.partitions.iter().any(|partition| partition.pause.is_set()),
            read_unanswered: marks.iter().filter_map(|marks| marks.asked).min().map(Moment::elapsed),
            shutting_down: self.core.closing.is_cancelled() || self.shutdown.is_over(),
            ended: self.shutdown.is_over(),
            bounds: self.bounds(),
        }
    }

    fn bounds(&self) -> HealthBounds {
        let settings = &self.core.settings;
        HealthBounds {
            read_unanswered: settings.read_block + 2 * settings.command_timeout,
            since_renewal: settings.lock_ttl - settings.margin,
        }
    }

    fn masters(&self) -> Vec<MasterHealth> {
        let mut by_node = BTreeMap::<Node, Vec<u16>>::new();
        for partition in self.partitions.iter() {
            if let Some(node) = partition.store.line.node() {
                by_node.entry(node).or_default().push(partition.number);
            }
        }
        let of = |(node, partitions): (Node, Vec<u16>)| {
            let master = self.core.masters.of(&node);
            let (since, last_error) = master.since();
            MasterHealth {
                address: node.to_string(),
                partitions,
                breaker: master.state(),
                since,
                last_error,
            }
        };
        by_node.into_iter().map(of).collect()
    }

    /// Has all clients of this one's consumer name take no new work, until [`resume`](Self::resume): also after a restart,
    /// as it is kept in Redis. What is held goes on. False if they were paused already.
    ///
    /// # Errors
    /// Redis did not answer, or refused.
    ///
    /// # Cancel safety
    /// Dropping the future may or may not keep the pause from being written, in some partitions or all. May be repeated.
    pub async fn pause(&self) -> Result<bool, StoreError> {
        self.set_paused(true).await
    }

    /// Takes a [`pause`](Self::pause) back; one of the whole service stays. False if there was none.
    ///
    /// # Errors
    /// As [`pause`](Self::pause).
    ///
    /// # Cancel safety
    /// As [`pause`](Self::pause).
    pub async fn resume(&self) -> Result<bool, StoreError> {
        self.set_paused(false).await
    }

    async fn set_paused(&self, pause: bool) -> Result<bool, StoreError> {
        let mut changed = false;
        for partition in self.partitions.iter() {
            changed |= partition.store.pause(pause, Some(self.core.consumer.name())).await?;
            partition.register(&partition.store).await?;
        }
        Ok(changed)
    }

    /// Finds out anew where the partitions are, subscribes anew to the expired locks of every server that holds one, and
    /// has every partition scanned. The client does all of that by itself when it sees a reason to; this is for whoever
    /// knows of a change before it shows.
    ///
    /// # Cancel safety
    /// Once polled, the look goes on if the future is dropped, but what it would have been followed by is left out:
    /// subscriptions and scans come as they would have. May be repeated.
    pub async fn reset_topology(&self) {
        self.network.look_again().await;
        self.core.resubscribe.notify_one();
        for partition in self.partitions.iter() {
            partition.scan_now.notify_one();
        }
    }

    /// Changes how many streams this worker may hold: from 1 to 1,000,000. With fewer than it holds, it takes no new ones
    /// until enough are finished; nothing is taken from their handlers.
    ///
    /// # Errors
    /// Out of bounds; nothing was changed.
    pub fn set_max_in_flight(&self, streams: usize) -> Result<(), SettingError> {
        check_max_in_flight(streams)?;
        self.core.slots.resize(streams);
        Ok(())
    }

    /// Ends the client: no further reading; what is held may be finished until the deadline; what is left then is handed
    /// back to the queue, counting nothing, so that other workers have it at once. Unfinished work is never
    /// acknowledged.
    ///
    /// Returns at the latest about four seconds after the deadline, also where Redis does not answer; what could not be
    /// handed back then is `abandoned` in the report. Concurrent calls end together; the first deadline counts.
    ///
    /// # Cancel safety
    /// Once polled, the shutdown goes on if the future is dropped.
    pub async fn shutdown(&self, deadline: Duration) -> ShutdownReport {
        self.shutdown.request(deadline).await
    }
}

impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Client")
            .field("service", &self.core.settings.service)
            .field("consumer", &self.core.consumer)
            .finish_non_exhaustive()
    }
}

/// What became of an orphan that was claimed.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Claimed {
    /// It is back at the front of the queue, as this entry.
    Requeued(EntryId),
    /// It is in the dead-letter stream.
    DeadLettered {
        /// Why.
        reason: DeadLetterReason,
    },
}

/// How a client is doing. A reader that looks alive but gets nothing from Redis shows in `since_read`.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Health {
    /// The servers that hold the service's partitions, as far as one does.
    pub masters: Vec<MasterHealth>,
    /// Since Redis last answered a read, with work or without; with several partitions, since it did so for all of them.
    /// Grows to `read_block` on a quiet queue, and while all slots are taken.
    pub since_read: Option<Duration>,
    /// Whether Redis has ever answered a read, of whichever partition: of some there may be no read for hours, as all slots
    /// are taken by streams of others.
    pub has_read: bool,
    /// Since the last round of heartbeats got through.
    pub since_renewal: Option<Duration>,
    /// Since the last scan got through, by this worker or, as far as this one could see, another.
    pub since_scan: Option<Duration>,
    /// Whether the subscriptions to expired locks stand, on all servers.
    pub listening: bool,
    /// Streams held, settling or being handed back.
    pub held: usize,
    /// Streams this worker could take in addition.
    pub free: usize,
    /// Whether this worker is to take no new work.
    pub paused: bool,
    /// For how long a read has been waiting for Redis's answer, or has been failing; with several partitions, the longest
    /// of them. [`None`] if the last one was answered and no other is under way: all slots are taken, for example.
    pub read_unanswered: Option<Duration>,
    /// Whether it takes no new work as it is shutting down, or has ended.
    pub shutting_down: bool,
    /// Whether it has ended, for whatever reason: nothing of it runs any more, and nothing brings it back.
    pub ended: bool,
    /// What these times are at most while all is well.
    pub bounds: HealthBounds,
}

/// What the times of a [`Health`] are at most while all is well, from the client's settings.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct HealthBounds {
    /// `read_block` and two `command_timeout`s: a quiet queue answers after the first, a slow server within the others.
    pub read_unanswered: Duration,
    /// `lock_ttl` less a margin: beyond it, what was held is lost.
    pub since_renewal: Duration,
}

/// How a client gets on with one server that holds partitions of its service.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct MasterHealth {
    /// Host and port, or the path of a socket.
    pub address: String,
    /// The partitions that it holds.
    pub partitions: Vec<u16>,
    /// Whether it is asked.
    pub breaker: BreakerState,
    /// How long the breaker has been in that state.
    pub since: Duration,
    /// What it said, or what happened instead, when something last failed there; kept after it is mended.
    pub last_error: Option<String>,
}
