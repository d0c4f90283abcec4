//! What is shown, as plain data: of a sample, and of pages of rows.

use std::time::Duration;

use streamherd::{DeadLetterReason, LetterId};
use streamherd_dashboard::{ConsumerCounts, Point, Rates};

/// What was last seen of the service as a whole.
#[derive(Debug, Clone, Default)]
pub(super) struct Picture {
    /// Whether Redis has given one at all.
    pub(super) known: bool,
    /// When, on the clock of the model.
    pub(super) taken: Duration,
    /// Why there is no newer one.
    pub(super) error: Option<String>,
    pub(super) used: bool,
    pub(super) queued: u64,
    pub(super) requeued: u64,
    /// For how long the stream has been waiting that waits longest.
    pub(super) oldest_ms: Option<u64>,
    pub(super) pending: u64,
    pub(super) delayed: u64,
    pub(super) delayed_next_ms: Option<u64>,
    pub(super) dead_letters: u64,
    pub(super) rates: Rates,
    pub(super) counts: ConsumerCounts,
    pub(super) paused_ms: Option<u64>,
    /// Names or ids of consumers, and for how long.
    pub(super) pauses: Vec<(String, u64)>,
    pub(super) consumers: Vec<ConsumerRow>,
    pub(super) partitions: Vec<PartitionRow>,
    pub(super) masters: Vec<MasterRow>,
    pub(super) health: Option<HealthRow>,
    pub(super) history: Vec<Option<Point>>,
}

impl Picture {
    pub(super) const fn waiting(&self) -> u64 {
        self.queued.saturating_add(self.requeued)
    }
}

/// What can be marked in a list.
pub(super) trait Row {
    /// The same for as long as it is the same row.
    fn key(&self) -> String;
}

#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct ConsumerRow {
    pub(super) consumer: String,
    pub(super) state: &'static str,
    pub(super) paused: bool,
    pub(super) pending: u64,
    pub(super) rate: Option<f64>,
    /// [`None`] for another program.
    pub(super) about: Option<About>,
}

/// What a consumer says of itself.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct About {
    pub(super) host: String,
    pub(super) pid: u32,
    pub(super) version: String,
    pub(super) capacity: usize,
    pub(super) held: usize,
    pub(super) lock_ttl_ms: u64,
    pub(super) seen_ms: u64,
    pub(super) up_ms: u64,
    /// How its leases have ended.
    pub(super) totals: Vec<(&'static str, u64)>,
}

#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct PartitionRow {
    pub(super) number: u16,
    pub(super) server: Option<String>,
    pub(super) answered: bool,
    pub(super) queued: u64,
    pub(super) requeued: u64,
    pub(super) pending: u64,
    pub(super) delayed: u64,
    pub(super) dead_letters: u64,
}

#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct MasterRow {
    pub(super) server: String,
    pub(super) answered: bool,
    /// closed, open or half-open.
    pub(super) breaker: &'static str,
    pub(super) for_ms: u64,
    pub(super) partitions: Vec<u16>,
    pub(super) last_error: Option<String>,
}

#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct HealthRow {
    /// When the doctor looked, on the clock of the model.
    pub(super) at: Duration,
    /// The worst first.
    pub(super) checks: Vec<CheckRow>,
}

#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct CheckRow {
    pub(super) name: String,
    /// ok, warning or failure.
    pub(super) verdict: &'static str,
    pub(super) found: String,
    pub(super) meaning: String,
    pub(super) mend: Option<String>,
}

#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct LeaseRow {
    pub(super) partition: u16,
    pub(super) id: String,
    pub(super) stream: Option<String>,
    pub(super) consumer: String,
    pub(super) orphan: bool,
    pub(super) remaining_ms: u64,
    pub(super) token: Option<String>,
    pub(super) pending_ms: u64,
    pub(super) age_ms: u64,
    pub(super) attempt: u32,
    pub(super) failures: u32,
    pub(super) abandonments: u32,
    pub(super) progress: Option<ProgressRow>,
}

#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct ProgressRow {
    /// From 0 to 1.
    pub(super) value: Option<f64>,
    pub(super) text: Option<String>,
    pub(super) age_ms: u64,
}

#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct DelayedRow {
    pub(super) partition: u16,
    pub(super) id: String,
    pub(super) stream: Option<String>,
    pub(super) due_ms: u64,
    pub(super) attempt: u32,
    pub(super) failures: u32,
    pub(super) abandonments: u32,
}

#[derive(Debug, Clone, PartialEq)]
pub(super) struct LetterRow {
    pub(super) id: LetterId,
    pub(super) stream: Option<String>,
    pub(super) reason: Option<DeadLetterReason>,
    pub(super) error: Option<String>,
    pub(super) consumer: Option<String>,
    pub(super) failures: u32,
    pub(super) abandonments: u32,
    pub(super) redriven: u32,
    pub(super) age_ms: u64,
    pub(super) bytes: usize,
}

impl Row for ConsumerRow {
    fn key(&self) -> String {
        self.consumer.clone()
    }
}

impl Row for PartitionRow {
    fn key(&self) -> String {
        self.number.to_string()
    }
}

impl Row for LeaseRow {
    fn key(&self) -> String {
        format!("{}/{}", self.partition, self.id)
    }
}

impl Row for DelayedRow {
    fn key(&self) -> String {
        format!("{}/{}", self.partition, self.id)
    }
}

impl Row for LetterRow {
    fn key(&self) -> String {
        self.id.to_string()
    }
}
