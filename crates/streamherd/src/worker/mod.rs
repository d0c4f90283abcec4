//! The handler runtime: calls a handler for each stream, and settles the lease by what it returns.
//!
//! # Why a runtime when there are notifications?
//!
//! A loop over [`Notifications`] is easily written and hard to write right: it has to stop handlers whose lease is lost,
//! count a panic as a failure, keep a shutdown from giving a stream away under a handler that still runs, and claim
//! orphans without asking in step with all its peers. What is here does that once. It uses nothing of the client that is
//! not public, save what spares a round trip.

mod attempt;
mod handler;
mod job;
mod report;
mod retry;
mod run;
#[cfg(feature = "tower")]
mod tower;

use std::fmt;
use std::future::pending;
use std::pin::Pin;
use std::time::Duration;

use crate::client::Client;
use crate::config::{range, within};
use crate::error::SettingError;
use crate::notification::Notifications;

pub use self::handler::{BoxError, Handler, Outcome};
pub use self::job::Job;
pub use self::report::{RunError, WorkerReport};
pub use self::retry::RetryPolicy;

/// Calls a [`Handler`] for each stream that a client is given, and settles the lease by what it returns.
///
/// It caps how many handlers run at once, catches their panics, has failures wait before they are tried again, stops
/// handlers whose lease is lost, claims orphans, and shuts down in order. Nothing a handler does ends it.
///
/// # Examples
///
/// ```no_run
/// use std::time::Duration;
/// use streamherd::{BoxError, Client, Job, Worker};
///
/// async fn handle(job: Job) -> Result<(), BoxError> {
///     let order: String = job.info()?;
///     job.ensure_valid()?;
///     println!("{order} under token {}", job.token());
///     Ok(())
/// }
///
/// #[tokio::main]
/// async fn main() -> Result<(), BoxError> {
///     let (client, notifications) = Client::builder("orders").connect().await?;
///     let report = Worker::new(client, notifications)
///         .concurrency(8)
///         .shutdown_on(tokio::signal::ctrl_c(), Duration::from_secs(10))
///         .run(handle)
///         .await?;
///     println!("{report:?}");
///     Ok(())
/// }
/// ```
///
/// A closure that shares something with all its calls:
///
/// ```no_run
/// # use std::sync::Arc;
/// # use streamherd::{BoxError, Client, Job, Worker};
/// # struct Database;
/// # impl Database { async fn book(&self, _: &str, _: u64) -> Result<(), std::io::Error> { Ok(()) } }
/// # async fn example(client: Client, notifications: streamherd::Notifications) -> Result<(), BoxError> {
/// let database = Arc::new(Database);
/// Worker::new(client, notifications)
///     .run(move |job: Job| {
///         let database = Arc::clone(&database);
///         async move { database.book(job.stream(), job.token().get()).await }
///     })
///     .await?;
/// # Ok(())
/// # }
/// ```
#[must_use = "a worker does nothing until it runs"]
pub struct Worker {
    client: Client,
    notifications: Notifications,
    concurrency: Option<usize>,
    retry: RetryPolicy,
    grace: Duration,
    max_hold: Option<Duration>,
    shutdown: (Signal, Duration),
}

/// Fires when the worker is to end.
type Signal = Pin<Box<dyn Future<Output = ()> + Send>>;

impl Worker {
    /// A worker with default settings, for a client and its notifications.
    pub fn new(client: Client, notifications: Notifications) -> Self {
        Self {
            client,
            notifications,
            concurrency: None,
            retry: RetryPolicy::default(),
            grace: Duration::from_secs(5),
            max_hold: None,
            shutdown: (Box::pin(pending()), Duration::ZERO),
        }
    }

    /// How many handlers run at once: from 1 to the client's `max_in_flight`. Default: as many as the client holds, also where
    /// [`Client::set_max_in_flight`] changes that.
    ///
    /// Up to `max_in_flight` streams are held; those beyond this number wait for a handler, and their leases stay valid
    /// meanwhile. They wait here while another worker might be idle, so set `max_in_flight` to little more.
    pub const fn concurrency(mut self, handlers: usize) -> Self {
        self.concurrency = Some(handlers);
        self
    }

    /// How long a stream waits after a failure. Default: up to 1 s, doubling to 5 min.
    pub const fn retry(mut self, policy: RetryPolicy) -> Self {
        self.retry = policy;
        self
    }

    /// How long a handler may go on after [`Job::stop`] has fired, before it is dropped. Default: 5 s; from 0 to an hour.
    ///
    /// A handler that blocks its thread can't be dropped, and goes on until its next `.await`.
    pub const fn grace(mut self, grace: Duration) -> Self {
        self.grace = grace;
        self
    }

    /// How long a handler may take. Default: as long as it wants; from 10 ms to 30 days.
    ///
    /// After that its lease is lost ([`HeldTooLong`](crate::error::DisownedReason::HeldTooLong)), the stream goes back to
    /// the queue as a failed attempt, and the handler is stopped as with any lost lease. The stream does not wait for that
    /// if the handler blocks its thread, as it may do so for ever; should it block the whole runtime, another worker takes
    /// the stream over once the lock has expired, as from a dead one.
    ///
    /// Waiting for a handler to be free does not count.
    pub const fn max_hold(mut self, longest: Duration) -> Self {
        self.max_hold = Some(longest);
        self
    }

    /// Ends the worker when `signal` is ready, whatever its output: `tokio::signal::ctrl_c()`, or
    /// `token.cancelled_owned()`. Default: never. The last call counts.
    ///
    /// Nothing more is read then, and streams that wait for a handler go to other workers at once. Handlers that run may
    /// finish within the deadline, from 0 to 7 days. At the deadline they are told to [stop](Job::stop); after the
    /// [grace](Self::grace) they are dropped, and their streams handed over, counting nothing. No stream is handed over
    /// before its handler is gone, unless that blocks its thread for two seconds longer than that.
    ///
    /// [`Client::shutdown`] ends the worker too, but takes the leases at its deadline, while handlers still have their
    /// grace.
    pub fn shutdown_on<F>(mut self, signal: F, deadline: Duration) -> Self
    where
        F: Future + Send + 'static,
    {
        let signal = async {
            signal.await;
        };
        self.shutdown = (Box::pin(signal), deadline);
        self
    }

    fn check(&self) -> Result<(), SettingError> {
        let most = self.client.core().settings.max_in_flight;
        range("concurrency", self.concurrency.unwrap_or(most), 1, most)
            .map_err(|e| e.because("no more than max_in_flight streams are held"))?;
        self.retry.check()?;
        within("grace", self.grace, Duration::ZERO, Duration::from_secs(3600))?;
        if let Some(longest) = self.max_hold {
            within("max_hold", longest, Duration::from_millis(10), 30 * DAY)?;
        }
        within("shutdown_on", self.shutdown.1, Duration::ZERO, 7 * DAY)
    }
}

impl fmt::Debug for Worker {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Worker")
            .field("client", &self.client)
            .field("concurrency", &self.concurrency)
            .field("retry", &self.retry)
            .field("grace", &self.grace)
            .field("max_hold", &self.max_hold)
            .finish_non_exhaustive()
    }
}

const DAY: Duration = Duration::from_secs(24 * 3600);
