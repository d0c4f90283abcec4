//! Work that goes on while things break: what submitters submit, and what workers do with it. Both write everything down.

mod submitter;
mod worker;

use std::time::Duration;

use serde::{Deserialize, Serialize};
use streamherd::{Builder, Client, Recovery};

use crate::SERVICE;

pub use submitter::{Pace, submit_all};
pub use worker::work;

/// A stream's info: what its handler does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Task {
    /// Tells submits apart in whatever is found in Redis.
    pub submit: u64,
    /// How long the work takes.
    pub ms: u64,
    /// How it ends.
    pub then: Then,
}

/// How work ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Then {
    /// Well.
    Done,
    /// It fails the first time.
    Retry,
    /// In the dead-letter stream.
    DeadLetter,
    /// Takes no notice of a lease that is lost: done, whatever happens.
    Stubborn,
}

impl Task {
    /// The task of a submit: a few milliseconds to some hundred of work for most, more than a lock lives for one of `long`.
    #[must_use]
    pub fn of(submit: u64, lock_ttl: Duration, long: u64) -> Self {
        let ttl = u64::try_from(lock_ttl.as_millis()).unwrap_or(u64::MAX);
        let spread = submit * 7_919 % 120;
        let ms = if submit % long == 3 {
            ttl + 10 * spread
        } else {
            3 + spread
        };
        let then = match submit % 50 {
            10 => Then::Retry,
            20 => Then::DeadLetter,
            3 | 13 | 23 => Then::Stubborn,
            _ => Then::Done,
        };
        Self { submit, ms, then }
    }
}

/// How long the locks of chaos live.
pub const LOCK_TTL: Duration = Duration::from_secs(3);

/// A worker or producer of chaos, not connected yet.
pub fn builder(url: &str, partitions: u16) -> Builder {
    Client::builder(SERVICE)
        .url(url)
        .partitions(partitions)
        .lock_ttl(LOCK_TTL)
        .read_block(Duration::from_secs(1))
        .health_interval(Duration::from_secs(1))
        .recovery(Recovery {
            scan_interval: Duration::from_millis(300),
            // Streams are to end by what their handlers do, not by how often a test breaks something.
            max_abandonments: 0,
            ..Recovery::default()
        })
}
