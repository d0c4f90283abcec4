//! Tidies up after other programs and dead workers, about once a minute for the whole fleet.

use std::sync::Arc;
use std::time::Duration;

use tokio_util::sync::CancellationToken;
use tracing::Instrument as _;

use super::plan;
use crate::backoff::jittered;
use crate::id::Lane;
use crate::registry::{self, UNREGISTERED_IDLE};
use crate::runtime::{Complaints, Partition};
use crate::store::{Judged, Reaped, StoreError, Stranded, Swept};

/// Names looked at per script call.
const NAMES_PER_CALL: usize = 50;
/// Calls per sweep; the next sweep goes on where this one ended.
const CALLS_FOR_NAMES: usize = 100;
const CONSUMERS_PER_CALL: usize = 100;

pub(crate) struct Sweeper {
    partition: Arc<Partition>,
    stop: CancellationToken,
}

impl Sweeper {
    pub(crate) const fn new(partition: Arc<Partition>, stop: CancellationToken) -> Self {
        Self { partition, stop }
    }

    pub(crate) async fn run(self) {
        let recovery = &self.partition.core.settings.recovery;
        if recovery.sweep_interval.is_zero() {
            return self.stop.cancelled().await;
        }
        let mut complaints = Complaints::new();
        loop {
            let wait = jittered(recovery.sweep_interval, recovery.jitter, &mut rand::rng());
            let span = tracing::debug_span!("sweep", service = %self.partition.core.settings.service);
            let swept = tokio::select! {
                () = self.stop.cancelled() => return,
                swept = async {
                    tokio::time::sleep(wait).await;
                    self.partition.reachable().await;
                    self.sweep().instrument(span).await
                } => swept,
            };
            match swept {
                Ok(()) => complaints.settled("the service is swept again"),
                Err(e) => complaints.about(&e, "the service can't be swept; trying again"),
            }
        }
    }

    /// One worker sweeps for all; the script that begins a sweep decides who.
    async fn sweep(&self) -> Result<(), StoreError> {
        let mut begins_after = Some(self.partition.core.settings.recovery.sweep_interval.mul_f64(0.7));
        for lane in Lane::ALL {
            if !self.sweep_lane(lane, begins_after.take()).await? {
                return Ok(());
            }
        }
        self.sweep_live().await?;
        self.reap().await
    }

    /// False if somebody else has swept.
    async fn sweep_lane(&self, lane: Lane, mut begins_after: Option<Duration>) -> Result<bool, StoreError> {
        let partition = &self.partition;
        let core = &partition.core;
        let mut from: Option<String> = None;
        loop {
            let (epoch, _) = partition.session.current();
            let limit = core.settings.recovery.dlq_max_len;
            let page = partition
                .store
                .sweep(&epoch, lane, from.as_deref(), limit, begins_after.take());
            let (cursor, cost, stranded) = match page.await? {
                Judged::Ok(Swept::Page { cursor, cost, stranded }) => (cursor, cost, stranded),
                Judged::Ok(Swept::TooEarly) => return Ok(false),
                Judged::Quiet(_) => return Ok(false),
                Judged::EpochChanged => {
                    partition.hello().await?;
                    return Ok(false);
                }
            };
            for (id, outcome) in stranded {
                match outcome {
                    Stranded::Requeued(new) => {
                        core.metrics.stranded(1);
                        tracing::warn!(
                            service = %core.settings.service, entry = %id, new = %new,
                            "another program had stranded an entry (its consumer deleted, acknowledged, or the group moved); \
                             it was queued again"
                        );
                    }
                    Stranded::DeadLettered { reason, trimmed } => core.dead_lettered(id, reason, trimmed),
                    Stranded::Alive => {}
                    Stranded::Failed(e) => {
                        tracing::warn!(error = %e, entry = %id, "a stranded entry could not be queued again");
                    }
                }
            }
            let Some(cursor) = cursor else { return Ok(true) };
            from = Some(cursor);
            tokio::time::sleep(plan::pause_after(cost)).await;
        }
    }

    async fn sweep_live(&self) -> Result<(), StoreError> {
        let partition = &self.partition;
        let core = &partition.core;
        for _ in 0..CALLS_FOR_NAMES {
            let (epoch, _) = partition.session.current();
            let page = match partition.store.sweep_live(&epoch, NAMES_PER_CALL).await? {
                Judged::Ok(page) => page,
                Judged::Quiet(_) => return Ok(()),
                Judged::EpochChanged => return partition.hello().await,
            };
            core.metrics.stranded(page.requeued);
            if page.requeued + page.forgotten > 0 {
                tracing::warn!(
                    service = %core.settings.service, requeued = page.requeued, forgotten = page.forgotten,
                    "another program had deleted entries of data streams"
                );
            }
            if page.complete {
                break;
            }
            tokio::time::sleep(plan::pause_after(page.cost)).await;
        }
        Ok(())
    }

    async fn reap(&self) -> Result<(), StoreError> {
        let partition = &self.partition;
        let core = &partition.core;
        let dead_after = core.settings.recovery.reap_after.max(core.settings.lock_ttl);
        let dead = registry::dead(&partition.store.registry().await?, dead_after);
        for some in dead.chunks(CONSUMERS_PER_CALL) {
            let (epoch, _) = partition.session.current();
            let reaped = partition
                .store
                .reap(&epoch, dead_after, UNREGISTERED_IDLE, some)
                .await?;
            let outcomes = match reaped {
                Judged::Ok(outcomes) => outcomes,
                Judged::Quiet(_) => return Ok(()),
                Judged::EpochChanged => return partition.hello().await,
            };
            let reaped = outcomes.iter().filter(|outcome| **outcome == Reaped::Ok).count();
            core.metrics.reaped(reaped);
            tracing::debug!(service = %core.settings.service, reaped, "names of dead consumers were removed");
        }
        Ok(())
    }
}
