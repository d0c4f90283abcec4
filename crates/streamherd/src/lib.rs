//! Load-balanced consumers for Redis Streams.
//!
//! Producers put *data streams* (a session, an order, a device: a name and some info) on a service's queue. Each is held
//! by exactly one worker under a heartbeated lease, for as long as the work takes. When a worker dies, hangs or is cut off,
//! its streams go to the others within seconds, once, with nothing lost.
//!
//! This page can be read from top to bottom; [the table](#where-to-look) at its end leads to each part. It takes a Redis 6.2
//! or a Valkey 7.2 or newer, alone, under Sentinel or as a cluster.
//!
//! # A first worker
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
//! Run it twice, and the two share the work; kill one, and the other goes on with what it had. The queue, its consumer group
//! and all else in Redis come by themselves. Every setting of the [`Builder`] has a default, and one that does not agree
//! with the others is refused before anything starts, with the rule and a value that would do.
//!
//! # A producer
//!
//! ```no_run
//! # async fn example() -> Result<(), streamherd::BoxError> {
//! use std::time::Duration;
//! use streamherd::{Client, Submitted};
//!
//! let producer = Client::builder("orders").connect_producer().await?;
//! match producer.submit("session-1", &serde_json::json!({ "plan": "pro" })).await? {
//!     Submitted::New(id) => println!("queued as {id}"),
//!     other => println!("it was there already: {other:?}"),
//! }
//! producer.schedule_after("session-2", &(), Duration::from_secs(60)).await?;
//! # Ok(())
//! # }
//! ```
//!
//! A stream exists once: submits of a name that is queued, delayed or held are coalesced, and run once more afterwards if they have
//! to, with the info that came last ([`Duplicates`]). A worker's [`Client::producer`] shares its connections. A submit is
//! accepted when Redis has it in memory, unless [`Producer::durability`] asks for replicas or disks; [`Producer::retain`] keeps
//! what was submitted of late, and submits it again where Redis has lost it. [`SubmitError`](error::SubmitError) tells a submit that
//! failed from one whose answer was lost.
//!
//! Producers in other languages add an entry: `XADD {orders:0}:input * lbs-input '{"DataStreamName": "session-1"}'`. Where the
//! service has several [partitions](Builder::partitions), the name decides which:
//!
//! ```
//! assert_eq!(streamherd::partition_of("session-1", 1), 0);
//! assert!(streamherd::partition_of("session-1", 6) < 6);
//! ```
//!
//! # What a handler may say
//!
//! `Ok(())` finishes the stream. An error, also one that was a panic, counts as a failure: the stream waits for a random time that
//! doubles with each failure ([`RetryPolicy`]), in Redis and in nobody's slot, and goes to whoever is free. With the fifth failure
//! it is a dead letter. Everything else is an [`Outcome`]:
//!
//! ```
//! use std::time::Duration;
//! use streamherd::{BoxError, Job, Outcome};
//!
//! #[derive(serde::Deserialize)]
//! struct Order {
//!     total: u64,
//! }
//!
//! async fn handle(job: Job) -> Result<Outcome, BoxError> {
//!     let Ok(order) = job.info::<Order>() else {
//!         return Ok(Outcome::dead_letter("the info is not an order"));
//!     };
//!     if order.total == 0 {
//!         return Ok(Outcome::retry_after(Duration::from_secs(30), "not priced yet"));
//!     }
//!     Ok(Outcome::Done)
//! }
//! ```
//!
//! [`Worker`] caps how many handlers run at once, catches panics, ends handlers that hang ([`Worker::max_hold`]) and tells each by
//! [`Job::stop`] when its lease is lost or the worker shuts down.
//!
//! # Side effects
//!
//! Delivery is at least once: a worker that dies after its work and before its `Ok` has been told to Redis has the stream worked on
//! again. And a process can stand still between any two lines. So before what can't be undone, ask; and have the target refuse
//! who comes late:
//!
//! ```
//! # use streamherd::{BoxError, Job};
//! # struct Database;
//! # impl Database { async fn book(&self, _: &str, _: u64) -> Result<(), std::io::Error> { Ok(()) } }
//! async fn book(job: &Job, database: &Database) -> Result<(), BoxError> {
//!     job.ensure_valid()?; // right at the call, also in a process that has just woken up
//!     // UPDATE orders SET booked = true, token = $2 WHERE name = $1 AND token <= $2
//!     database.book(job.stream(), job.token().get()).await?;
//!     Ok(())
//! }
//! ```
//!
//! A lease is invalid at its owner before anybody else may act; between that check and the effect only the [`Token`] protects, which
//! grows with every hand-out.
//!
//! # Leases in your own hands
//!
//! Below the [`Worker`] are [`Notifications`], a [`Stream`](futures_core::Stream) of what happens, and [`Lease`]s that you settle:
//!
//! ```no_run
//! # async fn example() -> Result<(), streamherd::BoxError> {
//! use std::time::Duration;
//! use streamherd::{Client, Notification, RetryAfter};
//!
//! let (client, mut notifications) = Client::builder("orders").connect().await?;
//! while let Some(notification) = notifications.recv().await {
//!     match notification {
//!         Notification::StreamAdded(lease) if lease.attempt() > 3 => {
//!             lease.dead_letter("enough").await?;
//!         }
//!         Notification::StreamAdded(lease) if lease.info::<String>().is_err() => {
//!             lease.retry(RetryAfter::after(Duration::from_secs(5)).because("not a text")).await?;
//!         }
//!         Notification::StreamAdded(lease) => {
//!             lease.done().await?;
//!         }
//!         // Its owner is dead: have it queued now, and not only when a scan comes by.
//!         Notification::StreamExpired(orphan) => {
//!             client.claim(&orphan).await?;
//!         }
//!         Notification::StreamDisowned(lost) => println!("stop working on {}", lost.stream),
//!         Notification::Terminated(_) => break,
//!         _ => {}
//!     }
//! }
//! # Ok(())
//! # }
//! ```
//!
//! A lease lasts as long as it is held: heartbeats renew it from a thread of their own, whatever the handler does to its runtime.
//! Dropping it unsettled is a failed attempt. A settlement returns when Redis has confirmed it; one that comes too late changes nothing and
//! says so ([`SettleError`](error::SettleError)).
//!
//! # When workers, networks and Redis fail
//!
//! - **A worker dies or hangs.** Its locks end after `lock_ttl` (6 s), and the scan that every worker runs has its streams queued again, before
//!   the backlog, once among any number of rivals. Keyspace notifications make that a little sooner and nothing depends on them
//!   ([`Recovery`], [`KeyspaceEvents`]).
//! - **Redis is away.** Everything waits and comes back by itself; [`Client::health`] says so. What was settled meanwhile is settled
//!   then. A lease ends locally if the outage lasts longer than its lock.
//! - **Redis fails over, or comes back empty or old.** Workers tell it what they hold before anybody is handed anything, and their handlers
//!   go on. [`Notification::DataLoss`] tells of a store that was empty.
//! - **The worker ends.** [`Worker::shutdown_on`] and [`Client::shutdown`] stop taking work, give handlers until the deadline, and hand the
//!   rest over: other workers have it milliseconds later, and it counts nothing. Unfinished work is never acknowledged.
//!
//! # Looking and stepping in
//!
//! An [`Admin`] reads the queue and its consumers, re-queues, pauses, and lists, redrives and purges dead letters:
//!
//! ```no_run
//! # async fn example() -> Result<(), streamherd::BoxError> {
//! use streamherd::{Client, DeadLetterFilter, DeadLetterReason};
//!
//! let admin = Client::builder("orders").connect_admin().await?;
//! let failed = DeadLetterFilter::default().reason(DeadLetterReason::MaxFailures);
//! let report = admin.redrive(failed).finish().await?;
//! println!("{report:?}");
//! # Ok(())
//! # }
//! ```
//!
//! Counters, gauges and histograms go through the [`metrics`](https://docs.rs/metrics) facade, logs and spans through `tracing`;
//! without a recorder or a subscriber they cost next to nothing. The crate `streamherd-probes` serves `/livez`, `/readyz` and `/metrics`,
//! `streamherd-dashboard` a page, and the command `streamherd` does all of this in a shell.
//!
//! # Testing your worker
//!
//! `streamherd-testkit` starts real redis-servers, private and on free ports, and breaks them: kill, freeze, failover, a proxy that loses the answer
//! to one exact command. Connect to [`Server::url`](https://docs.rs/streamherd-testkit), submit, and wait with `eventually` for what your
//! handler does. Short locks (`lock_ttl` from 600 ms) make recovery quick enough for tests.
//!
//! # Where to look
//!
//! | you want to | see |
//! |---|---|
//! | connect a worker, a producer or an operator's tool | [`Client::builder`], [`Builder`] |
//! | log in, and speak TLS | [`Credentials`], [`Tls`] |
//! | submit and schedule streams | [`Producer`], [`Duplicates`], [`Submitted`], [`Durability`] |
//! | work on streams with a handler | [`Worker`], [`Handler`], [`Job`], [`Outcome`], [`RetryPolicy`] |
//! | settle each lease yourself | [`Notifications`], [`Notification`], [`Lease`], [`RetryAfter`] |
//! | protect a side effect | [`Job::ensure_valid`], [`Token`] |
//! | tune recovery, retry limits and dead letters | [`Recovery`], [`KeyspaceEvents`] |
//! | share a queue with redis-stream-client-go, or move from it | [`Layout`], [`Migration`] |
//! | follow a stream through its traces | [`TraceContext`], [`Producer::traced`], [`Job::trace_context`] |
//! | look from outside and step in | [`Admin`], [`Client::health`] |
//! | tell errors apart | [`error`] |
//!
//! # Features
//!
//! None is on by default. What needs one says so where it is described.
//!
//! | feature | adds |
//! |---|---|
//! | `tower` | `Worker::run_service`: a `tower::Service` as the handler, with timeouts and limits as layers |
//! | `opentelemetry` | a submit is a span, and its context travels with the stream; each lease is a span that is linked to it, and so is what happens to the stream in between: re-queues and redrives |
//!
//! The spans are those of the `tracing` crate, for `tracing-opentelemetry` 0.34 (OpenTelemetry 0.33) to export. Without such a layer they
//! are exported nowhere, and no context is carried but one that [`Producer::traced`] was given, which needs no feature.
#![cfg_attr(docsrs, feature(doc_cfg))]
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
