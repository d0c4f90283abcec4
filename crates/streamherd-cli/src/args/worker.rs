//! The command line of `streamherd worker`.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, ValueEnum};
use streamherd::KeyspaceEvents;

use super::duration;

/// Take streams from the queue and work on them, until SIGTERM or SIGINT.
#[derive(Debug, Args)]
#[command(
    after_help = WORKER_HELP,
    override_usage = "streamherd worker --service <NAME> <--exec <CMD>|--work-ms <MS>> [OPTIONS]"
)]
pub(crate) struct WorkerArgs {
    /// Shell command that works on one stream
    #[arg(long, value_name = "CMD", conflicts_with = "work_ms")]
    pub(crate) exec: Option<String>,

    /// How many streams to work on at one time
    #[arg(long, value_name = "N", default_value_t = 64)]
    pub(crate) concurrency: usize,

    /// Only pretend to work: sleep for so long per stream, and call it done
    #[arg(long, value_name = "MS", value_parser = duration)]
    pub(crate) work_ms: Option<Duration>,

    /// Print what happens on stdout, one JSON object per line
    #[arg(long)]
    pub(crate) events: bool,

    /// The worker's name in the consumer group; a random suffix is added [default: POD_NAME, HOSTNAME or the host's name]
    #[arg(long, value_name = "NAME")]
    pub(crate) name: Option<String>,

    /// How long a lock lives without a heartbeat [default: 6s]
    #[arg(long, value_name = "TIME", value_parser = duration)]
    pub(crate) lock_ttl: Option<Duration>,

    /// Time between two scans for orphans; 0 = no scan, and no guarantee [default: 1s]
    #[arg(long, value_name = "TIME", value_parser = duration)]
    pub(crate) scan_interval: Option<Duration>,

    /// How long a stream must have been pending before the scan may re-queue it [default: lock TTL + 500ms]
    #[arg(long, value_name = "TIME", value_parser = duration)]
    pub(crate) min_idle: Option<Duration>,

    /// Whether to use Redis keyspace notifications to hear of expired locks at once
    #[arg(long, value_enum, value_name = "MODE", default_value_t = Events::Ensure)]
    pub(crate) keyspace_events: Events,

    /// The failure with this number dead-letters a stream; 0 = never [default: 5]
    #[arg(long, value_name = "N")]
    pub(crate) max_failures: Option<u32>,

    /// The abandonment with this number dead-letters a stream; 0 = never [default: 5]
    #[arg(long, value_name = "N")]
    pub(crate) max_abandonments: Option<u32>,

    /// The longest wait before a retry after the first failure; it doubles with each further one [default: 1s, or
    /// --retry-longest if that is less]
    #[arg(long, value_name = "TIME", value_parser = duration)]
    pub(crate) retry_first: Option<Duration>,

    /// The longest wait before any retry
    #[arg(long, value_name = "TIME", default_value = "5m", value_parser = duration)]
    pub(crate) retry_longest: Duration,

    /// How long streams in work may take to finish at a shutdown
    #[arg(long, value_name = "TIME", default_value = "10s", value_parser = duration)]
    pub(crate) shutdown_deadline: Duration,

    /// Answer /livez, /readyz and /metrics over plain HTTP at this address, as 0.0.0.0:9090; whoever reaches it may ask
    #[arg(long, value_name = "ADDR")]
    pub(crate) probes: Option<SocketAddr>,

    /// Append a line to FILE as work starts and as it is finished; the demo counts these lines
    #[arg(long, value_name = "FILE", hide = true)]
    pub(crate) ledger: Option<PathBuf>,
}

const WORKER_HELP: &str = "\
The command runs in `sh -c`, in a process group of its own, with the stream's info as JSON on stdin and
  STREAMHERD_STREAM, STREAMHERD_TOKEN, STREAMHERD_ATTEMPT, STREAMHERD_ID, STREAMHERD_SERVICE
in its environment, and TRACEPARENT if the stream was submitted in a trace. Its exit code settles the stream:
  0         done
  75        retry: comes back later
  65        dead letter, with the last line of stderr as its reason
  126, 127  the shell can't run the command: the stream goes back uncounted, and the worker stops
  other     a failure, as is being killed by a signal: retried, with the last line of stderr kept as the reason
Both retries count as failures towards --max-failures. Before a retry the stream waits in Redis, and keeps no worker from
other streams, for a random time of up to --retry-first after the first failure, twice that after the second, and so on up
to --retry-longest. The command's stdout goes to stderr. When the lease is lost, and at the end of --shutdown-deadline, the
group gets SIGTERM, and after 5 s SIGKILL.

A TIME is a number with a unit: 500ms, 10s, 2m. Without a unit it is milliseconds.

Exit codes:
  0  shut down by SIGTERM or SIGINT, or nobody reads --events any more
  1  the client failed, or the command of --exec can't be run
  2  usage or start-up error: a setting, the connection
  A second signal, half a second or more after the first, ends the worker at once: 130 for SIGINT, 143 for SIGTERM.";

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Events {
    /// Turn on what is missing in the server's settings
    Ensure,
    /// Use them, and trust that the server sends them
    Assume,
    /// Rely on the scan alone
    Off,
}

impl Events {
    /// The word on the command line.
    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::Ensure => "ensure",
            Self::Assume => "assume",
            Self::Off => "off",
        }
    }
}

impl From<Events> for KeyspaceEvents {
    fn from(events: Events) -> Self {
        match events {
            Events::Ensure => Self::Ensure,
            Events::Assume => Self::Assume,
            Events::Off => Self::Off,
        }
    }
}
