//! The command line of `streamherd submit`.

use std::path::PathBuf;
use std::time::Duration;

use clap::Args;
use serde_json::value::RawValue;
use streamherd::TraceContext;

use super::{duration, json};

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
