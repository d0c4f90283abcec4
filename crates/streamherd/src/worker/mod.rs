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
#[cfg(feature = "tower")]
mod tower;

use std::fmt;
use std::future::pending;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use rand::RngExt as _;
use tokio::sync::Semaphore;
use tokio::task::{JoinError, JoinSet};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use self::attempt::{Ending, Shared};
use crate::client::Client;
use crate::config::{range, within};
use crate::error::SettingError;
use crate::notification::{Notification, Notifications, Orphan};
use crate::runtime::TerminatedReason;

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

    /// How many handlers run at once. Default and most: the client's `max_in_flight`; at least 1.
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

    /// Works until the client ends: by [`shutdown_on`](Self::shutdown_on), [`Client::shutdown`], or by itself.
    ///
    /// Returns at most the grace and about a second later than the client, also when handlers block their threads.
    ///
    /// # Errors
    /// A setting breaks a rule, or the client ended by itself.
    ///
    /// # Cancel safety
    /// Dropping the future drops the handlers, at their next `.await`; each stream is handed back when its handler is
    /// gone, counting nothing. The client ends unless it has other handles.
    ///
    /// # Panics
    /// Outside of a tokio runtime.
    pub async fn run<H: Handler>(self, handler: H) -> Result<WorkerReport, RunError> {
        self.check()?;
        let core = Arc::clone(self.client.core());
        let now = CancellationToken::new();
        let shared = Arc::new(Shared {
            handler,
            seats: Arc::new(Semaphore::new(self.concurrency.unwrap_or(core.settings.max_in_flight))),
            core: Arc::clone(&core),
            now: now.clone(),
            grace: self.grace,
            max_hold: self.max_hold,
            retry: self.retry,
        });
        let Self {
            client,
            mut notifications,
            shutdown: (mut signal, patience),
            grace,
            ..
        } = self;

        let mut report = WorkerReport::default();
        let mut attempts = JoinSet::new();
        let mut claims = JoinSet::new();
        let mut deadline = None;
        let reason = loop {
            tokio::select! {
                told = notifications.recv() => match told {
                    Some(Notification::StreamAdded(lease)) => {
                        attempts.spawn(Arc::clone(&shared).attend(lease));
                    }
                    Some(Notification::StreamExpired(orphan)) => {
                        // The scan finds those that are too many.
                        if claims.len() < CLAIMS_AT_A_TIME && !core.closing.is_cancelled() {
                            claims.spawn(claim(client.clone(), orphan));
                        }
                    }
                    Some(Notification::StreamDisowned(lost)) => tracing::warn!(
                        stream = lost.stream, token = %lost.token, reason = lost.reason.as_str(), "a lease was lost"
                    ),
                    Some(Notification::DataLoss(loss)) => {
                        tracing::warn!(times = loss.times, "handlers go on, though Redis lost data; see their leases");
                    }
                    Some(Notification::Terminated(reason)) => break reason,
                    None => break TerminatedReason::Shutdown,
                },
                () = &mut signal, if deadline.is_none() => {
                    deadline = Some(Instant::now() + patience);
                    // Later than the handlers are gone: what the client has to take from them would be given to others
                    // while they run.
                    client.begin_shutdown(patience + grace + LAST_RELEASES);
                }
                () = reached(deadline), if !now.is_cancelled() => now.cancel(),
                Some(ended) = attempts.join_next() => tally(&mut report, ended),
                Some(_) = claims.join_next() => {}
            }
        };

        // Every lease is settled or lost by now. This is for handlers whose leases the client took, and for those that
        // can't be dropped, for which nobody waits.
        now.cancel();
        let all = async {
            while let Some(ended) = attempts.join_next().await {
                tally(&mut report, ended);
            }
        };
        let _ = tokio::time::timeout(grace + LAST_MOMENT, all).await;
        report.stuck = attempts.len();
        // It has ended; this asks how.
        report.client = client.shutdown(Duration::ZERO).await;
        match reason {
            TerminatedReason::Shutdown => Ok(report),
            reason => Err(RunError::Terminated { reason, report }),
        }
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

/// Peers hear of an orphan at the same moment, and all but one would ask in vain.
const CLAIM_JITTER_MS: u64 = 200;
/// About 50 ms of Redis.
const CLAIMS_AT_A_TIME: usize = 1_024;
/// What a release may take after the last handler is gone.
const LAST_RELEASES: Duration = Duration::from_secs(2);
/// What an abort may take.
const LAST_MOMENT: Duration = Duration::from_secs(1);
const DAY: Duration = Duration::from_secs(24 * 3600);

async fn reached(deadline: Option<Instant>) {
    match deadline {
        Some(deadline) => tokio::time::sleep_until(deadline).await,
        None => pending().await,
    }
}

fn tally(report: &mut WorkerReport, ended: Result<Ending, JoinError>) {
    match ended {
        Ok(ending) => report.count(ending),
        // Its lease was handed back as it was dropped.
        Err(e) => tracing::error!(error = %e, "an attempt ended in a panic outside of its handler; please report it"),
    }
}

/// Has an orphan re-queued now, if nobody else was first.
async fn claim(client: Client, orphan: Orphan) {
    let wait = rand::rng().random_range(0..=CLAIM_JITTER_MS);
    tokio::time::sleep(Duration::from_millis(wait)).await;
    if client.core().closing.is_cancelled() {
        return;
    }
    match client.claim(&orphan).await {
        Ok(claimed) => tracing::debug!(stream = orphan.stream(), ?claimed, "an orphan was claimed"),
        Err(e) => tracing::debug!(stream = orphan.stream(), error = %e, "an orphan was not claimed"),
    }
}
