//! The cluster: boot, failover, moving slots.

mod boot;
mod failover;
mod slots;

use std::time::{Duration, Instant};

/// Prints what a step took, for those who run with `--nocapture`.
fn timed<T>(what: &str, step: impl FnOnce() -> T) -> T {
    let start = Instant::now();
    let value = step();
    println!("{what}: {:.2?}", start.elapsed());
    value
}

const SOON: Duration = Duration::from_secs(10);
