//! The paths, and a server for who has none.

use std::io;
use std::sync::{Arc, Weak};
use std::time::Duration;

use axum::extract::State;
use axum::http::StatusCode;
use axum::http::header::{CACHE_CONTROL, CONTENT_TYPE};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Json, Router};
use metrics_exporter_prometheus::PrometheusHandle;
use serde::Serialize;
use streamherd::{Client, Health};
use tokio::net::TcpListener;

use crate::judge::{Readiness, is_alive, judge};

/// How often histograms are emptied into their buckets where nobody scrapes: until then each value that was measured
/// takes memory.
const UPKEEP: Duration = Duration::from_secs(5);
/// Version 0.0.4 is Prometheus's text.
const TEXT: &str = "text/plain; version=0.0.4; charset=utf-8";

/// What is probed: one client, or several of one process.
///
/// It holds the clients, so none of them ends by being dropped: shut it down.
#[derive(Debug, Clone)]
pub struct Probes {
    clients: Vec<Client>,
    metrics: Option<PrometheusHandle>,
}

impl Probes {
    /// Probes of one client.
    #[must_use]
    pub fn of(client: Client) -> Self {
        Self {
            clients: vec![client],
            metrics: None,
        }
    }

    /// And of another one, of another service for example: the process is alive and ready if all of them are.
    #[must_use]
    pub fn and(mut self, client: Client) -> Self {
        self.clients.push(client);
        self
    }

    /// Also `/metrics`, with what this recorder has counted; see [`recorder`](crate::recorder). It is kept up as long as
    /// the router lives: `run_upkeep` need not be called.
    #[must_use]
    pub fn metrics(mut self, handle: PrometheusHandle) -> Self {
        self.metrics = Some(handle);
        self
    }

    /// `/livez`, `/readyz` and, with a recorder, `/metrics`, to be merged into an axum application. Whoever can reach them
    /// sees how the worker does and what it counts, and no stream's name; they change nothing.
    ///
    /// With a recorder, call it on a tokio runtime, which its upkeep runs on.
    pub fn router(self) -> Router {
        let probes = Arc::new(self);
        if probes.metrics.is_some()
            && let Ok(runtime) = tokio::runtime::Handle::try_current()
        {
            runtime.spawn(keep_up(Arc::downgrade(&probes)));
        }
        let mut router = Router::new().route("/livez", get(livez)).route("/readyz", get(readyz));
        if probes.metrics.is_some() {
            router = router.route("/metrics", get(metrics));
        }
        router.with_state(probes)
    }

    /// Serves them over plain HTTP, without a login: bind to loopback, or to an address that only the cluster reaches.
    /// Runs until it is dropped, also when the clients have ended.
    ///
    /// # Errors
    /// The listener failed for good.
    ///
    /// # Cancel safety
    /// Dropping the future ends the server; requests under way may go unanswered.
    pub async fn serve(self, listener: TcpListener) -> io::Result<()> {
        axum::serve(listener, self.router()).await
    }
}

/// Empties histograms for as long as there is a router.
async fn keep_up(probes: Weak<Probes>) {
    let mut tick = tokio::time::interval(UPKEEP);
    loop {
        tick.tick().await;
        let Some(probes) = probes.upgrade() else { return };
        if let Some(handle) = &probes.metrics {
            handle.run_upkeep();
        }
    }
}

#[derive(Serialize)]
struct Liveness {
    live: bool,
}

/// What a body says: a list, with an object for each client under its name in the consumer group.
#[derive(Serialize)]
struct Told<T> {
    consumer: String,
    #[serde(flatten)]
    says: T,
}

async fn livez(State(probes): State<Arc<Probes>>) -> Response {
    let says = |health: &Health| Liveness { live: is_alive(health) };
    answer(&probes, says, |says| says.live)
}

async fn readyz(State(probes): State<Arc<Probes>>) -> Response {
    answer(&probes, judge, |says: &Readiness| says.ready)
}

fn answer<T: Serialize>(probes: &Probes, judge: impl Fn(&Health) -> T, well: impl Fn(&T) -> bool) -> Response {
    let told: Vec<_> = probes
        .clients
        .iter()
        .map(|client| Told {
            consumer: client.consumer().to_string(),
            says: judge(&client.health()),
        })
        .collect();
    let status = if told.iter().all(|one| well(&one.says)) {
        StatusCode::OK
    } else {
        StatusCode::SERVICE_UNAVAILABLE
    };
    (status, [(CACHE_CONTROL, "no-store")], Json(told)).into_response()
}

async fn metrics(State(probes): State<Arc<Probes>>) -> Response {
    let text = probes.metrics.as_ref().map(PrometheusHandle::render);
    let headers = [(CONTENT_TYPE, TEXT), (CACHE_CONTROL, "no-store")];
    (headers, text.unwrap_or_default()).into_response()
}
