//! The command line of `streamherd demo`.

use std::time::Duration;

use clap::Args;

use super::{Events, duration};

/// Start a private redis-server and several worker processes, submit streams, kill one worker with SIGKILL, stop another
/// for longer than its locks live, and count what became of the streams.
#[derive(Debug, Args)]
#[command(after_help = DEMO_HELP, override_usage = "streamherd demo [OPTIONS]")]
pub(crate) struct DemoArgs {
    /// Worker processes
    #[arg(long, value_name = "N", default_value_t = 4, value_parser = clap::value_parser!(u16).range(3..=32))]
    pub(crate) workers: u16,

    /// Streams to submit
    #[arg(long, value_name = "N", default_value_t = 400, value_parser = clap::value_parser!(u32).range(20..=100_000))]
    pub(crate) streams: u32,

    /// How long the work on one stream takes
    #[arg(long, value_name = "MS", default_value = "400ms", value_parser = demo_work)]
    pub(crate) work_ms: Duration,

    /// Half-way, also kill the redis-server and start it again empty, while workers hold streams
    #[arg(long)]
    pub(crate) chaos: bool,

    /// Whether the workers use Redis keyspace notifications
    #[arg(long, value_enum, value_name = "MODE", default_value_t = Events::Ensure)]
    pub(crate) keyspace_events: Events,

    /// Print the tally only
    #[arg(long)]
    pub(crate) no_progress: bool,
}

const DEMO_HELP: &str = "\
The tally is counted from what was submitted, what the workers wrote down as they worked, and what they said was done once
Redis had confirmed it. A stream that is done twice counts as done once, and as a duplicate.

Exit codes:
  0  nothing was lost
  1  something was lost, or did not finish in time
  2  usage or start-up error: no redis-server";

fn demo_work(text: &str) -> Result<Duration, String> {
    let work = duration(text)?;
    if (Duration::from_millis(50)..=Duration::from_secs(60)).contains(&work) {
        return Ok(work);
    }
    Err("the demo's work takes from 50ms to 60s".to_owned())
}
