use serde_json::{Value, json};
use streamherd_testkit::Server;

use crate::support::{Worker, at, run, stderr, stdout, streamherd};

const MIGRATE: [&str; 5] = ["migrate", "--from", "go", "--to", "native"];

#[test]
fn what_go_producers_queued_is_worked_on_by_native_workers() {
    let server = Server::start();
    let mut redis = server.client();
    for n in 0..3 {
        let input = json!({ "DataStreamName": format!("user-{n}"), "Info": { "n": n } }).to_string();
        redis.call(&["XADD", "orders-input", "*", "lbs-input", &input]).ok();
    }
    let output = run(at(&server).args(MIGRATE).args(["--dry-run", "--output", "json"]));
    let said: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!((&said["queued"], &said["dry_run"]), (&json!(3), &json!(true)));
    assert_eq!(redis.cmd("XLEN orders-input").int(), 3);

    let output = run(at(&server).args(MIGRATE));
    assert!(output.status.success(), "{}", stderr(&output));
    assert_eq!(
        stdout(&output),
        "moved: 3 queued, 0 delayed, 0 of dead workers, 0 dead letters, 0 held\n\
         moved: 0 queued, 0 delayed, 0 of dead workers, 0 dead letters, 0 held\n"
    );
    let worker = Worker::start(&server, &["--work-ms", "1"]);
    worker.wait_for("all are done", |events| {
        events.iter().filter(|event| event["event"] == "done").count() == 3
    });
}

#[test]
fn what_is_held_is_waited_for_unless_once_is_asked_for() {
    let server = Server::start();
    let mut redis = server.client();
    let output = run(at(&server).args(["--layout", "go", "submit", "held", "waiting", "--info", "{}"]));
    assert!(output.status.success(), "{}", stderr(&output));
    let worker = Worker::spawn({
        let mut command = at(&server);
        command.args([
            "--layout",
            "go",
            "worker",
            "--events",
            "--work-ms",
            "600000",
            "--concurrency",
            "1",
        ]);
        command
            .stdin(std::process::Stdio::null())
            .stdout(std::process::Stdio::piped());
        command
    });
    worker.wait_for("one is held", |events| {
        events.iter().any(|event| event["event"] == "added")
    });
    let output = run(at(&server).args(MIGRATE).arg("--once"));
    assert_eq!(output.status.code(), Some(1), "{}", stderr(&output));
    assert!(stdout(&output).contains("1 queued"), "{}", stdout(&output));
    assert_eq!(redis.cmd("XLEN orders-input").int(), 1);

    // The worker gives back what it holds, and the command ends when that has been moved, too.
    let waiting = std::thread::spawn({
        let mut command = at(&server);
        command.args(MIGRATE);
        move || run(&mut command)
    });
    worker.process.terminate();
    let output = waiting.join().unwrap();
    assert!(output.status.success(), "{}", stderr(&output));
    assert_eq!(redis.cmd("XLEN orders-input").int(), 0);
    assert_eq!(redis.cmd("XLEN {orders:0}:input").int(), 2);
}

#[test]
fn a_cluster_has_nothing_to_migrate() {
    let url = ["--url", "redis-cluster://127.0.0.1:1", "--service", "orders"];
    let output = run(streamherd().args(url).args(MIGRATE));
    assert_eq!(output.status.code(), Some(2));
    let said = stderr(&output);
    assert!(said.contains("different slots") && said.contains("--layout"), "{said}");
}
