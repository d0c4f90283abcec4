//! `streamherd migrate`: moves a service from the layout that Go workers share to the native one.

use std::process::ExitCode;
use std::time::{Duration, Instant};

use clap::{Args, ValueEnum};
use serde::Serialize;
use streamherd::{Migration, Moved};
use tokio::signal::unix::{SignalKind, signal};

use crate::args::{Global, Output};
use crate::failure::Failure;
use crate::output;

/// Move what waits from the queue shared with Go workers to the native one
#[derive(Debug, Args)]
#[command(
    after_help = HELP,
    override_usage = "streamherd migrate --service <NAME> --from go --to native [OPTIONS]"
)]
pub(crate) struct MigrateArgs {
    /// The layout that is left
    #[arg(long, value_enum, value_name = "LAYOUT")]
    from: From,

    /// The layout that is moved to, with --partitions where it has several
    #[arg(long, value_enum, value_name = "LAYOUT")]
    to: To,

    /// Only say what would be moved
    #[arg(long)]
    dry_run: bool,

    /// Walk once: move what waits now, and don't wait for what is held
    #[arg(long, conflicts_with = "dry_run")]
    once: bool,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum From {
    Go,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum To {
    Native,
}

const HELP: &str = "\
Nothing has to stop for it. What waits is moved in its order, a step each, and so is what is delayed, the dead letters, and
what dead workers held; what is held is left to its worker. It goes on, once a second, until twice in a row nothing is held
and nothing was there to be moved, and may be ended and repeated at any time. Producers that still submit to the old queue
keep it going, so that it may as well run until the last of them has been moved. MIGRATION.md has the order of steps.

Entries that nobody would be given in the old layout are left, and counted: a Go worker finished them and did not delete
them, or they were submitted before it made its group, at the end of the stream. Look at them before you remove the queue.

Both queues are on one server: a cluster has no queue of Go workers.

Exit codes:
  0  nothing waits in the old queue and nothing is held, or a dry run
  1  something is left: held (with --once), or refused; or Redis failed on the way; or ended by a signal
  2  usage or start-up error: a setting, the connection";

/// So many walks in a row have to find nothing.
const PROOF: u32 = 2;
/// Time between two walks, at least.
const PAUSE: Duration = Duration::from_secs(1);

#[derive(Serialize)]
struct Line {
    dry_run: bool,
    #[serde(flatten)]
    moved: Moved,
}

pub(crate) async fn run(global: &Global, options: &MigrateArgs) -> Result<ExitCode, Failure> {
    let (From::Go, To::Native) = (options.from, options.to);
    let mut terminate = signal(SignalKind::terminate()).map_err(Failure::start)?;
    let mut interrupt = signal(SignalKind::interrupt()).map_err(Failure::start)?;
    let migration = global.builder()?.connect_migration().await.map_err(Failure::start)?;
    let ended = tokio::select! {
        ended = go_through(&migration, global.output, options) => ended,
        _ = terminate.recv() => Ok(false),
        _ = interrupt.recv() => Ok(false),
    };
    migration.close().await;
    Ok(if ended? { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// Whether nothing is left.
async fn go_through(migration: &Migration, form: Output, options: &MigrateArgs) -> Result<bool, Failure> {
    let (mut told, mut complete) = (false, 0);
    loop {
        let began = Instant::now();
        let moved = migration.walk(options.dry_run).await.map_err(Failure::failed)?;
        complete = if moved.is_complete() { complete + 1 } else { 0 };
        // The first walk, and all in which something happens.
        if !told || moved.moved() > 0 || complete == PROOF {
            tell(form, options.dry_run, moved)?;
            told = true;
        }
        if options.dry_run || options.once || complete == PROOF {
            return Ok(options.dry_run || moved.held + moved.refused == 0);
        }
        // Walks over much that is held must not be all that Redis does.
        tokio::time::sleep(PAUSE.max(began.elapsed() * 10)).await;
    }
}

fn tell(form: Output, dry_run: bool, moved: Moved) -> Result<(), Failure> {
    if form == Output::Json {
        return output::json(&Line { dry_run, moved });
    }
    let done = if dry_run { "would be moved" } else { "moved" };
    let what = [
        (moved.queued, "queued"),
        (moved.delayed, "delayed"),
        (moved.orphans, "of dead workers"),
        (moved.dead_letters, "dead letters"),
    ];
    let mut parts: Vec<String> = what.iter().map(|(count, what)| format!("{count} {what}")).collect();
    parts.push(format!("{} held", moved.held));
    let left = [
        (moved.finished, "finished or never to be handed out"),
        (moved.refused, "refused"),
    ];
    parts.extend(
        left.iter()
            .filter(|(count, _)| *count > 0)
            .map(|(count, what)| format!("{count} {what} (left)")),
    );
    output::line(&format!("{done}: {}", parts.join(", ")))
}
