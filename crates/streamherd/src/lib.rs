//! Load-balanced consumers for Redis Streams.
//!
//! Producers put *data streams* (a session, an order, a device: a name and some info) on a service's queue. Each is held
//! by exactly one worker under a heartbeated lease. When a worker dies, hangs or is cut off, its streams go to the others
//! within seconds, once, with nothing lost.
//!
//! ```no_run
//! use streamherd::{Client, Notification};
//!
//! # async fn work(stream: &str) -> Result<(), std::io::Error> { Ok(()) }
//! #[tokio::main]
//! async fn main() -> Result<(), Box<dyn std::error::Error>> {
//!     let (client, mut notifications) = Client::builder("orders")
//!         .url("redis://127.0.0.1:6379")
//!         .connect()
//!         .await?;
//!     while let Some(notification) = notifications.recv().await {
//!         match notification {
//!             Notification::StreamAdded(lease) => {
//!                 tokio::spawn(async move {
//!                     match work(lease.stream()).await {
//!                         Ok(()) => lease.done().await,
//!                         Err(e) => lease.retry(streamherd::RetryAfter::now().because(e)).await,
//!                     }
//!                 });
//!             }
//!             Notification::StreamExpired(orphan) => drop(client.claim(&orphan).await),
//!             Notification::StreamDisowned(lost) => eprintln!("lost {}: {}", lost.stream, lost.reason),
//!             _ => {}
//!         }
//!     }
//!     Ok(())
//! }
//! ```
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
mod id;
mod keys;
mod lease;
mod lock;
mod metrics;
mod notification;
mod producer;
mod recovery;
mod registry;
mod runtime;
mod scanner;
mod store;

pub use admin::{
    Admin, ConsumerStatus, DeadLetter, DeadLetterFilter, DeadLetterReport, DeadLetterRun, DeadLetters, HandledLetter,
    LetterOutcome, Status,
};
pub use builder::Builder;
pub use client::{Claimed, Client, Health};
pub use config::{KeyspaceEvents, Recovery};
pub use dead_letter::{DeadLetterReason, UnknownReason};
/// The Redis client, in the version whose configuration [`Builder::redis`] takes.
#[doc(no_inline)]
pub use fred;
pub use id::{ConsumerId, EntryId, InvalidId, Lane, Reference, StreamId, Token};
pub use lease::{Lease, RetryAfter, Settled};
pub use notification::{DataLoss, Disowned, Notification, Notifications, Orphan};
pub use producer::{Duplicates, Producer};
pub use runtime::{ShutdownReport, TerminatedReason};
pub use store::Submitted;
