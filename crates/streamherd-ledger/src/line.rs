//! One note, as it stands in a file: a JSON object per line.

use serde::{Deserialize, Serialize};
use streamherd::Submitted;

use crate::clock::At;

/// A note: who saw what, and when.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Line {
    /// Microseconds on the [machine's clock](crate::now).
    pub at_us: u64,
    /// A producer's name, or a consumer: a worker's name, a dot and its incarnation.
    pub by: String,
    /// What it saw.
    #[serde(flatten)]
    pub event: Event,
}

impl Line {
    /// When.
    #[must_use]
    pub fn at(&self) -> At {
        At::from_micros(self.at_us)
    }
}

/// What was seen. A lease has a number of its own with each who writes.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "event", rename_all = "snake_case")]
pub enum Event {
    /// A submit begins. One that is repeated has the same number.
    Submitting {
        /// Its number.
        submit: u64,
        /// The data stream's name.
        stream: String,
        /// Where it belongs.
        partition: u16,
    },
    /// Its answer.
    Submitted {
        /// Its number.
        submit: u64,
        /// What the producer was told.
        answer: Answer,
        /// Why it was not accepted.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        why: Option<String>,
    },
    /// A stream was handed out.
    Added {
        /// The lease.
        lease: u64,
        /// The data stream's name.
        stream: String,
        /// Its partition.
        partition: u16,
        /// The entry, as text.
        entry: String,
        /// The id of the entry's first life, as text.
        origin: String,
        /// Its fencing token, as decimal text, since JSON numbers are not exact.
        token: String,
        /// How often it was handed out in vain.
        attempt: u32,
    },
    /// A call of `is_valid` said yes.
    Valid {
        /// The lease.
        lease: u64,
        /// When that call began; it was over when the note was taken.
        since_us: u64,
    },
    /// It said no.
    Invalid {
        /// The lease.
        lease: u64,
    },
    /// The work is finished, and a settlement is asked for.
    Settling {
        /// The lease.
        lease: u64,
        /// Which.
        how: How,
    },
    /// There is nothing more to come of a lease.
    Ended {
        /// The lease.
        lease: u64,
        /// What became of it.
        end: End,
        /// Why nobody knows.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        why: Option<String>,
    },
    /// `Notification::StreamDisowned`.
    Disowned {
        /// The stream's partition.
        partition: u16,
        /// The reason that was given.
        reason: String,
    },
    /// `Notification::StreamExpired`.
    Expired {
        /// The stream's partition.
        partition: u16,
    },
    /// `Notification::DataLoss`.
    DataLoss,
    /// What was done to the fleet or its servers. Noted when it is over.
    Fault {
        /// In a word or two: `kill`, `failover`.
        kind: String,
        /// To whom.
        target: Target,
        /// When it began.
        since_us: u64,
        /// Whether writes that Redis had acknowledged may be gone with it, or nobody can tell whether they are: it is
        /// another process since, or its clock jumped.
        forgets: bool,
    },
}

/// Whom a fault hits.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Target {
    /// A worker, by its name without the incarnation, or a producer.
    Worker(String),
    /// All that is in these partitions, and whoever works on it.
    Partitions(Vec<u16>),
    /// Everybody.
    All,
}

/// What a producer was told.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Answer {
    /// Queued, under this reference.
    New(String),
    /// It was queued, delayed or held already.
    Coalesced(String),
    /// It may be queued, or is, but not so that it outlives its master.
    Maybe,
    /// It is certainly not queued.
    Refused,
}

impl From<Submitted> for Answer {
    fn from(submitted: Submitted) -> Self {
        match submitted {
            Submitted::New(reference) => Self::New(reference.to_string()),
            Submitted::Coalesced(reference) => Self::Coalesced(reference.to_string()),
        }
    }
}

/// What a worker asked for in the end.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum How {
    /// `Lease::done`.
    Done,
    /// `Lease::dead_letter`.
    DeadLetter,
    /// `Lease::retry`.
    Retry,
    /// `Lease::release`.
    Release,
}

impl How {
    /// Whether the stream is to be over with it.
    #[must_use]
    pub const fn is_final(self) -> bool {
        matches!(self, Self::Done | Self::DeadLetter)
    }
}

/// What became of a lease, as Redis has confirmed it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum End {
    /// Done.
    Done,
    /// In the dead-letter stream.
    DeadLettered,
    /// Back on the queue.
    Requeued,
    /// The settlement did not count.
    Refused,
    /// No settlement was tried, as the lease was lost.
    Lost,
    /// Nobody knows whether the settlement counted.
    Unknown,
}

impl End {
    /// Whether the stream was over with it.
    #[must_use]
    pub const fn is_final(self) -> bool {
        matches!(self, Self::Done | Self::DeadLettered)
    }
}
