//! What runs emit, beside what the document lists.

use metrics::Unit;

use crate::document::{self, Metric};
use crate::recording::{self, Description};
use crate::{losing, working};

/// Emitted in no run here, and why.
const EXCEPTIONS: [(&str, &str); 1] = [(
    "streamherd_hints_dropped_total",
    "needs thousands of locks that expire at once, or a program that does not take its notifications",
)];

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn the_document_lists_exactly_what_runs_emit_with_every_label_and_value() {
    let recorded = recording::start();
    let listed = document::metrics();
    tokio::join!(
        working::handlers_of_every_outcome(),
        working::operators(),
        working::trimmed_dead_letters(),
        working::orphans(),
        working::other_programs(),
        losing::an_outage_and_a_loss(),
        losing::an_old_snapshot(),
        losing::lost_answers(),
    );

    let mut wrong = Vec::new();
    let series = recorded.series();
    for (name, kind, labels, _) in &series {
        let Some(metric) = listed.get(name) else {
            wrong.push(format!("{name} is not listed"));
            continue;
        };
        if metric.kind != *kind {
            wrong.push(format!("{name} is a {kind:?}"));
        }
        let mut missing: Vec<_> = metric.labels.keys().map(String::as_str).chain(["service"]).collect();
        for (label, value) in labels {
            missing.retain(|missing| missing != label);
            let known = label == "service" || metric.labels.get(label).is_some_and(|values| values.has(value));
            if !known {
                wrong.push(format!("{name} has {label}={value}"));
            }
        }
        if !missing.is_empty() {
            wrong.push(format!("{name} lacks {missing:?}"));
        }
    }
    for name in listed.keys() {
        let emitted = series
            .iter()
            .any(|(emitted, _, _, counted)| *counted && emitted == name);
        let excepted = EXCEPTIONS.iter().any(|(excepted, _)| excepted == name);
        if emitted == excepted {
            wrong.push(format!("{name}: emitted {emitted}, excepted {excepted}"));
        }
    }
    let described = recorded.described();
    for (name, description) in &described {
        match listed.get(name) {
            None => wrong.push(format!("{name} is described and not listed")),
            Some(metric) => wrong.extend(differs(name, metric, description)),
        }
    }
    let undescribed = listed.keys().filter(|name| !described.contains_key(*name));
    wrong.extend(undescribed.map(|name| format!("{name} is listed and not described")));
    assert!(wrong.is_empty(), "{wrong:#?}");
}

/// Times have a unit, which exporters may append to names; what is counted has none.
fn differs(name: &str, listed: &Metric, described: &Description) -> Option<String> {
    let unit = (listed.unit == "seconds").then_some(Unit::Seconds);
    let named = name.ends_with("_seconds") == unit.is_some()
        && name.ends_with("_total") == (listed.kind == metrics_util::MetricKind::Counter);
    let same = (listed.kind, unit) == (described.kind, described.unit) && described.text.len() > 10;
    (!(same && named)).then(|| format!("{name}: {listed:?}, {described:?}"))
}
