//! Finds entries whose owner is dead and puts them back, on every worker, at jittered intervals. This is what guarantees
//! recovery; notifications only make it sooner.

mod census;
mod plan;
mod promoter;
mod sweeper;

use std::sync::Arc;
use std::time::Duration;

use tokio_util::sync::CancellationToken;
use tracing::Instrument as _;

use crate::id::{EntryId, Lane};
use crate::runtime::{Complaints, Core, Partition};
pub(crate) use promoter::Promoter;
pub(crate) use sweeper::Sweeper;

use crate::store::{Gate, Judged, Listing, RequeueLimits, Requeued, Soon, StoreError};
use crate::trace;

pub(crate) struct Scanner {
    partition: Arc<Partition>,
    stop: CancellationToken,
}

/// What one scan came to.
#[derive(Debug, Default, Clone, Copy)]
struct Scanned {
    cost: Duration,
    soon: Option<Soon>,
    /// Another worker scans at present.
    gated: bool,
}

impl Scanner {
    pub(crate) const fn new(partition: Arc<Partition>, stop: CancellationToken) -> Self {
        Self { partition, stop }
    }

    /// Scans at once, and then until stopped.
    pub(crate) async fn run(self) {
        let recovery = &self.partition.core.settings.recovery;
        if recovery.scan_interval.is_zero() {
            return self.stop.cancelled().await;
        }
        let mut forced = true;
        let mut complaints = Complaints::new();
        loop {
            let ready = async {
                self.partition.reachable().await;
                // Whoever is back first leaves the others the time to hand back, or to finish, what they hold.
                tokio::time::sleep(self.partition.owners_first()).await;
            };
            tokio::select! {
                () = self.stop.cancelled() => return,
                () = ready => {}
            }
            let scan = tokio::select! {
                () = self.stop.cancelled() => return,
                scan = self.scan(forced).instrument(tracing::debug_span!("scan", service = %self.partition.core.settings.service, forced)) => scan,
            };
            self.partition.heard(&scan);
            let (cost, soon) = match scan {
                Ok(scanned) => {
                    self.partition.core.metrics.scanned(scanned.gated, scanned.cost);
                    self.partition.health.scanned();
                    complaints.settled("orphans are looked for again");
                    (scanned.cost, scanned.soon)
                }
                Err(e) => {
                    self.partition.core.metrics.scan_failed();
                    complaints.about(&e, "orphans can't be looked for; trying again");
                    (Duration::ZERO, None)
                }
            };
            let wait = plan::next_tick(recovery.scan_interval, recovery.jitter, cost, soon, &mut rand::rng());
            forced = tokio::select! {
                () = self.stop.cancelled() => return,
                () = tokio::time::sleep(wait) => false,
                () = self.partition.scan_now.notified() => true,
            };
        }
    }

    /// Walks both lanes to their ends, re-queueing page by page. Only the first page may be stopped by the gate.
    async fn scan(&self, forced: bool) -> Result<Scanned, StoreError> {
        let settings = &self.partition.core.settings;
        let interval = settings.recovery.scan_interval;
        let mut gate = Gate {
            keep: plan::gate(interval),
            respect: !forced,
        };
        let ahead = plan::ahead(interval, settings.recovery.jitter, settings.lock_ttl);
        let mut total = Scanned::default();
        for lane in Lane::ALL {
            let mut cursor: Option<String> = None;
            loop {
                let (epoch, _) = self.partition.session.current();
                let listing = self
                    .partition
                    .store
                    .list(&epoch, lane, gate, cursor.as_deref(), settings.min_idle, ahead)
                    .await?;
                let (next, cost, candidates) = match listing {
                    Judged::EpochChanged => {
                        self.partition.hello().await?;
                        return Ok(total);
                    }
                    Judged::Quiet(_) => return Ok(total),
                    Judged::Ok(Listing::GateTaken { due }) => {
                        self.partition.due.told(due);
                        total.gated = true;
                        return Ok(total);
                    }
                    Judged::Ok(Listing::Page {
                        cursor,
                        looked_at,
                        pending,
                        cost,
                        candidates,
                        soon,
                        due,
                    }) => {
                        self.partition.due.told(due);
                        total.soon = plan::either(total.soon, soon);
                        let walked = if cursor.is_none() { pending } else { 0 };
                        (cursor, plan::cost(cost, looked_at, walked), candidates)
                    }
                };
                total.cost += cost;
                // A walk that outlasts the gate goes on, and keeps it closed.
                gate.respect = false;
                for some in candidates.chunks(settings.recovery.batch) {
                    self.requeue(some.to_vec()).await?;
                }
                let Some(next) = next else { break };
                cursor = Some(next);
            }
        }
        if let Some(longer) = plan::longer_gate(interval, total.cost) {
            self.partition.store.hold_gate(longer).await?;
        }
        Ok(total)
    }

    async fn requeue(&self, mut ids: Vec<EntryId>) -> Result<(), StoreError> {
        let settings = &self.partition.core.settings;
        let limits = RequeueLimits {
            min_idle: settings.min_idle,
            max_abandonments: settings.recovery.max_abandonments,
            forgive_after: settings.recovery.forgive_after,
            dlq_max_len: settings.recovery.dlq_max_len,
        };
        while !ids.is_empty() {
            let (epoch, _) = self.partition.session.current();
            let latest = self.partition.session.latest_us(settings.command_timeout);
            let outcomes = match self.partition.store.requeue(&epoch, limits, latest, &ids).await? {
                Judged::Ok(outcomes) => outcomes,
                Judged::EpochChanged => return self.partition.hello().await,
                Judged::Quiet(_) => return Ok(()),
            };
            let mut later = Vec::new();
            let mut refused = None;
            for (id, outcome) in ids.into_iter().zip(outcomes) {
                self.partition.core.requeued("scan", id, &outcome);
                match outcome {
                    Requeued::Later => later.push(id),
                    // Not this entry's fault, and the next would fare no better.
                    Requeued::Failed(e) if e.is_transient() => refused = Some(e),
                    _ => {}
                }
            }
            if let Some(e) = refused {
                return Err(e);
            }
            ids = later;
        }
        Ok(())
    }
}

impl Core {
    /// Counts and tells what became of an orphan.
    pub(crate) fn requeued(&self, by: &'static str, id: EntryId, outcome: &Requeued) {
        self.metrics.requeued(by, outcome);
        match outcome {
            Requeued::Ok { new, idle, trace } => {
                trace::requeued(&self.metrics, by, id, Ok(*new), *trace);
                tracing::info!(service = %self.settings.service, entry = %id, new = %new, ?idle, by, "an orphan was re-queued");
            }
            Requeued::DeadLettered { reason, trimmed, trace } => {
                trace::requeued(&self.metrics, by, id, Err(*reason), *trace);
                self.dead_lettered(id, *reason, *trimmed);
            }
            Requeued::Vanished => self.vanished(id),
            // Told once for all of them.
            Requeued::Failed(e) if e.is_transient() => {
                tracing::debug!(error = %e, entry = %id, "an orphan could not be re-queued");
            }
            Requeued::Failed(e) => {
                tracing::warn!(error = %e, entry = %id, "an orphan could not be re-queued; the next scan tries again");
            }
            Requeued::Alive | Requeued::Gone | Requeued::TooEarly(_) | Requeued::Later => {}
        }
    }
}
