//! `streamherd pause` and `streamherd resume`.

use std::process::ExitCode;

use clap::Args;
use clap::builder::NonEmptyStringValueParser;
use serde::Serialize;
use streamherd::{PauseTarget, Status};

use crate::args::{Global, Output};
use crate::failure::Failure;
use crate::output;
use crate::status::hint_at_the_name;

#[derive(Debug, Args)]
pub(crate) struct PauseArgs {
    /// Only consumers of this name, also after a restart; or one, by its id with the incarnation [default: the service]
    #[arg(long, value_name = "NAME", value_parser = NonEmptyStringValueParser::new())]
    consumer: Option<String>,
}

pub(crate) const HELP: &str = "\
A pause is kept in Redis until it is taken back: workers that start meanwhile are paused, too. What is held goes on, and
what is submitted waits. The pauses of the service, of a name and of an id are independent of each other; `status` shows
them.

Exit codes:
  0  done, or so already
  1  Redis failed on the way
  2  usage or start-up error: a setting, the connection";

#[derive(Serialize)]
struct Line<'a> {
    service: &'a str,
    consumer: Option<&'a str>,
    paused: bool,
    /// False where it was so already.
    changed: bool,
}

pub(crate) async fn run(global: &Global, options: &PauseArgs, pause: bool) -> Result<ExitCode, Failure> {
    let admin = global.builder()?.connect_admin().await.map_err(Failure::start)?;
    let consumer = options.consumer.as_deref();
    let target = consumer.map_or(PauseTarget::Service, |consumer| {
        PauseTarget::Consumer(consumer.to_owned())
    });
    let changed = if pause {
        admin.pause(&target).await
    } else {
        admin.resume(&target).await
    };
    let changed = changed.map_err(Failure::failed)?;
    // For the hints alone, which a user who may not look can do without.
    let status = admin.status().await.ok();
    admin.close().await;
    let service = global.service()?;
    match global.output {
        Output::Json => output::json(&Line {
            service,
            consumer,
            paused: pause,
            changed,
        })?,
        Output::Table => {
            let what = match consumer {
                Some(consumer) => format!("consumer {consumer} of service {service}"),
                None => format!("service {service}"),
            };
            output::line(&match (pause, changed) {
                (true, true) => format!("{what} is paused"),
                (true, false) => format!("{what} was paused already"),
                (false, true) => format!("{what} is resumed"),
                (false, false) => format!("{what} was not paused"),
            })?;
        }
    }
    if let Some(status) = status {
        hint(&status, consumer, pause);
    }
    Ok(ExitCode::SUCCESS)
}

/// What may not be as it was meant.
fn hint(status: &Status, consumer: Option<&str>, pause: bool) {
    if !status.used {
        return hint_at_the_name(&status.service);
    }
    let is_meant =
        |id: &str| consumer.is_none_or(|c| id == c || id.rsplit_once('.').is_some_and(|(name, _)| name == c));
    let meant: Vec<_> = status.consumers.iter().filter(|row| is_meant(&row.consumer)).collect();
    if meant.is_empty()
        && let Some(consumer) = consumer
    {
        output::say(&format!(
            "no consumer {consumer} takes part at present; `status` shows who does"
        ));
    }
    if pause {
        return;
    }
    let still: Vec<_> = meant
        .iter()
        .filter(|row| row.paused)
        .map(|row| row.consumer.as_str())
        .collect();
    if !still.is_empty() {
        output::say(&format!(
            "still paused otherwise: {}; `status` shows all pauses",
            still.join(", ")
        ));
    }
}
