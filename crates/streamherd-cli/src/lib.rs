//! The `streamherd` command line: a worker for handlers in any language, a producer, a look at the queue, and a
//! demonstration of what happens when workers die.

#![cfg_attr(
    not(test),
    warn(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)
)]

mod args;
mod bench;
mod demo;
mod dlq;
mod doctor;
mod failure;
#[cfg(test)]
mod fuzz;
mod human;
#[cfg(test)]
mod manifests;
mod migrate;
mod output;
mod pause;
mod requeue;
mod serve;
mod shell;
mod status;
mod submit;
mod top;
mod worker;

use std::ffi::OsString;
use std::process::ExitCode;

use clap::Parser as _;
use tracing_subscriber::EnvFilter;
use tracing_subscriber::filter::LevelFilter;

use crate::args::{Cli, Command};
use crate::failure::Failure;

/// Runs the command line `args`, the program's name first, and returns the exit code: 0 if all went well, 1 if
/// something failed or was lost, 2 for a usage or start-up error.
///
/// Starts a runtime of its own, so it must not be called from within one.
pub fn run(args: impl IntoIterator<Item = OsString>) -> ExitCode {
    let cli = match Cli::try_parse_from(args) {
        Ok(cli) => cli,
        Err(e) => {
            // Help for a closed pipe is no failure.
            let _ = e.print();
            return u8::try_from(e.exit_code()).map_or(ExitCode::FAILURE, ExitCode::from);
        }
    };
    log_to_stderr(&cli.command);
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(e) => return Failure::start(e).report(),
    };
    let outcome = runtime.block_on(dispatch(cli));
    // A read of stdin that nobody waits for any more blocks its thread until the next line.
    runtime.shutdown_background();
    outcome.unwrap_or_else(|failure| failure.report())
}

async fn dispatch(cli: Cli) -> Result<ExitCode, Failure> {
    let Cli { global, command } = cli;
    match command {
        Command::Worker(options) => worker::run(&global, &options).await,
        Command::Submit(options) => submit::run(&global, &options).await,
        Command::Doctor(options) => doctor::run(&global, &options).await,
        Command::Status(options) => status::run(&global, &options).await,
        Command::Migrate(options) => migrate::run(&global, &options).await,
        Command::Requeue(options) => requeue::run(&global, &options).await,
        Command::Pause(options) => pause::run(&global, &options, true).await,
        Command::Resume(options) => pause::run(&global, &options, false).await,
        Command::Dlq(options) => dlq::run(&global, &options).await,
        Command::Demo(options) => demo::run(&global, &options).await,
        Command::Serve(options) => serve::run(&global, &options).await,
        Command::Top(options) => top::run(&global, &options).await,
        Command::Bench(options) => bench::run(&options).await,
        Command::Completions(options) => shell::completions(&options),
        Command::Man(options) => shell::man(&options),
    }
}

fn log_to_stderr(command: &Command) {
    let mut filter = EnvFilter::builder()
        .with_default_directive(LevelFilter::WARN.into())
        .from_env_lossy();
    let is_told = std::env::var_os("RUST_LOG").is_some_and(|told| !told.is_empty());
    // Who did what to the queue is to be found later, too.
    if matches!(command, Command::Serve(_))
        && !is_told
        && let Ok(actions) = "streamherd_dashboard=info".parse()
    {
        filter = filter.add_directive(actions);
    }
    // Refused when a program that calls `run` has a subscriber of its own, which is then the one to use.
    let _ = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(|| output::Log)
        .with_ansi(false)
        .try_init();
}
