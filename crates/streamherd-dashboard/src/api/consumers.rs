//! Who takes part, from the sample alone.

use std::sync::Arc;

use axum::Json;
use axum::extract::State as Shared;
use axum::response::{IntoResponse as _, Response};
use serde::Serialize;
use streamherd::ConsumerStatus;

use super::{State, overview};

#[derive(Debug, Serialize)]
struct Consumers<'a> {
    at_ms: u64,
    consumers: Vec<Consumer<'a>>,
}

#[derive(Debug, Serialize)]
struct Consumer<'a> {
    #[serde(flatten)]
    status: &'a ConsumerStatus,
    rates: Option<ConsumerRates>,
}

#[derive(Debug, Serialize)]
struct ConsumerRates {
    done: f64,
}

pub(super) async fn get(Shared(state): Shared<Arc<State>>) -> Response {
    let sample = overview::first(&state).await;
    let all = sample.status.iter().flat_map(|status| &status.consumers);
    let consumer = |status| Consumer {
        status,
        rates: rates(&sample, status),
    };
    let consumers = all.map(consumer).collect();
    Json(Consumers {
        at_ms: sample.at_ms,
        consumers,
    })
    .into_response()
}

fn rates(sample: &crate::Sample, status: &ConsumerStatus) -> Option<ConsumerRates> {
    let done = sample.consumer_rates.get(&status.consumer)?;
    Some(ConsumerRates { done: *done })
}
