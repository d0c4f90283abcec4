//! The command line, as clap reads it.

mod bench;
mod demo;
mod doctor;
mod global;
mod submit;
mod values;
mod worker;

use clap::{Parser, Subcommand};

pub(crate) use self::bench::BenchArgs;
pub(crate) use self::demo::DemoArgs;
pub(crate) use self::doctor::DoctorArgs;
pub(crate) use self::global::{Global, LOGIN_VARIABLES, Output};
pub(crate) use self::submit::SubmitArgs;
pub(crate) use self::values::{at_least_one, duration, json};
pub(crate) use self::worker::{Events, WorkerArgs};
use crate::migrate::MigrateArgs;
use crate::pause::{self, PauseArgs};
use crate::requeue::RequeueArgs;
use crate::serve::ServeArgs;
use crate::shell::{CompletionsArgs, ManArgs};
use crate::status::StatusArgs;
use crate::top::TopArgs;

/// Load-balanced consumers for Redis Streams.
#[derive(Debug, Parser)]
// All usage lines are written out: clap's own show --url as required when REDIS_URL is set.
#[command(
    name = "streamherd",
    version,
    after_help = EXIT_CODES,
    propagate_version = true,
    override_usage = "streamherd [OPTIONS] <COMMAND>"
)]
pub(crate) struct Cli {
    #[command(flatten)]
    pub(crate) global: Global,
    #[command(subcommand)]
    pub(crate) command: Command,
}

const EXIT_CODES: &str = "\
Passwords are read from the URL, from STREAMHERD_PASSWORD or from a file, and for sentinels from STREAMHERD_SENTINEL_USERNAME
and STREAMHERD_SENTINEL_PASSWORD.

Exit codes:
  0  all went well
  1  something failed or was lost
  2  usage or start-up error: a setting, the connection, no redis-server
  A worker that is signalled a second time exits at once: 130 for SIGINT, 143 for SIGTERM.";

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Take streams from the queue and work on them
    Worker(WorkerArgs),
    /// Put streams on the queue
    Submit(SubmitArgs),
    Status(StatusArgs),
    Top(TopArgs),
    /// Check the servers, the login and the service's keys, and say what mends what is wrong
    Doctor(DoctorArgs),
    /// List, show, redrive and purge dead letters
    Dlq(crate::dlq::args::DlqArgs),
    Requeue(RequeueArgs),
    /// Have the service, or consumers of it, take no new work
    #[command(after_help = pause::HELP, override_usage = "streamherd pause --service <NAME> [OPTIONS]")]
    Pause(PauseArgs),
    /// Take a pause back
    #[command(after_help = pause::HELP, override_usage = "streamherd resume --service <NAME> [OPTIONS]")]
    Resume(PauseArgs),
    Migrate(MigrateArgs),
    Serve(ServeArgs),
    /// Kill and freeze workers of a private Redis, and count what is lost
    Demo(DemoArgs),
    /// Measure throughput, latency and cost on private Redis servers, beside bare Redis commands
    Bench(BenchArgs),
    Completions(CompletionsArgs),
    Man(ManArgs),
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::*;

    #[test]
    fn the_commands_are_well_formed() {
        Cli::command().debug_assert();
    }
}
