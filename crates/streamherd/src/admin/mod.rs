//! Looking at a service from outside, and stepping in.

mod leases;
mod pause;
mod requeue;
mod status;

use std::fmt::Display;
use std::sync::Arc;
use std::time::Duration;

use serde::Serializer;

pub use self::leases::{LeaseState, LeaseStatus};
pub use self::pause::PauseTarget;
pub use self::requeue::RequeueOutcome;
pub use self::status::{ConsumerState, ConsumerStatus, Pause, Registration, Status};
use crate::config::Settings;
use crate::error::ConnectError;
use crate::id::ConsumerId;
use crate::keys::Keys;
use crate::store::{Endpoint, Store};

/// Looks at a service without taking part in it, and steps in where an operator wants it. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Admin {
    service: String,
    store: Store,
}

impl Admin {
    pub(crate) async fn open(settings: &Settings, endpoint: Endpoint) -> Result<Self, ConnectError> {
        let connection = endpoint.open_first().await?;
        let store = Store::new(
            connection,
            Arc::new(Keys::new(&settings.service, 0)),
            ConsumerId::new(&settings.consumer),
            settings.command_timeout,
        );
        Ok(Self {
            service: settings.service.to_string(),
            store,
        })
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
