//! Looking at a service from outside.

mod doctor;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use serde::Serialize;

use crate::config::Settings;
use crate::error::{ConnectError, StoreError};
use crate::id::ConsumerId;
use crate::keys::Keys;
use crate::store::{Endpoint, Role, Store};

#[cfg(test)]
pub(crate) use doctor::shell_word;
pub use doctor::{Check, Diagnosis, Verdict};

/// Looks at a service without taking part in it. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Admin {
    service: String,
    store: Store,
    endpoint: Endpoint,
    min_idle: Duration,
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
        let (connection, endpoint) = endpoint.open_to_look().await?;
        let store = Store::new(
            connection,
            Arc::new(Keys::new(&settings.service, 0)),
            ConsumerId::new(&settings.consumer),
            settings.command_timeout,
        );
        Ok(Self {
            service: settings.service.to_string(),
            store,
            endpoint,
            min_idle: settings.min_idle,
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

    /// Checks the server's version, settings and state, what this login may do as a worker, and the service's own keys.
    /// Says of each what was found, what it means, and what mends it. Changes nothing.
    ///
    /// What the login may not look at is a [`Warning`](Verdict::Warning) that says so.
    ///
    /// # Errors
    /// Redis did not answer.
    pub async fn doctor(&self) -> Result<Diagnosis, StoreError> {
        self.doctor_of(Role::Worker).await
    }

    /// [`doctor`](Self::doctor) for a login that is used for something else.
    ///
    /// # Errors
    /// Redis did not answer.
    pub async fn doctor_of(&self, role: Role) -> Result<Diagnosis, StoreError> {
        let facts = self.store.examine(&self.endpoint, &self.service, role).await?;
        Ok(doctor::judge(&facts, self.min_idle))
    }

    /// The ACL rules of a login for this role, on this service: the keys, the channels and the commands that are required
    /// or useful. `ACL SETUSER name on >password` takes them as they are, each an argument of its own.
    #[must_use]
    pub fn acl_rules(&self, role: Role) -> Vec<String> {
        self.store.acl_rules(&self.endpoint, role)
    }

    /// Ends the connection.
    pub async fn close(self) {
        self.store.connection.close(Duration::from_millis(500)).await;
    }
}
