//! Workloads that measure streamherd beside the same work done with bare Redis commands, in the same run.
//!
//! A measurement is a *ratio*: machines are shared and noisy, so each workload runs a raw program too, which sends the
//! commands that the work needs at the least and has no framework. Every program that is measured is a process of its own,
//! a *part*: this executable started again with [`Part`] as JSON, so that its processor time and memory are its own.

#![cfg_attr(
    not(test),
    warn(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)
)]

mod child;
mod error;
mod figures;
mod pace;
mod part;
mod raw;
mod server;
mod work;
mod workloads;

pub use error::BenchError;
pub use figures::Figures;
pub use part::{Part, play};
pub use workloads::{Options, Workload, measure};
