//! `docs/METRICS.md`, read.

use std::collections::{BTreeMap, BTreeSet};

use metrics_util::MetricKind;

use crate::files::read;

/// What a label may be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Values {
    These(BTreeSet<String>),
    Number,
}

impl Values {
    pub(crate) fn has(&self, value: &str) -> bool {
        match self {
            Self::These(values) => values.contains(value),
            Self::Number => value.parse::<u16>().is_ok(),
        }
    }
}

/// A line of a table.
#[derive(Debug)]
pub(crate) struct Metric {
    pub(crate) kind: MetricKind,
    pub(crate) labels: BTreeMap<String, Values>,
    pub(crate) unit: String,
}

/// All metrics, by name.
pub(crate) fn metrics() -> BTreeMap<String, Metric> {
    let text = read("docs/METRICS.md");
    // Those of the dashboard its own tests compare.
    let (before, theirs) = text.split_once("## Told by the dashboard").expect("a heading");
    let (_, after) = theirs.split_once("\n## ").expect("another heading");
    let text = [before, after].concat();
    let calls = calls(&text);
    let mut metrics = BTreeMap::new();
    for line in text.lines().filter(|line| line.starts_with("| `streamherd_")) {
        let cells: Vec<_> = line.trim_matches('|').split('|').map(str::trim).collect();
        let [name, kind, labels, unit, meaning, _worry] = cells[..] else {
            panic!("six cells: {line}");
        };
        let name = name.trim_matches('`');
        assert!(meaning.len() > 10 && !unit.is_empty(), "{line}");
        let metric = Metric {
            kind: match kind {
                "counter" => MetricKind::Counter,
                "gauge" => MetricKind::Gauge,
                "histogram" => MetricKind::Histogram,
                _ => panic!("{name} is a {kind}"),
            },
            labels: labels
                .split(';')
                .filter(|label| !label.is_empty())
                .map(|label| values(label, &calls))
                .collect(),
            unit: unit.to_owned(),
        };
        let twice = metrics.insert(name.to_owned(), metric);
        assert!(twice.is_none(), "{name} is there twice");
    }
    assert!(metrics.len() > 30, "{metrics:#?}");
    metrics
}

/// `` `outcome`: new, coalesced ``
fn values(label: &str, calls: &BTreeSet<String>) -> (String, Values) {
    let (name, values) = label.trim().split_once(':').unwrap_or_else(|| panic!("{label}"));
    let values = match values.trim() {
        "a number" => Values::Number,
        "a call" => Values::These(calls.clone()),
        these => Values::These(these.split(',').map(|value| value.trim().to_owned()).collect()),
    };
    (name.trim_matches('`').to_owned(), values)
}

/// The first column of the table at the end.
fn calls(text: &str) -> BTreeSet<String> {
    let (_, table) = text.split_once("### Calls").expect("the calls have a table");
    let firsts = table
        .lines()
        .filter_map(|line| line.strip_prefix('|')?.split('|').next());
    let names = firsts.flat_map(|first| first.split('`').skip(1).step_by(2));
    names.map(str::to_owned).collect()
}
