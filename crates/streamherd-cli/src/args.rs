//! The command line, as clap reads it.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Parser, Subcommand, ValueEnum};
use serde_json::value::RawValue;
use streamherd::{Credentials, KeyspaceEvents, Layout, Tls, TraceContext};
use streamherd_bench::Workload;

use crate::failure::{Failure, usage_error};
use crate::migrate::MigrateArgs;
use crate::pause::{self, PauseArgs};
use crate::requeue::RequeueArgs;
use crate::serve::ServeArgs;
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

const GLOBAL: &str = "Global options";

#[derive(Debug, Args)]
pub(crate) struct Global {
    /// Where Redis is: redis://[user:password@]host:port[/db], redis-cluster://host:port,
    /// redis-sentinel://host:port?sentinelServiceName=name, rediss… for TLS, or redis+unix:///path
    // The value of the variable may hold a password, and help is printed to whoever asks.
    #[arg(
        long,
        global = true,
        help_heading = GLOBAL,
        env = "REDIS_URL",
        hide_env_values = true,
        default_value = "redis://127.0.0.1:6379"
    )]
    pub(crate) url: String,

    /// Trust the authorities in this PEM file, in place of the system's; for rediss URLs
    #[arg(long, global = true, help_heading = GLOBAL, env = "STREAMHERD_TLS_CA", value_name = "FILE")]
    tls_ca: Option<PathBuf>,

    /// Show this PEM certificate to the server; for rediss URLs
    #[arg(long, global = true, help_heading = GLOBAL, env = "STREAMHERD_TLS_CERT", value_name = "FILE")]
    tls_cert: Option<PathBuf>,

    /// The key of that certificate, as PEM and not encrypted
    #[arg(long, global = true, help_heading = GLOBAL, env = "STREAMHERD_TLS_KEY", value_name = "FILE")]
    tls_key: Option<PathBuf>,

    /// Log in as this user, in place of the URL's
    #[arg(long, global = true, help_heading = GLOBAL, env = "STREAMHERD_USERNAME", value_name = "NAME")]
    username: Option<String>,

    /// Log in with the password in this file, in place of the URL's; or set STREAMHERD_PASSWORD
    // No flag takes the password itself: everyone on the machine can read command lines.
    #[arg(long, global = true, help_heading = GLOBAL, env = "STREAMHERD_PASSWORD_FILE", value_name = "FILE")]
    password_file: Option<PathBuf>,

    /// The service whose queue to use; all commands but demo need it
    #[arg(long, global = true, help_heading = GLOBAL, env = "STREAMHERD_SERVICE", value_name = "NAME")]
    service: Option<String>,

    /// Into how many partitions the service is divided, each in a cluster slot of its own [default: 1 for worker and submit,
    /// what Redis keeps for the others]; Redis keeps the first number, and whoever comes with another one is refused
    #[arg(long, global = true, help_heading = GLOBAL, env = "STREAMHERD_PARTITIONS", value_name = "N")]
    partitions: Option<u16>,

    /// By which names the service is kept in Redis: its own, or those that workers of redis-stream-client-go share
    #[arg(long, global = true, help_heading = GLOBAL, env = "STREAMHERD_LAYOUT", value_enum, value_name = "LAYOUT", default_value_t = Names::Native)]
    layout: Names,

    /// How to print results
    #[arg(long, global = true, help_heading = GLOBAL, env = "STREAMHERD_OUTPUT", value_enum, value_name = "FORMAT", default_value_t = Output::Table)]
    pub(crate) output: Output,
}

impl Global {
    /// The service, which the demo does without.
    pub(crate) fn service(&self) -> Result<&str, Failure> {
        self.service
            .as_deref()
            .ok_or_else(|| usage_error("no service: pass --service NAME or set STREAMHERD_SERVICE"))
    }

    /// A builder for the service at the URL.
    pub(crate) fn builder(&self) -> Result<streamherd::Builder, Failure> {
        let mut builder = streamherd::Client::builder(self.service()?)
            .url(&self.url)
            .credentials(self.login()?)
            .sentinel_credentials(sentinel_login()?)
            .layout(match self.layout {
                Names::Native => Layout::Native,
                Names::Go => Layout::GoCompatible,
            });
        if let Some(tls) = self.tls()? {
            builder = builder.tls(tls);
        }
        Ok(match self.partitions {
            Some(partitions) => builder.partitions(partitions),
            None => builder,
        })
    }

    fn tls(&self) -> Result<Option<Tls>, Failure> {
        let mut tls = Tls::new();
        if let Some(ca) = given(&self.tls_ca) {
            tls = tls.ca_file(ca);
        }
        match (given(&self.tls_cert), given(&self.tls_key)) {
            (Some(certificate), Some(key)) => tls = tls.client_certificate(certificate, key),
            (None, None) => {}
            (Some(_), None) => {
                return Err(usage_error(
                    "--tls-cert without its key: pass --tls-key FILE or set STREAMHERD_TLS_KEY",
                ));
            }
            (None, Some(_)) => {
                return Err(usage_error(
                    "--tls-key without its certificate: pass --tls-cert FILE or set STREAMHERD_TLS_CERT",
                ));
            }
        }
        Ok((tls != Tls::new()).then_some(tls))
    }

    fn login(&self) -> Result<Credentials, Failure> {
        let mut login = Credentials::new();
        if let Some(user) = self.username.as_ref().filter(|user| !user.is_empty()) {
            login = login.user(user);
        }
        match (variable("STREAMHERD_PASSWORD")?, given(&self.password_file)) {
            (Some(_), Some(_)) => Err(usage_error(
                "two passwords: STREAMHERD_PASSWORD and --password-file (or STREAMHERD_PASSWORD_FILE); use one",
            )),
            (Some(password), None) => Ok(login.password(password)),
            (None, Some(file)) => Ok(login.password_file(file)),
            (None, None) => Ok(login),
        }
    }
}

/// What the environment says of TLS and logins.
pub(crate) const LOGIN_VARIABLES: [&str; 8] = [
    "STREAMHERD_TLS_CA",
    "STREAMHERD_TLS_CERT",
    "STREAMHERD_TLS_KEY",
    "STREAMHERD_USERNAME",
    "STREAMHERD_PASSWORD",
    "STREAMHERD_PASSWORD_FILE",
    "STREAMHERD_SENTINEL_USERNAME",
    "STREAMHERD_SENTINEL_PASSWORD",
];

/// Orchestrators set what they don't fill.
fn given(path: &Option<PathBuf>) -> Option<&PathBuf> {
    path.as_ref().filter(|path| !path.as_os_str().is_empty())
}

fn sentinel_login() -> Result<Credentials, Failure> {
    let mut login = Credentials::new();
    if let Some(user) = variable("STREAMHERD_SENTINEL_USERNAME")? {
        login = login.user(user);
    }
    if let Some(password) = variable("STREAMHERD_SENTINEL_PASSWORD")? {
        login = login.password(password);
    }
    Ok(login)
}

/// An environment variable that is set to something. What is not text is not repeated.
fn variable(name: &str) -> Result<Option<String>, Failure> {
    match std::env::var(name) {
        Ok(value) => Ok(Some(value).filter(|value| !value.is_empty())),
        Err(std::env::VarError::NotPresent) => Ok(None),
        Err(std::env::VarError::NotUnicode(_)) => Err(usage_error(&format!("{name} is not UTF-8"))),
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Names {
    /// {<service>:<partition>}:…
    Native,
    /// <service>-input and what Go workers know beside it
    Go,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Output {
    /// For people
    Table,
    /// For programs: JSON, one value per line
    Json,
}

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
}

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

/// Put streams on the queue. Prints the id and the name of each, and a summary on stderr.
#[derive(Debug, Args)]
#[command(
    after_help = SUBMIT_HELP,
    override_usage = "streamherd submit --service <NAME> [OPTIONS] <NAME>...\n       \
                      streamherd submit --service <NAME> [OPTIONS] --file <PATH>"
)]
#[command(group = clap::ArgGroup::new("what").required(true).args(["names", "file"]))]
pub(crate) struct SubmitArgs {
    /// Names of the streams
    #[arg(value_name = "NAME")]
    pub(crate) names: Vec<String>,

    /// What the worker is to know about the streams named on the command line, as JSON
    #[arg(long, value_name = "JSON", value_parser = json, conflicts_with = "file")]
    pub(crate) info: Option<Box<RawValue>>,

    /// Hand the streams out after this time, by the clock of Redis
    #[arg(long, value_name = "TIME", value_parser = duration)]
    pub(crate) delay: Option<Duration>,

    /// Queue each submit as a run of its own, also while the stream is queued, delayed or held
    #[arg(long)]
    pub(crate) parallel: bool,

    /// The trace that the streams belong to, a W3C traceparent [default: that of the environment variable TRACEPARENT]
    #[arg(long, value_name = "CONTEXT")]
    pub(crate) traceparent: Option<TraceContext>,

    /// Read streams from a file, or from stdin with -: one JSON object per line, {"stream": NAME, "info": JSON}
    #[arg(long, value_name = "PATH")]
    pub(crate) file: Option<PathBuf>,
}

const SUBMIT_HELP: &str = "\
A stream that is queued, delayed or held already is coalesced: it is handed out once more afterwards if it has to be.

A TIME is a number with a unit: 500ms, 10s, 2m. Without a unit it is milliseconds.

Exit codes:
  0  all streams were submitted
  1  some were not; stderr names the lines
  2  usage or start-up error: a setting, the connection, the file";

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

/// Check the servers, the login and the service's keys. Each line says what was found; where something is wrong, what that
/// means and the command that mends it follow. Of a cluster, every master that holds a partition is looked at, and what is the
/// same on several is told once. Changes nothing.
#[derive(Debug, Args)]
#[command(after_help = DOCTOR_HELP, override_usage = "streamherd doctor --service <NAME> [OPTIONS]")]
pub(crate) struct DoctorArgs {
    /// What the login in --url is used for, and so which rights it must have
    #[arg(long, value_enum, value_name = "ROLE", default_value_t = Login::Worker)]
    pub(crate) role: Login,
}

const DOCTOR_HELP: &str = "\
The commands are for a login that may do what they do: with a password, put it into REDISCLI_AUTH and add --user NAME to
redis-cli. A setting that CONFIG SET changes is lost at the server's restart unless redis.conf has it too; replicas need the
same settings and logins as their masters, whose place they may take.

Exit codes:
  0  all is well, or there are only warnings
  1  something breaks a guarantee, or nothing works
  2  usage or start-up error: a setting, the connection, the password";

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Login {
    /// Takes streams and works on them
    Worker,
    /// Only submits
    Producer,
    /// Looks at the queue: status, doctor
    Operator,
}

impl From<Login> for streamherd::Role {
    fn from(login: Login) -> Self {
        match login {
            Login::Worker => Self::Worker,
            Login::Producer => Self::Producer,
            Login::Operator => Self::Operator,
        }
    }
}

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

pub(crate) fn duration(text: &str) -> Result<Duration, String> {
    let digits = text.len() - text.trim_start_matches(|c: char| c.is_ascii_digit()).len();
    let (number, unit) = text.split_at(digits);
    let unit_ms = match unit {
        "" | "ms" => 1,
        "s" => 1_000,
        "m" => 60_000,
        "h" => 3_600_000,
        "d" => 86_400_000,
        _ => return Err("expected a time like 500ms, 10s, 2m or 1h, or a number of milliseconds".to_owned()),
    };
    let number: u64 = number
        .parse()
        .map_err(|_| "expected a number before the unit".to_owned())?;
    // A year is for ever, and stays within what clocks can add.
    const YEAR_MS: u64 = 365 * 24 * 3600 * 1000;
    Ok(Duration::from_millis(number.saturating_mul(unit_ms).min(YEAR_MS)))
}

/// A count of things to be shown.
pub(crate) fn at_least_one(text: &str) -> Result<usize, String> {
    match text.parse() {
        Ok(0) => Err("expected 1 or more".to_owned()),
        Ok(number) => Ok(number),
        Err(_) => Err("expected a number".to_owned()),
    }
}

fn demo_work(text: &str) -> Result<Duration, String> {
    let work = duration(text)?;
    if (Duration::from_millis(50)..=Duration::from_secs(60)).contains(&work) {
        return Ok(work);
    }
    Err("the demo's work takes from 50ms to 60s".to_owned())
}

pub(crate) fn json(text: &str) -> Result<Box<RawValue>, String> {
    serde_json::from_str(text).map_err(|e| format!("not JSON: {e}"))
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::*;

    #[test]
    fn the_commands_are_well_formed() {
        Cli::command().debug_assert();
    }

    #[test]
    fn durations_are_milliseconds_unless_they_have_a_unit() {
        assert_eq!(duration("0"), Ok(Duration::ZERO));
        assert_eq!(duration("6000"), Ok(Duration::from_secs(6)));
        assert_eq!(duration("500ms"), Ok(Duration::from_millis(500)));
        assert_eq!(duration("10s"), Ok(Duration::from_secs(10)));
        assert_eq!(duration("2m"), Ok(Duration::from_secs(120)));
        assert_eq!(duration("3h"), Ok(Duration::from_secs(10_800)));
        assert_eq!(duration("2d"), Ok(Duration::from_secs(172_800)));
        for text in ["", "s", "-1s", "1.5s", "10 s", "10w", "99999999999999999999s"] {
            assert!(duration(text).is_err(), "{text}");
        }
    }
}
