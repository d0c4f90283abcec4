//! One lease, from its arrival to its settlement.

use std::any::Any;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::task::JoinError;
use tokio_util::sync::CancellationToken;
use tokio_util::task::AbortOnDropHandle;
use tracing::Instrument as _;

use super::handler::with_sources;
use super::{Handler, Job, Outcome, RetryPolicy};
use crate::error::SettleError;
use crate::lease::{Lease, RetryAfter, Settled};
use crate::metrics::Running;
use crate::runtime::Core;

/// What all attempts of one worker share.
pub(super) struct Shared<H> {
    pub(super) handler: H,
    pub(super) core: Arc<Core>,
    /// One permit per handler that may run.
    pub(super) seats: Arc<Semaphore>,
    /// No more time for what is in work.
    pub(super) now: CancellationToken,
    pub(super) grace: Duration,
    pub(super) max_hold: Option<Duration>,
    pub(super) retry: RetryPolicy,
}

/// How an attempt ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Ending {
    pub(super) fate: Fate,
    pub(super) panicked: bool,
}

/// What became of the stream, as Redis has confirmed it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Fate {
    Done,
    Retried,
    DeadLettered,
    Released,
    /// Not settled by this attempt.
    Lost,
}

/// What a handler's task keeps until the handler is really gone, however it goes.
///
/// A task that is aborted while its thread is in the middle of a poll goes on until that poll returns. Were the lease in
/// the hands of the task that watches over it, an abort of both would give the stream away under a running handler, and
/// its place to another one.
struct Seat {
    _permit: OwnedSemaphorePermit,
    _hold: Arc<Hold>,
    _running: Running,
}

/// A lease that is handed back if nobody takes it out to settle it.
struct Hold(Mutex<Option<Lease>>);

impl Hold {
    fn take(&self) -> Option<Lease> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).take()
    }
}

impl Drop for Hold {
    fn drop(&mut self) {
        if let Some(lease) = self.take() {
            lease.hand_back();
        }
    }
}

impl<H: Handler> Shared<H> {
    /// The lease is in its hold before the first poll: dropped without one, with its worker, it would count as a failed
    /// attempt.
    pub(super) fn attend(self: Arc<Self>, lease: Lease) -> impl Future<Output = Ending> + Send + 'static {
        let span = lease.span().clone();
        let lost = lease.lost().clone();
        let job = Job::of(&lease, self.limit(lease.failures()));
        let hold = Arc::new(Hold(Mutex::new(Some(lease))));
        self.attempt(lost, job, hold).instrument(span)
    }

    async fn attempt(self: Arc<Self>, lost: CancellationToken, job: Job, hold: Arc<Hold>) -> Ending {
        let permit = tokio::select! {
            biased;
            // What nobody works on yet goes to the others at once.
            () = self.core.closing.cancelled() => None,
            () = lost.cancelled() => None,
            permit = Arc::clone(&self.seats).acquire_owned() => permit.ok(),
        };
        let Some(permit) = permit else {
            return self.settle(&hold, Outcome::Release, false).await;
        };
        // A process that stood still may wake up to a stream that others have finished long ago.
        if !job.is_valid() {
            return Ending::lost(false);
        }

        let began = Instant::now();
        let stop = job.stop().clone();
        let seat = Seat {
            _permit: permit,
            _hold: Arc::clone(&hold),
            _running: self.core.metrics.handler_runs(),
        };
        let handling = Arc::clone(&self).handle(job, seat).in_current_span();
        let mut handler = AbortOnDropHandle::new(tokio::spawn(handling));
        let ended = tokio::select! {
            biased;
            ended = &mut handler => Some(ended),
            () = lost.cancelled() => None,
            () = self.now.cancelled() => None,
        };
        let ended = match ended {
            Some(ended) => ended,
            None => {
                stop.cancel();
                match tokio::time::timeout(self.grace, &mut handler).await {
                    Ok(ended) => ended,
                    Err(_) => {
                        tracing::debug!(grace = ?self.grace, "a handler did not stop, and is dropped");
                        handler.abort();
                        // Until it really is: an abort waits for the handler's next await.
                        (&mut handler).await
                    }
                }
            }
        };

        let (said, outcome) = self.verdict(ended, stop.is_cancelled());
        let is_lost = !hold.is_valid();
        let label = if is_lost { "lost" } else { said };
        self.core.metrics.handled(label, began.elapsed());
        let panicked = said == "panic";
        if is_lost {
            return Ending::lost(panicked);
        }
        self.settle(&hold, outcome, panicked).await
    }

    async fn handle(self: Arc<Self>, job: Job, seat: Seat) -> Result<Outcome, String> {
        let _seat = seat;
        job.start_clock();
        // The text is made here, where a panic in it is the handler's.
        self.handler.handle(job).await.map_err(|e| with_sources(&*e))
    }

    fn limit(&self, failures: u32) -> Option<(Duration, Duration)> {
        // Not before the handler that hung has been dropped, if it can be.
        let wait = self.backoff(failures).max(self.grace);
        self.max_hold.map(|span| (span, wait))
    }

    fn backoff(&self, failures: u32) -> Duration {
        self.retry.wait(failures)
    }

    /// What the handler's end means, and its name.
    fn verdict(&self, ended: Result<Result<Outcome, String>, JoinError>, stopped: bool) -> (&'static str, Outcome) {
        match ended {
            Ok(Ok(outcome)) => (outcome.name(), outcome),
            // It gave up because it was told to. That is nobody's failure.
            Ok(Err(error)) if stopped => {
                tracing::debug!(error, "a handler was stopped");
                ("stopped", Outcome::Release)
            }
            Ok(Err(error)) => {
                tracing::warn!(error, "a handler failed");
                ("error", Outcome::retry(error))
            }
            Err(e) if e.is_panic() => {
                let message = message(&*e.into_panic());
                tracing::error!(panic = message, "a handler panicked");
                self.core.metrics.handler_panicked();
                ("panic", Outcome::retry(format!("the handler panicked: {message}")))
            }
            // Dropped after its grace, or with its runtime.
            Err(_) => ("stopped", Outcome::Release),
        }
    }

    /// Carries out what was decided. A settlement that does not count is nothing that could end the worker: somebody
    /// else has the stream, or will have it.
    async fn settle(&self, hold: &Hold, outcome: Outcome, panicked: bool) -> Ending {
        let Some(lease) = hold.take() else {
            return Ending::lost(panicked);
        };
        if lease.lost().is_cancelled() {
            lease.hand_back();
            return Ending::lost(panicked);
        }
        let released = outcome == Outcome::Release;
        let settled = match outcome {
            Outcome::Done => lease.done().await,
            Outcome::Retry { after, because } => {
                let delay = after.unwrap_or_else(|| self.backoff(lease.failures()));
                lease.retry(RetryAfter::after(delay).because(because)).await
            }
            Outcome::DeadLetter { reason } => lease.dead_letter(reason).await,
            Outcome::Release => lease.release().await,
        };
        let fate = match settled {
            Ok(Settled::Done) => Fate::Done,
            Ok(Settled::Requeued) if released => Fate::Released,
            Ok(Settled::Requeued | Settled::Delayed) => Fate::Retried,
            Ok(Settled::DeadLettered { .. }) => Fate::DeadLettered,
            Err(e) => {
                complain(&e);
                Fate::Lost
            }
        };
        Ending { fate, panicked }
    }
}

impl Hold {
    fn is_valid(&self) -> bool {
        let lease = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        lease.as_ref().is_some_and(Lease::is_valid)
    }
}

impl Ending {
    const fn lost(panicked: bool) -> Self {
        Self {
            fate: Fate::Lost,
            panicked,
        }
    }
}

impl Outcome {
    const fn name(&self) -> &'static str {
        match self {
            Self::Done => "done",
            Self::Retry { .. } => "retry",
            Self::DeadLetter { .. } => "dead_letter",
            Self::Release => "release",
        }
    }
}

fn complain(error: &SettleError) {
    let error = with_sources(error);
    tracing::warn!(
        error,
        "what a handler did was not confirmed by Redis, and may be done again"
    );
}

/// The text of a panic, if it has one.
fn message(payload: &(dyn Any + Send)) -> String {
    let text = payload.downcast_ref::<&str>().map(|text| (*text).to_owned());
    text.or_else(|| payload.downcast_ref::<String>().cloned())
        .unwrap_or_else(|| "without a message".to_owned())
}
