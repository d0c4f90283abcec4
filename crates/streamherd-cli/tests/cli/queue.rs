use std::collections::BTreeMap;

use serde_json::Value;
use streamherd_testkit::{Server, eventually_blocking};

use crate::support::{DEADLINE, Worker, at, run, run_with_stdin, status, stderr, stdout, submit};

#[test]
fn submit_reads_ndjson_from_stdin() {
    let server = Server::start();
    let input = "{\"stream\": \"a\", \"info\": {\"n\": 12345678901234567890123}}\n\n{\"stream\": \"b\"}\n";
    let output = run_with_stdin(at(&server).args(["--output", "json", "submit", "--file", "-"]), input);
    assert!(output.status.success(), "{}", stderr(&output));

    let printed: Vec<Value> = stdout(&output)
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    assert_eq!(
        printed.iter().map(|line| &line["stream"]).collect::<Vec<_>>(),
        ["a", "b"]
    );
    let queued: BTreeMap<String, String> = server
        .client()
        .cmd("XRANGE {orders:0}:input - +")
        .array()
        .iter()
        .map(|entry| (entry.array()[0].text(), entry.array()[1].pairs()[0].1.clone()))
        .collect();
    assert_eq!(queued.len(), 2);
    let input = |line: &Value| queued[line["id"].as_str().unwrap()].as_str();
    assert_eq!(
        input(&printed[0]),
        r#"{"DataStreamName":"a","Info":{"n": 12345678901234567890123}}"#
    );
    assert_eq!(input(&printed[1]), r#"{"DataStreamName":"b","Info":null}"#);
}

#[test]
fn submit_names_the_lines_that_failed_and_submits_the_others() {
    let server = Server::start();
    let input =
        "{\"stream\": \"a\"}\nnonsense\n{\"stream\": \"\"}\n{\"stream\": \"b\", \"inof\": 1}\n{\"stream\": \"c\"}";
    let output = run_with_stdin(at(&server).args(["submit", "--file", "-"]), input);
    assert_eq!(output.status.code(), Some(1));
    let message = stderr(&output);
    for part in ["line 2:", "line 3:", "line 4:", "submitted 2, failed 3"] {
        assert!(message.contains(part), "{message} lacks {part:?}");
    }
    assert!(
        !message.contains("at line") && message.contains("at column 2"),
        "{message}"
    );
    assert_eq!(server.client().cmd("XLEN {orders:0}:input").int(), 2);
}

#[test]
fn results_are_printed_in_the_order_of_the_lines() {
    let server = Server::start();
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("streams.ndjson");
    let lines: Vec<String> = (0..1_234).map(|n| format!("{{\"stream\": \"s{n}\"}}")).collect();
    std::fs::write(&path, lines.join("\n")).unwrap();
    let output = run(at(&server).args(["submit", "--file"]).arg(&path));
    assert!(output.status.success(), "{}", stderr(&output));
    let printed: Vec<String> = stdout(&output)
        .lines()
        .map(|line| line.split_whitespace().nth(1).unwrap().to_owned())
        .collect();
    assert_eq!(printed, (0..1_234).map(|n| format!("s{n}")).collect::<Vec<_>>());
    assert_eq!(server.client().cmd("XLEN {orders:0}:input").int(), 1_234);
}

#[test]
fn a_file_that_can_not_be_read_is_a_start_up_error() {
    let server = Server::start();
    for path in ["/no/such/file", "/"] {
        let output = run(at(&server).args(["submit", "--file", path]));
        assert_eq!(output.status.code(), Some(2));
        let message = stderr(&output);
        assert!(message.contains(&format!("cannot read {path}:")), "{message}");
    }
}

#[test]
fn the_status_of_an_unused_service_hints_at_its_name() {
    let server = Server::start();
    let hint = "nothing was ever submitted to";
    let output = run(at(&server).arg("status"));
    assert!(output.status.success());
    assert!(stderr(&output).contains(hint), "{}", stderr(&output));
    submit(&server, &["a"]);
    assert_eq!(stderr(&run(at(&server).arg("status"))), "");
}

#[test]
fn status_counts_queued_pending_and_dead() {
    let server = Server::start();
    assert_eq!(status(&server)["consumers"], Value::Array(Vec::new()));
    submit(&server, &["bad"]);
    submit(&server, &["works", "waits"]);
    assert_eq!(status(&server)["queued"], 3);

    let script = "case $STREAMHERD_STREAM in bad) exit 65;; *) sleep 60;; esac";
    let mut worker = Worker::start(
        &server,
        &[
            "--exec",
            script,
            "--concurrency",
            "1",
            "--name",
            "w",
            "--shutdown-deadline",
            "0s",
        ],
    );
    let counts = |status: &Value| ["queued", "requeued", "pending", "dead_letters"].map(|name| status[name].as_u64());
    eventually_blocking(DEADLINE, "one queued, one pending, one dead", || {
        (counts(&status(&server)) == [1, 0, 1, 1].map(Some)).then_some(())
    });
    let status_now = status(&server);
    let consumer = &status_now["consumers"][0];
    assert!(consumer["consumer"].as_str().unwrap().starts_with("w."));
    assert_eq!(consumer["pending"], 1);

    let table = stdout(&run(at(&server).arg("status")));
    let row: Vec<&str> = table.lines().nth(1).unwrap().split_whitespace().collect();
    assert_eq!(row, ["orders", "1", "0", "1", "1"], "{table}");
    worker.end();
}
