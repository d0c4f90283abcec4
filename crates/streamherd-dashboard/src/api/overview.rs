//! Everything at one glance, from the sample alone.

use std::sync::Arc;
use std::time::Duration;

use axum::Json;
use axum::extract::State as Shared;
use axum::response::{IntoResponse as _, Response};
use serde::Serialize;
use streamherd::{Check, PartitionStatus, Pause, Status};
use tokio::time::timeout;

use super::State;
use crate::sample::{ConsumerCounts, Master, Rates, Sample};

/// How long the first answer of Redis is waited for.
const FIRST: Duration = Duration::from_secs(2);

/// A sample as the API gives it.
#[derive(Debug, Serialize)]
pub(super) struct Overview<'a> {
    at_ms: u64,
    service: &'a str,
    version: &'static str,
    interval_ms: u64,
    read_only: bool,
    stale_ms: u64,
    error: Option<&'a str>,
    used: bool,
    queue: Queue,
    rates: Rates,
    consumers: ConsumerCounts,
    paused_ms: Option<u64>,
    pauses: &'a [Pause],
    partitions: &'a [PartitionStatus],
    health: Findings<'a>,
    masters: Vec<MasterRow<'a>>,
}

#[derive(Debug, Default, Serialize)]
struct Queue {
    queued: u64,
    queued_oldest_ms: Option<u64>,
    requeued: u64,
    requeued_oldest_ms: Option<u64>,
    pending: u64,
    delayed: u64,
    delayed_next_ms: Option<u64>,
    dead_letters: u64,
}

#[derive(Debug, Serialize)]
struct Findings<'a> {
    verdict: &'static str,
    checked_ms: Option<u64>,
    findings: Vec<&'a Check>,
}

#[derive(Debug, Serialize)]
struct MasterRow<'a> {
    server: &'a str,
    answered: bool,
    breaker: &'static str,
    for_ms: u64,
    partitions: &'a [u16],
    last_error: Option<&'a str>,
}

impl<'a> Overview<'a> {
    pub(super) fn of(sample: &'a Sample, interval: Duration, read_only: bool) -> Self {
        let status = sample.status.as_deref();
        Self {
            at_ms: sample.at_ms,
            service: &sample.service,
            version: env!("CARGO_PKG_VERSION"),
            interval_ms: millis(interval),
            read_only,
            stale_ms: millis(sample.age()),
            error: sample.error.as_deref(),
            used: status.is_some_and(|status| status.used),
            queue: status.map(Queue::of).unwrap_or_default(),
            rates: sample.rates,
            consumers: sample.consumers(),
            paused_ms: status.and_then(|status| status.paused_ms),
            pauses: status.map_or(&[], |status| &status.pauses),
            partitions: status.map_or(&[], |status| &status.partitions),
            health: Findings::of(sample),
            masters: sample.masters.iter().map(MasterRow::of).collect(),
        }
    }
}

impl Queue {
    const fn of(status: &Status) -> Self {
        Self {
            queued: status.queued,
            queued_oldest_ms: status.queued_oldest_ms,
            requeued: status.requeued,
            requeued_oldest_ms: status.requeued_oldest_ms,
            pending: status.pending,
            delayed: status.delayed,
            delayed_next_ms: status.delayed_next_ms,
            dead_letters: status.dead_letters,
        }
    }
}

impl<'a> Findings<'a> {
    fn of(sample: &'a Sample) -> Self {
        let Some(health) = &sample.health else {
            return Self {
                verdict: "unknown",
                checked_ms: None,
                findings: Vec::new(),
            };
        };
        let mut findings: Vec<&Check> = health.diagnosis.checks.iter().collect();
        // The worst first, otherwise in their own order.
        findings.sort_by_key(|check| std::cmp::Reverse(check.verdict));
        Self {
            verdict: health.diagnosis.verdict.as_str(),
            checked_ms: Some(millis(health.age())),
            findings,
        }
    }
}

impl<'a> MasterRow<'a> {
    fn of(master: &'a Master) -> Self {
        Self {
            server: &master.server,
            answered: master.answered,
            breaker: master.breaker.as_str(),
            for_ms: millis(master.since),
            partitions: &master.partitions,
            last_error: master.last_error.as_deref(),
        }
    }
}

pub(super) async fn get(Shared(state): Shared<Arc<State>>) -> Response {
    let sample = first(&state).await;
    Json(overview(&state, &sample)).into_response()
}

/// The latest sample; before the first answer of Redis, what there is after a while.
pub(super) async fn first(state: &State) -> Arc<Sample> {
    match timeout(FIRST, state.sampler.first()).await {
        Ok(sample) => sample,
        Err(_) => state.sampler.latest(),
    }
}

pub(super) fn overview<'a>(state: &State, sample: &'a Sample) -> Overview<'a> {
    Overview::of(sample, state.sampler.interval(), state.gate.is_shut())
}

pub(super) fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}
