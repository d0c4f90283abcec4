use std::collections::BTreeMap;

use futures_util::future::join_all;
use serde::Serialize;

use super::Admin;
use crate::error::StoreError;
use crate::registry::{Row, Totals};
use crate::store::{Picture, Store};

/// A picture of a service, each of its partitions at one moment. Times go by the clock of Redis.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Status {
    /// The service.
    pub service: String,
    /// When Redis told it, in Unix milliseconds by its clock; of several partitions the latest, and 0 where none answered.
    pub at_ms: u64,
    /// Whether a worker ever ran or anything was ever submitted; false for a name that was misspelt. A pause alone doesn't
    /// count.
    pub used: bool,
    /// New streams that no worker has been given yet.
    pub queued: u64,
    /// For how long the first of them has been waiting, in milliseconds.
    pub queued_oldest_ms: Option<u64>,
    /// Streams that were ever queued as new ones, since the queue was made; [`None`] before Redis 7, and where Redis can't
    /// tell (after another program has deleted from the queue, or before anything was read from it).
    pub queued_total: Option<u64>,
    /// Streams that were handed out before and wait for a worker again.
    pub requeued: u64,
    /// For how long the first of them has been waiting, in milliseconds.
    pub requeued_oldest_ms: Option<u64>,
    /// Streams that are pending at a worker: in work, or orphans that are not recovered yet.
    pub pending: u64,
    /// Streams that wait for a retry's delay or a schedule.
    pub delayed: u64,
    /// In how many milliseconds the first of them is due; zero if it is.
    pub delayed_next_ms: Option<u64>,
    /// Dead letters.
    pub dead_letters: u64,
    /// For how long the whole service has been paused, in milliseconds; zero where another program did it. Where only some
    /// of the partitions are paused, as after a [`pause`](Admin::pause) that failed half-way, it is told too.
    pub paused_ms: Option<u64>,
    /// Pauses of consumers, by name or id, whether such a consumer runs or not.
    pub pauses: Vec<Pause>,
    /// Who takes part, by id.
    pub consumers: Vec<ConsumerStatus>,
    /// The parts of the queue, by number; all that is counted above is their sum.
    pub partitions: Vec<PartitionStatus>,
}

/// One part of a service's queue.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct PartitionStatus {
    /// Its number.
    #[serde(rename = "partition")]
    pub number: u16,
    /// The address of the server that holds it; [`None`] where no server holds its slot at present.
    pub server: Option<String>,
    /// Whether that server answered. If not, nothing is known of what the partition holds: its counts are zero, and the
    /// sums of the service are without it.
    pub answered: bool,
    /// New streams that no worker has been given yet.
    pub queued: u64,
    /// Streams that were handed out before and wait for a worker again.
    pub requeued: u64,
    /// Streams that are pending at a worker.
    pub pending: u64,
    /// Streams that wait for a retry's delay or a schedule.
    pub delayed: u64,
    /// Dead letters.
    pub dead_letters: u64,
}

/// A pause of one consumer, or of all of a name.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Pause {
    /// A consumer's name, or its id with the incarnation.
    pub consumer: String,
    /// For how long, in milliseconds; zero where another program did it.
    pub paused_ms: u64,
}

/// One consumer's share.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct ConsumerStatus {
    /// Its name and incarnation.
    pub consumer: String,
    /// Whether it gives signs of life.
    pub state: ConsumerState,
    /// Whether it is to take no new work, by its own pause, its name's or the service's.
    pub paused: bool,
    /// Streams pending at it.
    pub pending: u64,
    /// Milliseconds since Redis last saw it reading; before Redis 7.2 only reads that brought something count. [`None`]
    /// before its first.
    pub idle_ms: Option<u64>,
    /// What it says of itself; [`None`] for another program that reads from the group.
    #[serde(flatten)]
    pub registration: Option<Registration>,
}

/// Whether a consumer gives signs of life.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum ConsumerState {
    /// Its last sign of life is not older than its locks live.
    Alive,
    /// It is: the consumer is dead, or Redis can't be reached from where it runs.
    Silent,
    /// It never registered: another program, which may be alive or not.
    Unregistered,
}

/// What a consumer says of itself with each heartbeat.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Registration {
    /// The machine.
    pub host: String,
    /// The process on it.
    pub pid: u32,
    /// Of this library.
    pub version: String,
    /// When it started, in Unix milliseconds by its own clock.
    pub started_ms: u64,
    /// How many streams it may hold, from whichever partitions.
    pub capacity: usize,
    /// How many it held, from all partitions.
    pub held: usize,
    /// How long its locks live without a heartbeat, in milliseconds.
    pub lock_ttl_ms: u64,
    /// Milliseconds since it said so.
    pub seen_ms: u64,
    /// How its leases have ended since it started.
    pub totals: Totals,
}

impl Admin {
    /// The queue, who works on it, the pauses and the dead letters: each partition at one moment, all of them at nearly the
    /// same.
    ///
    /// # Errors
    /// Redis refused, or did not answer. That one of several partitions can't be reached is none; see
    /// [`PartitionStatus::answered`].
    ///
    /// # Cancel safety
    /// Changes nothing.
    pub async fn status(&self) -> Result<Status, StoreError> {
        let stores = self.stores()?;
        let pictures = join_all(stores.iter().map(Store::status)).await;
        let (mut all, mut away): (Option<Status>, _) = (None, None);
        for (number, (store, picture)) in (0..).zip(stores.iter().zip(pictures)) {
            let server = store.line.node().map(|node| node.to_string());
            let status = match picture {
                Ok(picture) => Status::of(&self.service, number, server, picture),
                Err(e) if server.is_none() || e.is_disconnected() || e.is_timeout() || e.is_misplaced() => {
                    away = Some(e);
                    Status::unknown(&self.service, number, server)
                }
                Err(e) => return Err(e),
            };
            all = Some(match all {
                Some(all) => all.with(status),
                None => status,
            });
        }
        let all = all.unwrap_or_else(|| Status::unknown(&self.service, 0, None));
        match away {
            Some(e) if !all.partitions.iter().any(|one| one.answered) => Err(e),
            _ => Ok(all),
        }
    }
}

impl Status {
    /// Of a partition that can't be reached.
    pub(super) fn unknown(service: &str, number: u16, server: Option<String>) -> Self {
        Self {
            service: service.to_owned(),
            at_ms: 0,
            used: false,
            queued: 0,
            queued_oldest_ms: None,
            queued_total: None,
            requeued: 0,
            requeued_oldest_ms: None,
            pending: 0,
            delayed: 0,
            delayed_next_ms: None,
            dead_letters: 0,
            paused_ms: None,
            pauses: Vec::new(),
            consumers: Vec::new(),
            partitions: vec![PartitionStatus {
                number,
                server,
                answered: false,
                queued: 0,
                requeued: 0,
                pending: 0,
                delayed: 0,
                dead_letters: 0,
            }],
        }
    }

    /// Of one partition.
    fn of(service: &str, number: u16, server: Option<String>, seen: Picture) -> Self {
        let now = seen.now_ms;
        let since = |ms: u64| if ms == 0 { 0 } else { now.saturating_sub(ms) };
        let (of_service, of_consumers): (Vec<_>, Vec<_>) =
            seen.pauses.iter().partition(|(consumer, _)| consumer.is_empty());
        let partition = PartitionStatus {
            number,
            server,
            answered: true,
            queued: seen.input.length.saturating_sub(seen.input.pending),
            requeued: seen.front.length.saturating_sub(seen.front.pending),
            pending: seen.input.pending.saturating_add(seen.front.pending),
            delayed: seen.delayed,
            dead_letters: seen.dead_letters,
        };
        let mut status = Self {
            service: service.to_owned(),
            at_ms: now,
            used: seen.used,
            queued: partition.queued,
            queued_oldest_ms: seen.input.head_ms.map(|ms| now.saturating_sub(ms)),
            queued_total: seen.input.added,
            requeued: partition.requeued,
            requeued_oldest_ms: seen.front.head_ms.map(|ms| now.saturating_sub(ms)),
            pending: partition.pending,
            delayed: partition.delayed,
            delayed_next_ms: seen.next_due_ms.map(|due| due.saturating_sub(now)),
            dead_letters: partition.dead_letters,
            paused_ms: of_service.first().map(|(_, ms)| since(*ms)),
            pauses: of_consumers
                .into_iter()
                .map(|(consumer, ms)| Pause {
                    consumer: consumer.clone(),
                    paused_ms: since(*ms),
                })
                .collect(),
            consumers: Vec::new(),
            partitions: vec![partition],
        };
        status.pauses.sort_by(|a, b| a.consumer.cmp(&b.consumer));
        status.consumers = status.members(seen);
        status
    }

    /// Those that the group knows and those that have registered.
    fn members(&self, seen: Picture) -> Vec<ConsumerStatus> {
        let blank = |consumer: &str| ConsumerStatus {
            consumer: consumer.to_owned(),
            state: ConsumerState::Unregistered,
            paused: self.is_paused(consumer),
            pending: 0,
            idle_ms: None,
            registration: None,
        };
        let mut all: BTreeMap<String, ConsumerStatus> = BTreeMap::new();
        for one in seen.input.consumers.iter().chain(&seen.front.consumers) {
            let status = all.entry(one.name.clone()).or_insert_with(|| blank(&one.name));
            status.pending = status.pending.saturating_add(one.pending);
            status.idle_ms = Some(status.idle_ms.map_or(one.idle_ms, |idle| idle.min(one.idle_ms)));
        }
        for (consumer, seen_ms, about) in seen.rows {
            let row: Row = serde_json::from_str(&about).unwrap_or_default();
            let seen_ms = seen.now_ms.saturating_sub(seen_ms);
            let status = all.entry(consumer.clone()).or_insert_with(|| blank(&consumer));
            status.state = if seen_ms <= row.lock_ttl_ms {
                ConsumerState::Alive
            } else {
                ConsumerState::Silent
            };
            status.registration = Some(Registration {
                host: row.host,
                pid: row.pid,
                version: row.version,
                started_ms: row.started_ms,
                capacity: row.capacity,
                held: row.held,
                lock_ttl_ms: row.lock_ttl_ms,
                seen_ms,
                totals: row.totals,
            });
        }
        all.into_values().collect()
    }

    pub(super) fn is_paused(&self, consumer: &str) -> bool {
        let name = consumer.rsplit_once('.').map_or(consumer, |(name, _)| name);
        let own = |pause: &Pause| pause.consumer == consumer || pause.consumer == name;
        self.paused_ms.is_some() || self.pauses.iter().any(own)
    }
}
