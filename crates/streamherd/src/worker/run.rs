//! The loop: takes what the client tells, until the client ends.

use std::future::pending;
use std::sync::Arc;
use std::time::Duration;

use rand::RngExt as _;
use tokio::sync::Semaphore;
use tokio::task::{JoinError, JoinSet};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::attempt::{Ending, Shared};
use super::{Handler, RunError, Worker, WorkerReport};
use crate::client::Client;
use crate::notification::{Notification, Orphan};
use crate::runtime::TerminatedReason;

impl Worker {
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
            seats: Arc::new(Semaphore::new(self.concurrency.unwrap_or(Semaphore::MAX_PERMITS))),
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
}

/// Peers hear of an orphan at the same moment, and all but one would ask in vain.
const CLAIM_JITTER_MS: u64 = 200;
/// About 50 ms of Redis.
const CLAIMS_AT_A_TIME: usize = 1_024;
/// What a release may take after the last handler is gone.
const LAST_RELEASES: Duration = Duration::from_secs(2);
/// What an abort may take.
const LAST_MOMENT: Duration = Duration::from_secs(1);

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
