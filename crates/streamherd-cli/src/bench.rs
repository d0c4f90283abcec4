//! `streamherd bench`: measures workloads on private Redis servers, beside the same work in bare commands.

use std::process::ExitCode;

use streamherd_bench::{Figures, Options, Workload};

use crate::args::BenchArgs;
use crate::failure::Failure;
use crate::output;

pub(crate) async fn run(options: &BenchArgs) -> Result<ExitCode, Failure> {
    if let Some(part) = &options.play {
        streamherd_bench::play(part).await.map_err(Failure::failed)?;
        return Ok(ExitCode::SUCCESS);
    }
    let how = Options {
        play: vec!["bench".to_owned(), "--play".to_owned()],
        runs: options.runs,
        n: options.n,
    };
    let all = Workload::ALL.to_vec();
    let workloads = if options.workloads.is_empty() {
        &all
    } else {
        &options.workloads
    };
    for workload in workloads {
        let mut written = Ok(());
        let mut say = |figures: &Figures| {
            if written.is_ok() {
                written = output::json(figures);
            }
        };
        streamherd_bench::measure(*workload, &how, &mut say)
            .await
            .map_err(Failure::failed)?;
        written?;
    }
    Ok(ExitCode::SUCCESS)
}
