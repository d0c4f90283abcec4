//! What is done with one stream.

use std::sync::OnceLock;
use std::time::Duration;

use streamherd::{Lease, RetryAfter, RetryPolicy, Settled, ShutdownReport};
use streamherd_ledger::{End, How, Page};

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

impl Verdict {
    /// What is asked of Redis because of it.
    const fn settlement(&self) -> Option<How> {
        match self {
            Self::Done => Some(How::Done),
            Self::Retry(_) => Some(How::Retry),
            Self::DeadLetter(_) => Some(How::DeadLetter),
            Self::Release | Self::Broken(_) => Some(How::Release),
            Self::Lost => None,
        }
    }
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
        // A process that stood still may wake up to a stream that others have finished long ago.
        if lease.ensure_valid().is_err() {
            return;
        }
        let page = self.ledger.as_ref().map(|ledger| ledger.started(&lease));
        let verdict = self.work(&lease).await;
        self.settle(lease, verdict, page).await;
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

    async fn work(&self, lease: &Lease) -> Verdict {
        match &self.work {
            Work::Exec(exec) => exec.work(lease, &self.stop.now).await,
            Work::Sleep(time) => tokio::select! {
                () = tokio::time::sleep(*time) => Verdict::Done,
                () = lease.lost().cancelled() => Verdict::Lost,
                () = self.stop.now.cancelled() => Verdict::Release,
            },
        }
    }

    /// Ends the lease, and prints how once Redis has confirmed it.
    pub(super) async fn settle(&self, lease: Lease, verdict: Verdict, page: Option<Page>) {
        let subject = Subject::from(&lease);
        let page = self.ledger.as_ref().zip(page);
        if let Some((ledger, page)) = &page {
            match verdict.settlement() {
                None => ledger.lost(page),
                Some(how) if ledger.finished(page, &lease, how) => {}
                // The notification of the loss is on its way, and tells of it.
                Some(_) => return,
            }
        }
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
        if let Some((ledger, page)) = &page {
            let end = |settled: &Settled| match settled {
                Settled::Done => End::Done,
                Settled::DeadLettered { .. } => End::DeadLettered,
                _ => End::Requeued,
            };
            ledger.ended(page, outcome.as_ref().map(end));
        }
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
