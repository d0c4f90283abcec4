//! `streamherd status`: one look at a service.

use std::process::ExitCode;
use std::time::Duration;

use streamherd::Status;

use crate::args::{Global, Output};
use crate::failure::Failure;
use crate::output;

pub(crate) async fn run(global: &Global) -> Result<ExitCode, Failure> {
    let admin = global.builder()?.connect_admin().await.map_err(Failure::start)?;
    let status = admin.status().await.map_err(Failure::failed)?;
    admin.close().await;
    match global.output {
        Output::Json => output::json(&status)?,
        Output::Table => print(&status)?,
    }
    let streams = status.queued + status.requeued + status.pending + status.dead_letters;
    if streams == 0 && status.consumers.is_empty() {
        output::say(&format!(
            "service {} has no streams and no workers; a name that nothing was ever submitted to looks the same",
            status.service
        ));
    }
    Ok(ExitCode::SUCCESS)
}

fn print(status: &Status) -> Result<(), Failure> {
    let mut queue = output::table(&["service", "queued", "re-queued", "pending", "dead letters"]);
    let counts = [status.queued, status.requeued, status.pending, status.dead_letters];
    queue.add_row(std::iter::once(status.service.clone()).chain(counts.map(|n| n.to_string())));
    output::print(&queue)?;

    output::line("")?;
    if status.consumers.is_empty() {
        return output::line("no consumers");
    }
    let mut consumers = output::table(&["consumer", "pending", "idle since its last read"]);
    for row in &status.consumers {
        let idle = Duration::from_millis(row.idle_ms);
        consumers.add_row([row.consumer.clone(), row.pending.to_string(), format!("{idle:.1?}")]);
    }
    output::print(&consumers)
}
