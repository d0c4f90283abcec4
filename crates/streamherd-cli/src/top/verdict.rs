//! What the picture means, in words: what is wrong, the worst first; as the dashboard has it. Pure.

use super::model::Model;
use super::text::shown;
use crate::human::span;

/// A stream that waits so long, with slots free for it, is a sign that something is wrong.
const LONG_MS: u64 = 60_000;

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Bad {
    Failure,
    Warning,
    Info,
}

impl Bad {
    pub(super) const fn as_str(self) -> &'static str {
        match self {
            Self::Failure => "failure",
            Self::Warning => "warning",
            Self::Info => "info",
        }
    }
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Finding {
    pub(super) bad: Bad,
    pub(super) text: String,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Verdict {
    /// One word: OK, WARNING, FAILURE, INFO or UNKNOWN.
    pub(super) word: &'static str,
    pub(super) headline: String,
    pub(super) findings: Vec<Finding>,
}

pub(super) fn judge(model: &Model) -> Verdict {
    let picture = &model.picture;
    if !picture.known {
        let (word, headline) = match &picture.error {
            Some(error) => ("FAILURE", format!("Redis has given no answer yet: {}", shown(error))),
            None => ("UNKNOWN", "Redis is being asked …".to_owned()),
        };
        return Verdict {
            word,
            headline,
            findings: Vec::new(),
        };
    }
    let mut findings = collect(model);
    findings.sort_by_key(|finding| finding.bad);
    let (word, headline) = match findings.first() {
        Some(Finding {
            bad: Bad::Failure,
            text,
        }) => ("FAILURE", text.clone()),
        Some(Finding {
            bad: Bad::Warning,
            text,
        }) => ("WARNING", text.clone()),
        // A list of findings that could not be looked for is no good news.
        _ if picture.health.is_none() => (
            "UNKNOWN",
            "The server, the login and the keys were not checked yet.".to_owned(),
        ),
        _ if !picture.used => (
            "INFO",
            format!(
                "Nothing was ever submitted to “{}”, and no worker has run; is the name right?",
                shown(&model.service)
            ),
        ),
        _ => ("OK", "All is well.".to_owned()),
    };
    Verdict {
        word,
        headline,
        findings,
    }
}

/// `1 stream`, `2 streams`.
pub(super) fn plural(n: u64, what: &str) -> String {
    format!("{n} {what}{}", if n == 1 { "" } else { "s" })
}

fn s(n: u64, one: &'static str, many: &'static str) -> &'static str {
    if n == 1 { one } else { many }
}

fn collect(model: &Model) -> Vec<Finding> {
    let mut found = Vec::new();
    let mut say = |bad, text: String| found.push(Finding { bad, text });
    let picture = &model.picture;
    let (waiting, counts) = (picture.waiting(), picture.counts);
    let streams = plural(waiting, "stream");
    let wait = s(waiting, "waits", "wait");
    if model.is_stale() {
        let age = span(u64::try_from(model.age().as_millis()).unwrap_or(u64::MAX));
        let why = picture
            .error
            .as_deref()
            .map(|why| format!(" ({})", shown(why)))
            .unwrap_or_default();
        say(
            Bad::Failure,
            format!("Redis does not answer; what you see is {age} old{why}."),
        );
    }
    for one in picture.partitions.iter().filter(|one| !one.answered) {
        let place = match &one.server {
            Some(server) => format!(" ({})", shown(server)),
            None => ": no server holds it".to_owned(),
        };
        say(
            Bad::Failure,
            format!("Partition {} does not answer{place}.", one.number),
        );
    }
    for one in picture.masters.iter().filter(|one| one.breaker != "closed") {
        say(
            Bad::Failure,
            format!(
                "{}: its breaker is {} for {}.",
                shown(&one.server),
                one.breaker,
                span(one.for_ms)
            ),
        );
    }
    if waiting > 0 && counts.alive == 0 {
        say(
            Bad::Failure,
            format!("Nobody works: {streams} {wait} and no consumer is alive."),
        );
    }
    if let Some(ms) = picture.paused_ms {
        let since = if ms > 0 {
            format!(" for {}", span(ms))
        } else {
            String::new()
        };
        say(
            Bad::Warning,
            format!("The service is paused{since}: nothing is handed out."),
        );
    }
    if counts.silent > 0 {
        let (are, they) = (s(counts.silent, "is", "are"), s(counts.silent, "it", "they"));
        let consumers = plural(counts.silent, "consumer");
        say(
            Bad::Warning,
            format!("{consumers} {are} silent: what {they} held goes to the others."),
        );
    }
    if let Some(lost) = picture.rates.lost.filter(|rate| *rate > 0.0) {
        say(Bad::Warning, format!("Workers lose leases: {lost:.1} per second."));
    }
    if let Some(dying) = picture.rates.dead_lettered.filter(|rate| *rate > 0.0) {
        say(
            Bad::Warning,
            format!("Streams become dead letters: {dying:.1} per second."),
        );
    }
    let late = picture.oldest_ms.filter(|ms| *ms > LONG_MS);
    if let Some(ms) = late.filter(|_| waiting > 0 && counts.alive > 0 && picture.paused_ms.is_none()) {
        let age = span(ms);
        say(
            Bad::Warning,
            if counts.free == 0 {
                format!(
                    "All {} slots are taken; {streams} {wait}, the oldest for {age}.",
                    counts.capacity
                )
            } else {
                let (free, are) = (plural(counts.free, "slot"), s(counts.free, "is", "are"));
                format!("The oldest stream has been waiting for {age}, though {free} {are} free.")
            },
        );
    }
    for check in picture.health.iter().flat_map(|health| &health.checks) {
        let bad = match check.verdict {
            "failure" => Bad::Failure,
            "warning" => Bad::Warning,
            _ => continue,
        };
        let name = shown(&check.name).replace('_', " ");
        say(bad, format!("{name}: {}.", shown(&check.found).trim_end_matches('.')));
    }
    if picture.dead_letters > 0 {
        let letters = plural(picture.dead_letters, "dead letter");
        let wait = s(picture.dead_letters, "waits", "wait");
        say(Bad::Info, format!("{letters} {wait} for a decision."));
    }
    if counts.paused > 0 && picture.paused_ms.is_none() {
        let are = s(counts.paused, "is", "are");
        say(
            Bad::Info,
            format!("{} {are} paused.", plural(counts.paused, "consumer")),
        );
    }
    found
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::top::rows::{CheckRow, HealthRow, PartitionRow, Picture};

    fn model(change: impl FnOnce(&mut Model)) -> Model {
        let mut model = Model {
            service: "orders".to_owned(),
            interval: Duration::from_secs(2),
            picture: Picture {
                known: true,
                used: true,
                health: Some(HealthRow::default()),
                ..Picture::default()
            },
            ..Model::default()
        };
        change(&mut model);
        model
    }

    #[track_caller]
    fn assert_says(word: &str, text: &str, change: impl FnOnce(&mut Model)) {
        let verdict = judge(&model(change));
        assert!(verdict.word == word && verdict.headline.contains(text), "{verdict:?}");
    }

    #[test]
    fn the_worst_comes_first_and_what_was_not_looked_for_is_no_good_news() {
        assert_says("OK", "All is well", |_| {});
        assert_says("UNKNOWN", "being asked", |model| model.picture.known = false);
        assert_says("UNKNOWN", "not checked yet", |model| model.picture.health = None);
        assert_says("INFO", "is the name right?", |model| model.picture.used = false);
        assert_says(
            "FAILURE",
            "does not answer; what you see is 9s old (no route)",
            |model| {
                (model.now, model.picture.error) = (Duration::from_secs(9), Some("no route".to_owned()));
                model.picture.paused_ms = Some(5_000);
            },
        );
        assert_says("WARNING", "paused for 5s", |model| {
            model.picture.paused_ms = Some(5_000)
        });
        assert_says("FAILURE", "1 stream waits and no consumer", |model| {
            model.picture.requeued = 1
        });
        assert_says("WARNING", "2 consumers are silent", |model| {
            model.picture.counts.silent = 2
        });
        assert_says("FAILURE", "Partition 1 does not answer: no server", |model| {
            model.picture.partitions = vec![PartitionRow {
                number: 1,
                ..PartitionRow::default()
            }];
        });
        assert_says("WARNING", "maxmemory policy: evicts.", |model| {
            let check = CheckRow {
                name: "maxmemory_policy".to_owned(),
                verdict: "warning",
                found: "evicts.".to_owned(),
                ..CheckRow::default()
            };
            model.picture.health = Some(HealthRow {
                checks: vec![check],
                ..HealthRow::default()
            });
        });
        assert_says("WARNING", "though 1 slot is free", |model| {
            (model.picture.queued, model.picture.oldest_ms) = (1, Some(61_000));
            (model.picture.counts.alive, model.picture.counts.free) = (1, 1);
        });
    }
}
