//! What operators run: status, requeue, pause, resume.

use serde_json::Value;
use streamherd_testkit::{Server, eventually_blocking};

use crate::support::{DEADLINE, Worker, at, run, status, stderr, stdout, submit};

/// The lines of `--output json`, and the exit code.
fn json(server: &Server, args: &[&str]) -> (Vec<Value>, Option<i32>) {
    let output = run(at(server).args(["--output", "json"]).args(args));
    let lines = stdout(&output);
    let values = lines.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    (values, output.status.code())
}

/// One line of a table or of plain text, by its beginning.
#[track_caller]
fn line<'a>(text: &'a str, beginning: &str) -> &'a str {
    let found = text.lines().find(|line| line.starts_with(beginning));
    found.unwrap_or_else(|| panic!("no line begins with {beginning:?} in\n{text}"))
}

#[test]
fn status_of_an_unused_service_hints_at_its_name_and_of_a_drained_one_does_not() {
    let server = Server::start();
    let hint = "is the name right?";
    for args in [&["status"][..], &["pause"], &["resume"]] {
        let output = run(at(&server).args(args));
        assert!(output.status.success());
        assert!(stderr(&output).contains(hint), "{}", stderr(&output));
    }
    let mut worker = Worker::start(&server, &["--work-ms", "0"]);
    submit(&server, &["a"]);
    worker.wait_for_events("done", 1);
    worker.end();
    let output = run(at(&server).arg("status"));
    assert_eq!(
        (stderr(&output).as_str(), status(&server)["used"].as_bool()),
        ("", Some(true))
    );
    assert!(stdout(&output).ends_with("no consumers\n"), "{}", stdout(&output));
}

#[test]
fn status_shows_who_works_on_what_since_when_and_what_waits() {
    let server = Server::start();
    let script = "case $STREAMHERD_STREAM in bad) exit 65;; later) exit 75;; *) sleep 60;; esac";
    let mut worker = Worker::start(
        &server,
        &[
            "--exec",
            script,
            "--concurrency",
            "1",
            "--name",
            "w",
            "--retry-first",
            "1440m",
            "--retry-longest",
            "1440m",
            "--shutdown-deadline",
            "0s",
        ],
    );
    submit(&server, &["bad", "later"]);
    worker.wait_for_events("dead_lettered", 1);
    worker.wait_for_events("retry", 1);
    submit(&server, &["works", "waits\u{1b}[2J"]);
    let consumer = |status: &Value| status["consumers"][0].clone();
    let now = eventually_blocking(DEADLINE, "the worker says that it holds one", || {
        let status = status(&server);
        (consumer(&status)["held"] == 1 && status["queued"] == 1).then_some(status)
    });
    for (name, count) in [("requeued", 0), ("pending", 1), ("delayed", 1), ("dead_letters", 1)] {
        assert_eq!(now[name], count, "{name}: {now}");
    }
    assert!(now["delayed_next_ms"].as_u64().unwrap() <= 600_000_000, "{now}");
    assert!(
        now["queued_oldest_ms"].is_u64() && now["requeued_oldest_ms"].is_null(),
        "{now}"
    );
    let row = consumer(&now);
    assert!(row["consumer"].as_str().unwrap().starts_with("w."), "{row}");
    assert_eq!(
        (&row["state"], &row["capacity"], &row["paused"]),
        (&"alive".into(), &1.into(), &false.into())
    );
    assert_eq!(
        (&row["pid"], &row["version"]),
        (&worker.process.pid().into(), &env!("CARGO_PKG_VERSION").into())
    );
    assert!(row["seen_ms"].is_u64() && row["host"].is_string() && row["started_ms"].is_u64());
    assert!(now.get("leases").is_none());

    let (values, code) = json(&server, &["status", "--leases"]);
    assert_eq!((values.len(), code), (1, Some(0)));
    let lease = &values[0]["leases"][0];
    let added = worker
        .events()
        .into_iter()
        .rfind(|event| event["event"] == "added")
        .unwrap();
    for name in ["stream", "id", "token", "attempt", "consumer"] {
        assert_eq!(lease[name], added[name], "{lease}");
    }
    assert_eq!((&lease["state"], &lease["failures"]), (&"leased".into(), &0.into()));
    assert!(lease["age_ms"].is_u64() && lease["pending_ms"].is_u64() && lease["remaining_ms"].as_u64() > Some(0));

    let plain = stdout(&run(at(&server).args(["status", "--leases", "1"])));
    assert!(!plain.contains("progress"), "nobody has reported any: {plain}");
    // As the library writes it.
    let progress = format!("{{orders:0}}:progress:{}", lease["consumer"].as_str().unwrap());
    let said = "1795206880640 0.4286 3 of 7\u{1b}[2J files";
    server
        .client()
        .call(&["HSET", &progress, lease["id"].as_str().unwrap(), said])
        .ok();
    let (values, _) = json(&server, &["status", "--leases"]);
    let told = &values[0]["leases"][0]["progress"];
    assert_eq!(
        (&told["value"], &told["text"]),
        (&0.4286.into(), &"3 of 7\u{1b}[2J files".into())
    );

    let table = stdout(&run(at(&server).args(["status", "--leases", "1"])));
    assert!(
        line(&table, "works").ends_with("43 % 3 of 7\\u{1b}[2J files"),
        "{table}"
    );
    let words = |beginning: &str| {
        line(&table, beginning)
            .split_whitespace()
            .map(str::to_owned)
            .collect::<Vec<_>>()
    };
    assert_eq!(words("orders"), ["orders", "1", "0", "1", "1", "1"], "{table}");
    assert!(table.contains("\nthe first queued stream has waited for "), "{table}");
    assert!(table.contains("\nthe next delayed stream is due in "), "{table}");
    assert_eq!(words("w.")[1..5], ["alive", "1", "1", "1"], "{table}");
    let row = words("works");
    assert!(row[1] == lease["id"].as_str().unwrap() && row[3] == "leased", "{table}");
    worker.end();
}

#[test]
fn more_leases_than_asked_for_are_counted_and_names_stay_in_their_lines() {
    let server = Server::start();
    submit(&server, &["a\u{1b}[2J\nb", "c"]);
    let mut redis = server.client();
    redis.cmd("XGROUP CREATE {orders:0}:input workers 0").ok();
    redis
        .cmd("XREADGROUP GROUP workers ghost STREAMS {orders:0}:input >")
        .ok();
    let table = stdout(&run(at(&server).args(["status", "--leases", "1"])));
    let row = line(&table, "a\\u{1b}[2J\\nb");
    assert!(row.contains("ghost") && row.contains("orphan"), "{table}");
    assert!(table.ends_with("and 1 more; --leases 2 shows all\n"), "{table}");
    assert!(line(&table, "ghost").contains("unregistered"), "{table}");
    let table = stdout(&run(at(&server).args(["status", "--leases", "2"])));
    assert!(
        line(&table, "c ").contains("orphan") && !table.contains("more"),
        "{table}"
    );
}

#[test]
fn requeue_says_what_became_of_each_stream_and_exits_by_it() {
    let server = Server::start();
    let script = "case $STREAMHERD_STREAM in later) exit 75;; *) sleep 60;; esac";
    let mut worker = Worker::start(
        &server,
        &[
            "--exec",
            script,
            "--concurrency",
            "1",
            "--retry-first",
            "1440m",
            "--retry-longest",
            "1440m",
            "--shutdown-deadline",
            "0s",
        ],
    );
    submit(&server, &["later"]);
    worker.wait_for_events("retry", 1);
    submit(&server, &["held"]);
    worker.wait_for_events("added", 2);
    submit(&server, &["queued"]);

    let (values, code) = json(&server, &["requeue", "held", "queued", "later", "nothing"]);
    let outcomes: Vec<_> = values
        .iter()
        .map(|value| (value["stream"].as_str(), value["outcome"].as_str()))
        .collect();
    let wanted = [
        ("held", "held"),
        ("queued", "already_queued"),
        ("later", "made_due"),
        ("nothing", "not_found"),
    ];
    assert_eq!(outcomes, wanted.map(|(stream, outcome)| (Some(stream), Some(outcome))));
    assert_eq!(code, Some(1));
    assert_eq!(
        (&values[0]["consumer"], values[0]["remaining_ms"].as_u64() > Some(0)),
        (&worker.events()[0]["consumer"], true)
    );

    let output = run(at(&server).args(["requeue", "held", "nothing"]));
    assert_eq!((output.status.code(), stdout(&output).as_str()), (Some(1), ""));
    let said = stderr(&output);
    assert!(
        line(&said, "held: held by ").ends_with("--force takes it from its owner"),
        "{said}"
    );
    assert!(line(&said, "nothing: ").contains("not found"), "{said}");

    // Back behind what was made due.
    let output = run(at(&server).args(["requeue", "--force", "held", "queued"]));
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    let text = stdout(&output);
    assert!(line(&text, "front:").ends_with("  held  (re-queued)"), "{text}");
    assert!(text.contains("  queued  (was queued already)"), "{text}");
    worker.wait_for_events("disowned", 1);
    let events = worker.events();
    let lost = events.iter().find(|event| event["event"] == "disowned").unwrap();
    assert_eq!(
        (&lost["stream"], &lost["reason"]),
        (&"held".into(), &"taken_over".into())
    );
    worker.wait_for("it comes again", |events| {
        events
            .iter()
            .filter(|e| e["event"] == "added" && e["stream"] == "held")
            .count()
            == 2
    });
    worker.end();
}

#[test]
fn pause_and_resume_say_what_was_and_what_still_is() {
    let server = Server::start();
    let mut worker = Worker::start(&server, &["--work-ms", "0", "--name", "w"]);
    let id = worker.events()[0]["consumer"].as_str().unwrap().to_owned();
    let told = |args: &[&str]| {
        let output = run(at(&server).args(args));
        assert_eq!(output.status.code(), Some(0), "{args:?}: {}", stderr(&output));
        (stdout(&output), stderr(&output))
    };
    for (target, what) in [
        (&[][..], "service orders".to_owned()),
        (&["--consumer", "w"], "consumer w of service orders".to_owned()),
        (&["--consumer", &id], format!("consumer {id} of service orders")),
    ] {
        for (command, outcome) in [("pause", "is paused"), ("pause", "was paused already")] {
            assert_eq!(
                told(&[&[command], target].concat()),
                (format!("{what} {outcome}\n"), String::new())
            );
        }
        let table = told(&["status"]).0;
        assert!(
            line(&table, "w.").contains("alive, paused") && table.contains(" has been paused for "),
            "{table}"
        );
        submit(&server, &["a"]);
        for (command, outcome) in [("resume", "is resumed"), ("resume", "was not paused")] {
            assert_eq!(
                told(&[&[command], target].concat()),
                (format!("{what} {outcome}\n"), String::new())
            );
        }
        worker.wait_for("it works again", |_| status(&server)["queued"] == 0);
    }

    told(&["pause"]);
    let (_, hint) = told(&["pause", "--consumer", "nobody"]);
    assert!(hint.contains("no consumer nobody takes part"), "{hint}");
    told(&["pause", "--consumer", "w"]);
    let (_, hint) = told(&["resume", "--consumer", "w"]);
    assert!(hint.contains("still paused") && hint.contains(&id), "{hint}");
    let (values, _) = json(&server, &["resume"]);
    let wanted = serde_json::json!({"service": "orders", "consumer": null, "paused": false, "changed": true});
    assert_eq!(values, [wanted]);
    worker.end();
}

#[test]
fn operators_that_say_nothing_to_act_on_get_a_usage_error() {
    for args in [
        &["requeue"][..],
        &["requeue", ""],
        &["pause", "--consumer", ""],
        &["resume", "--consumer"],
        &["status", "--leases", "many"],
    ] {
        let output = run(crate::support::streamherd().args(["--service", "orders"]).args(args));
        assert_eq!(output.status.code(), Some(2), "{args:?}");
    }
}
