//! Looking at a service from outside, and stepping in.

mod dead_letters;
mod doctor;
mod leases;
mod pause;
mod requeue;
mod status;

use std::fmt::Display;
use std::sync::Arc;
use std::time::Duration;

use serde::Serializer;

pub use self::dead_letters::{
    DeadLetter, DeadLetterFilter, DeadLetterReport, DeadLetterRun, DeadLetters, HandledLetter, LetterOutcome,
};
#[cfg(test)]
pub(crate) use self::doctor::shell_word;
pub use self::doctor::{Check, Diagnosis, Verdict};
pub use self::leases::{LeaseState, LeaseStatus};
pub use self::pause::PauseTarget;
pub use self::requeue::RequeueOutcome;
pub use self::status::{ConsumerState, ConsumerStatus, Pause, Registration, Status};
use crate::config::Settings;
use crate::error::ConnectError;
use crate::id::ConsumerId;
use crate::metrics::{self, Metrics};
use crate::store::{Endpoint, Lines, Network, Role, Store, StoreError};

/// Looks at a service without taking part in it, and steps in where an operator wants it. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Admin {
    service: String,
    /// One per partition.
    stores: Arc<[Store]>,
    network: Network,
    lines: Lines,
    min_idle: Duration,
    metrics: Metrics,
}

impl Admin {
    pub(crate) async fn open(settings: &Settings, endpoint: Endpoint) -> Result<Self, ConnectError> {
        let (service, endpoint) = match Self::reach(settings, endpoint.clone(), 1).await {
            // A server that can't write its snapshot refuses even the PING of the client library, which says AUTH instead
            // where it has a password; a user without one takes any.
            Err(ConnectError::Store(e)) if e.is_unwell() => match endpoint.with_any_password() {
                Some(endpoint) => (Self::reach(settings, endpoint.clone(), 1).await?, endpoint),
                None => return Err(e.into()),
            },
            other => (other?, endpoint),
        };
        metrics::describe();
        let stored = match service.stores[0].join(None).await {
            // What can't be asked is what `doctor` is there to tell.
            Err(e) if e.is_disconnected() || e.is_timeout() => return Err(e.into()),
            Err(_) => None,
            Ok(stored) => stored,
        };
        if let Some((stored, wanted)) = stored.zip(settings.partitions)
            && stored != wanted
        {
            service.close().await;
            return Err(settings.other_partitions(stored));
        }
        let partitions = stored.unwrap_or(settings.partitions());
        if partitions == 1 {
            return Ok(service);
        }
        service.close().await;
        Self::reach(settings, endpoint, partitions).await
    }

    async fn reach(settings: &Settings, endpoint: Endpoint, partitions: u16) -> Result<Self, ConnectError> {
        let keys = settings.keys(partitions);
        let (network, lines) = Network::reach(endpoint, &keys, settings.command_timeout).await?;
        let consumer = ConsumerId::new(&settings.consumer);
        Ok(Self {
            service: settings.service.to_string(),
            stores: lines.stores(&keys, &consumer, settings.command_timeout).into(),
            network,
            lines,
            min_idle: settings.min_idle,
            metrics: Metrics::new(&settings.service),
        })
    }

    /// The first partition.
    fn store(&self) -> &Store {
        &self.stores[0]
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
        let facts = self
            .store()
            .examine(self.network.endpoint(), &self.service, role)
            .await?;
        Ok(doctor::judge(&facts, self.min_idle))
    }

    /// The ACL rules of a login for this role, on this service: the keys, the channels and the commands that are required
    /// or useful. `ACL SETUSER name on >password` takes them as they are, each an argument of its own.
    #[must_use]
    pub fn acl_rules(&self, role: Role) -> Vec<String> {
        self.store().acl_rules(self.network.endpoint(), role)
    }

    /// Ends the connection.
    pub async fn close(self) {
        self.lines.close(Duration::from_millis(500)).await;
        self.network.close();
    }
}

/// Ids and tokens are written as text: 64 bits are more than a double holds, which is what many readers make of a number.
fn text<S: Serializer>(value: &impl Display, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(value)
}
