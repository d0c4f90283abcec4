//! What is done with one stream.

use std::io;
use std::sync::OnceLock;
use std::time::Duration;

use streamherd::{Lease, RetryAfter, RetryPolicy, Settled, ShutdownReport};

use super::events::{Events, Subject};
use super::exec::Exec;
use super::ledger::Ledger;
use super::stop::Stop;
use crate::failure::in_one_line;
use crate::output;

/// How the work on a stream ended.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    Done,
    Retry(String),
    DeadLetter(String),
    Release,
    /// The command can't be run, for this stream or any other.
    Broken(String),
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
    pub(super) stop: Stop,
    pub(super) retries: RetryPolicy,
    /// Set when the work can't be done at all, which ends the worker.
    pub(super) broken: OnceLock<()>,
}

/// What to say about a shutdown.
pub(super) fn describe(report: ShutdownReport) -> String {
    let ShutdownReport {
        done,
        retried,
        dead_lettered,
        released,
        abandoned,
        ..
    } = report;
    let mut text = format!("since it was asked to: {done} done, {released} released");
    for (count, what) in [(retried, "retried"), (dead_lettered, "dead-lettered")] {
        if count > 0 {
            text += &format!(", {count} {what}");
        }
    }
    if abandoned > 0 {
        text += &format!(", {abandoned} abandoned; others take those when their locks have expired");
    }
    text
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

    /// Stops the worker, and says why once.
    fn give_up(&self, why: &str) {
        if self.broken.set(()).is_err() {
            return;
        }
        if let Work::Exec(exec) = &self.work {
            output::say(&format!(
                "error: the command can't be run, so the worker stops and hands its streams back: {}",
                exec.command
            ));
            output::say(&format!("  {why}"));
        }
        self.stop.requested.cancel();
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
            Work::Exec(exec) => exec.work(lease, &self.stop.now).await,
            Work::Sleep(time) => tokio::select! {
                () = tokio::time::sleep(*time) => Verdict::Done,
                () = lease.lost().cancelled() => Verdict::Lost,
                () = self.stop.now.cancelled() => Verdict::Release,
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
        let mut delay = None;
        let (event, reason, outcome) = match verdict {
            Verdict::Done => ("done", None, lease.done().await),
            Verdict::Retry(why) => {
                tracing::warn!(
                    stream = lease.stream(),
                    failures = lease.failures() + 1,
                    why,
                    "a stream failed"
                );
                let wait = self.retries.wait(lease.failures());
                delay = Some(wait);
                let outcome = lease.retry(RetryAfter::after(wait).because(&why)).await;
                ("retry", Some(why), outcome)
            }
            Verdict::DeadLetter(why) => {
                let outcome = lease.dead_letter(why.clone()).await;
                ("dead_lettered", Some(why), outcome)
            }
            Verdict::Release => ("released", None, lease.release().await),
            Verdict::Broken(why) => {
                // First, or this worker would be the first to be given the stream again.
                self.give_up(&why);
                ("released", Some(why), lease.release().await)
            }
            // The notification of the loss is on its way, and tells of it.
            Verdict::Lost => return,
        };
        match outcome {
            Ok(settled) => {
                let event = match settled {
                    // A retry past the limit, or an entry too large to be queued again.
                    Settled::DeadLettered { .. } => {
                        delay = None;
                        "dead_lettered"
                    }
                    _ => event,
                };
                self.events.settled(event, &subject, reason.as_deref(), delay).await;
            }
            Err(e) => {
                tracing::debug!(error = in_one_line(&e), "a settlement did not count");
                self.events.refused(&subject, &e).await;
            }
        }
    }
}
