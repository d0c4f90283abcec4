//! `streamherd requeue`: puts streams at the front of the queue.

use std::process::ExitCode;

use clap::Args;
use clap::builder::NonEmptyStringValueParser;
use serde::Serialize;
use streamherd::{FoundStream, RequeueOutcome};

use crate::args::{Global, Output};
use crate::failure::Failure;
use crate::human::span;
use crate::output;

/// Put streams at the front of the queue: orphans, delayed ones, and with --force held ones
#[derive(Debug, Args)]
#[command(after_help = HELP, override_usage = "streamherd requeue --service <NAME> [OPTIONS] <NAME>...")]
pub(crate) struct RequeueArgs {
    /// Names of the streams
    #[arg(value_name = "NAME", required = true, value_parser = NonEmptyStringValueParser::new())]
    names: Vec<String>,

    /// Take streams that are held from their owners, which learn of it with their next heartbeat
    #[arg(long)]
    force: bool,
}

const HELP: &str = "\
Nothing is counted as an attempt. What is queued already stays where it is. An owner works on for up to a heartbeat after
a stream was taken from it with --force: only the fencing token keeps its side effects out meanwhile. Of several runs of
one name (--parallel, or other programs' entries) one is put back per call, that of the name's own partition first.

Exit codes:
  0  all are on the queue, or were already
  1  some are not: held and not forced, not found, or Redis failed on the way
  2  usage or start-up error: a setting, the connection";

#[derive(Serialize)]
struct Line<'a> {
    stream: &'a str,
    #[serde(flatten)]
    found: &'a FoundStream,
}

pub(crate) async fn run(global: &Global, options: &RequeueArgs) -> Result<ExitCode, Failure> {
    let admin = global.builder()?.connect_admin().await.map_err(Failure::start)?;
    let divided = admin.partitions().map_err(Failure::failed)? > 1;
    let mut all = true;
    for name in &options.names {
        let found = admin
            .find_and_requeue(name, options.force)
            .await
            .map_err(Failure::failed)?;
        let told = describe(&found.outcome);
        all &= told.is_ok();
        match (global.output, told) {
            (Output::Json, _) => output::json(&Line {
                stream: name,
                found: &found,
            })?,
            (Output::Table, Ok((id, what))) => {
                let place = match found.partition {
                    Some(partition) if divided => format!(", partition {partition}"),
                    _ => String::new(),
                };
                output::line(&format!("{id}  {name}  ({what}{place})"))?;
            }
            (Output::Table, Err(why)) => output::say(&format!("{name}: {why}")),
        }
    }
    admin.close().await;
    Ok(if all { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// Where it waits and since what; or why it doesn't.
fn describe(outcome: &RequeueOutcome) -> Result<(String, &'static str), String> {
    match outcome {
        RequeueOutcome::AlreadyQueued { entry } => Ok((entry.to_string(), "was queued already")),
        RequeueOutcome::MadeDue { entry } => Ok((entry.to_string(), "was delayed")),
        RequeueOutcome::Requeued { entry } => Ok((entry.to_string(), "re-queued")),
        RequeueOutcome::Held { consumer, remaining_ms } => Err(format!(
            "held by {consumer}, whose lock lives for {} without a heartbeat; --force takes it from its owner",
            span(*remaining_ms)
        )),
        RequeueOutcome::TooLarge { entry } => Err(format!(
            "{entry} is too large to be queued again; the scan will put it to the dead letters"
        )),
        RequeueOutcome::NotFound { complete: false } => {
            Err("not found among the first entries; there are too many to look at all".to_owned())
        }
        RequeueOutcome::NotFound { .. } => Err("not found: neither queued, delayed nor held".to_owned()),
        other => Err(format!("{other:?}")),
    }
}
