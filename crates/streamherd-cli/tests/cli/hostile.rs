//! What others have named can neither steer a terminal nor forge a line, and runs as no command.

use std::fs;
use std::process::Output;

use serde_json::Value;
use streamherd_testkit::{RawClient, Server, eventually_blocking};

use crate::support::{DEADLINE, Worker, at, run, run_with_stdin, stderr, stdout, submit};

/// A title, a cleared screen, a bell, a line written over, a row and a log line of its own, the C1 forms of the same, an
/// override of direction, an isolate, and letters without width.
const HOSTILE: &str = "a\u{1b}]0;pwned\u{7}\u{1b}[2J\u{8}\r\nFORGED  1  2\u{2028}\u{85}\u{9b}31m\u{9d}0;x\u{9c}\u{202e}gpj\u{2066}\
                       \u{200b}\u{feff}";

/// That nothing of it is there as it is, in a line or as one.
#[track_caller]
fn assert_tame(text: &str) {
    for line in text.lines() {
        assert!(!line.starts_with("FORGED"), "a forged line: {text:?}");
        let steers = |c: &char| c.is_control() || (HOSTILE.contains(*c) && !c.is_ascii());
        assert_eq!(line.chars().find(steers), None, "{line:?}");
    }
}

/// That it says all of the name in one line.
#[track_caller]
fn assert_shown(text: &str) {
    assert_tame(text);
    let shown =
        "a\\u{1b}]0;pwned\\u{7}\\u{1b}[2J\\u{8}\\r\\nFORGED  1  2\\u{2028}\\u{85}\\u{9b}31m\\u{9d}0;x\\u{9c}\\u{202e}";
    assert!(text.lines().any(|line| line.contains(shown)), "{text}");
}

/// Both of its outputs.
fn said(output: &Output) -> String {
    stdout(output) + &stderr(output)
}

/// The lines of its JSON.
#[track_caller]
fn values(output: &Output) -> Vec<Value> {
    let text = stdout(output);
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

/// A consumer and a pause of that name, a row that says it of everything, a stream that it holds, and a dead letter.
fn plant(redis: &mut RawClient) {
    for lane in ["input", "front"] {
        redis
            .cmd(&format!("XGROUP CREATE {{orders:0}}:{lane} workers 0 MKSTREAM"))
            .ok();
    }
    let row = serde_json::json!({
        "host": HOSTILE, "pid": 1, "version": HOSTILE, "started_ms": 1, "capacity": 1, "held": 0, "lock_ttl_ms": 6000,
    });
    redis
        .call(&["HSET", "{orders:0}:consumers", HOSTILE, &format!("5 {row}")])
        .ok();
    redis
        .call(&["HSET", "{orders:0}:control", &format!("paused:{HOSTILE}"), "5"])
        .ok();
    let input = serde_json::json!({ "DataStreamName": HOSTILE, "Info": HOSTILE }).to_string();
    redis.call(&["XADD", "{orders:0}:input", "*", "lbs-input", &input]).ok();
    redis
        .call(&[
            "XREADGROUP",
            "GROUP",
            "workers",
            HOSTILE,
            "STREAMS",
            "{orders:0}:input",
            ">",
        ])
        .ok();
    let fields = [
        "_sh_reason",
        HOSTILE,
        "_sh_error",
        HOSTILE,
        "_sh_consumer",
        HOSTILE,
        HOSTILE,
        HOSTILE,
    ];
    let letter = ["XADD", "{orders:0}:dlq", "9-9", "lbs-input", &input];
    redis.call(&[&letter[..], &fields[..]].concat()).ok();
}

#[test]
fn no_name_of_others_steers_the_terminal_of_an_operator_or_forges_a_row() {
    let server = Server::start();
    plant(&mut server.client());
    let long = format!("{HOSTILE}{}", "n".repeat(1_024));
    for (args, shows) in [
        (&["status", "--leases"][..], true),
        (&["dlq", "list"], false),
        (&["dlq", "show", "9-9"], true),
        (&["dlq", "redrive", "--all", "--dry-run"], false),
        (&["dlq", "purge", "--all", "--dry-run"], false),
        (&["pause", "--consumer", HOSTILE], true),
        (&["resume", "--consumer", HOSTILE], true),
        (&["submit", HOSTILE], true),
        (&["submit", &long], true),
        (&["requeue", HOSTILE], true),
        (&["requeue", &format!("{HOSTILE}!")], true),
        (&["doctor"], false),
        (&["dlq", "redrive", "--all"], false),
    ] {
        let text = said(&run(at(&server).args(args)));
        assert!(!text.is_empty(), "{args:?}");
        if shows {
            assert_shown(&text);
        } else {
            assert_tame(&text);
        }
    }
}

#[test]
fn json_of_hostile_names_is_one_line_each_and_keeps_them() {
    let server = Server::start();
    plant(&mut server.client());
    for (args, path) in [
        (&["status", "--leases"][..], "/leases/0/stream"),
        (&["status"], "/consumers/0/consumer"),
        (&["dlq", "list"], "/stream"),
        (&["dlq", "show", "9-9"], "/error"),
        (&["dlq", "redrive", "--all", "--dry-run"], "/stream"),
        (&["pause", "--consumer", HOSTILE], "/consumer"),
        (&["submit", HOSTILE], "/stream"),
        (&["requeue", HOSTILE], "/stream"),
    ] {
        let lines = values(&run(at(&server).args(["--output", "json"]).args(args)));
        let [line] = &lines[..] else {
            panic!("{args:?} printed {lines:?}")
        };
        assert_eq!(line.pointer(path), Some(&HOSTILE.into()), "{args:?}: {line}");
    }
}

#[test]
fn a_line_of_input_that_is_none_is_told_in_a_line() {
    let server = Server::start();
    let line = format!(
        "{{\"stream\": 7, \"\u{1b}[2J\u{9b}31m\": 1}}\n{{\"{}\": 1}}\n",
        "\u{202e}\\u001b[2J"
    );
    let output = run_with_stdin(at(&server).args(["submit", "--file", "-"]), &line);
    assert_eq!(output.status.code(), Some(1));
    let text = said(&output);
    assert_tame(&text);
    assert_eq!(text.lines().count(), 3, "{text}");
}

#[test]
fn what_is_beyond_the_limits_is_refused_line_by_line_and_the_rest_is_submitted() {
    let server = Server::start();
    let lines = [
        format!("{{\"stream\": \"{}\"}}", "n".repeat(1024 * 1024)),
        format!("{{\"stream\": \"big\", \"info\": \"{}\"}}", "x".repeat(1024 * 1024)),
        format!(
            "{{\"stream\": \"huge\", \"info\": \"{}\"}}",
            "x".repeat(10 * 1024 * 1024)
        ),
        format!(
            "{{\"stream\": \"deep\", \"info\": {}{}}}",
            "[".repeat(100_000),
            "]".repeat(100_000)
        ),
        format!("{{\"stream\": {}{}}}", "[".repeat(100_000), "]".repeat(100_000)),
        "{\"stream\": \"good\"}".to_owned(),
    ];
    let output = run_with_stdin(at(&server).args(["submit", "--file", "-"]), &lines.join("\n"));
    assert_eq!(output.status.code(), Some(1));
    let told = stderr(&output);
    assert!(
        told.len() < 4_096,
        "an error is no copy of what it is about: {} bytes",
        told.len()
    );
    for number in [1, 2, 3, 5] {
        assert!(told.contains(&format!("line {number}: ")), "{told}");
    }
    assert!(told.contains("submitted 2, failed 4"), "{told}");
    assert_eq!(server.client().cmd("XLEN {orders:0}:input").int(), 2);
}

#[test]
fn no_name_of_others_forges_a_line_of_a_workers_log() {
    let server = Server::start();
    let log = tempfile::NamedTempFile::new().unwrap();
    let mut command = at(&server);
    command
        .args(["worker", "--exec", "exit 3", "--max-failures", "1", "--events"])
        .env("RUST_LOG", "streamherd=trace,streamherd_cli=trace")
        .stdin(std::process::Stdio::null())
        .stdout(std::process::Stdio::piped())
        .stderr(log.reopen().unwrap());
    let mut worker = Worker::spawn(command);
    submit(&server, &[HOSTILE]);
    let mut redis = server.client();
    // Poison whose errors repeat what it holds.
    for input in [
        format!("{{\"DataStreamName\": {HOSTILE:?}"),
        format!("\"{}\"", HOSTILE.escape_unicode()),
    ] {
        redis.call(&["XADD", "{orders:0}:input", "*", "lbs-input", &input]).ok();
    }
    eventually_blocking(DEADLINE, "all of it is dead letters", || {
        (redis.cmd("XLEN {orders:0}:dlq").int() == 3).then_some(())
    });
    worker.end();
    assert_eq!(worker.story(HOSTILE), ["added", "dead_lettered"]);
    let text = fs::read_to_string(log.path()).unwrap();
    assert_tame(&text);
    let of_events = |line: &&str| line.contains(" WARN ") || line.contains(" DEBUG ") || line.contains(" INFO ");
    let events = text.lines().filter(of_events).count();
    assert!(events > 5, "{text}");
    // "… is ready", "stopping …" and "… has shut down" are the only others.
    assert_eq!(text.lines().count(), events + 3, "{text}");
    let failed = text.lines().find(|line| line.contains("a stream failed")).unwrap();
    assert!(failed.contains("FORGED"), "{failed}");
}

#[test]
fn a_name_is_no_command_whatever_it_holds() {
    let server = Server::start();
    let dir = tempfile::tempdir().unwrap();
    let name = |n: usize| format!("{n}$(touch pwned)`touch pwned`; touch pwned\n\"' && touch pwned #\u{1b}[2J\u{202e}");
    let script = format!(
        "cd '{}' && printf %s \"$STREAMHERD_STREAM\" > \"$STREAMHERD_ID\"",
        dir.path().display()
    );
    let mut worker = Worker::start(&server, &["--exec", &script]);
    let names: Vec<String> = (0..3).map(name).collect();
    submit(&server, &names.iter().map(String::as_str).collect::<Vec<_>>());
    worker.wait_for_events("done", 3);
    worker.end();
    let files = fs::read_dir(dir.path()).unwrap().map(|file| file.unwrap().path());
    let mut seen: Vec<String> = files.map(|file| fs::read_to_string(file).unwrap()).collect();
    seen.sort();
    assert_eq!(seen, names);
}

#[test]
fn a_name_that_no_environment_can_hold_is_a_dead_letter_and_runs_nothing() {
    let server = Server::start();
    let dir = tempfile::tempdir().unwrap();
    let script = format!("echo \"$STREAMHERD_STREAM\" >> '{}/ran'", dir.path().display());
    let mut worker = Worker::start(&server, &["--exec", &script]);
    let input = "{\"stream\": \"ab\\u0000cd\"}\n{\"stream\": \"good\"}\n";
    let output = run_with_stdin(at(&server).args(["submit", "--file", "-"]), input);
    assert!(output.status.success(), "{}", stderr(&output));
    worker.wait_for_events("done", 1);
    worker.wait_for_events("dead_lettered", 1);
    worker.end();
    assert_eq!(worker.story("ab\0cd"), ["added", "dead_lettered"]);
    assert_eq!(fs::read_to_string(dir.path().join("ran")).unwrap(), "good\n");
    let list = stdout(&run(at(&server).args(["dlq", "list"])));
    assert!(list.contains("ab\\u{0}cd") && list.contains("NUL"), "{list}");
}
