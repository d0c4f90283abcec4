use std::collections::BTreeMap;

use serde_json::Value;
use streamherd_testkit::Server;

use crate::support::{Worker, at, run, run_with_stdin, status, stderr, stdout};

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

/// The clock of Redis, in milliseconds.
fn redis_ms(server: &Server) -> u64 {
    let time = server.client().cmd("TIME").strings();
    time[0].parse::<u64>().unwrap() * 1000 + time[1].parse::<u64>().unwrap() / 1000
}

#[test]
fn submit_after_a_delay_is_never_early_by_the_clock_of_redis() {
    let server = Server::start();
    let before = redis_ms(&server);
    let output = run(at(&server).args(["submit", "a", "b", "--delay", "700ms"]));
    let text = stdout(&output);
    assert!(text.lines().all(|line| line.starts_with("delayed:")), "{text}");
    let status = status(&server);
    assert_eq!(
        (&status["delayed"], &status["queued"]),
        (&Value::from(2), &Value::from(0))
    );

    let mut worker = Worker::start(&server, &["--work-ms", "0"]);
    worker.wait_for_events("done", 2);
    let events = worker.events();
    let mut added = events.iter().filter(|event| event["event"] == "added");
    // The worker's clock is the server's: it is the same machine.
    let in_time = |event: &Value| event["at_ms"].as_u64().unwrap() >= before + 700 && event["attempt"] == 0;
    assert!(added.all(in_time), "not before {before} + 700: {events:#?}");
    worker.end();
}

#[test]
fn a_submit_of_what_is_queued_is_coalesced_and_one_in_parallel_is_not() {
    let server = Server::start();
    let text = stdout(&run(at(&server).args(["submit", "a"])));
    let id = text.split_whitespace().next().unwrap();
    assert_eq!(text, format!("{id}  a\n"));
    let again = stdout(&run(at(&server).args(["submit", "a"])));
    assert_eq!(again, format!("{id}  a  (coalesced)\n"));
    let json = |args: &[&str]| -> Vec<Value> {
        let output = run(at(&server).args(["--output", "json", "submit"]).args(args));
        stdout(&output)
            .lines()
            .map(|line| serde_json::from_str(line).unwrap())
            .collect()
    };
    let lines = json(&["a", "b"]);
    assert_eq!(
        lines[0],
        serde_json::json!({"stream": "a", "id": id, "coalesced": true})
    );
    assert_eq!(
        (&lines[1]["stream"], &lines[1]["coalesced"]),
        (&"b".into(), &false.into())
    );
    assert_eq!(status(&server)["queued"], 2);

    let lines = json(&["--parallel", "a", "a"]);
    let apart = |line: &Value| line["coalesced"] == false && line["id"] != id;
    assert!(lines.iter().all(apart), "{lines:?}");
    assert_eq!(status(&server)["queued"], 4);
}
