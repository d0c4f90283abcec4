//! The last hour, in columns.

use std::sync::Arc;

use axum::Json;
use axum::extract::State as Shared;
use axum::response::{IntoResponse as _, Response};
use serde::Serialize;

use super::State;
use super::overview::millis;
use crate::history::{History, Point};

#[derive(Debug, Serialize)]
struct Columns {
    step_ms: u64,
    end_at_ms: u64,
    series: Series,
}

#[derive(Debug, Serialize)]
struct Series {
    queued: Vec<Option<u64>>,
    requeued: Vec<Option<u64>>,
    pending: Vec<Option<u64>>,
    delayed: Vec<Option<u64>>,
    dead_letters: Vec<Option<u64>>,
    oldest_ms: Vec<Option<u64>>,
    rate_queued: Vec<Option<f64>>,
    rate_done: Vec<Option<f64>>,
    rate_retried: Vec<Option<f64>>,
    rate_dead_lettered: Vec<Option<f64>>,
    rate_lost: Vec<Option<f64>>,
    capacity: Vec<Option<u64>>,
    held: Vec<Option<u64>>,
    consumers: Vec<Option<u64>>,
}

impl Columns {
    fn of(history: &History) -> Self {
        let counts = |of: fn(&Point) -> u64| history.points.iter().map(|point| point.as_ref().map(of)).collect();
        let rates = |of: fn(&Point) -> Option<f64>| {
            let points = history.points.iter();
            points.map(|point| point.as_ref().and_then(of)).collect()
        };
        Self {
            step_ms: millis(history.step),
            end_at_ms: history.end_at_ms,
            series: Series {
                queued: counts(|point| point.queued),
                requeued: counts(|point| point.requeued),
                pending: counts(|point| point.pending),
                delayed: counts(|point| point.delayed),
                dead_letters: counts(|point| point.dead_letters),
                oldest_ms: counts(|point| point.oldest_ms),
                rate_queued: rates(|point| point.rates.queued),
                rate_done: rates(|point| point.rates.done),
                rate_retried: rates(|point| point.rates.retried),
                rate_dead_lettered: rates(|point| point.rates.dead_lettered),
                rate_lost: rates(|point| point.rates.lost),
                capacity: counts(|point| point.capacity),
                held: counts(|point| point.held),
                consumers: counts(|point| point.consumers),
            },
        }
    }
}

pub(super) async fn get(Shared(state): Shared<Arc<State>>) -> Response {
    Json(Columns::of(&state.sampler.history())).into_response()
}
