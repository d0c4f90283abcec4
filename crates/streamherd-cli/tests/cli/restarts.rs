//! What a worker process does when its Redis goes and comes back, with its data or without.

use std::fs;
use std::path::Path;

use serde_json::Value;
use streamherd_testkit::Server;

use crate::support::{Worker, at, run, status, stderr};

/// A worker on three partitions whose streams are in work until the file exists.
fn start(server: &Server, gate: &Path) -> Worker {
    let command = format!("until test -e '{}'; do sleep 0.05; done", gate.display());
    Worker::start(server, &["--partitions", "3", "--exec", &command])
}

fn submit(server: &Server, names: &[&str]) {
    let output = run(at(server).args(["--partitions", "3", "submit"]).args(names));
    assert!(output.status.success(), "{}", stderr(&output));
}

/// Which leases this happened to.
fn tokens(events: &[Value], name: &str) -> Vec<String> {
    let mut tokens: Vec<_> = events
        .iter()
        .filter(|event| event["event"] == name)
        .map(|event| format!("{} {}", event["stream"], event["token"]))
        .collect();
    tokens.sort();
    tokens
}

#[test]
fn a_worker_tells_of_a_redis_that_came_back_empty_and_finishes_what_it_holds() {
    let mut server = Server::start();
    let dir = tempfile::tempdir().unwrap();
    let gate = dir.path().join("gate");
    let mut worker = start(&server, &gate);
    submit(&server, &["a", "b", "c"]);
    worker.wait_for_events("added", 3);
    server.restart_empty();

    worker.wait_for_events("data_loss", 3);
    let mut partitions = Vec::new();
    for event in worker.events() {
        if event["event"] == "data_loss" {
            assert!(event["at_ms"].as_u64().is_some(), "{event}");
            assert!(event["consumer"].as_str().is_some(), "{event}");
            assert_eq!(event.as_object().unwrap().len(), 4, "{event}");
            partitions.push(event["partition"].as_u64().unwrap());
        }
    }
    partitions.sort_unstable();
    assert_eq!(partitions, [0, 1, 2], "each partition is told of once");
    assert_eq!(status(&server)["pending"], 3, "what is held was written back");

    fs::write(&gate, "").unwrap();
    submit(&server, &["d"]);
    worker.wait_for_events("done", 4);
    let events = worker.events();
    assert_eq!(tokens(&events, "done"), tokens(&events, "added"), "{events:#?}");
    assert_eq!(status(&server)["pending"], 0);
    worker.end();
}

#[test]
fn a_worker_outlives_a_restart_of_a_redis_that_keeps_its_data() {
    let mut server = Server::builder().persistent().start();
    let dir = tempfile::tempdir().unwrap();
    let gate = dir.path().join("gate");
    let mut worker = start(&server, &gate);
    submit(&server, &["a", "b", "c"]);
    worker.wait_for_events("added", 3);
    server.restart();

    submit(&server, &["d"]);
    worker.wait_for_events("added", 4);
    fs::write(&gate, "").unwrap();
    worker.wait_for_events("done", 4);
    let events = worker.events();
    assert_eq!(tokens(&events, "done"), tokens(&events, "added"), "{events:#?}");
    assert!(events.iter().all(|event| event["event"] != "data_loss"), "{events:#?}");
    worker.end();
}
