//! Queues delayed entries when they are due, and counts what waits: on every worker, also where scanning is off.

use std::sync::Arc;
use std::time::Duration;

use tokio_util::sync::CancellationToken;
use tracing::Instrument as _;

use super::census::Census;
use super::plan;
use crate::backoff::{Backoff, jittered};
use crate::runtime::{Complaints, Partition};
use crate::store::{Judged, PromoteOutcome, StoreError};

/// Entries per script call: about 2 ms of Redis.
const PER_CALL: usize = 100;
/// Between two looks at whether the scan has told anything.
const PAUSE: Duration = Duration::from_millis(10);

pub(crate) struct Promoter {
    partition: Arc<Partition>,
    stop: CancellationToken,
}

impl Promoter {
    pub(crate) const fn new(partition: Arc<Partition>, stop: CancellationToken) -> Self {
        Self { partition, stop }
    }

    /// Looks at once, and then whenever something is due that this process knows of. The scan tells it what is, by the way;
    /// where that has not told for a while, as it is off or its interval stretches, this looks by itself.
    pub(crate) async fn run(self) {
        let recovery = &self.partition.core.settings.recovery;
        let interval = if recovery.scan_interval.is_zero() {
            Duration::from_secs(1)
        } else {
            recovery.scan_interval
        };
        let (first, longest) = self.partition.core.settings.reconnect;
        let mut backoff = Backoff::new(first, longest);
        let mut complaints = Complaints::new();
        let mut census = Census::new();
        loop {
            tokio::select! {
                () = self.stop.cancelled() => return,
                () = self.partition.reachable() => {}
            }
            self.partition.due.asked();
            let span = tracing::debug_span!("promote", service = %self.partition.core.settings.service);
            let promoted = tokio::select! {
                () = self.stop.cancelled() => return,
                promoted = self.promote().instrument(span) => promoted,
            };
            self.partition.heard(&promoted);
            match promoted {
                Ok(next) => {
                    backoff.reset();
                    complaints.settled("delayed entries are queued again");
                    if let Some(next) = next {
                        self.partition.due.within(next);
                    }
                }
                Err(e) => {
                    complaints.about(&e, "delayed entries can't be queued; trying again");
                    // What is due stays due, and need not wait for the next tick.
                    self.partition.due.within(backoff.draw());
                }
            }
            tokio::select! {
                () = self.stop.cancelled() => return,
                () = self.until_due(interval, &mut census) => {}
            }
        }
    }

    /// Returns when something is due, or when it is time to look whether it is.
    async fn until_due(&self, interval: Duration, census: &mut Census) {
        let recovery = &self.partition.core.settings.recovery;
        // Never later than the interval, as most of what is delayed was delayed by others.
        let least = interval.mul_f64(1.0 - recovery.jitter);
        let mut wait = jittered(least, recovery.jitter, &mut rand::rng());
        loop {
            census.tick(&self.partition).await;
            tokio::select! {
                () = tokio::time::sleep(wait) => {}
                () = self.partition.due.arrives() => return,
            }
            let told = self.partition.due.untold_for();
            match told.and_then(|untold| plan::patience(interval, recovery.jitter).checked_sub(untold)) {
                Some(left) => wait = left.max(PAUSE),
                None => return,
            }
        }
    }

    /// Queues all that is due, and says how long until there is more.
    async fn promote(&self) -> Result<Option<Duration>, StoreError> {
        let partition = &self.partition;
        let core = &partition.core;
        let mut failed = 0;
        loop {
            let (epoch, _) = partition.session.current();
            let limit = core.settings.recovery.dlq_max_len;
            let promoted = match partition.store.promote(&epoch, PER_CALL, failed, limit).await? {
                Judged::Ok(promoted) => promoted,
                Judged::Quiet(left) => return Ok(Some(left)),
                Judged::EpochChanged => {
                    partition.hello().await?;
                    return Ok(None);
                }
            };
            let (seen, mut queued, mut more) = (promoted.outcomes.len(), 0, false);
            let mut refused = None;
            for outcome in promoted.outcomes {
                match outcome {
                    PromoteOutcome::Ok(id) => {
                        queued += 1;
                        tracing::debug!(entry = %id, "a delayed entry was due");
                    }
                    PromoteOutcome::DeadLettered { id, reason, trimmed } => core.dead_lettered(id, reason, trimmed),
                    PromoteOutcome::Vanished => {
                        core.metrics.vanished();
                        tracing::warn!(
                            service = %core.settings.service,
                            "a delayed entry had no body: another program deleted it"
                        );
                    }
                    PromoteOutcome::Later => more = true,
                    // Not this entry's fault, and the next would fare no better.
                    PromoteOutcome::Failed(e) if e.is_transient() => refused = Some(e),
                    PromoteOutcome::Failed(e) => {
                        // Stepped over, so that it doesn't keep others from their turn.
                        failed += 1;
                        tracing::warn!(error = %e, "a delayed entry could not be queued; trying again");
                    }
                }
            }
            core.metrics.promoted(queued);
            if let Some(e) = refused {
                return Err(e);
            }
            if seen < PER_CALL && !more {
                return Ok(promoted.next);
            }
        }
    }
}
