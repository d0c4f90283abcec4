//! What is done with one stream.

use std::io;
use std::time::Duration;

use streamherd::{Lease, RetryAfter, Settled};
use tokio_util::sync::CancellationToken;

use super::events::{Events, Subject};
use super::exec::Exec;
use super::ledger::Ledger;
use crate::failure::with_sources;

/// How the work on a stream ended.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    Done,
    Retry(String),
    DeadLetter(String),
    Release,
    /// The lease was lost: there is nothing to settle.
    Lost,
}

pub(super) enum Work {
    Sleep(Duration),
    Exec(Exec),
}

pub(super) struct Handler {
    pub(super) work: Work,
    pub(super) ledger: Option<Ledger>,
    pub(super) events: Events,
    /// Fires when work has to stop, finished or not.
    pub(super) stop: CancellationToken,
}

impl Handler {
    pub(super) async fn handle(&self, lease: Lease) {
        let verdict = match self.work(&lease).await {
            Ok(verdict) => verdict,
            Err(e) => {
                tracing::error!(error = %e, "the ledger can't be written");
                Verdict::Retry(format!("the ledger can't be written: {e}"))
            }
        };
        self.settle(lease, verdict).await;
    }

    async fn work(&self, lease: &Lease) -> io::Result<Verdict> {
        // A process that stood still may wake up to a stream that others have finished long ago.
        if lease.ensure_valid().is_err() {
            return Ok(Verdict::Lost);
        }
        if let Some(ledger) = &self.ledger {
            ledger.started(lease)?;
        }
        let verdict = match &self.work {
            Work::Exec(exec) => exec.work(lease, &self.stop).await,
            Work::Sleep(time) => tokio::select! {
                () = tokio::time::sleep(*time) => Verdict::Done,
                () = lease.lost().cancelled() => Verdict::Lost,
                () = self.stop.cancelled() => Verdict::Release,
            },
        };
        if verdict == Verdict::Done
            && let Some(ledger) = &self.ledger
            && !ledger.finished(lease)?
        {
            return Ok(Verdict::Lost);
        }
        Ok(verdict)
    }

    /// Ends the lease, and prints how once Redis has confirmed it.
    pub(super) async fn settle(&self, lease: Lease, verdict: Verdict) {
        let subject = Subject::from(&lease);
        let (event, reason, outcome) = match verdict {
            Verdict::Done => ("done", None, lease.done().await),
            Verdict::Retry(why) => {
                let outcome = lease.retry(RetryAfter::now().because(&why)).await;
                ("retry", Some(why), outcome)
            }
            Verdict::DeadLetter(why) => {
                let outcome = lease.dead_letter(why.clone()).await;
                ("dead_lettered", Some(why), outcome)
            }
            Verdict::Release => ("released", None, lease.release().await),
            // The notification of the loss is on its way, and prints it.
            Verdict::Lost => return,
        };
        match outcome {
            // A retry past the limit, or an entry too large to be queued again.
            Ok(Settled::DeadLettered { .. }) => {
                self.events.settled("dead_lettered", &subject, reason.as_deref()).await;
            }
            Ok(_) => self.events.settled(event, &subject, reason.as_deref()).await,
            Err(e) => {
                tracing::debug!(error = with_sources(&e), "a settlement did not count");
                self.events.refused(&subject, &e).await;
            }
        }
    }
}
