//! Puts data streams on a service's queue.

mod connections;
mod duplicates;
mod kept;
mod post;
mod retain;

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use connections::Connections;
pub use duplicates::Duplicates;
use futures_util::{StreamExt as _, stream};
use post::Post;
use retain::Retained;
use serde::Serialize;
use tracing::Instrument as _;

use crate::config::Settings;
use crate::entry;
use crate::error::{ConnectError, SubmitError};
use crate::id::ConsumerId;
use crate::metrics::{self, Metrics};
use crate::partition::partition_of;
use crate::recovery;
use crate::runtime::Handle;
use crate::store::{Durability, Endpoint, Lines, Network, Store, StoreError, Submission, Submitted, When};
use crate::trace::{self, Sending, TraceContext};

/// Submits under way at one time in [`Producer::submit_many`]: two calls' worth of them, so that one is put together while
/// the other is carried out.
const PIPELINED: usize = 512;

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
    /// The way of submits to each of them.
    posts: Arc<[Post]>,
    /// The same, over connections on which nobody waits for replicas or disks.
    plain: Arc<[Store]>,
    duplicates: Duplicates,
    /// Its streams are also read by Go workers.
    shared_with_go: bool,
    /// The trace that it was told.
    trace: Option<TraceContext>,
    /// What it keeps, all of its clones together.
    retained: Option<Arc<Retained>>,
    lock_ttl: Duration,
    metrics: Metrics,
    connections: Connections,
}

impl Producer {
    pub(crate) fn of(stores: Arc<[Store]>, metrics: Metrics, lock_ttl: Duration, alive: Handle) -> Self {
        Self::new(stores, metrics, lock_ttl, Connections::Shared { _alive: alive })
    }

    fn new(stores: Arc<[Store]>, metrics: Metrics, lock_ttl: Duration, connections: Connections) -> Self {
        let shared_with_go = stores.first().is_some_and(Store::is_shared_with_go);
        Self {
            plain: Arc::clone(&stores),
            posts: posts(&stores, Durability::Memory),
            stores,
            duplicates: if shared_with_go {
                Duplicates::Parallel
            } else {
                Duplicates::Coalesce
            },
            shared_with_go,
            trace: None,
            retained: None,
            lock_ttl,
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
            settings.lock_ttl,
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
        let wanted = settings.partitions();
        let Some(first) = self.stores.first() else {
            return Ok(());
        };
        let endpoint = first.line.network().endpoint();
        if let Some(found) = first.server_kind().await? {
            recovery::check_mode(&found, endpoint)?;
        }
        for store in self.stores.iter() {
            store.load_submit().await?;
        }
        let joined = first.join(Some(wanted)).await;
        match joined.map_err(|e| endpoint.first_error(e))? {
            Some(stored) if stored != wanted => Err(settings.other_partitions(stored)),
            _ => Ok(()),
        }
    }

    /// What becomes of submits of a data stream that is queued, delayed or held already. Default:
    /// [`Duplicates::Coalesce`]; in the layout [`GoCompatible`](crate::Layout::GoCompatible), where submits that are to be
    /// coalesced are refused, [`Duplicates::Parallel`].
    #[must_use]
    pub const fn duplicates(mut self, duplicates: Duplicates) -> Self {
        self.duplicates = duplicates;
        self
    }

    /// How far a submit has to have got before it is accepted. Default: [`Durability::Memory`]. Anything else takes a
    /// connection of its own to each server, and a round trip more per submit.
    #[must_use]
    pub fn durability(mut self, durability: Durability) -> Self {
        // Whatever follows such a wait on its connection waits too: a client's scripts must not.
        if durability != Durability::Memory && !matches!(self.connections, Connections::Durable(..)) {
            let lines = Lines::like(self.stores.first().map(|store| &store.line));
            if let Some(lines) = lines {
                self.stores = self.stores.iter().map(|store| store.over(&lines)).collect();
                self.connections = Connections::Durable(Box::new(self.connections), lines);
            }
        }
        self.posts = posts(&self.stores, durability);
        self
    }

    /// The trace that what is submitted belongs to; it travels with each stream, as it is, to
    /// [`Job::trace_context`](crate::Job::trace_context) and [`Lease::trace_context`](crate::Lease::trace_context). Take a clone
    /// for each trace: `producer.clone().traced(context).submit(…)`.
    ///
    /// Default: with the feature `opentelemetry` the span of the submit, which is a child of the current one, if they are
    /// exported; else none.
    ///
    /// A submit that is coalesced leaves the trace of the run that serves it. One that is noted as wanted once more brings
    /// its own along; of several of them, that of the last counts, as its info does. An entry that has no room for it within
    /// 1 MiB goes without.
    #[must_use]
    pub fn traced(mut self, context: impl Into<Option<TraceContext>>) -> Self {
        self.trace = context.into();
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
        let sending = Sending::many(&self.metrics, self.trace);
        let trace = sending.context();
        let sent = items
            .into_iter()
            .map(|(name, info)| async move { self.put(name.as_ref(), &info, when, trace).await });
        // Polled in order, so sent in order: one producer's streams are queued as it submitted them.
        let sent = stream::iter(sent).buffered(PIPELINED).collect();
        let sent: Vec<_> = sent.instrument(sending.span()).await;
        sending.told_all(&sent);
        sent
    }

    async fn send<I: Serialize + ?Sized>(&self, name: &str, info: &I, when: When) -> Result<Submitted, SubmitError> {
        let sending = Sending::one(&self.metrics, name, self.trace);
        let sent = self.put(name, info, when, sending.context());
        let sent = sent.instrument(sending.span()).await;
        sending.told(&sent);
        sent
    }

    async fn put<I: Serialize + ?Sized>(
        &self,
        name: &str,
        info: &I,
        when: When,
        trace: Option<TraceContext>,
    ) -> Result<Submitted, SubmitError> {
        let input = entry::encode(name, info).inspect_err(|_| self.metrics.submitted("invalid"))?;
        let coalesce = (self.duplicates == Duplicates::Coalesce).then_some(name);
        if self.shared_with_go {
            let refused = match coalesce {
                Some(_) => Err(SubmitError::NoCoalescing),
                None => entry::check_for_go(&input).map_err(SubmitError::from),
            };
            refused.inspect_err(|_| self.metrics.submitted("invalid"))?;
        }
        let partition = partition_of(name, u16::try_from(self.stores.len()).unwrap_or(u16::MAX));
        let Some(post) = self.posts.get(usize::from(partition)) else {
            return Err(SubmitError::NotSubmitted(StoreError::homeless()));
        };
        let submission = Submission {
            trace: trace.filter(|_| trace::fits(&input, coalesce)),
            input,
            when,
            coalesce: coalesce.map(str::to_owned),
        };
        let keeping = self.retained.as_ref();
        let keeping = keeping.map(|retained| retained.before(partition, &submission));
        let result = post.send(submission).await;
        if let (Some(keeping), Ok((accepted, _))) = (keeping, &result) {
            keeping.accepted(*accepted);
        }
        let result = result.map(|(accepted, confirmed)| (accepted.submitted, confirmed));
        self.metrics.submitted(match &result {
            Ok((_, Ok(false) | Err(_))) => "not_durable",
            Ok((Submitted::New(_), _)) => "new",
            Ok((Submitted::Coalesced(_), _)) => "coalesced",
            Err(e) if e.is_certain() => "refused",
            Err(_) => "maybe",
        });
        match result {
            Ok((submitted, Ok(true))) => Ok(submitted),
            Ok((submitted, confirmed)) => Err(SubmitError::NotDurable {
                submitted,
                source: confirmed.err(),
            }),
            Err(e) if e.is_certain() => Err(SubmitError::NotSubmitted(e)),
            Err(e) => Err(SubmitError::MaybeSubmitted(e)),
        }
    }

    /// Ends the producer's connection, and what [`retain`](Self::retain) has started, for all of its clones. One that came
    /// from a [`Client`](crate::Client) shares that client's connection, which stays, and its clones go on.
    ///
    /// # Cancel safety
    /// Dropping the future drops this clone. Once polled, what [`retain`](Self::retain) has started ends all the same; the
    /// connection ends with the last clone at the latest.
    pub async fn close(self) {
        if let Some(retained) = self.retained.as_ref().filter(|_| !self.connections.are_shared()) {
            retained.end().await;
        }
        self.connections.close().await;
    }
}

fn posts(stores: &[Store], durability: Durability) -> Arc<[Post]> {
    stores
        .iter()
        .map(|store| Post::new(store.clone(), durability))
        .collect()
}
