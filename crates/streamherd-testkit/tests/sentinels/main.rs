//! The Sentinels: boot, failover, and what becomes of the old primary.

mod boot;
mod failover;

use std::time::Instant;

/// Prints what a step took, for those who run with `--nocapture`.
fn timed<T>(what: &str, step: impl FnOnce() -> T) -> T {
    let start = Instant::now();
    let value = step();
    println!("{what}: {:.2?}", start.elapsed());
    value
}
