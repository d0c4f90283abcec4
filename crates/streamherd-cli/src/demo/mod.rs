//! `streamherd demo`: kills and stops workers of a private Redis, takes that one's data away, and counts what is lost.
//!
//! What is lost it counts from what it submitted and what the workers said was done, by Redis's word to them; how the work
//! went it reads in a ledger that the handlers write as a side effect. Redis itself is asked only whether anything is left.

mod fleet;
mod journal;
mod play;
mod progress;
mod records;
mod standing;
mod tally;

use std::process::ExitCode;

use streamherd_testkit::Server;
use tokio::signal::unix::{SignalKind, signal};

use self::play::Play;
use crate::args::{DemoArgs, Global, Output};
use crate::failure::Failure;
use crate::output;

/// Each worker is to have enough to do that it is in the middle of something when it is struck.
const STREAMS_PER_WORKER: u32 = 10;

pub(crate) async fn run(global: &Global, options: &DemoArgs) -> Result<ExitCode, Failure> {
    // Redis loses its data half-way, and what is submitted before has to last until then.
    let halves = if options.chaos { 2 } else { 1 };
    let least = u32::from(options.workers) * STREAMS_PER_WORKER * halves;
    if options.streams < least {
        return Err(Failure::start(format!(
            "--streams is {}, but {} workers have enough to do only with {least} or more",
            options.streams, options.workers
        )));
    }
    let mut interrupt = signal(SignalKind::interrupt()).map_err(Failure::start)?;
    let mut terminate = signal(SignalKind::terminate()).map_err(Failure::start)?;
    // Dropping the demo half-way kills its processes and deletes its files.
    let code = tokio::select! {
        outcome = demonstrate(global, options) => return outcome,
        _ = interrupt.recv() => 128 + 2,
        _ = terminate.recv() => 128 + 15,
    };
    output::say("the demo was interrupted: its workers and its redis-server are stopped, their files deleted");
    Ok(ExitCode::from(code))
}

async fn demonstrate(global: &Global, options: &DemoArgs) -> Result<ExitCode, Failure> {
    // On this task: on a thread of its own, an interrupt could leave behind a server that is just starting.
    let mut server = tokio::task::block_in_place(Server::try_start).map_err(Failure::start)?;
    let dir = tempfile::Builder::new()
        .prefix("streamherd-demo-")
        .tempdir()
        .map_err(Failure::start)?;
    let mut play = Play::set_up(options, &server, dir.path()).await?;
    let tally = play.perform(options.chaos.then_some(&mut server)).await?;
    drop(play);

    match global.output {
        Output::Json => output::json(&tally)?,
        Output::Table => tally.to_string().lines().try_for_each(output::line)?,
    }
    Ok(if tally.ok { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}
