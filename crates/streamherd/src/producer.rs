//! Puts data streams on a service's queue.

use std::sync::Arc;

use futures_util::{StreamExt as _, stream};
use serde::Serialize;

use crate::config::Settings;
use crate::entry;
use crate::error::{ConnectError, SubmitError};
use crate::id::{ConsumerId, StreamId};
use crate::keys::Keys;
use crate::metrics::{self, Metrics};
use crate::runtime::Handle;
use crate::store::{Endpoint, Store};

/// Submits under way at one time in [`Producer::submit_many`]; the connection sends them without waiting for each other.
const PIPELINED: usize = 512;

/// Puts data streams on a service's queue. Cheap to clone.
///
/// What is submitted before any worker has ever run waits for the first one. Programs in other languages can do the same
/// with `XADD {<service>:0}:input * lbs-input '{"DataStreamName": "…", "Info": …}'`.
#[derive(Debug, Clone)]
pub struct Producer {
    store: Store,
    metrics: Metrics,
    /// Of the client whose connection this is, if it is one's.
    _alive: Option<Handle>,
}

impl Producer {
    pub(crate) const fn new(store: Store, metrics: Metrics, alive: Option<Handle>) -> Self {
        Self {
            store,
            metrics,
            _alive: alive,
        }
    }

    pub(crate) async fn open(settings: &Settings, endpoint: Endpoint) -> Result<Self, ConnectError> {
        let connection = endpoint.open_first().await?;
        metrics::describe();
        let store = Store::new(
            connection,
            Arc::new(Keys::new(&settings.service, 0)),
            ConsumerId::new(&settings.consumer),
            settings.command_timeout,
        );
        Ok(Self::new(store, Metrics::new(&settings.service), None))
    }

    /// Queues a data stream: a name of 1 to 1,024 bytes, and info that the worker is to know (`&()` for none); together at
    /// most 1 MiB as JSON.
    ///
    /// # Errors
    /// [`SubmitError::MaybeSubmitted`] when no answer came.
    ///
    /// # Cancel safety
    /// Dropping the future may or may not keep the stream from being queued.
    pub async fn submit<I: Serialize + ?Sized>(&self, name: &str, info: &I) -> Result<StreamId, SubmitError> {
        match entry::encode(name, info) {
            Ok(input) => self.send(input).await,
            Err(e) => {
                self.metrics.submitted("invalid");
                Err(e.into())
            }
        }
    }

    /// Queues many data streams in their order, without waiting for one before sending the next. The results are in that
    /// order too; each item succeeds or fails for itself.
    ///
    /// # Cancel safety
    /// As [`submit`](Self::submit), for each item.
    pub async fn submit_many<N, I>(&self, items: impl IntoIterator<Item = (N, I)>) -> Vec<Result<StreamId, SubmitError>>
    where
        N: AsRef<str>,
        I: Serialize,
    {
        let encoded = items
            .into_iter()
            .map(|(name, info)| entry::encode(name.as_ref(), &info));
        let sent = encoded.map(|encoded| async {
            match encoded {
                Ok(input) => self.send(input).await,
                Err(e) => {
                    self.metrics.submitted("invalid");
                    Err(e.into())
                }
            }
        });
        // Polled in order, so sent in order: one producer's streams are queued as it submitted them.
        stream::iter(sent).buffered(PIPELINED).collect().await
    }

    async fn send(&self, input: String) -> Result<StreamId, SubmitError> {
        let result = self.store.submit(input).await;
        self.metrics.submitted(match &result {
            Ok(_) => "ok",
            Err(e) if e.is_certain() => "refused",
            Err(_) => "maybe",
        });
        result.map_err(|e| {
            if e.is_certain() {
                SubmitError::NotSubmitted(e)
            } else {
                SubmitError::MaybeSubmitted(e)
            }
        })
    }

    /// Ends the producer's connection. One that came from a [`Client`](crate::Client) shares that client's, which stays.
    pub async fn close(self) {
        if self._alive.is_none() {
            self.store.connection.close(std::time::Duration::from_millis(500)).await;
        }
    }
}
