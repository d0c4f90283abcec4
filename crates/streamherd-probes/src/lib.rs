//! `/livez`, `/readyz` and `/metrics` for services that are streamherd workers.
//!
//! | path | 200 | otherwise |
//! |---|---|---|
//! | `/livez` | as long as the clients run, whatever Redis does | 503 once one has ended: only a new process mends that |
//! | `/readyz` | they read, and their heartbeats get through | 503, and a body that says which condition fails, and since when |
//! | `/metrics` | what the recorder has counted, as Prometheus reads it | 404 without a recorder |
//!
//! A Redis that is away makes a worker unready and not dead: a restart would not bring Redis back, and would cost the worker
//! what it holds. A runtime that is blocked answers nobody, and so fails all of them, as it should.
//!
//! ```no_run
//! # async fn example() -> Result<(), Box<dyn std::error::Error>> {
//! use streamherd::Client;
//! use streamherd_probes::{Probes, recorder};
//!
//! let metrics = recorder().install_recorder()?;
//! let (client, notifications) = Client::builder("orders").connect().await?;
//! let probes = Probes::of(client.clone()).metrics(metrics);
//! // In an axum application of its own: `app.merge(probes.router())`. Without one:
//! let listener = tokio::net::TcpListener::bind("0.0.0.0:9090").await?;
//! tokio::spawn(probes.serve(listener));
//! # Ok(())
//! # }
//! ```
//!
//! There is no path that drains a worker: SIGTERM does, which every orchestrator sends by itself, and whoever can reach a
//! probe must not be able to stop the work.

#![cfg_attr(
    not(test),
    warn(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)
)]

mod buckets;
mod judge;
mod router;

pub use buckets::recorder;
/// The crate of the recorder, whose types are part of this one's interface.
pub use metrics_exporter_prometheus;

pub use judge::{Condition, Failing, Readiness, is_alive, judge};
pub use router::Probes;
