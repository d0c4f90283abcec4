//! What an orchestrator and Prometheus ask a dashboard that is served alone: `/livez`, `/readyz`, `/metrics`.

use std::fmt::{Display, Write as _};
use std::sync::Arc;
use std::time::Duration;

use axum::extract::State as Shared;
use axum::http::StatusCode;
use axum::http::header::CONTENT_TYPE;
use axum::middleware::from_fn;
use axum::response::{IntoResponse as _, Response};
use axum::routing::get;
use axum::{Json, Router};
use serde_json::json;
use streamherd::Status;

use crate::api::State;
use crate::guard::set_headers;
use crate::sample::{ConsumerCounts, Sample};

/// What is older is not shown as the state of the queue.
const TOO_OLD: Duration = Duration::from_secs(30);

pub(crate) fn router(state: &Arc<State>) -> Router {
    Router::new()
        .route("/livez", get(async || "alive\n"))
        .route("/readyz", get(readyz))
        .route("/metrics", get(metrics))
        .layer(from_fn(set_headers))
        .with_state(Arc::clone(state))
}

async fn readyz(Shared(state): Shared<Arc<State>>) -> Response {
    let sample = state.sampler.first().await;
    let status = if is_fresh(&sample) {
        StatusCode::OK
    } else {
        StatusCode::SERVICE_UNAVAILABLE
    };
    let ready = status == StatusCode::OK;
    (status, Json(json!({ "ready": ready, "error": sample.error }))).into_response()
}

async fn metrics(Shared(state): Shared<Arc<State>>) -> Response {
    let sample = state.sampler.first().await;
    let kind = [(CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")];
    (kind, text(&sample)).into_response()
}

fn is_fresh(sample: &Sample) -> bool {
    sample.status.is_some() && sample.age() < TOO_OLD
}

/// The sample as Prometheus reads it. Those gauges that workers tell, too, have the same names and labels, so that `max` over
/// all who tell them is right. Without a fresh answer of Redis they are absent, as they are when no worker tells them.
fn text(sample: &Sample) -> String {
    let mut page = Page {
        service: escaped(&sample.service),
        text: String::new(),
    };
    page.gauge(
        "streamherd_sample_age_seconds",
        "How old the dashboard's picture of the queue is",
    );
    page.value("streamherd_sample_age_seconds", &[], sample.age().as_secs_f64());
    if let Some(status) = sample.status.as_deref().filter(|_| is_fresh(sample)) {
        page.queue(status);
        page.consumers(sample.consumers(), status);
    }
    page.text
}

struct Page {
    service: String,
    text: String,
}

impl Page {
    fn queue(&mut self, status: &Status) {
        let answered = || status.partitions.iter().filter(|one| one.answered);
        let entries = "streamherd_queue_entries";
        self.gauge(
            entries,
            "Entries of each partition, by state: queued, requeued, pending, delayed",
        );
        for one in answered() {
            let states = [
                ("queued", one.queued),
                ("requeued", one.requeued),
                ("pending", one.pending),
                ("delayed", one.delayed),
            ];
            for (state, count) in states {
                self.value(entries, &[("partition", &one.number), ("state", &state)], count);
            }
        }
        self.gauge("streamherd_dead_letters", "Dead letters of each partition");
        for one in answered() {
            self.value(
                "streamherd_dead_letters",
                &[("partition", &one.number)],
                one.dead_letters,
            );
        }
        let oldest = "streamherd_service_oldest_seconds";
        self.gauge(
            oldest,
            "For how long the first entry that nobody was given has waited, 0 where none waits",
        );
        for (state, ms) in [
            ("queued", status.queued_oldest_ms),
            ("requeued", status.requeued_oldest_ms),
        ] {
            let waited = Duration::from_millis(ms.unwrap_or(0));
            self.value(oldest, &[("state", &state)], waited.as_secs_f64());
        }
    }

    /// These are of all workers together, and told by one: there is nothing to be summed up.
    fn consumers(&mut self, counts: ConsumerCounts, status: &Status) {
        let consumers = "streamherd_service_consumers";
        self.gauge(consumers, "Consumers, by state: alive, silent, unregistered");
        let states = [
            ("alive", counts.alive),
            ("silent", counts.silent),
            ("unregistered", counts.unregistered),
        ];
        for (state, count) in states {
            self.value(consumers, &[("state", &state)], count);
        }
        let alone = [
            (
                "streamherd_service_capacity",
                "Streams that the workers alive may hold",
                counts.capacity,
            ),
            ("streamherd_service_held", "Streams that they hold", counts.held),
            (
                "streamherd_service_slots_free",
                "Streams that those not paused could take in addition",
                counts.free,
            ),
            (
                "streamherd_service_paused",
                "1 while the whole service is paused",
                u64::from(status.paused_ms.is_some()),
            ),
        ];
        for (name, meaning, value) in alone {
            self.gauge(name, meaning);
            self.value(name, &[], value);
        }
    }

    // Writing to a string can't fail.
    fn gauge(&mut self, name: &str, meaning: &str) {
        let _ = write!(self.text, "# HELP {name} {meaning}\n# TYPE {name} gauge\n");
    }

    fn value(&mut self, name: &str, labels: &[(&str, &dyn Display)], value: impl Display) {
        let _ = write!(self.text, "{name}{{service=\"{}\"", self.service);
        for (label, of) in labels {
            let _ = write!(self.text, ",{label}=\"{of}\"");
        }
        let _ = writeln!(self.text, "}} {value}");
    }
}

/// As the value of a label.
fn escaped(text: &str) -> String {
    text.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n")
}
