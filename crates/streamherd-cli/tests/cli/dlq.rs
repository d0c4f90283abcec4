use serde_json::Value;
use streamherd_testkit::Server;

use crate::support::{at, run, stderr, stdout, streamherd, submit};

/// Dead letters as a worker leaves them: one of each reason, of the streams `a` and `b`, an hour and a minute old.
fn bury(server: &Server) -> [String; 2] {
    let add = "local t = redis.call('TIME') local at = t[1] * 1000 - ARGV[2] \
               return redis.call('XADD', KEYS[1], string.format('%.0f-0', at), 'lbs-input', ARGV[1], '_retry_count', 5, \
               '_sh_failures', 5, '_sh_origin', '5-1', '_sh_first_seen', 5, '_sh_reason', ARGV[3], '_sh_error', ARGV[4], \
               '_sh_consumer', 'w.12345678', '_sh_last_id', '6-1', '_sh_at', string.format('%.0f', at), 'bin', \
               string.char(255, 0))";
    let letter = |stream: &str, age: &str, reason: &str, error: &str| {
        let input = format!("{{\"DataStreamName\":\"{stream}\",\"Info\":{{\"n\":1}}}}");
        let words = ["EVAL", add, "1", "{orders:0}:dlq", &input, age, reason, error];
        server.client().call(&words).text()
    };
    [
        letter("a", "3600000", "max_failures", "first line\nsecond line"),
        letter("b", "60000", "rejected", "no"),
    ]
}

fn dead(server: &Server) -> i64 {
    server.client().cmd("XLEN {orders:0}:dlq").int()
}

#[test]
fn dlq_list_prints_a_line_per_letter_that_is_meant() {
    let server = Server::start();
    let empty = run(at(&server).args(["dlq", "list"]));
    assert!(empty.status.success() && stdout(&empty).is_empty());
    assert_eq!(stderr(&empty), "no dead letters\n");
    let [old, new] = bury(&server);
    let table = stdout(&run(at(&server).args(["dlq", "list"])));
    let lines: Vec<&str> = table.lines().collect();
    assert_eq!(lines.len(), 3, "{table}");
    let cells: Vec<&str> = lines[1].split_whitespace().collect();
    assert_eq!(
        cells[..8],
        [old.as_str(), "1h", "5", "0", "0", "max_failures", "a", "first"],
        "{table}"
    );
    assert!(lines[1].ends_with("first line\\nsecond line"), "{table}");
    for (args, wanted) in [
        (&["--reason", "rejected"][..], vec![&new]),
        (&["--older-than", "30m"], vec![&old]),
        (&["--younger-than", "1h"], vec![&new]),
        (&["--stream", "a"], vec![&old]),
        (&["--limit", "1"], vec![&old]),
        (&["--older-than", "1m", "--younger-than", "1d"], vec![&old, &new]),
        (&["--stream", "c"], vec![]),
    ] {
        let output = run(at(&server).args(["--output", "json", "dlq", "list"]).args(args));
        assert!(output.status.success(), "{}", stderr(&output));
        let rows: Vec<Value> = stdout(&output)
            .lines()
            .map(|line| serde_json::from_str(line).unwrap())
            .collect();
        assert_eq!(
            rows.iter().map(|row| row["id"].as_str().unwrap()).collect::<Vec<_>>(),
            wanted,
            "{args:?}"
        );
        assert!(rows.iter().all(|row| row["failures"] == 5 && row["origin"] == "5-1"));
    }
}

#[test]
fn dlq_show_prints_all_of_a_letter() {
    let server = Server::start();
    let [id, _] = bury(&server);
    let output = run(at(&server).args(["dlq", "show", &id]));
    let text = stdout(&output);
    for part in [
        &id,
        "max_failures, 1h",
        "5 failed, 0 abandoned",
        "bin: \\xff\\x00",
        "_sh_last_id: 6-1",
    ] {
        assert!(text.contains(part), "{text} lacks {part:?}");
    }
    let output = run(at(&server).args(["--output", "json", "dlq", "show", &id]));
    let letter: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(
        (&letter["stream"], &letter["reason"]),
        (&"a".into(), &"max_failures".into())
    );
    let fields = letter["fields"].as_array().unwrap();
    assert!(
        fields.contains(&serde_json::json!(["bin", { "hex": "ff00" }])),
        "{letter}"
    );

    let output = run(at(&server).args(["dlq", "show", "5-5"]));
    assert_eq!(output.status.code(), Some(1));
    assert!(stderr(&output).contains("no dead letter 5-5"), "{}", stderr(&output));
}

#[test]
fn dlq_redrive_queues_what_is_meant_and_a_dry_run_only_says_so() {
    let server = Server::start();
    let [old, new] = bury(&server);
    let output = run(at(&server).args(["dlq", "redrive", "--all", "--dry-run"]));
    assert!(output.status.success(), "{}", stderr(&output));
    assert_eq!(stdout(&output), format!("{old}  redriven  a\n{new}  redriven  b\n"));
    assert_eq!(stderr(&output), "dry run: redriven 2\n");
    assert_eq!(dead(&server), 2);

    let output = run(at(&server).args(["--output", "json", "dlq", "redrive", "--stream", "b", "--rate", "5"]));
    assert!(output.status.success(), "{}", stderr(&output));
    let line: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(
        (line["id"].as_str(), &line["outcome"]),
        (Some(new.as_str()), &"redriven".into())
    );
    assert!(line["reference"].as_str().unwrap().starts_with("front:"));
    assert_eq!(
        (dead(&server), server.client().cmd("XLEN {orders:0}:front").int()),
        (1, 1)
    );

    // One that is there, and one that is not any more.
    let output = run(at(&server).args(["dlq", "redrive", &old, &new]));
    assert_eq!(output.status.code(), Some(1), "{}", stderr(&output));
    assert_eq!(stderr(&output), "redriven 1, gone 1\n");
    assert_eq!(dead(&server), 0);
    let output = run(at(&server).args(["dlq", "redrive", "--all"]));
    assert!(output.status.success(), "nothing to do is no failure");
}

#[test]
fn what_can_not_be_redriven_is_told_by_the_exit_code() {
    let server = Server::start();
    server
        .client()
        .cmd("XADD {orders:0}:dlq * _sh_packed x _sh_reason too_large")
        .ok();
    for more in [&[][..], &["--dry-run"]] {
        let output = run(at(&server).args(["dlq", "redrive", "--reason", "too_large"]).args(more));
        assert_eq!(output.status.code(), Some(1));
        assert!(stderr(&output).contains("too large 1"), "{}", stderr(&output));
    }
    assert_eq!(dead(&server), 1);
}

#[test]
fn dlq_purge_deletes_nothing_without_yes() {
    let server = Server::start();
    bury(&server);
    let output = run(at(&server).args(["dlq", "purge", "--all"]));
    assert_eq!(output.status.code(), Some(2));
    assert!(stderr(&output).contains("--yes"), "{}", stderr(&output));
    let output = run(at(&server).args(["dlq", "purge", "--older-than", "30m", "--dry-run"]));
    assert_eq!(
        (output.status.code(), stderr(&output).as_str()),
        (Some(0), "dry run: purged 1\n")
    );
    assert_eq!(dead(&server), 2);
    let output = run(at(&server).args(["dlq", "purge", "--older-than", "30m", "--yes"]));
    assert_eq!(
        (output.status.code(), stderr(&output).as_str()),
        (Some(0), "purged 1\n")
    );
    assert_eq!(dead(&server), 1);
}

#[test]
fn dlq_refuses_to_guess_which_letters_are_meant() {
    for args in [
        &["redrive"][..],
        &["redrive", "--limit", "5"],
        &["redrive", "--dry-run"],
        &["purge", "--yes"],
        &["redrive", "--all", "--reason", "rejected"],
        &["redrive", "--all", "5-1"],
        &["redrive", "--stream", "a", "5-1"],
        &["redrive", "yesterday"],
        &["redrive", "--reason", "bad luck"],
        &["redrive", "--older-than", "1y"],
        &["redrive", "--all", "--rate", "0"],
        &["purge", "--all", "--yes", "--dry-run"],
        &[],
    ] {
        let output = run(streamherd().args(["--service", "orders", "dlq"]).args(args));
        assert_eq!(output.status.code(), Some(2), "{args:?}: {}", stderr(&output));
        assert!(!stderr(&output).contains("could not be reached"), "{args:?}");
    }
}

#[test]
fn dead_letters_of_a_worker_are_listed_redriven_and_worked_on_again() {
    let server = Server::start();
    submit(&server, &["a"]);
    let work = |script: &str| {
        let mut worker = crate::support::Worker::start(&server, &["--exec", script]);
        worker.wait_for("it is settled", |events| {
            events
                .iter()
                .any(|e| e["event"] == "done" || e["event"] == "dead_lettered")
        });
        worker.end();
    };
    work("echo no such user >&2; exit 65");
    let listed = stdout(&run(at(&server).args(["dlq", "list", "--reason", "rejected"])));
    assert!(listed.contains("no such user"), "{listed}");
    let output = run(at(&server).args(["dlq", "redrive", "--all"]));
    assert!(output.status.success(), "{}", stderr(&output));
    work("exit 0");
    assert_eq!(
        (dead(&server), server.client().cmd("XLEN {orders:0}:front").int()),
        (0, 0)
    );
}
