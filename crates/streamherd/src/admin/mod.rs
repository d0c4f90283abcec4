//! Looking at a service from outside, and at its dead letters.

mod dead_letters;
mod filter;
mod letter;
mod outcome;
mod walk;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use serde::Serialize;

use crate::config::Settings;
use crate::error::{ConnectError, StoreError};
use crate::id::ConsumerId;
use crate::keys::Keys;
use crate::metrics::{self, Metrics};
use crate::store::{Endpoint, Store};

pub use dead_letters::DeadLetterRun;
pub use filter::DeadLetterFilter;
pub use letter::DeadLetter;
pub use outcome::{DeadLetterReport, HandledLetter, LetterOutcome};
pub use walk::DeadLetters;

/// Looks at a service without taking part in it, and deals with its dead letters. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Admin {
    service: String,
    store: Store,
    metrics: Metrics,
}

/// One consistent picture of a service.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Status {
    /// The service.
    pub service: String,
    /// New streams that no worker has been given yet.
    pub queued: u64,
    /// Streams that were handed out before and wait for a worker again.
    pub requeued: u64,
    /// Streams that are pending at a worker: in work, or orphans that are not recovered yet.
    pub pending: u64,
    /// Streams that wait for a retry's delay or a schedule.
    pub delayed: u64,
    /// Dead letters.
    pub dead_letters: u64,
    /// Who is or was reading, by name.
    pub consumers: Vec<ConsumerStatus>,
}

/// One consumer's share.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct ConsumerStatus {
    /// Its name and incarnation.
    pub consumer: String,
    /// Streams pending at it.
    pub pending: u64,
    /// Milliseconds since Redis last saw it reading; before Redis 7.2 only reads that brought something count.
    pub idle_ms: u64,
}

impl Admin {
    pub(crate) async fn open(settings: &Settings, endpoint: Endpoint) -> Result<Self, ConnectError> {
        let connection = endpoint.open_first().await?;
        metrics::describe();
        let store = Store::new(
            connection,
            Arc::new(Keys::new(&settings.service, 0)),
            ConsumerId::new(&settings.consumer),
            settings.command_timeout,
        );
        Ok(Self {
            service: settings.service.to_string(),
            store,
            metrics: Metrics::new(&settings.service),
        })
    }

    /// The queue, who works on it, and the dead letters, all at one moment.
    ///
    /// # Errors
    /// Redis did not answer, or refused.
    pub async fn status(&self) -> Result<Status, StoreError> {
        let seen = self.store.status().await?;
        let mut consumers: BTreeMap<String, ConsumerStatus> = BTreeMap::new();
        for one in seen.input.consumers.iter().chain(&seen.front.consumers) {
            let row = consumers.entry(one.name.clone()).or_insert_with(|| ConsumerStatus {
                consumer: one.name.clone(),
                pending: 0,
                idle_ms: one.idle_ms,
            });
            row.pending += one.pending;
            row.idle_ms = row.idle_ms.min(one.idle_ms);
        }
        Ok(Status {
            service: self.service.clone(),
            queued: seen.input.length.saturating_sub(seen.input.pending),
            requeued: seen.front.length.saturating_sub(seen.front.pending),
            pending: seen.input.pending + seen.front.pending,
            delayed: seen.delayed,
            dead_letters: seen.dead_letters,
            consumers: consumers.into_values().collect(),
        })
    }

    /// Ends the connection.
    pub async fn close(self) {
        self.store.connection.close(Duration::from_millis(500)).await;
    }
}
