//! What `top` changes, and that it asks first.

use streamherd_testkit::{Server, eventually_blocking};

use super::{bury, letters, orphan};
use crate::support::{DEADLINE, Worker, at, run, status, stderr, submit};
use crate::terminal::Terminal;

#[test]
fn a_dead_letter_is_read_and_redriven_after_a_yes_and_not_after_a_no() {
    let server = Server::start();
    bury(&server, &["broken-1"]);
    let mut redis = server.client();
    let mut top = Terminal::top(&server, &[]);
    top.press("5");
    top.wait_for(&["▸ broken-1", "rejected"]);
    top.press("\r");
    top.wait_for(&[
        "Dead letter 0/",
        "lbs-input: {\"DataStreamName\":\"broken-1\"",
        "reason       rejected",
    ]);
    top.press("\u{1b}");
    top.wait_for(&["▸ broken-1"]);
    for no in ["n", "\u{1b}"] {
        top.press("r");
        top.wait_for(&[
            "Redrive the dead letter of “broken-1”?",
            "front of the queue",
            "y: yes, do it",
        ]);
        top.press(no);
        top.wait_for(&["Nothing was changed."]);
        top.wait_without("y: yes, do it");
        assert_eq!(
            (letters(&mut redis), status(&server)["requeued"].as_u64()),
            (1, Some(0))
        );
        top.press("k");
        top.wait_without("Nothing was changed.");
    }
    top.press("r");
    top.wait_for(&["y: yes, do it"]);
    top.press("y");
    top.wait_for(&["Done", "Redriven: it is queued again as front:"]);
    assert_eq!(
        (letters(&mut redis), status(&server)["requeued"].as_u64()),
        (0, Some(1))
    );
    top.press(" ");
    top.wait_for(&["No dead letters."]);
}

#[test]
fn the_service_and_a_consumer_are_paused_and_resumed() {
    let server = Server::start();
    let mut worker = Worker::start(&server, &["--work-ms", "0", "--name", "w"]);
    let mut top = Terminal::top(&server, &[]);
    top.wait_for(&["1 alive hold"]);
    let is_paused = |paused: bool| {
        eventually_blocking(DEADLINE, "it is paused or not", || {
            (status(&server)["consumers"][0]["paused"] == paused).then_some(())
        });
    };
    top.press("p");
    top.wait_for(&["Pause service orders?", "What is held goes on."]);
    assert!(status(&server)["paused_ms"].is_null());
    top.press("y");
    top.wait_for(&["It is paused."]);
    is_paused(true);
    top.press(" ");
    top.wait_for(&["WARNING", "The service is paused"]);
    top.press("p");
    top.wait_for(&["Resume service orders?"]);
    top.press("y");
    top.wait_for(&["It is resumed."]);
    is_paused(false);
    top.press(" 2");
    top.wait_for(&["▸ w.", "alive"]);
    top.wait_without("paused");
    top.press("p");
    top.wait_for(&["Pause consumer w."]);
    top.press("y");
    top.wait_for(&["It is paused."]);
    assert!(
        status(&server)["pauses"][0]["consumer"]
            .as_str()
            .unwrap()
            .starts_with("w.")
    );
    top.press(" ");
    top.wait_for(&["alive paused"]);
    top.press("p");
    top.wait_for(&["Resume consumer w."]);
    top.press("y");
    top.wait_for(&["It is resumed."]);
    is_paused(false);
    worker.end();
}

#[test]
fn an_orphan_and_a_delayed_stream_are_queued_again_and_a_held_one_is_taken() {
    let server = Server::start();
    orphan(&server, &["lost"]);
    let output = run(at(&server).args(["submit", "later", "--delay", "1h"]));
    assert!(output.status.success(), "{}", stderr(&output));
    let mut top = Terminal::top(&server, &[]);
    top.press("3");
    top.wait_for(&["▸ lost", "orphan", "ghost"]);
    top.press("a");
    top.wait_for(&["Queue “lost” again?", "without waiting for the scan"]);
    top.press("y");
    top.wait_for(&["It is at the front of the queue now"]);
    top.press(" ");
    top.wait_for(&["Nothing is pending at a consumer."]);
    top.press("4");
    top.wait_for(&["▸ later", "in 59m"]);
    top.press("a");
    top.wait_for(&["Queue “later” now?"]);
    top.press("y");
    top.wait_for(&["It is on the queue now"]);
    top.press(" ");
    top.wait_for(&["Nothing waits for a retry's delay"]);
    let now = status(&server);
    let counts = ["queued", "requeued", "pending", "delayed"].map(|name| now[name].as_u64().unwrap());
    assert_eq!((counts[0] + counts[1], counts[2], counts[3]), (2, 0, 0), "{now}");

    let mut worker = Worker::start(
        &server,
        &["--exec", "sleep 60", "--concurrency", "2", "--shutdown-deadline", "0s"],
    );
    worker.wait_for_events("added", 2);
    top.press("3");
    top.wait_for(&["leased"]);
    top.press("a");
    top.wait_for(&["from its owner?", "loses its lease"]);
    top.press("y");
    top.wait_for(&["It is at the front of the queue now"]);
    worker.wait_for_events("disowned", 1);
    worker.end();
}

#[test]
fn of_two_runs_of_one_name_the_marked_one_is_taken() {
    let server = Server::start();
    for _ in 0..2 {
        let output = run(at(&server).args(["submit", "twin", "--parallel"]));
        assert!(output.status.success(), "{}", stderr(&output));
    }
    let mut worker = Worker::start(
        &server,
        &["--exec", "sleep 60", "--concurrency", "2", "--shutdown-deadline", "0s"],
    );
    worker.wait_for_events("added", 2);
    let ids = |name: &str| -> Vec<String> {
        let events = worker.events().into_iter().filter(|event| event["event"] == name);
        events.map(|event| event["id"].as_str().unwrap().to_owned()).collect()
    };
    let mut held = ids("added");
    held.sort();
    let mut top = Terminal::top(&server, &[]);
    top.press("3");
    top.wait_for(&["▸ twin", "leased"]);
    top.press("j");
    top.press("\r");
    top.wait_for(&[&format!("Lease 0/{}", held[1])]);
    top.press("a");
    top.wait_for(&["Take “twin” from its owner?"]);
    top.press("y");
    top.wait_for(&["It is at the front of the queue now"]);
    worker.wait_for_events("disowned", 1);
    assert_eq!(ids("disowned"), held[1..]);
    worker.end();
}

#[test]
fn a_stream_that_passed_on_while_the_question_stood_open_is_taken_from_nobody() {
    let server = Server::start();
    submit(&server, &["solo"]);
    let mut worker = Worker::start(&server, &["--exec", "sleep 60", "--shutdown-deadline", "0s"]);
    worker.wait_for_events("added", 1);
    let mut top = Terminal::top(&server, &[]);
    top.press("3");
    top.wait_for(&["▸ solo", "leased"]);
    top.press("a");
    top.wait_for(&["Take “solo” from its owner?"]);
    let output = run(at(&server).args(["requeue", "solo", "--force"]));
    assert!(output.status.success(), "{}", stderr(&output));
    worker.wait_for_events("disowned", 1);
    worker.wait_for_events("added", 2);
    top.press("y");
    top.wait_for(&["It has moved on; look again."]);
    let lease = status(&server);
    assert_eq!(
        (&lease["pending"], &lease["requeued"]),
        (&1.into(), &0.into()),
        "{lease}"
    );
    worker.end();
}

#[test]
fn read_only_takes_the_keys_away() {
    let server = Server::start();
    bury(&server, &["broken-1"]);
    let mut top = Terminal::top(&server, &["--read-only"]);
    top.wait_for(&["read-only", "live, seen"]);
    top.press("5");
    top.wait_for(&["▸ broken-1"]);
    for key in ["r", "y", "p", "y", "a"] {
        top.press(key);
        top.wait_for(&["▸ broken-1"]);
    }
    top.wait_for(&["Read-only: started with --read-only"]);
    top.press("q");
    assert_eq!(top.wait(), 0);
    assert_eq!(letters(&mut server.client()), 1);
    assert!(status(&server)["paused_ms"].is_null());
}
