use std::collections::BTreeSet;
use std::fs::{self, File};
use std::process::Stdio;

use serde_json::Value;
use streamherd_testkit::{Process, Server, eventually_blocking};

use crate::support::{DEADLINE, Worker, at, status, submit};

fn keys(event: &Value) -> BTreeSet<&str> {
    event.as_object().unwrap().keys().map(String::as_str).collect()
}

#[test]
fn events_are_one_json_object_per_line() {
    let server = Server::start();
    let mut worker = Worker::start(&server, &["--work-ms", "0", "--name", "pod-7"]);
    // As a producer in another language may write it.
    let input = "{\"DataStreamName\": \"a\", \"Info\": {\n  \"text\": \"x\\ny\"\r\n}}";
    server
        .client()
        .call(&["XADD", "{orders:0}:input", "*", "lbs-input", input])
        .ok();
    worker.wait_for_events("done", 1);
    worker.end();

    let lines = worker.lines();
    assert_eq!(lines.len(), 4, "{lines:#?}");
    let events = worker.events();
    let consumer = events[0]["consumer"].as_str().unwrap();
    assert!(
        consumer.starts_with("pod-7.") && consumer.len() == "pod-7.".len() + 8,
        "{consumer}"
    );
    for (event, name) in events.iter().zip(["ready", "added", "done", "terminated"]) {
        assert_eq!(event["event"], name);
        assert_eq!(event["consumer"], consumer);
        assert!(event["at_ms"].as_u64().unwrap() > 1_600_000_000_000);
    }

    let added = &events[1];
    let wanted = [
        "at_ms",
        "event",
        "consumer",
        "stream",
        "id",
        "token",
        "partition",
        "attempt",
        "info",
    ];
    assert_eq!(keys(added), BTreeSet::from(wanted));
    assert_eq!(added["stream"], "a");
    assert_eq!(added["info"], serde_json::json!({"text": "x\ny"}));
    assert_eq!(
        (&added["partition"], &added["attempt"]),
        (&Value::from(0), &Value::from(0))
    );
    assert!(added["token"].as_str().unwrap().parse::<u64>().unwrap() > 0);
    for name in ["stream", "id", "token", "attempt"] {
        assert_eq!(events[2][name], added[name]);
    }
}

#[test]
fn the_streams_of_a_killed_worker_are_worked_on_by_another() {
    let server = Server::start();
    let settings = ["--lock-ttl", "1s", "--scan-interval", "100ms"];
    let mut doomed = Worker::start(&server, &[&settings[..], &["--exec", "sleep 5"]].concat());
    submit(&server, &["a", "b"]);
    doomed.wait_for_events("added", 2);
    let mut heir = Worker::start(&server, &[&settings[..], &["--work-ms", "0"]].concat());
    doomed.process.kill();

    heir.wait_for_events("done", 2);
    let events = heir.events();
    let added = events.iter().filter(|event| event["event"] == "added");
    assert!(added.clone().all(|event| event["attempt"] == 1), "{events:#?}");
    assert_eq!(added.count(), 2);
    heir.end();
}

#[test]
fn a_worker_whose_events_nobody_reads_ends_cleanly() {
    let server = Server::start();
    let mut command = at(&server);
    command
        .args(["worker", "--work-ms", "0", "--events"])
        .stdin(Stdio::null())
        .stdout(Stdio::piped());
    let mut process = Process::spawn(command);
    drop(process.take_stdout());
    let code = eventually_blocking(DEADLINE, "the worker ends", || process.try_wait());
    assert_eq!(code.code(), Some(0));
    assert_eq!(status(&server)["pending"], 0);
}

#[test]
fn a_worker_says_when_it_is_ready_and_how_it_ended() {
    let server = Server::start();
    let dir = tempfile::tempdir().unwrap();
    let log = dir.path().join("log");
    let mut command = at(&server);
    command
        .args(["worker", "--work-ms", "60s", "--shutdown-deadline", "1s", "--name", "w"])
        .stdin(Stdio::null())
        .stderr(File::create(&log).unwrap());
    let mut process = Process::spawn(command);
    submit(&server, &["a"]);
    eventually_blocking(DEADLINE, "the stream is in work", || {
        (status(&server)["pending"] == 1).then_some(())
    });
    // As wrappers do, which deliver one signal twice.
    process.terminate();
    eventually_blocking(DEADLINE, "the worker is stopping", || {
        fs::read_to_string(&log).unwrap().contains("stopping").then_some(())
    });
    process.terminate();
    assert_eq!(process.wait(DEADLINE).code(), Some(0));

    let log = fs::read_to_string(&log).unwrap();
    let lines: Vec<&str> = log.lines().collect();
    let consumer = lines[0].split(' ').next().unwrap();
    assert!(consumer.starts_with("w."), "{log}");
    assert_eq!(
        lines,
        [
            format!("{consumer} is ready on service orders"),
            "stopping; signal again to stop at once".to_owned(),
            format!("{consumer} has shut down; since it was asked to: 0 done, 1 released"),
        ]
    );
}
