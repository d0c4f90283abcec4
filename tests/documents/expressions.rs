//! The expressions of dashboard, rules and autoscalers, beside the list of metrics.

use std::collections::{BTreeMap, BTreeSet};

use metrics_util::MetricKind;
use serde::Deserialize as _;
use serde_json::Value;

use crate::document::{self, Metric};
use crate::files::{read, texts, yaml};

const RULES: &str = "docs/alerts/streamherd.rules.yml";
/// What Prometheus adds to what a process tells.
const SCRAPED: [&str; 5] = ["job", "instance", "namespace", "pod", "le"];

/// What an expression names.
#[derive(Debug, Default, PartialEq, Eq)]
struct Named {
    /// Metrics and recorded series, each with its matchers: label and value.
    series: Vec<(String, Vec<(String, String)>)>,
    /// What `by`, `on` and the like list.
    grouping: Vec<String>,
}

const fn is_name(c: char) -> bool {
    c.is_ascii_alphanumeric() || c == '_' || c == ':'
}

/// Reads as much of PromQL as it takes to find the names in it.
fn named(expression: &str) -> Named {
    let mut named = Named::default();
    let mut rest = expression;
    while let Some(start) = rest.find(is_name) {
        rest = &rest[start..];
        let end = rest.find(|c| !is_name(c)).unwrap_or(rest.len());
        let (word, after) = rest.split_at(end);
        rest = after;
        let next = after.trim_start();
        if word.starts_with("streamherd") {
            let matchers = next.strip_prefix('{').and_then(|inside| inside.split_once('}'));
            if let Some((_, after)) = matchers {
                rest = after;
            }
            let matchers = matchers.map(|(inside, _)| pairs(inside)).unwrap_or_default();
            named.series.push((word.to_owned(), matchers));
        } else if ["by", "without", "on", "ignoring", "group_left", "group_right"].contains(&word) {
            let (inside, after) = next
                .strip_prefix('(')
                .and_then(|n| n.split_once(')'))
                .expect(expression);
            let labels = inside.split(',').map(str::trim).filter(|label| !label.is_empty());
            named.grouping.extend(labels.map(str::to_owned));
            rest = after;
        }
    }
    named
}

/// `state=~"queued|requeued",service="orders"`
fn pairs(inside: &str) -> Vec<(String, String)> {
    let one = |pair: &str| {
        let end = pair.find(|c| !is_name(c)).unwrap_or_else(|| panic!("{pair}"));
        let (label, matcher) = pair.split_at(end);
        let value = matcher.trim_start_matches(['=', '~', '!']).trim().trim_matches('"');
        (label.trim().to_owned(), value.to_owned())
    };
    let pairs = inside.split(',').map(str::trim).filter(|pair| !pair.is_empty());
    pairs.map(one).collect()
}

/// What is wrong with an expression.
fn wrong(expression: &str, listed: &BTreeMap<String, Metric>, recorded: &BTreeSet<String>) -> Vec<String> {
    let mut wrong = Vec::new();
    let Named { series, grouping } = named(expression);
    for (name, matchers) in &series {
        if recorded.contains(name) {
            continue;
        }
        let of_histogram = ["_bucket", "_sum", "_count"]
            .iter()
            .find_map(|suffix| listed.get(name.strip_suffix(suffix)?));
        let metric = match (listed.get(name), of_histogram) {
            (Some(metric), _) if metric.kind != MetricKind::Histogram => metric,
            (None, Some(metric)) if metric.kind == MetricKind::Histogram => metric,
            _ => {
                wrong.push(format!("{name} is not listed: {expression}"));
                continue;
            }
        };
        for (label, value) in matchers {
            let known = SCRAPED.contains(&label.as_str())
                || label == "service"
                || metric
                    .labels
                    .get(label)
                    .is_some_and(|values| value.split('|').all(|value| value.contains('$') || values.has(value)));
            if !known {
                wrong.push(format!("{name} has no {label} of {value}: {expression}"));
            }
        }
    }
    for label in &grouping {
        let somewhere = listed.values().any(|metric| metric.labels.contains_key(label));
        if !somewhere && label != "service" && !SCRAPED.contains(&label.as_str()) {
            wrong.push(format!("no metric has {label}: {expression}"));
        }
    }
    wrong
}

fn recorded(rules: &Value) -> BTreeSet<String> {
    texts(rules, "record").into_iter().map(str::to_owned).collect()
}

#[test]
fn every_expression_names_metrics_labels_and_values_that_are_listed() {
    let listed = document::metrics();
    let rules = yaml(RULES).remove(0);
    let recorded = recorded(&rules);
    let tests = yaml("docs/alerts/streamherd.tests.yml").remove(0);
    let board: Value = serde_json::from_str(&read("docs/grafana/streamherd.json")).unwrap();
    let keda = yaml("examples/deploy/keda.yaml").remove(0);
    let adapter = &yaml("examples/deploy/hpa.yaml")[1];
    let adapter = serde_yaml_ng::Deserializer::from_str(adapter["data"]["config.yaml"].as_str().unwrap());
    let adapter = Value::deserialize(adapter).unwrap();
    let sources = [
        ("rules", &rules, "expr", 20),
        ("tests", &tests, "expr", 4),
        ("tests", &tests, "series", 20),
        ("dashboard", &board, "expr", 40),
        ("dashboard", &board, "definition", 1),
        ("keda", &keda, "query", 2),
        ("adapter", &adapter, "seriesQuery", 2),
    ];
    let mut all = Vec::new();
    for (source, document, key, least) in sources {
        let expressions = texts(document, key);
        assert!(expressions.len() >= least, "{source}: {expressions:?}");
        for expression in expressions {
            assert!(!named(expression).series.is_empty(), "{source}: {expression}");
            all.extend(
                wrong(expression, &listed, &recorded)
                    .into_iter()
                    .map(|e| format!("{source}: {e}")),
            );
        }
    }
    assert!(all.is_empty(), "{all:#?}");
}

#[test]
fn an_expression_that_names_anything_else_is_found() {
    let listed = document::metrics();
    let recorded = BTreeSet::from(["streamherd:backlog".to_owned()]);
    let good = [
        r#"sum by (service, le) (rate(streamherd_store_seconds_bucket{operation=~"renew|settle",service=~"$service"}[5m]))"#,
        r#"max by (partition) (streamherd_queue_entries{partition="3",state!="pending"}) unless on (service) streamherd:backlog"#,
    ];
    for expression in good {
        assert_eq!(wrong(expression, &listed, &recorded), Vec::<String>::new());
    }
    let bad = [
        "streamherd_queue_entrys > 0",
        "streamherd:backlogs",
        "rate(streamherd_store_seconds[5m])",
        "streamherd_leases_held_sum",
        r#"streamherd_queue_entries{state="waiting"}"#,
        r#"streamherd_scans_total{outcome=~"ok|fails"}"#,
        r#"streamherd_leases_held{partition="0"}"#,
        "sum by (stream) (streamherd_leases_held)",
    ];
    for expression in bad {
        assert_eq!(wrong(expression, &listed, &recorded).len(), 1, "{expression}");
    }
}

#[test]
fn every_alert_says_what_it_means_and_names_a_heading_that_is_there() {
    let operations = read("docs/OPERATIONS.md");
    let rules = yaml(RULES).remove(0);
    let groups = rules["groups"].as_array().unwrap().iter();
    let alerts: Vec<&Value> = groups
        .flat_map(|group| group["rules"].as_array().unwrap())
        .filter(|rule| !rule["alert"].is_null())
        .collect();
    assert!(alerts.len() >= 12, "{alerts:#?}");
    for alert in alerts {
        let name = alert["alert"].as_str().unwrap();
        let severity = alert["labels"]["severity"].as_str().unwrap();
        assert!(["info", "warning", "critical"].contains(&severity), "{name}");
        let notes = &alert["annotations"];
        for note in ["summary", "description"] {
            assert!(notes[note].as_str().is_some_and(|note| note.len() > 20), "{name}");
        }
        let anchor = format!("docs/OPERATIONS.md#{}", name.to_lowercase());
        assert_eq!(notes["runbook_url"], anchor, "{name}");
        assert!(operations.contains(&format!("\n### {name}\n")), "{name} has no heading");
    }
}

#[test]
fn the_dashboard_shows_what_it_has_under_names_of_its_own() {
    let board: Value = serde_json::from_str(&read("docs/grafana/streamherd.json")).unwrap();
    assert!(board["schemaVersion"].as_u64().unwrap() >= 39);
    let panels = board["panels"].as_array().unwrap();
    let mut seen = BTreeSet::new();
    for panel in panels {
        assert!(seen.insert(panel["id"].as_u64().unwrap()), "{panel}");
        if panel["type"] == "row" {
            continue;
        }
        assert_eq!(panel["datasource"]["uid"], "${datasource}");
        assert!(panel["description"].as_str().unwrap().len() > 10, "{panel}");
        assert!(!panel["fieldConfig"]["defaults"]["unit"].as_str().unwrap().is_empty());
        for target in panel["targets"].as_array().unwrap() {
            assert!(!target["legendFormat"].as_str().unwrap().is_empty(), "{target}");
            assert_eq!(target["datasource"]["uid"], "${datasource}");
        }
    }
    let rows = panels.iter().filter(|panel| panel["type"] == "row");
    let rows: Vec<_> = rows.map(|row| row["title"].as_str().unwrap()).collect();
    assert_eq!(
        rows,
        [
            "Flow",
            "Queue",
            "Leases and handlers",
            "Recovery",
            "Dead letters",
            "Redis"
        ]
    );
    let variables: Vec<_> = texts(&board["templating"], "name");
    assert_eq!(variables, ["datasource", "service"]);
}
