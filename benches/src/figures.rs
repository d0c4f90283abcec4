//! What a workload has shown.

use serde::{Deserialize, Serialize};

/// The figures of one workload, as they are printed: one JSON object on a line. What does not apply is null.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Figures {
    /// Which workload it is: `w1`, or a part of one, `w1.submit.coalesce`.
    pub workload: String,
    /// How many jobs, leases or entries.
    pub n: u64,
    /// How many of them per second.
    pub rate: Option<f64>,
    /// The median of what is timed, in microseconds.
    pub p50_us: Option<f64>,
    /// The 99th percentile, in microseconds.
    pub p99_us: Option<f64>,
    /// Processor time of the worker processes, in seconds.
    pub worker_cpu_s: Option<f64>,
    /// Processor time of Redis, in seconds.
    pub redis_cpu_s: Option<f64>,
    /// The largest memory of a worker process, in KiB.
    pub peak_rss_kb: Option<u64>,
    /// Scripts that were called per job, or commands where there are no scripts; what a script calls is part of it.
    pub redis_cmds_per_job: Option<f64>,
    /// What the bare commands came to, in the unit of the workload's main figure: per second, or microseconds.
    pub raw_rate: Option<f64>,
    /// Ours as a part of that.
    pub ratio_to_raw: Option<f64>,
}

impl Figures {
    /// The run with the median of `key`, of an odd number.
    pub(crate) fn median_by(mut runs: Vec<Self>, key: impl Fn(&Self) -> f64) -> Option<Self> {
        runs.sort_by(|one, other| key(one).total_cmp(&key(other)));
        let middle = runs.len() / 2;
        runs.into_iter().nth(middle)
    }
}

/// The value below which that part of them is; zero of none.
pub(crate) fn percentile(sorted: &[u64], part: f64) -> f64 {
    let last = sorted.len().saturating_sub(1);
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        clippy::cast_precision_loss
    )]
    let at = (last as f64 * part).round() as usize;
    #[expect(clippy::cast_precision_loss)]
    sorted.get(at).map_or(0.0, |micros| *micros as f64)
}
