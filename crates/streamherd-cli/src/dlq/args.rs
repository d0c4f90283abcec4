//! The command line of `streamherd dlq`.

use std::num::NonZeroU32;
use std::str::FromStr;
use std::time::Duration;

use clap::builder::{PossibleValuesParser, TypedValueParser};
use clap::{ArgGroup, Args, Subcommand};
use streamherd::{DeadLetterFilter, DeadLetterReason, InvalidId, LetterId};

use crate::args::duration;
use crate::failure::{Failure, usage_error};

/// Look at dead letters, queue them again, or delete them.
#[derive(Debug, Args)]
#[command(after_help = HELP, override_usage = "streamherd dlq --service <NAME> [OPTIONS] <COMMAND>")]
pub(crate) struct DlqArgs {
    #[command(subcommand)]
    pub(crate) command: DlqCommand,
}

#[derive(Debug, Subcommand)]
pub(crate) enum DlqCommand {
    /// List dead letters, the oldest first
    #[command(after_help = HELP, override_usage = "streamherd dlq list --service <NAME> [OPTIONS]")]
    List(ListArgs),
    /// Show all of one dead letter
    #[command(after_help = HELP, override_usage = "streamherd dlq show --service <NAME> [OPTIONS] <ID>")]
    Show(ShowArgs),
    /// Queue dead letters again, with their counters at zero
    #[command(
        after_help = HELP,
        override_usage = "streamherd dlq redrive --service <NAME> [OPTIONS] <ID>...\n       \
                          streamherd dlq redrive --service <NAME> [OPTIONS] <--all|--reason <REASON>|…>"
    )]
    Redrive(RedriveArgs),
    /// Delete dead letters for good
    #[command(
        after_help = HELP,
        override_usage = "streamherd dlq purge --service <NAME> [OPTIONS] <--yes|--dry-run> <ID>...\n       \
                          streamherd dlq purge --service <NAME> [OPTIONS] <--yes|--dry-run> <--all|--reason <REASON>|…>"
    )]
    Purge(PurgeArgs),
}

#[derive(Debug, Args)]
pub(crate) struct ListArgs {
    #[command(flatten)]
    pub(crate) rules: Rules,
}

#[derive(Debug, Args)]
pub(crate) struct ShowArgs {
    /// The letter's id, as `list` prints it
    pub(crate) id: Named,
}

#[derive(Debug, Args)]
#[command(group = selection())]
pub(crate) struct RedriveArgs {
    #[command(flatten)]
    pub(crate) selection: Selection,

    /// At most so many letters per second
    #[arg(long, value_name = "N", value_parser = rate)]
    pub(crate) rate: Option<NonZeroU32>,

    /// Only say what would be done
    #[arg(long)]
    pub(crate) dry_run: bool,
}

#[derive(Debug, Args)]
#[command(group = selection(), group = ArgGroup::new("sure").required(true).args(["yes", "dry_run"]))]
pub(crate) struct PurgeArgs {
    #[command(flatten)]
    pub(crate) selection: Selection,

    /// At most so many letters per second
    #[arg(long, value_name = "N", value_parser = rate)]
    pub(crate) rate: Option<NonZeroU32>,

    /// Delete them
    #[arg(long)]
    pub(crate) yes: bool,

    /// Only say what would be deleted
    #[arg(long)]
    pub(crate) dry_run: bool,
}

/// Nothing is redriven or purged that was not asked for; a limit alone asks for nothing.
fn selection() -> ArgGroup {
    ArgGroup::new("which").required(true).multiple(true).args([
        "ids",
        "all",
        "reason",
        "older_than",
        "younger_than",
        "stream",
    ])
}

#[derive(Debug, Args)]
pub(crate) struct Selection {
    /// Ids of letters, as `list` prints them
    #[arg(value_name = "ID", conflicts_with_all = ["all", "reason", "older_than", "younger_than", "stream", "limit"])]
    pub(crate) ids: Vec<Named>,

    /// All dead letters
    #[arg(long, conflicts_with_all = ["reason", "older_than", "younger_than", "stream"])]
    all: bool,

    #[command(flatten)]
    rules: Rules,
}

impl Selection {
    /// # Errors
    /// An id does not say which letter is meant.
    pub(crate) fn filter(&self, divided: bool) -> Result<DeadLetterFilter, Failure> {
        let filter = self.rules.filter();
        if self.ids.is_empty() {
            return Ok(filter);
        }
        let ids: Result<Vec<LetterId>, Failure> = self.ids.iter().map(|id| id.of(divided)).collect();
        Ok(filter.ids(ids?))
    }
}

/// A letter's id as it was written.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Named {
    id: LetterId,
    /// Whether it says which partition holds the letter.
    whole: bool,
}

impl FromStr for Named {
    type Err = InvalidId;

    fn from_str(text: &str) -> Result<Self, InvalidId> {
        Ok(Self {
            id: text.parse()?,
            whole: text.contains('/'),
        })
    }
}

impl Named {
    /// The letter that is meant.
    ///
    /// # Errors
    /// The service is divided, so that each partition may have one.
    pub(crate) fn of(self, divided: bool) -> Result<LetterId, Failure> {
        if self.whole || !divided {
            return Ok(self.id);
        }
        let id = self.id.id;
        Err(usage_error(&format!(
            "{id} may be in any of the service's partitions: write it as `dlq list` prints it, like 2/{id}"
        )))
    }
}

#[derive(Debug, Args)]
pub(crate) struct Rules {
    /// Only letters that died of this
    #[arg(long, value_name = "REASON", value_parser = reason())]
    reason: Option<DeadLetterReason>,

    /// Only letters that died at least so long ago
    #[arg(long, value_name = "TIME", value_parser = duration)]
    older_than: Option<Duration>,

    /// Only letters that died less than so long ago
    #[arg(long, value_name = "TIME", value_parser = duration)]
    younger_than: Option<Duration>,

    /// Only letters of the stream with exactly this name
    #[arg(long, value_name = "NAME")]
    stream: Option<String>,

    /// Only the oldest N of them
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    limit: Option<u64>,
}

fn rate(text: &str) -> Result<NonZeroU32, String> {
    text.parse()
        .map_err(|_| "expected 1 or more letters per second".to_owned())
}

impl Rules {
    pub(crate) fn filter(&self) -> DeadLetterFilter {
        let mut filter = DeadLetterFilter::default();
        if let Some(reason) = self.reason {
            filter = filter.reason(reason);
        }
        if let Some(age) = self.older_than {
            filter = filter.older_than(age);
        }
        if let Some(age) = self.younger_than {
            filter = filter.younger_than(age);
        }
        if let Some(name) = &self.stream {
            filter = filter.stream(name);
        }
        if let Some(letters) = self.limit {
            filter = filter.limit(letters);
        }
        filter
    }
}

fn reason() -> impl TypedValueParser<Value = DeadLetterReason> {
    let names = DeadLetterReason::ALL.iter().map(|reason| reason.as_str());
    PossibleValuesParser::new(names).try_map(|name| name.parse::<DeadLetterReason>())
}

const HELP: &str = "\
An ID is as `list` prints it: 1795206880640-0, or where the service has several partitions 2/1795206880640-0, as each numbers
its letters on its own. Letters go by their age, the oldest of all partitions first.

A letter that is redriven goes to the front of the queue. If its stream is queued, delayed or held already it is coalesced
with that; if that is wanted once more with newer info it stays a dead letter (superseded). What is too large (its fields
are packed away) stays too. Nothing is lost or doubled by a run that is killed: start it again.

A TIME is a number with a unit: 500ms, 10s, 2m, 1h, 7d. Without a unit it is milliseconds.

Exit codes:
  0  all went well
  1  something was not done: a letter is superseded or too large, an ID is not there, Redis refused
  2  usage or start-up error: nothing selected, no --yes, a setting, the connection";
