//! What `bench` prints. What it measures here says nothing: too few jobs, and not optimized.

use serde_json::{Map, Value};

use crate::support::{run, stderr, stdout, streamherd};

const FIELDS: [&str; 11] = [
    "workload",
    "n",
    "rate",
    "p50_us",
    "p99_us",
    "worker_cpu_s",
    "redis_cpu_s",
    "peak_rss_kb",
    "redis_cmds_per_job",
    "raw_rate",
    "ratio_to_raw",
];

/// Its lines, in their order.
#[track_caller]
fn bench(args: &[&str]) -> Vec<Map<String, Value>> {
    let output = run(streamherd().arg("bench").args(args));
    assert!(output.status.success(), "{}", stderr(&output));
    let lines = stdout(&output);
    lines.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

/// Which these are; each has all fields, and was compared with something.
#[track_caller]
fn workloads(lines: &[Map<String, Value>]) -> Vec<&str> {
    for line in lines {
        let mut missing = FIELDS.iter().filter(|field| !line.contains_key(**field));
        assert_eq!(missing.next(), None, "{line:?}");
        assert_eq!(line.len(), FIELDS.len(), "{line:?}");
        for positive in ["n", "rate", "raw_rate", "ratio_to_raw"] {
            let number = line[positive].as_f64().unwrap_or_default();
            assert!(number > 0.0, "{positive} of {line:?}");
        }
    }
    lines.iter().map(|line| line["workload"].as_str().unwrap()).collect()
}

#[test]
fn throughput_is_a_line_of_json_per_part_and_the_workload_last() {
    let lines = bench(&["w1", "--runs", "1", "--n", "2000"]);
    let parts = [
        "w1.defaults",
        "w1.submit.coalesce",
        "w1.coalesce",
        "w1.submit.parallel",
        "w1",
    ];
    assert_eq!(workloads(&lines), parts);
    assert!(lines.iter().all(|line| line["n"] == 2000), "{lines:?}");
}

#[test]
fn latency_is_a_median_and_a_slowest_of_a_hundred() {
    let lines = bench(&["w2", "--runs", "1", "--n", "20"]);
    let parts = [
        "w2.coalesce.p99",
        "w2.coalesce",
        "w2.half.p99",
        "w2.half",
        "w2.p99",
        "w2",
    ];
    assert_eq!(workloads(&lines), parts);
    for line in &lines {
        let [p50, p99] = ["p50_us", "p99_us"].map(|field| line[field].as_f64().unwrap());
        assert!(0.0 < p50 && p50 <= p99, "{line:?}");
    }
}

#[test]
fn an_unknown_workload_is_a_usage_error_that_lists_those_there_are() {
    let output = run(streamherd().args(["bench", "w1", "w99"]));
    assert_eq!(output.status.code(), Some(2));
    let message = stderr(&output);
    assert!(message.contains("w99") && message.contains("w1, w2"), "{message}");
    assert_eq!(stdout(&output), "");
}

#[test]
fn an_even_number_of_runs_has_no_median() {
    let output = run(streamherd().args(["bench", "w1", "--runs", "2"]));
    assert_eq!(output.status.code(), Some(2));
    assert!(stderr(&output).contains("odd"), "{}", stderr(&output));
}
