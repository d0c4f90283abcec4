//! Looking at a service from outside, and stepping in.

mod cursor;
mod dead_letters;
mod delayed;
mod doctor;
mod leases;
mod merge;
mod migration;
mod pause;
mod requeue;
mod status;

use std::fmt::Display;
use std::sync::Arc;
use std::time::Duration;

use serde::Serializer;

pub use self::cursor::Cursor;
pub use self::dead_letters::{
    DeadLetter, DeadLetterFilter, DeadLetterPage, DeadLetterReport, DeadLetterRun, DeadLetters, HandledLetter,
    LetterId, LetterOutcome,
};
pub use self::delayed::{DelayedPage, DelayedStatus};
#[cfg(test)]
pub(crate) use self::doctor::shell_word;
pub use self::doctor::{Check, Diagnosis, Verdict};
pub use self::leases::{LeasePage, LeaseQuery, LeaseState, LeaseStatus, ProgressStatus};
pub use self::migration::{Migration, Moved};
pub use self::pause::PauseTarget;
pub use self::requeue::{FoundStream, RequeueOutcome};
pub use self::status::{ConsumerState, ConsumerStatus, PartitionStatus, Pause, Registration, Status};
use crate::config::Settings;
use crate::error::ConnectError;
use crate::id::ConsumerId;
use crate::keys::Keys;
use crate::metrics::{self, Metrics};
use crate::store::{self, Endpoint, Lines, Network, Role, Store, StoreError};

/// Looks at a service without taking part in it, and steps in where an operator wants it. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Admin {
    service: String,
    /// One per partition.
    stores: Arc<[Store]>,
    /// Why it isn't known how many partitions there are.
    unsure: Option<Arc<StoreError>>,
    network: Network,
    lines: Lines,
    min_idle: Duration,
    metrics: Metrics,
}

impl Admin {
    pub(crate) async fn open(settings: &Settings, endpoint: Endpoint) -> Result<Self, ConnectError> {
        let (mut service, endpoint) = match Self::reach(settings, endpoint.clone()).await {
            // A server that can't write its snapshot refuses even the PING of the client library, which says AUTH instead
            // where it has a password; a user without one takes any.
            Err(ConnectError::Store(e)) if e.is_unwell() => match endpoint.with_any_password() {
                Some(endpoint) => (Self::reach(settings, endpoint.clone()).await?, endpoint),
                None => return Err(e.into()),
            },
            // The number is told, and the other partitions are to be seen also while the first one's server is away.
            Err(ConnectError::Unreachable { .. }) if settings.partitions() > 1 => {
                metrics::describe();
                return Self::reach_as_needed(settings, &endpoint, settings.partitions()).await;
            }
            other => (other?, endpoint),
        };
        metrics::describe();
        let stored = match service.first().join(None).await {
            Ok(stored) => stored,
            Err(e) if settings.partitions.is_none() && (e.is_disconnected() || e.is_timeout()) => return Err(e.into()),
            // What can't be asked is what `doctor` is there to tell.
            Err(e) => {
                service.unsure = settings.partitions.is_none().then(|| Arc::new(e));
                None
            }
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
        Self::reach_as_needed(settings, &endpoint, partitions).await
    }

    /// All partitions, connected to as they are needed: one server that is away is no reason not to look at the others.
    async fn reach_as_needed(settings: &Settings, endpoint: &Endpoint, partitions: u16) -> Result<Self, ConnectError> {
        let keys = settings.keys(partitions);
        let found = Network::find(endpoint.clone(), &keys).await;
        let network = found.map_err(|e| endpoint.first_error(e))?;
        let lines = Lines::new(&network, settings.command_timeout);
        Ok(Self::of(settings, network, lines, &keys))
    }

    /// The first partition alone, which knows how many there are.
    async fn reach(settings: &Settings, endpoint: Endpoint) -> Result<Self, ConnectError> {
        let keys = settings.keys(1);
        let (network, lines) = Network::reach(endpoint, &keys, settings.command_timeout).await?;
        Ok(Self::of(settings, network, lines, &keys))
    }

    fn of(settings: &Settings, network: Network, lines: Lines, keys: &[Arc<Keys>]) -> Self {
        let consumer = ConsumerId::new(&settings.consumer);
        Self {
            service: settings.service.to_string(),
            stores: lines.stores(keys, &consumer, settings.command_timeout).into(),
            unsure: None,
            network,
            lines,
            min_idle: settings.min_idle,
            metrics: Metrics::new(&settings.service),
        }
    }

    /// The partitions, by number.
    ///
    /// # Errors
    /// How many there are could not be asked, and acting on some of them would pass for acting on all.
    fn stores(&self) -> Result<&[Store], StoreError> {
        match &self.unsure {
            Some(why) => Err(why.again()),
            None => Ok(&self.stores),
        }
    }

    /// The first partition, which there always is.
    #[expect(clippy::indexing_slicing, reason = "a service has a partition")]
    fn first(&self) -> &Store {
        &self.stores[0]
    }

    /// The service.
    #[must_use]
    pub fn service(&self) -> &str {
        &self.service
    }

    /// Into how many partitions the service is divided, as Redis keeps it; where it doesn't, as this was told.
    ///
    /// # Errors
    /// Redis did not say, or refused to, when this was connected.
    pub fn partitions(&self) -> Result<u16, StoreError> {
        let stores = self.stores()?;
        Ok(u16::try_from(stores.len()).unwrap_or(u16::MAX))
    }

    /// Checks each server that holds a partition: its version, settings and state, what this login may do there as a
    /// worker; then where the partitions are, and the service's own keys. Says of each what was found, what it means, and
    /// what mends it. Changes nothing.
    ///
    /// What the login may not look at is a [`Warning`](Verdict::Warning) that says so. A server that does not answer is a
    /// [`Failure`](Verdict::Failure), as long as another one does.
    ///
    /// # Errors
    /// Redis did not answer.
    ///
    /// # Cancel safety
    /// Changes nothing.
    pub async fn doctor(&self) -> Result<Diagnosis, StoreError> {
        self.doctor_of(Role::Worker).await
    }

    /// [`doctor`](Self::doctor) for a login that is used for something else.
    ///
    /// # Errors
    /// As [`doctor`](Self::doctor).
    ///
    /// # Cancel safety
    /// As [`doctor`](Self::doctor).
    pub async fn doctor_of(&self, role: Role) -> Result<Diagnosis, StoreError> {
        let found = store::examine(&self.network, &self.stores, &self.service, role).await?;
        Ok(doctor::judge(&found, self.unsure.as_deref(), self.min_idle))
    }

    /// The ACL rules of a login for this role, on this service: the keys, the channels and the commands that are required
    /// or useful. `ACL SETUSER name on >password` takes them as they are, each an argument of its own; in a cluster on
    /// every node.
    #[must_use]
    pub fn acl_rules(&self, role: Role) -> Vec<String> {
        self.first().acl_rules(self.network.endpoint(), role)
    }

    /// Ends the connection.
    ///
    /// # Cancel safety
    /// Once polled, dropping the future drops the connection without a goodbye.
    pub async fn close(self) {
        self.lines.close(Duration::from_millis(500)).await;
        self.network.close();
    }
}

/// Ids and tokens are written as text: 64 bits are more than a double holds, which is what many readers make of a number.
fn text<S: Serializer>(value: &impl Display, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(value)
}

/// As [`text`], and null for what is not there.
fn maybe_text<T: Display, S: Serializer>(value: &Option<T>, serializer: S) -> Result<S::Ok, S::Error> {
    match value {
        Some(value) => text(value, serializer),
        None => serializer.serialize_none(),
    }
}
