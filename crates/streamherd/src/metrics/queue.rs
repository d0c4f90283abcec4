//! What the queue holds, and what was done about dead letters.

use ::metrics::{SharedString, Unit, counter, describe_counter, describe_gauge, gauge};

use super::Metrics;
use crate::store::Census;

impl Metrics {
    pub(crate) fn redriven(&self, outcome: &'static str) {
        counter!("streamherd_redriven_total", "service" => self.service.clone(), "outcome" => outcome).increment(1);
    }

    pub(crate) fn purged(&self, outcome: &'static str) {
        counter!("streamherd_purged_total", "service" => self.service.clone(), "outcome" => outcome).increment(1);
    }

    /// `fill` is the share of their limit that the dead letters take up, where they have one.
    pub(crate) fn census(&self, partition: u16, census: &Census, fill: Option<f64>) {
        let labels = [
            ("service", self.service.clone()),
            ("partition", SharedString::from(partition.to_string())),
        ];
        let states = [
            ("queued", census.queued),
            ("requeued", census.requeued),
            ("pending", census.pending),
            ("delayed", census.delayed),
        ];
        for (state, entries) in states {
            let mut labels = labels.to_vec();
            labels.push(("state", SharedString::const_str(state)));
            gauge!("streamherd_queue_entries", &labels).set(entries as f64);
        }
        for (state, waiting) in ["queued", "requeued"].into_iter().zip(census.waiting) {
            let mut labels = labels.to_vec();
            labels.push(("state", SharedString::const_str(state)));
            gauge!("streamherd_queue_oldest_seconds", &labels).set(waiting.as_secs_f64());
        }
        gauge!("streamherd_dead_letters", &labels).set(census.dead_letters as f64);
        gauge!("streamherd_dlq_oldest_seconds", &labels).set(census.oldest.as_secs_f64());
        if let Some(fill) = fill {
            gauge!("streamherd_dlq_fill_ratio", &labels).set(fill);
        }
    }
}

pub(super) fn describe() {
    describe_counter!(
        "streamherd_redriven_total",
        "Dead letters to be redriven, by outcome: redriven, coalesced, superseded, too_large, gone, failed"
    );
    describe_counter!(
        "streamherd_purged_total",
        "Dead letters to be purged, by outcome: purged, gone, failed"
    );
    describe_gauge!(
        "streamherd_queue_entries",
        "Entries of each partition, by state: queued, requeued, pending, delayed; the same from each worker"
    );
    describe_gauge!(
        "streamherd_queue_oldest_seconds",
        Unit::Seconds,
        "For how long the first entry that nobody was given has waited in each partition, 0 where none waits, by state: \
         queued, requeued; the same from each worker"
    );
    describe_gauge!(
        "streamherd_dead_letters",
        "Dead letters of each partition; the same from each worker"
    );
    describe_gauge!(
        "streamherd_dlq_oldest_seconds",
        Unit::Seconds,
        "Age of the oldest dead letter of each partition, 0 without any; the same from each worker"
    );
    describe_gauge!(
        "streamherd_dlq_fill_ratio",
        "Dead letters of each partition divided by recovery.dlq_max_len; near 1 the oldest are about to be trimmed"
    );
}
