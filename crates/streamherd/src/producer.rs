//! Puts data streams on a service's queue.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use futures_util::{StreamExt as _, stream};
use serde::Serialize;

use crate::config::Settings;
use crate::entry;
use crate::error::{ConnectError, SubmitError};
use crate::id::ConsumerId;
use crate::metrics::{self, Metrics};
use crate::partition::partition_of;
use crate::runtime::Handle;
use crate::store::{Endpoint, Lines, Network, Store, Submitted, When};

/// Submits under way at one time in [`Producer::submit_many`]; the connection sends them without waiting for each other.
const PIPELINED: usize = 512;

/// What becomes of a submit of a data stream that is queued, delayed or held already.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum Duplicates {
    /// The data stream exists once, and no wake-up and no info is lost, as with the work queue of a Kubernetes controller.
    ///
    /// A submit of a queued stream changes nothing where the info is the same. Where it differs, or while the stream is
    /// held, the stream is queued once more when its present run has ended, with the info that was submitted last and with
    /// counters of its own. A submit of a delayed one makes it due now. An entry that somebody deleted never keeps its name
    /// from being queued. A submit whose reply was lost may be repeated without harm.
    #[default]
    Coalesce,
    /// Each submit is a run of its own, and several of one name may run at the same time. So is what other programs add to
    /// the input stream.
    Parallel,
}

/// Puts data streams on a service's queue. Cheap to clone.
///
/// What is submitted before any worker has ever run waits for the first one. Programs in other languages can do the same
/// with `XADD {<service>:<partition>}:input * lbs-input '{"DataStreamName": "…", "Info": …}'`; the partition is 0 unless
/// [`partitions`](crate::Builder::partitions) says that there are more, and then [`partition_of`](crate::partition_of) the
/// name.
#[derive(Debug, Clone)]
pub struct Producer {
    /// One per partition.
    stores: Arc<[Store]>,
    duplicates: Duplicates,
    metrics: Metrics,
    connections: Connections,
}

#[derive(Debug, Clone)]
enum Connections {
    Own(Network, Lines),
    /// Those of a client, which is kept running.
    Shared {
        _alive: Handle,
    },
}

impl Producer {
    pub(crate) fn of(stores: Arc<[Store]>, metrics: Metrics, alive: Handle) -> Self {
        Self::new(stores, metrics, Connections::Shared { _alive: alive })
    }

    const fn new(stores: Arc<[Store]>, metrics: Metrics, connections: Connections) -> Self {
        Self {
            stores,
            duplicates: Duplicates::Coalesce,
            metrics,
            connections,
        }
    }

    pub(crate) async fn open(settings: &Settings, endpoint: Endpoint) -> Result<Self, ConnectError> {
        let keys = settings.keys(settings.partitions());
        let (network, lines) = Network::reach(endpoint, &keys, settings.command_timeout).await?;
        metrics::describe();
        let consumer = ConsumerId::new(&settings.consumer);
        let stores: Arc<[Store]> = lines.stores(&keys, &consumer, settings.command_timeout).into();
        let producer = Self::new(
            stores,
            Metrics::new(&settings.service),
            Connections::Own(network, lines),
        );
        match producer.join(settings).await {
            Ok(()) => Ok(producer),
            Err(e) => {
                producer.close().await;
                Err(e)
            }
        }
    }

    /// Makes sure that all agree on the number of partitions: a stream that is placed by another number is one more stream.
    async fn join(&self, settings: &Settings) -> Result<(), ConnectError> {
        for store in self.stores.iter() {
            store.load_submit().await?;
        }
        let wanted = settings.partitions();
        match self.stores[0].join(Some(wanted)).await? {
            Some(stored) if stored != wanted => Err(settings.other_partitions(stored)),
            _ => Ok(()),
        }
    }

    /// What becomes of submits of a data stream that is queued, delayed or held already. Default:
    /// [`Duplicates::Coalesce`].
    #[must_use]
    pub const fn duplicates(mut self, duplicates: Duplicates) -> Self {
        self.duplicates = duplicates;
        self
    }

    /// Queues a data stream: a name of 1 to 1,024 bytes, and info that the worker is to know (`&()` for none); together at
    /// most 1 MiB as JSON.
    ///
    /// # Errors
    /// [`SubmitError::MaybeSubmitted`] when no answer came.
    ///
    /// # Cancel safety
    /// Dropping the future may or may not keep the stream from being queued.
    pub async fn submit<I: Serialize + ?Sized>(&self, name: &str, info: &I) -> Result<Submitted, SubmitError> {
        self.send(name, info, When::Now).await
    }

    /// Queues a data stream at a time of the future, compared with the clock of Redis: never earlier, and at most about
    /// `recovery.scan_interval` later, as long as any worker runs. A time that is past is now.
    ///
    /// A stream that is delayed already becomes due at the earlier of the two times. While it is queued or held, a wish for
    /// a later time is kept until it is finished; of several the earliest time and the last info count.
    ///
    /// # Errors
    /// As [`submit`](Self::submit).
    ///
    /// # Cancel safety
    /// As [`submit`](Self::submit).
    pub async fn schedule<I: Serialize + ?Sized>(
        &self,
        name: &str,
        info: &I,
        at: SystemTime,
    ) -> Result<Submitted, SubmitError> {
        self.send(name, info, When::At(at)).await
    }

    /// [`schedule`](Self::schedule) after a delay of at most ten years, by the clock of Redis alone.
    ///
    /// # Errors
    /// As [`submit`](Self::submit).
    ///
    /// # Cancel safety
    /// As [`submit`](Self::submit).
    pub async fn schedule_after<I: Serialize + ?Sized>(
        &self,
        name: &str,
        info: &I,
        delay: Duration,
    ) -> Result<Submitted, SubmitError> {
        self.send(name, info, When::After(delay)).await
    }

    /// Queues many data streams without waiting for one before sending the next, in their order within each partition. The results are in that
    /// order too; each item succeeds or fails for itself.
    ///
    /// # Cancel safety
    /// As [`submit`](Self::submit), for each item.
    pub async fn submit_many<N, I>(
        &self,
        items: impl IntoIterator<Item = (N, I)>,
    ) -> Vec<Result<Submitted, SubmitError>>
    where
        N: AsRef<str>,
        I: Serialize,
    {
        self.send_many(items, When::Now).await
    }

    /// [`submit_many`](Self::submit_many) after a delay, by the clock of Redis.
    ///
    /// # Cancel safety
    /// As [`submit`](Self::submit), for each item.
    pub async fn schedule_many_after<N, I>(
        &self,
        items: impl IntoIterator<Item = (N, I)>,
        delay: Duration,
    ) -> Vec<Result<Submitted, SubmitError>>
    where
        N: AsRef<str>,
        I: Serialize,
    {
        self.send_many(items, When::After(delay)).await
    }

    async fn send_many<N, I>(
        &self,
        items: impl IntoIterator<Item = (N, I)>,
        when: When,
    ) -> Vec<Result<Submitted, SubmitError>>
    where
        N: AsRef<str>,
        I: Serialize,
    {
        let sent = items
            .into_iter()
            .map(|(name, info)| async move { self.send(name.as_ref(), &info, when).await });
        // Polled in order, so sent in order: one producer's streams are queued as it submitted them.
        stream::iter(sent).buffered(PIPELINED).collect().await
    }

    async fn send<I: Serialize + ?Sized>(&self, name: &str, info: &I, when: When) -> Result<Submitted, SubmitError> {
        let input = entry::encode(name, info).inspect_err(|_| self.metrics.submitted("invalid"))?;
        let coalesce = (self.duplicates == Duplicates::Coalesce).then_some(name);
        let partition = partition_of(name, u16::try_from(self.stores.len()).unwrap_or(u16::MAX));
        let result = self.stores[usize::from(partition)].submit(input, when, coalesce).await;
        self.metrics.submitted(match &result {
            Ok(Submitted::New(_)) => "new",
            Ok(Submitted::Coalesced(_)) => "coalesced",
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
        if let Connections::Own(network, lines) = self.connections {
            lines.close(Duration::from_millis(500)).await;
            network.close();
        }
    }
}
