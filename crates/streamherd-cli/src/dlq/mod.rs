//! `streamherd dlq`: what became of the streams that could not be finished.

pub(crate) mod args;

use std::process::ExitCode;

use serde::Serialize;
use streamherd::{
    Admin, DeadLetter, DeadLetterFilter, DeadLetterReason, DeadLetterRun, LetterId, LetterOutcome, StreamId,
};

use self::args::{DlqArgs, DlqCommand};
use crate::args::{Global, Output};
use crate::failure::{Failure, in_one_line};
use crate::human::span;
use crate::output;

/// Longer texts are cut in tables.
const CELL: usize = 60;

pub(crate) async fn run(global: &Global, options: &DlqArgs) -> Result<ExitCode, Failure> {
    let admin = global.builder()?.connect_admin().await.map_err(Failure::start)?;
    let form = Form {
        output: global.output,
        divided: admin.partitions().map_err(Failure::failed)? > 1,
    };
    let code = carry_out(&admin, options, form).await;
    admin.close().await;
    code
}

async fn carry_out(admin: &Admin, options: &DlqArgs, form: Form) -> Result<ExitCode, Failure> {
    match &options.command {
        DlqCommand::List(options) => list(admin, options.rules.filter(), form).await,
        DlqCommand::Show(options) => show(admin, options.id.of(form.divided)?, form).await,
        DlqCommand::Redrive(options) => {
            let selection = &options.selection;
            let filter = selection.filter(form.divided)?;
            let run = paced(admin.redrive(filter), options.rate, options.dry_run);
            deal_with(run, form, !selection.ids.is_empty(), options.dry_run).await
        }
        DlqCommand::Purge(options) => {
            let selection = &options.selection;
            let filter = selection.filter(form.divided)?;
            let run = paced(admin.purge(filter), options.rate, options.dry_run);
            deal_with(run, form, !selection.ids.is_empty(), options.dry_run).await
        }
    }
}

/// How results are printed.
#[derive(Clone, Copy)]
struct Form {
    output: Output,
    /// Whether the service has several partitions, so that an id of Redis alone doesn't say which letter it is.
    divided: bool,
}

impl Form {
    fn id(self, letter: LetterId) -> String {
        if self.divided {
            letter.to_string()
        } else {
            letter.id.to_string()
        }
    }
}

fn paced(mut run: DeadLetterRun, rate: Option<std::num::NonZeroU32>, dry_run: bool) -> DeadLetterRun {
    if let Some(rate) = rate {
        run = run.rate(rate);
    }
    if dry_run {
        run = run.dry_run();
    }
    run
}

/// What `list` prints of a letter as JSON: all but its fields, of which there may be a megabyte.
#[derive(Serialize)]
struct Row<'a> {
    partition: u16,
    id: StreamId,
    stream: &'a Option<String>,
    reason: Option<DeadLetterReason>,
    error: &'a Option<String>,
    consumer: &'a Option<String>,
    failures: u32,
    abandonments: u32,
    redriven: u32,
    at_ms: u64,
    age_ms: u64,
    first_seen_ms: u64,
    origin: StreamId,
    bytes: usize,
}

async fn list(admin: &Admin, filter: DeadLetterFilter, form: Form) -> Result<ExitCode, Failure> {
    let mut letters = admin.dead_letters(filter);
    let headers = [
        "id",
        "age",
        "failed",
        "abandoned",
        "redriven",
        "reason",
        "stream",
        "error",
    ];
    let mut table = output::table(&headers);
    table.text_from(5);
    let mut count = 0_u64;
    while let Some(letter) = letters.next().await.map_err(Failure::failed)? {
        count += 1;
        match form.output {
            Output::Json => output::json(&Row {
                partition: letter.partition,
                id: letter.id,
                stream: &letter.stream,
                reason: letter.reason,
                error: &letter.error,
                consumer: &letter.consumer,
                failures: letter.failures,
                abandonments: letter.abandonments,
                redriven: letter.redriven,
                at_ms: letter.at_ms,
                age_ms: letter.age_ms,
                first_seen_ms: letter.first_seen_ms,
                origin: letter.origin,
                bytes: letter.bytes,
            })?,
            Output::Table => {
                table.add_row([
                    form.id(LetterId::from(&letter)),
                    span(letter.age_ms),
                    letter.failures.to_string(),
                    letter.abandonments.to_string(),
                    letter.redriven.to_string(),
                    letter.reason.map_or("?", DeadLetterReason::as_str).to_owned(),
                    letter.stream.as_deref().map_or_else(|| "?".to_owned(), cut),
                    letter.error.as_deref().map(cut).unwrap_or_default(),
                ]);
            }
        }
    }
    if form.output == Output::Table && count > 0 {
        output::print(&table)?;
    }
    if count == 0 {
        output::say("no dead letters");
    }
    Ok(ExitCode::SUCCESS)
}

async fn show(admin: &Admin, id: LetterId, form: Form) -> Result<ExitCode, Failure> {
    let Some(letter) = admin.dead_letter(id).await.map_err(Failure::failed)? else {
        return Err(Failure::failed(format!("there is no dead letter {}", form.id(id))));
    };
    match form.output {
        Output::Json => output::json(&letter)?,
        Output::Table => print(&letter, form)?,
    }
    Ok(ExitCode::SUCCESS)
}

fn print(letter: &DeadLetter, form: Form) -> Result<(), Failure> {
    let DeadLetter {
        failures,
        abandonments,
        redriven,
        ..
    } = letter;
    let or_unknown = |text: &Option<String>| text.clone().unwrap_or_else(|| "?".to_owned());
    output::line(&format!(
        "letter    {} ({} bytes)",
        form.id(LetterId::from(letter)),
        letter.bytes
    ))?;
    output::line(&format!("stream    {}", or_unknown(&letter.stream)))?;
    let reason = letter.reason.map_or("?", DeadLetterReason::as_str);
    output::line(&format!("reason    {reason}, {} ago", span(letter.age_ms)))?;
    output::line(&format!("error     {}", or_unknown(&letter.error)))?;
    output::line(&format!("consumer  {}", or_unknown(&letter.consumer)))?;
    output::line(&format!(
        "attempts  {failures} failed, {abandonments} abandoned; redriven {redriven} times before"
    ))?;
    output::line(&format!("origin    {}", letter.origin))?;
    if let Some(context) = letter.trace_context() {
        output::line(&format!("trace     {context}"))?;
    }
    output::line("")?;
    for (name, value) in &letter.fields {
        output::line(&format!("{}: {}", readable(name), readable(value)))?;
    }
    Ok(())
}

#[derive(Serialize)]
struct Line<'a> {
    partition: u16,
    id: StreamId,
    stream: Option<&'a str>,
    outcome: &'static str,
    /// Where it is now.
    reference: Option<String>,
    dry_run: bool,
    error: Option<String>,
}

async fn deal_with(mut run: DeadLetterRun, form: Form, by_id: bool, dry_run: bool) -> Result<ExitCode, Failure> {
    loop {
        let handled = match run.next().await {
            Ok(Some(handled)) => handled,
            Ok(None) => break,
            Err(e) => {
                summarize(&run, dry_run);
                output::say("start it again to go on: what was done is not done twice");
                return Err(Failure::failed(e));
            }
        };
        let (reference, error) = match &handled.outcome {
            LetterOutcome::Redriven(reference) => (reference.map(|reference| reference.to_string()), None),
            LetterOutcome::Coalesced(reference) => (Some(reference.to_string()), None),
            LetterOutcome::Failed(e) => (None, Some(in_one_line(e))),
            _ => (None, None),
        };
        let outcome = handled.outcome.as_str();
        match form.output {
            Output::Json => output::json(&Line {
                partition: handled.partition,
                id: handled.id,
                stream: handled.stream.as_deref(),
                outcome,
                reference,
                dry_run,
                error,
            })?,
            Output::Table => {
                let stream = handled.stream.as_deref().map_or_else(|| "?".to_owned(), cut);
                let more = reference.or(error).map(|more| format!("  {more}")).unwrap_or_default();
                let id = form.id(LetterId {
                    partition: handled.partition,
                    id: handled.id,
                });
                output::line(&format!("{id}  {outcome}  {stream}{more}"))?;
            }
        }
    }
    let report = run.report();
    summarize(&run, dry_run);
    let missing = if by_id { report.gone } else { 0 };
    Ok(if report.superseded + report.too_large + report.failed + missing == 0 {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}

fn summarize(run: &DeadLetterRun, dry_run: bool) {
    let report = run.report();
    let counts = [
        ("redriven", report.redriven),
        ("coalesced", report.coalesced),
        ("superseded", report.superseded),
        ("too large", report.too_large),
        ("purged", report.purged),
        ("gone", report.gone),
        ("failed", report.failed),
    ];
    let told: Vec<String> = counts
        .iter()
        .filter(|(_, letters)| *letters > 0)
        .map(|(outcome, letters)| format!("{outcome} {letters}"))
        .collect();
    let told = if told.is_empty() {
        "no dead letters".to_owned()
    } else {
        told.join(", ")
    };
    output::say(&if dry_run { format!("dry run: {told}") } else { told });
}

/// Text that may be anything, as long as a table's cell may be.
pub(crate) fn cut(text: &str) -> String {
    let mut cut: String = text.chars().take(CELL).collect();
    if cut.len() < text.len() {
        cut.push('…');
    }
    cut
}

pub(crate) fn readable(bytes: &[u8]) -> String {
    std::str::from_utf8(bytes).map_or_else(|_| bytes.escape_ascii().to_string(), str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_text_is_cut_between_its_letters() {
        assert_eq!(cut("short"), "short");
        assert_eq!(cut(&"é".repeat(61)), format!("{}…", "é".repeat(60)));
    }
}
