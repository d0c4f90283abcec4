//! The command line of `streamherd bench`.

use clap::Args;
use streamherd_bench::Workload;

/// Measure throughput, latency and cost on private Redis servers, beside the same work in bare Redis commands.
///
/// Prints one JSON object per line, the workload itself last. Read the ratios: the figures are this machine's.
#[derive(Debug, Args)]
pub(crate) struct BenchArgs {
    /// What to measure, w1 to w7 [default: all]
    #[arg(value_name = "WORKLOAD")]
    pub(crate) workloads: Vec<Workload>,

    /// How often each is measured; the median counts. What w4 and w5 print before their last line is measured once
    #[arg(long, value_name = "N", default_value_t = 5, value_parser = odd)]
    pub(crate) runs: usize,

    /// How many jobs or leases, where the workload leaves that open
    #[arg(long, value_name = "N")]
    pub(crate) n: Option<u64>,

    /// Be one of the programs that are measured
    #[arg(long, hide = true)]
    pub(crate) play: Option<String>,
}

/// Of an even number there is no median run.
fn odd(text: &str) -> Result<usize, String> {
    match text.parse::<usize>() {
        Ok(number) if number % 2 == 1 => Ok(number),
        _ => Err("not an odd number".to_owned()),
    }
}
