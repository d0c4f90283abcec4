//! A row with all it has, as lines of text. Pure.

use streamherd::DeadLetterReason;

use super::model::{Inspect, Marked, Model, Over, View};
use super::rows::{ConsumerRow, DelayedRow, LeaseRow, LetterRow, PartitionRow, ProgressRow};
use super::text::{shown, wrap};
use super::verdict;
use crate::human::span;

/// Width of the names of facts.
const NAMES: usize = 12;

/// What Enter shows in the view.
pub(super) fn of(model: &Model) -> Option<Inspect> {
    let Some(marked) = model.marked() else {
        return (model.view == View::Overview).then(|| overview(model));
    };
    let (title, facts) = match marked {
        Marked::Consumer(row) => consumer(row),
        Marked::Lease(row) => lease(row),
        Marked::Delayed(row) => delayed(row),
        Marked::Letter(row) => letter(row),
        Marked::Partition(row) => partition(model, row),
    };
    Some(Inspect {
        title,
        facts,
        scroll: 0,
        subject: marked.to_subject(),
    })
}

/// The lines of what is inspected: the name of a fact and a part of it.
pub(super) fn lines(open: &Inspect, width: usize) -> Vec<(String, String)> {
    let mut lines = Vec::new();
    for (name, text) in &open.facts {
        if name.is_empty() {
            lines.extend(wrap(text, width).into_iter().map(|line| (String::new(), line)));
            continue;
        }
        let room = width.saturating_sub(NAMES + 1).max(8);
        for (at, part) in wrap(text, room).into_iter().enumerate() {
            let name = if at == 0 { name.as_str() } else { "" };
            lines.push((super::text::fit(name, NAMES), part));
        }
    }
    lines
}

/// How many lines are inspected at present.
pub(super) fn height(model: &Model) -> usize {
    match &model.over {
        Some(Over::Inspect(open)) => lines(open, usize::from(model.size.0).saturating_sub(2)).len(),
        _ => 0,
    }
}

type Facts = (String, Vec<(String, String)>);

fn facts<const N: usize>(title: String, facts: [(&str, String); N]) -> Facts {
    let owned = |(name, text): (&str, String)| (name.to_owned(), text);
    (title, facts.into_iter().map(owned).collect())
}

fn or_unknown(text: Option<&str>) -> String {
    text.map_or_else(|| "?".to_owned(), shown)
}

fn attempts(attempt: u32, failures: u32, abandonments: u32) -> String {
    format!(
        "{} ({failures} failed, {abandonments} abandoned before)",
        attempt.saturating_add(1)
    )
}

fn lease(row: &LeaseRow) -> Facts {
    let state = if row.orphan {
        "orphan: no lock, the scan brings it back; a puts it on the queue now".to_owned()
    } else {
        format!(
            "leased: the lock lives for {} without a heartbeat",
            span(row.remaining_ms)
        )
    };
    facts(
        format!("Lease {}/{}", row.partition, shown(&row.id)),
        [
            ("stream", or_unknown(row.stream.as_deref())),
            ("state", state),
            (if row.orphan { "last owner" } else { "owner" }, shown(&row.consumer)),
            (
                "progress",
                row.progress
                    .as_ref()
                    .map_or_else(|| "none told".to_owned(), progress_in_full),
            ),
            ("held for", span(row.pending_ms)),
            ("age", format!("{} since it was submitted", span(row.age_ms))),
            ("attempt", attempts(row.attempt, row.failures, row.abandonments)),
            ("token", or_unknown(row.token.as_deref())),
        ],
    )
}

fn progress_in_full(progress: &ProgressRow) -> String {
    format!("{}, told {} ago", self::progress(progress), span(progress.age_ms))
}

/// A share and what was said beside it.
pub(super) fn progress(progress: &ProgressRow) -> String {
    let share = progress
        .value
        .map(|value| format!("{:.0}%", value.clamp(0.0, 1.0) * 100.0));
    let text = progress.text.as_deref().map(shown);
    [share, text].into_iter().flatten().collect::<Vec<_>>().join(" ")
}

fn delayed(row: &DelayedRow) -> Facts {
    facts(
        format!("Delayed {}/{}", row.partition, shown(&row.id)),
        [
            ("stream", or_unknown(row.stream.as_deref())),
            ("due", due(row.due_ms)),
            ("attempt", attempts(row.attempt, row.failures, row.abandonments)),
        ],
    )
}

/// In how long something is due.
pub(super) fn due(ms: u64) -> String {
    if ms == 0 {
        "now".to_owned()
    } else {
        format!("in {}", span(ms))
    }
}

/// Of a letter, what its row says; its fields are asked for.
pub(super) fn letter(row: &LetterRow) -> Facts {
    facts(
        format!("Dead letter {}", row.id),
        [
            ("stream", or_unknown(row.stream.as_deref())),
            ("reason", format!("{}, {} ago", reason(row.reason), span(row.age_ms))),
            ("error", or_unknown(row.error.as_deref())),
            ("consumer", or_unknown(row.consumer.as_deref())),
            (
                "attempts",
                format!(
                    "{} failed, {} abandoned; redriven {} times before",
                    row.failures, row.abandonments, row.redriven
                ),
            ),
            ("size", format!("{} bytes", row.bytes)),
        ],
    )
}

pub(super) fn reason(reason: Option<DeadLetterReason>) -> &'static str {
    reason.map_or("?", DeadLetterReason::as_str)
}

fn consumer(row: &ConsumerRow) -> Facts {
    let state = if row.paused {
        format!("{}, paused", row.state)
    } else {
        row.state.to_owned()
    };
    let (title, mut all) = facts(
        format!("Consumer {}", shown(&row.consumer)),
        [("state", state), ("pending", format!("{} (l lists them)", row.pending))],
    );
    let mut say = |name: &str, text: String| all.push((name.to_owned(), text));
    match &row.about {
        None => say(
            "about",
            "nothing is known: another program that reads from the group".to_owned(),
        ),
        Some(about) => {
            say("held", format!("{} of {}", about.held, about.capacity));
            say(
                "heartbeat",
                format!(
                    "{} ago; its locks live for {}",
                    span(about.seen_ms),
                    span(about.lock_ttl_ms)
                ),
            );
            let rate = row.rate.map_or_else(|| "?".to_owned(), |rate| format!("{rate:.1}/s"));
            say("done", rate);
            let totals = about.totals.iter().map(|(name, n)| format!("{n} {name}"));
            say("since start", totals.collect::<Vec<_>>().join(", "));
            say("up", span(about.up_ms));
            say("host", format!("{}, pid {}", shown(&about.host), about.pid));
            say("version", shown(&about.version));
        }
    }
    (title, all)
}

fn partition(model: &Model, row: &PartitionRow) -> Facts {
    let (title, mut all) = facts(
        format!("Partition {}", row.number),
        [
            (
                "server",
                row.server.as_deref().map_or_else(|| "none holds it".to_owned(), shown),
            ),
            (
                "answers",
                if row.answered {
                    "yes"
                } else {
                    "no: nothing is known of it"
                }
                .to_owned(),
            ),
            ("queued", row.queued.to_string()),
            ("re-queued", row.requeued.to_string()),
            ("in work", row.pending.to_string()),
            ("delayed", row.delayed.to_string()),
            ("dead letters", row.dead_letters.to_string()),
        ],
    );
    let masters = model.picture.masters.iter();
    for master in masters.filter(|master| master.partitions.contains(&row.number)) {
        let since = span(master.for_ms);
        all.push(("breaker".to_owned(), format!("{} for {since}", master.breaker)));
        if let Some(error) = &master.last_error {
            all.push(("last error".to_owned(), shown(error)));
        }
    }
    (title, all)
}

/// All that is wrong, and what the doctor found with what mends it.
fn overview(model: &Model) -> Inspect {
    let mut all = Vec::new();
    let judged = verdict::judge(model);
    for finding in &judged.findings {
        all.push((finding.bad.as_str().to_owned(), finding.text.clone()));
    }
    if all.is_empty() {
        all.push(("ok".to_owned(), judged.headline));
    }
    for master in &model.picture.masters {
        all.push((String::new(), String::new()));
        let parts: Vec<String> = master.partitions.iter().map(u16::to_string).collect();
        all.push(("server".to_owned(), shown(&master.server)));
        all.push(("partitions".to_owned(), parts.join(", ")));
        all.push((
            "breaker".to_owned(),
            format!("{} for {}", master.breaker, span(master.for_ms)),
        ));
        if let Some(error) = &master.last_error {
            all.push(("last error".to_owned(), shown(error)));
        }
    }
    for (whom, ms) in &model.picture.pauses {
        all.push(("paused".to_owned(), format!("{} for {}", shown(whom), span(*ms))));
    }
    if let Some(health) = &model.picture.health {
        let age = model.now.saturating_sub(health.at).as_millis();
        all.push((String::new(), String::new()));
        let age = span(u64::try_from(age).unwrap_or(u64::MAX));
        all.push((String::new(), format!("What doctor found {age} ago:")));
        for check in &health.checks {
            all.push((
                check.verdict.to_owned(),
                format!("{}: {}", shown(&check.name), shown(&check.found)),
            ));
            if check.verdict != "ok" {
                all.push(("means".to_owned(), shown(&check.meaning)));
                if let Some(mend) = &check.mend {
                    all.push(("mend".to_owned(), shown(mend)));
                }
            }
        }
    }
    Inspect {
        title: format!("Service {}", shown(&model.service)),
        facts: all,
        scroll: 0,
        subject: None,
    }
}
