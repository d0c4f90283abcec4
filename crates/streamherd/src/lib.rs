//! Load-balanced consumers for Redis Streams.
//!
//! Producers put *data streams* (a session, an order, a device: a name and some info) on a service's queue. Each is held
//! by exactly one worker under a heartbeated lease. When a worker dies, hangs or is cut off, its streams go to the others
//! within seconds, once, with nothing lost.
//!
//! ```no_run
//! use std::time::Duration;
//! use streamherd::{BoxError, Client, Job, Worker};
//!
//! async fn handle(job: Job) -> Result<(), BoxError> {
//!     println!("working on {} under token {}", job.stream(), job.token());
//!     Ok(())
//! }
//!
//! #[tokio::main]
//! async fn main() -> Result<(), BoxError> {
//!     let (client, notifications) = Client::builder("orders")
//!         .url("redis://127.0.0.1:6379")
//!         .connect()
//!         .await?;
//!     Worker::new(client, notifications)
//!         .shutdown_on(tokio::signal::ctrl_c(), Duration::from_secs(10))
//!         .run(handle)
//!         .await?;
//!     Ok(())
//! }
//! ```
//!
//! [`Worker`] calls the handler and settles each lease by what it returns. Who wants every step in their own hands reads
//! the [`Notifications`] instead, and settles each [`Lease`].
//!
//! # Where to look
//!
//! | you want to | see |
//! |---|---|
//! | connect a worker, a producer or an operator's tool | [`Client::builder`], [`Builder`] |
//! | log in, and speak TLS | [`Credentials`], [`Tls`] |
//! | submit and schedule streams | [`Producer`], [`Duplicates`], [`Submitted`] |
//! | work on streams with a handler | [`Worker`], [`Handler`], [`Job`], [`Outcome`], [`RetryPolicy`] |
//! | settle each lease yourself | [`Notifications`], [`Notification`], [`Lease`], [`RetryAfter`] |
//! | protect a side effect | [`Job::ensure_valid`], [`Token`] |
//! | tune recovery, retry limits and dead letters | [`Recovery`], [`KeyspaceEvents`] |
//! | follow a stream through its traces | [`TraceContext`], [`Producer::traced`], [`Job::trace_context`] |
//! | look from outside and step in | [`Admin`], [`Client::health`] |
//! | tell errors apart | [`error`] |
//!
//! # Features
//!
//! `tower` (off by default): `Worker::run_service` takes a `tower::Service` as the handler.
//!
//! `opentelemetry` (off by default): a submit is a span, and its context travels with the stream; each lease is a span that is
//! linked to it, and so is what happens to the stream in between: re-queues and redrives. The spans are those of the `tracing`
//! crate, for `tracing-opentelemetry` 0.34 (OpenTelemetry 0.33) to export. Without such a layer they are exported nowhere, and
//! no context is carried but one that [`Producer::traced`] was given, which needs no feature.
#![cfg_attr(
    not(test),
    warn(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)
)]

mod admin;
mod backoff;
mod broker;
mod builder;
mod client;
mod clock;
mod config;
mod dead_letter;
mod entry;
pub mod error;
#[cfg(test)]
mod fuzz;
mod id;
mod keys;
mod lease;
mod lock;
mod metrics;
mod name;
mod notification;
mod partition;
mod producer;
mod progress;
mod recovery;
mod registry;
mod runtime;
mod scanner;
mod store;
mod trace;
mod worker;

pub use admin::{
    Admin, Check, ConsumerState, ConsumerStatus, Cursor, DeadLetter, DeadLetterFilter, DeadLetterPage,
    DeadLetterReport, DeadLetterRun, DeadLetters, DelayedPage, DelayedStatus, Diagnosis, FoundStream, HandledLetter,
    LeasePage, LeaseQuery, LeaseState, LeaseStatus, LetterId, LetterOutcome, Migration, Moved, PartitionStatus, Pause,
    PauseTarget, ProgressStatus, Registration, RequeueOutcome, Status, Verdict,
};
pub use builder::Builder;
pub use client::{Claimed, Client, Health, HealthBounds, MasterHealth};
pub use config::{ClusterMode, KeyspaceEvents, Recovery};
pub use dead_letter::{DeadLetterReason, UnknownReason};
/// The Redis client, in the version whose configuration [`Builder::redis`] takes.
#[doc(no_inline)]
pub use fred;
pub use id::{ConsumerId, EntryId, InvalidCursor, InvalidId, Lane, Reference, StreamId, Token};
pub use keys::Layout;
pub use lease::{Lease, RetryAfter, Settled};
pub use notification::{DataLoss, Disowned, Notification, Notifications, Orphan};
pub use partition::partition_of;
pub use producer::{Duplicates, Producer};
pub use progress::Progress;
pub use recovery::BreakerState;
pub use registry::Totals;
pub use runtime::{ShutdownReport, TerminatedReason};
pub use store::{Credentials, Durability, Need, Right, Role, Submitted, Tls};
pub use trace::{InvalidTraceContext, TraceContext};
pub use worker::{BoxError, Handler, Job, Outcome, RetryPolicy, Worker, WorkerReport};
