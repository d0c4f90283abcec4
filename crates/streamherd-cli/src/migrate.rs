//! `streamherd migrate`: moves a service from the layout that Go workers share to the native one.

use std::process::ExitCode;
use std::time::Duration;

use clap::{Args, ValueEnum};
use serde::Serialize;
use streamherd::Moved;
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

    /// Move what can be moved now, and don't wait for what is held
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
what dead workers held; what is held is left to its worker. It goes on, once a second, until nothing is held and nothing
was left to be moved, and may be ended and repeated at any time. Producers that still submit to the old queue keep it
going, so that it may as well run until the last of them has been moved. MIGRATION.md has the order of steps.

Both queues are on one server: a cluster has no queue of Go workers.

Exit codes:
  0  the old queue is empty, or a dry run
  1  something is left: held (with --once), or refused; or Redis failed on the way; or ended by a signal
  2  usage or start-up error: a setting, the connection";

/// Time between two walks.
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
    let mut walked = 0_u64;
    let code = loop {
        let moved = migration.walk(options.dry_run).await.map_err(Failure::failed)?;
        // The first walk, and all in which something happens.
        if walked == 0 || moved.moved() > 0 || moved.is_complete() {
            tell(global.output, options.dry_run, moved)?;
        }
        walked += 1;
        if options.dry_run {
            break ExitCode::SUCCESS;
        }
        if moved.is_complete() || (options.once && moved.moved() == 0) {
            break if moved.held + moved.refused == 0 {
                ExitCode::SUCCESS
            } else {
                ExitCode::FAILURE
            };
        }
        if options.once {
            continue;
        }
        tokio::select! {
            _ = terminate.recv() => break ExitCode::FAILURE,
            _ = interrupt.recv() => break ExitCode::FAILURE,
            () = tokio::time::sleep(PAUSE) => {}
        }
    };
    migration.close().await;
    Ok(code)
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
