//! `streamherd status`: one look at a service.

use std::process::ExitCode;

use clap::Args;
use serde::Serialize;
use streamherd::{ConsumerState, ConsumerStatus, LeaseState, LeaseStatus, ProgressStatus, Status};

use crate::args::{Global, Output, at_least_one};
use crate::failure::Failure;
use crate::human::{now_ms, span};
use crate::output;

/// Show the queue, its consumers, its pauses and its dead letters
#[derive(Debug, Args)]
#[command(after_help = HELP, override_usage = "streamherd status --service <NAME> [OPTIONS]")]
pub(crate) struct StatusArgs {
    /// Show the streams that are pending at consumers as well, at most N of them [default with --leases: 100]
    #[arg(long, value_name = "N", num_args = 0..=1, default_missing_value = "100", value_parser = at_least_one)]
    leases: Option<usize>,
}

const HELP: &str = "\
Where a service is divided into partitions, each has a line with what it holds and the server that holds it; the counts of
the service are their sum, and a consumer's are from all of them.

Times go by the clock of Redis, but for how long a consumer is up, which goes by its own clock and this machine's.

Consumers are
  alive         seen within the time that their locks live
  silent        not seen for longer: dead, or cut off from Redis
  unregistered  of another program that reads from the group
and leases are
  leased  their owner's lock lives
  orphan  without a lock: the scan brings them back
with the progress that their handlers report, if any does.

Exit codes:
  0  all went well
  1  Redis failed on the way, or the server of a partition did not answer
  2  usage or start-up error: a setting, the connection";

#[derive(Serialize)]
struct Report<'a> {
    #[serde(flatten)]
    status: &'a Status,
    #[serde(skip_serializing_if = "Option::is_none")]
    leases: Option<&'a [LeaseStatus]>,
}

pub(crate) async fn run(global: &Global, options: &StatusArgs) -> Result<ExitCode, Failure> {
    let admin = global.builder()?.connect_admin().await.map_err(Failure::start)?;
    let status = admin.status().await.map_err(Failure::failed)?;
    let leases = match options.leases {
        Some(most) => Some(admin.leases(most).await.map_err(Failure::failed)?),
        None => None,
    };
    admin.close().await;
    match global.output {
        Output::Json => output::json(&Report {
            status: &status,
            leases: leases.as_deref(),
        })?,
        Output::Table => {
            queue(&status)?;
            partitions(&status)?;
            consumers(&status)?;
            if let Some(leases) = &leases {
                print_leases(leases, &status)?;
            }
        }
    }
    let away: Vec<String> = status
        .partitions
        .iter()
        .filter(|one| !one.answered)
        .map(|one| one.number.to_string())
        .collect();
    if !away.is_empty() {
        output::say(&format!(
            "no answer for partition {}: the counts are without; `doctor` says more",
            away.join(", ")
        ));
        return Ok(ExitCode::FAILURE);
    }
    if !status.used {
        hint_at_the_name(&status.service);
    }
    Ok(ExitCode::SUCCESS)
}

/// A misspelt name looks like a service that nobody has used yet.
pub(crate) fn hint_at_the_name(service: &str) {
    output::say(&format!(
        "service {service}: nothing was ever submitted to it, and no worker ever ran; is the name right?"
    ));
}

fn queue(status: &Status) -> Result<(), Failure> {
    let mut queue = output::table(&["service", "queued", "re-queued", "pending", "delayed", "dead letters"]);
    let counts = [
        status.queued,
        status.requeued,
        status.pending,
        status.delayed,
        status.dead_letters,
    ];
    queue.add_row(std::iter::once(status.service.clone()).chain(counts.map(|n| n.to_string())));
    output::print(&queue)?;

    let mut notes = Vec::new();
    if let Some(ms) = status.paused_ms {
        notes.push(format!("the service has been paused for {}", span(ms)));
    }
    for pause in &status.pauses {
        let (consumer, time) = (&pause.consumer, span(pause.paused_ms));
        notes.push(format!("consumer {consumer} has been paused for {time}"));
    }
    if let Some(ms) = status.requeued_oldest_ms {
        notes.push(format!("the first re-queued stream has waited for {}", span(ms)));
    }
    if let Some(ms) = status.queued_oldest_ms {
        notes.push(format!("the first queued stream has waited for {}", span(ms)));
    }
    match status.delayed_next_ms {
        Some(0) => notes.push("a delayed stream is due".to_owned()),
        Some(ms) => notes.push(format!("the next delayed stream is due in {}", span(ms))),
        None => {}
    }
    if !notes.is_empty() {
        output::line("")?;
    }
    notes.iter().try_for_each(|note| output::line(note))
}

/// Of a service that is not divided it would say the same again.
fn partitions(status: &Status) -> Result<(), Failure> {
    if status.partitions.len() < 2 {
        return Ok(());
    }
    output::line("")?;
    let mut table = output::table(&[
        "partition",
        "queued",
        "re-queued",
        "pending",
        "delayed",
        "dead letters",
        "server",
    ]);
    for row in &status.partitions {
        let counts = [row.queued, row.requeued, row.pending, row.delayed, row.dead_letters];
        let cell = |n: u64| if row.answered { n.to_string() } else { "?".to_owned() };
        let server = row.server.as_deref().unwrap_or("(no server holds its slot)");
        let cells = std::iter::once(row.number.to_string()).chain(counts.map(cell));
        table.add_row(cells.chain([server.to_owned()]));
    }
    output::print(&table)
}

fn consumers(status: &Status) -> Result<(), Failure> {
    output::line("")?;
    if status.consumers.is_empty() {
        return output::line("no consumers");
    }
    let mut table = output::table(&[
        "consumer",
        "state",
        "pending",
        "held",
        "capacity",
        "last seen",
        "up for",
        "host",
        "pid",
        "version",
    ]);
    for row in &status.consumers {
        table.add_row(consumer(row));
    }
    output::print(&table)
}

fn consumer(row: &ConsumerStatus) -> Vec<String> {
    let state = match row.state {
        ConsumerState::Alive => "alive",
        ConsumerState::Silent => "silent",
        _ => "unregistered",
    };
    let paused = if row.paused { ", paused" } else { "" };
    let mut cells = vec![
        row.consumer.clone(),
        format!("{state}{paused}"),
        row.pending.to_string(),
    ];
    match &row.registration {
        Some(about) => cells.extend([
            about.held.to_string(),
            about.capacity.to_string(),
            format!("{} ago", span(about.seen_ms)),
            span(now_ms().saturating_sub(about.started_ms)),
            about.host.clone(),
            about.pid.to_string(),
            about.version.clone(),
        ]),
        None => {
            let seen = row
                .idle_ms
                .map_or_else(|| "-".to_owned(), |ms| format!("{} ago", span(ms)));
            cells.extend(["-", "-", &seen, "-", "-", "-", "-"].map(str::to_owned));
        }
    }
    cells
}

/// `43 % 3 of 7 files`
fn progress(said: &ProgressStatus) -> String {
    let share = said.value.map(|value| format!("{:.0} %", value * 100.0));
    let parts: Vec<_> = share.as_deref().into_iter().chain(said.text.as_deref()).collect();
    parts.join(" ")
}

fn print_leases(leases: &[LeaseStatus], status: &Status) -> Result<(), Failure> {
    output::line("")?;
    if leases.is_empty() {
        return output::line("no leases");
    }
    let mut headers = vec![
        "stream",
        "id",
        "consumer",
        "state",
        "lock left",
        "pending",
        "age",
        "attempt",
        "failed",
        "abandoned",
        "token",
    ];
    // Columns that would be empty, or say the same in every row, are left out.
    let divided = status.partitions.len() > 1;
    if divided {
        headers.push("partition");
    }
    let reported = leases.iter().any(|lease| lease.progress.is_some());
    if reported {
        headers.push("progress");
    }
    let mut table = output::table(&headers);
    for lease in leases {
        let left = match lease.state {
            LeaseState::Orphan => "-".to_owned(),
            _ => span(lease.remaining_ms),
        };
        let mut cells = vec![
            lease.stream.as_deref().unwrap_or("(unreadable)").to_owned(),
            lease.entry.to_string(),
            lease.consumer.clone(),
            match lease.state {
                LeaseState::Orphan => "orphan".to_owned(),
                _ => "leased".to_owned(),
            },
            left,
            span(lease.pending_ms),
            span(lease.age_ms),
            lease.attempt.to_string(),
            lease.failures.to_string(),
            lease.abandonments.to_string(),
            lease.token.map_or_else(|| "-".to_owned(), |token| token.to_string()),
        ];
        if divided {
            cells.push(lease.partition.to_string());
        }
        if reported {
            cells.push(lease.progress.as_ref().map_or_else(|| "-".to_owned(), progress));
        }
        table.add_row(cells);
    }
    output::print(&table)?;
    let pending = status.pending;
    let more = pending.saturating_sub(leases.len() as u64);
    if more > 0 {
        output::line(&format!("and {more} more; --leases {pending} shows all"))?;
    }
    Ok(())
}
