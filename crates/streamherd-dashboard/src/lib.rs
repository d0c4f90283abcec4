//! A dashboard and a REST API for streamherd, to be mounted in an axum service or served by `streamherd serve`.
//!
//! ```no_run
//! # async fn run() -> Result<(), Box<dyn std::error::Error>> {
//! let admin = streamherd::Client::builder("orders").connect_admin().await?;
//! let herd = streamherd_dashboard::router(admin);
//! let app = axum::Router::new().nest_service("/ops/herd", herd);
//! let listener = tokio::net::TcpListener::bind("127.0.0.1:8380").await?;
//! axum::serve(listener, app).await?;
//! # Ok(())
//! # }
//! ```
//!
//! One [`Sampler`] looks at Redis for all who watch, whether they do so by HTTP or, as `streamherd top`, by themselves.
//!
//! # Who may see and do what
//!
//! Whoever reaches the router sees everything: names, errors, and the fields of dead letters. Where that is not for all,
//! put it behind what the service uses for its own pages. Actions take the [admin token](DashboardBuilder::admin_token) as
//! a bearer token; without one there are none. Requests under another host's name than
//! [those allowed](DashboardBuilder::allow_hosts) are refused.
#![cfg_attr(
    not(test),
    warn(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)
)]

mod api;
mod assets;
mod dashboard;
mod guard;
mod history;
mod probes;
mod sample;
mod serve;
pub mod view;
mod words;

pub use self::dashboard::{Dashboard, DashboardBuilder, router};
pub use self::history::{History, Point};
pub use self::sample::{ConsumerCounts, Health, Master, Rates, Sample, Sampler, SamplerOptions};
