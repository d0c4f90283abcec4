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
use crate::keys::Keys;
use crate::metrics::{self, Metrics};
use crate::store::{Endpoint, Role, Store, StoreError};

/// Looks at a service without taking part in it, and steps in where an operator wants it. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Admin {
    service: String,
    store: Store,
    endpoint: Endpoint,
    min_idle: Duration,
    metrics: Metrics,
}

impl Admin {
    pub(crate) async fn open(settings: &Settings, endpoint: Endpoint) -> Result<Self, ConnectError> {
        let (connection, endpoint) = endpoint.open_to_look().await?;
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
            endpoint,
            min_idle: settings.min_idle,
            metrics: Metrics::new(&settings.service),
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

/// Ids and tokens are written as text: 64 bits are more than a double holds, which is what many readers make of a number.
fn text<S: Serializer>(value: &impl Display, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(value)
}
