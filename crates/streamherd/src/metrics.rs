//! Every metric's name and meaning, in one place. Outputs only: nothing here decides anything.

mod describe;
mod queue;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use ::metrics::{Gauge, SharedString, counter, gauge, histogram};

pub(crate) use self::describe::describe;
use crate::dead_letter::DeadLetterReason;
use crate::error::DisownedReason;
use crate::id::Lane;
use crate::keys::Service;
use crate::recovery::BreakerState;
use crate::store::{Acquired, Renewed, Requeued, Restored, SettleOutcome, StoreError};

/// A service's metrics. Labels are the service and what happened, never a stream's name: their number must not grow with
/// the work.
#[derive(Debug, Clone)]
pub(crate) struct Metrics {
    service: SharedString,
}

macro_rules! count {
    ($self:ident, $name:literal $(, $label:literal => $value:expr)*) => {
        counter!($name, "service" => $self.service.clone() $(, $label => $value)*)
    };
}

impl Metrics {
    pub(crate) fn new(service: &Service) -> Self {
        Self {
            service: SharedString::from(Arc::<str>::from(service.to_string())),
        }
    }

    #[cfg(feature = "opentelemetry")]
    pub(crate) fn service(&self) -> &str {
        &self.service
    }

    /// Zero for what alerts look at: a counter that appears with its first event looks as if there had been none.
    pub(crate) fn begin(&self) {
        for reason in DeadLetterReason::ALL {
            count!(self, "streamherd_dead_lettered_total", "reason" => reason.as_str()).increment(0);
        }
        for reason in DisownedReason::ALL {
            count!(self, "streamherd_disowned_total", "reason" => reason.as_str()).increment(0);
        }
        count!(self, "streamherd_dlq_trimmed_total").increment(0);
        count!(self, "streamherd_data_losses_total").increment(0);
        count!(self, "streamherd_handler_panics_total").increment(0);
    }

    pub(crate) fn store_call(&self, operation: &'static str, took: Duration, error: Option<&StoreError>) {
        histogram!("streamherd_store_seconds", "service" => self.service.clone(), "operation" => operation)
            .record(took.as_secs_f64());
        if let Some(error) = error {
            count!(self, "streamherd_store_errors_total", "operation" => operation, "kind" => error.kind_name())
                .increment(1);
        }
    }

    pub(crate) fn submitted(&self, outcome: &'static str) {
        count!(self, "streamherd_submitted_total", "outcome" => outcome).increment(1);
    }

    pub(crate) fn resubmitted(&self, outcome: &'static str) {
        count!(self, "streamherd_resubmitted_total", "outcome" => outcome).increment(1);
    }

    pub(crate) fn kept_dropped(&self, streams: u64) {
        count!(self, "streamherd_kept_dropped_total").increment(streams);
    }

    /// How many streams all producers of this process keep.
    pub(crate) fn kept_streams(&self) -> Gauge {
        gauge!("streamherd_kept_streams", "service" => self.service.clone())
    }

    /// Counted together: a look at the recorder per entry would cost more than the entry does.
    pub(crate) fn read(&self, lanes: impl Iterator<Item = Lane>) {
        Self::each(lanes.map(Lane::as_str), |lane, entries| {
            count!(self, "streamherd_read_total", "lane" => lane).increment(entries);
        });
    }

    pub(crate) fn acquired<'a>(&self, outcomes: impl Iterator<Item = &'a Acquired>) {
        let outcomes = outcomes.map(|outcome| match outcome {
            Acquired::Ok(_) => "ok",
            Acquired::Gone => "gone",
            Acquired::Held => "held",
            Acquired::Paused => "paused",
            Acquired::Failed(_) => "failed",
        });
        Self::each(outcomes, |outcome, entries| {
            count!(self, "streamherd_acquired_total", "outcome" => outcome).increment(entries);
        });
    }

    pub(crate) fn adopted(&self, entries: usize) {
        count!(self, "streamherd_adopted_total").increment(entries as u64);
    }

    /// So many leases, whose locks were simply there.
    pub(crate) fn kept(&self, leases: usize) {
        count!(self, "streamherd_renewed_total", "outcome" => "kept").increment(leases as u64);
    }

    pub(crate) fn renewed(&self, outcome: &Renewed) {
        let outcome = match outcome {
            Renewed::Kept => "kept",
            Renewed::Reacquired => "reacquired",
            Renewed::Lost => "lost",
            Renewed::Failed(_) => "failed",
        };
        count!(self, "streamherd_renewed_total", "outcome" => outcome).increment(1);
    }

    pub(crate) fn restored(&self, outcome: &Restored) {
        let outcome = match outcome {
            Restored::Kept => "kept",
            Restored::Written(_) => "written",
            Restored::Missing => return,
            Restored::Settled => "settled",
            Restored::Lost => "lost",
            Restored::Failed(_) => "failed",
        };
        count!(self, "streamherd_restored_total", "outcome" => outcome).increment(1);
    }

    pub(crate) fn disowned(&self, reason: DisownedReason) {
        count!(self, "streamherd_disowned_total", "reason" => reason.as_str()).increment(1);
    }

    pub(crate) fn settled<'a>(&self, settled: impl Iterator<Item = (&'static str, &'a SettleOutcome)>) {
        let settled = settled.map(|(operation, outcome)| {
            let outcome = match outcome {
                SettleOutcome::Ok(_) => "ok",
                SettleOutcome::DeadLettered { .. } => "dead_lettered",
                SettleOutcome::Disowned => "disowned",
                SettleOutcome::Vanished => "vanished",
                SettleOutcome::Later | SettleOutcome::Again => "again",
                SettleOutcome::Failed(_) => "failed",
            };
            (operation, outcome)
        });
        Self::each(settled, |(operation, outcome), entries| {
            count!(self, "streamherd_settled_total", "operation" => operation, "outcome" => outcome).increment(entries);
        });
    }

    /// Tells each kind of many, and how many are of it.
    fn each<K: Ord>(kinds: impl Iterator<Item = K>, tell: impl Fn(K, u64)) {
        let mut counts = BTreeMap::new();
        for kind in kinds {
            *counts.entry(kind).or_insert(0) += 1;
        }
        counts.into_iter().for_each(|(kind, count)| tell(kind, count));
    }

    /// A settlement of a lease that this process itself knew to be lost.
    pub(crate) fn settled_late(&self, operation: &'static str) {
        count!(self, "streamherd_settled_total", "operation" => operation, "outcome" => "disowned").increment(1);
    }

    pub(crate) fn held_for(&self, span: Duration) {
        histogram!("streamherd_lease_seconds", "service" => self.service.clone()).record(span.as_secs_f64());
    }

    pub(crate) fn requeued(&self, by: &'static str, outcome: &Requeued) {
        let name = match outcome {
            Requeued::Ok { idle, .. } => {
                histogram!("streamherd_orphan_idle_seconds", "service" => self.service.clone(), "by" => by)
                    .record(idle.as_secs_f64());
                "requeued"
            }
            Requeued::DeadLettered { .. } => "dead_lettered",
            Requeued::Alive => "alive",
            Requeued::Gone => "gone",
            Requeued::TooEarly(_) => "too_early",
            Requeued::Vanished => "vanished",
            Requeued::Later => "again",
            Requeued::Failed(_) => "failed",
        };
        count!(self, "streamherd_requeued_total", "by" => by, "outcome" => name).increment(1);
    }

    pub(crate) fn dead_lettered(&self, reason: DeadLetterReason, trimmed: u64) {
        count!(self, "streamherd_dead_lettered_total", "reason" => reason.as_str()).increment(1);
        if trimmed > 0 {
            count!(self, "streamherd_dlq_trimmed_total").increment(trimmed);
        }
    }

    pub(crate) fn vanished(&self) {
        count!(self, "streamherd_vanished_total").increment(1);
    }

    /// A failover, a restart from a snapshot, or a clock that jumped.
    pub(crate) fn generation(&self) {
        count!(self, "streamherd_generations_total").increment(1);
    }

    pub(crate) fn data_loss(&self) {
        count!(self, "streamherd_data_losses_total").increment(1);
    }

    /// A master's breaker has changed to this.
    pub(crate) fn breaker(&self, state: BreakerState) {
        count!(self, "streamherd_breaker_changes_total", "state" => state.as_str()).increment(1);
    }

    pub(crate) fn masters_away(&self, masters: usize) {
        gauge!("streamherd_masters_away", "service" => self.service.clone()).set(masters as f64);
    }

    pub(crate) fn scanned(&self, gated: bool, cost: Duration) {
        let outcome = if gated { "gated" } else { "ok" };
        count!(self, "streamherd_scans_total", "outcome" => outcome).increment(1);
        if !gated {
            histogram!("streamherd_scan_cost_seconds", "service" => self.service.clone()).record(cost.as_secs_f64());
        }
    }

    pub(crate) fn promoted(&self, entries: usize) {
        count!(self, "streamherd_promoted_total").increment(entries as u64);
    }

    pub(crate) fn stranded(&self, entries: u64) {
        count!(self, "streamherd_stranded_total").increment(entries);
    }

    pub(crate) fn reaped(&self, consumers: usize) {
        count!(self, "streamherd_consumers_reaped_total").increment(consumers as u64);
    }

    pub(crate) fn paused(&self, paused: bool) {
        gauge!("streamherd_paused", "service" => self.service.clone()).set(if paused { 1.0 } else { 0.0 });
    }

    pub(crate) fn scan_failed(&self) {
        count!(self, "streamherd_scans_total", "outcome" => "failed").increment(1);
    }

    /// A subscription to one server's expired locks.
    pub(crate) fn subscribed(&self, outcome: &'static str) {
        count!(self, "streamherd_subscriptions_total", "outcome" => outcome).increment(1);
    }

    pub(crate) fn lock_expired(&self) {
        count!(self, "streamherd_lock_expired_events_total").increment(1);
    }

    pub(crate) fn hints_missed(&self, missed: u64) {
        count!(self, "streamherd_hints_dropped_total", "where" => "subscription").increment(missed);
    }

    pub(crate) fn hint_dropped(&self) {
        count!(self, "streamherd_hints_dropped_total", "where" => "channel").increment(1);
    }

    /// A handler has begun; it has ended when the result is dropped.
    pub(crate) fn handler_runs(&self) -> Running {
        let running = gauge!("streamherd_handlers_running", "service" => self.service.clone());
        running.increment(1.0);
        Running(running)
    }

    pub(crate) fn handled(&self, outcome: &'static str, took: Duration) {
        count!(self, "streamherd_handled_total", "outcome" => outcome).increment(1);
        histogram!("streamherd_handler_seconds", "service" => self.service.clone(), "outcome" => outcome)
            .record(took.as_secs_f64());
    }

    pub(crate) fn handler_panicked(&self) {
        count!(self, "streamherd_handler_panics_total").increment(1);
    }

    pub(crate) fn leases_held(&self, leases: usize) {
        gauge!("streamherd_leases_held", "service" => self.service.clone()).set(leases as f64);
    }

    pub(crate) fn slots_free(&self, slots: usize) {
        gauge!("streamherd_slots_free", "service" => self.service.clone()).set(slots as f64);
    }
}

/// A handler that runs.
pub(crate) struct Running(Gauge);

impl Drop for Running {
    fn drop(&mut self) {
        self.0.decrement(1.0);
    }
}
