use std::fs;

use serde_json::Value;
use streamherd_testkit::{RawClient, Reply, Server, eventually_blocking};

use crate::support::{DEADLINE, Worker, at, is_alive, run, run_with_stdin, status, stderr, submit};

#[test]
fn each_exit_code_settles_as_documented_and_leaves_the_stream_where_it_says() {
    let server = Server::start();
    let script = r#"
        case $STREAMHERD_STREAM in
          ok) exit 0 ;;
          later) exit 75 ;;
          bad) echo "no such user" >&2; exit 65 ;;
          fails) echo first >&2; echo "disk full" >&2; exit 3 ;;
          killed) kill -9 $$ ;;
        esac"#;
    let settings = ["--exec", script, "--retry-first", "1440m", "--retry-longest", "1440m"];
    let mut worker = Worker::start(&server, &settings);
    submit(&server, &["ok", "later", "bad", "fails", "killed"]);
    worker.wait_for_events("done", 1);
    worker.wait_for_events("dead_lettered", 1);
    worker.wait_for_events("retry", 3);
    assert_eq!(worker.story("ok"), ["added", "done"]);
    assert_eq!(worker.story("bad"), ["added", "dead_lettered"]);

    let mut redis = server.client();
    let events = worker.events();
    for (stream, why) in [
        ("later", "exit status 75 (retry)"),
        ("fails", "exit status 3: disk full"),
        ("killed", "killed by signal 9"),
    ] {
        assert_eq!(worker.story(stream), ["added", "retry"]);
        let retry = |event: &&Value| event["event"] == "retry" && event["stream"] == stream;
        let retry = events.iter().find(retry).unwrap();
        assert_eq!(retry["reason"], why);
        let live = redis.call(&["HGET", "{orders:0}:live", stream]).text();
        let (_, id) = live.split_once("delayed:").unwrap();
        // The body is packed: field and value one after the other, as text, with a byte before each.
        let body = redis.call(&["HGET", "{orders:0}:delayed:body", id]).text();
        for counter in ["_retry_count", "_sh_failures"] {
            let (_, value) = body.split_once(counter).unwrap();
            assert_eq!(
                value.chars().find(char::is_ascii_digit),
                Some('1'),
                "{counter} of {stream}"
            );
        }
        let due: u64 = redis
            .call(&["ZSCORE", "{orders:0}:delayed", id])
            .text()
            .parse()
            .unwrap();
        let delay = retry["delay_ms"].as_u64().unwrap();
        let told = retry["at_ms"].as_u64().unwrap() + delay;
        assert!(delay <= 600_000_000 && due.abs_diff(told) < 10_000, "{due}: {retry}");
    }
    assert_eq!(redis.cmd("ZCARD {orders:0}:delayed").int(), 3);
    let letters = dead_letters(&mut redis);
    assert_eq!(letters, [("rejected".to_owned(), "no such user".to_owned())]);
    for lane in ["input", "front"] {
        assert_eq!(redis.cmd(&format!("XLEN {{orders:0}}:{lane}")).int(), 0);
    }
    worker.end();
}

#[test]
fn a_stream_that_keeps_failing_comes_back_until_it_is_dead_lettered() {
    let server = Server::start();
    let script = "[ $STREAMHERD_STREAM = once ] && [ $STREAMHERD_ATTEMPT = 1 ] && exit 0; echo no >&2; exit 3";
    let settings = ["--exec", script, "--max-failures", "2", "--retry-longest", "50ms"];
    let mut worker = Worker::start(&server, &settings);
    submit(&server, &["once", "always"]);
    worker.wait_for_events("done", 1);
    worker.wait_for_events("dead_lettered", 1);
    assert_eq!(worker.story("once"), ["added", "retry", "added", "done"]);
    assert_eq!(worker.story("always"), ["added", "retry", "added", "dead_lettered"]);
    let events = worker.events();
    let last = events.iter().find(|event| event["event"] == "dead_lettered").unwrap();
    assert!(last.get("delay_ms").is_none(), "{last}");
    let letters = dead_letters(&mut server.client());
    assert_eq!(letters, [("max_failures".to_owned(), "exit status 3: no".to_owned())]);
    worker.end();
}

/// Reason and error of each.
fn dead_letters(redis: &mut RawClient) -> Vec<(String, String)> {
    let entries = redis.cmd("XRANGE {orders:0}:dlq - +").array();
    let letter = |entry: &Reply| {
        let fields = entry.array()[1].pairs();
        let field = |name| fields.iter().find(|(key, _)| key == name).unwrap().1.clone();
        (field("_sh_reason"), field("_sh_error"))
    };
    entries.iter().map(letter).collect()
}

#[test]
fn a_command_that_can_not_be_run_stops_the_worker_and_burns_no_stream() {
    let server = Server::start();
    for (command, told) in [
        ("/no/such/command --now", "/no/such/command --now"),
        ("/", "exit status 126"),
    ] {
        let mut redis = server.client();
        redis.cmd("DEL {orders:0}:input").ok();
        redis.cmd("DEL {orders:0}:front").ok();
        let names: Vec<String> = (0..20).map(|n| format!("s{n}")).collect();
        submit(&server, &names.iter().map(String::as_str).collect::<Vec<_>>());
        let output = run(at(&server).args(["worker", "--max-failures", "1", "--concurrency", "4", "--exec", command]));
        let message = stderr(&output);
        assert_eq!(output.status.code(), Some(1), "{message}");
        assert!(message.contains(told), "{message}");
        assert_eq!(message.matches("the worker stops").count(), 1, "{message}");

        let status = status(&server);
        let count = |name: &str| status[name].as_u64().unwrap();
        assert_eq!(count("queued") + count("requeued"), 20, "{status}");
        assert_eq!(count("pending") + count("dead_letters"), 0, "{status}");
    }
}

#[test]
fn a_failed_stream_waits_in_redis_and_its_slot_is_free_meanwhile() {
    let server = Server::start();
    let script = "[ $STREAMHERD_STREAM = fails ] && exit 75; exit 0";
    let mut settings = vec!["--exec", script, "--concurrency", "1"];
    settings.extend(["--retry-first", "1440m", "--retry-longest", "1440m"]);
    let mut worker = Worker::start(&server, &settings);
    submit(&server, &["fails", "next-1", "next-2"]);
    worker.wait_for_events("done", 2);
    assert_eq!(worker.story("fails"), ["added", "retry"]);
    worker.end();
    // The wait outlives the worker.
    let status = status(&server);
    assert_eq!(
        (&status["delayed"], &status["queued"]),
        (&Value::from(1), &Value::from(0))
    );
}

#[test]
fn a_name_that_no_environment_holds_is_a_dead_letter_at_its_first_attempt() {
    let server = Server::start();
    let mut redis = server.client();
    let add =
        |redis: &mut RawClient, input: &str| redis.call(&["XADD", "{orders:0}:input", "*", "lbs-input", input]).ok();
    add(&mut redis, r#"{"DataStreamName":"a\u0000b"}"#);
    add(&mut redis, r#"{"DataStreamName":"PATH=x"}"#);
    // The value is one argument, whatever is in it.
    let script = r#"test "$STREAMHERD_STREAM" = PATH=x"#;
    let mut worker = Worker::start(&server, &["--exec", script]);
    worker.wait_for_events("dead_lettered", 1);
    worker.wait_for_events("done", 1);
    worker.end();
    assert_eq!(worker.story("a\0b"), ["added", "dead_lettered"]);
    assert_eq!(worker.story("PATH=x"), ["added", "done"]);
    let letters = dead_letters(&mut redis);
    assert_eq!(letters.len(), 1);
    assert!(letters[0].1.contains("NUL"), "{letters:?}");
}

#[test]
fn exec_gets_the_stream_in_its_environment_and_the_info_on_stdin() {
    let server = Server::start();
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("seen");
    let script = format!(
        "{{ env | grep ^STREAMHERD_; cat; echo; }} > {0}.tmp; echo noise; mv {0}.tmp {0}",
        file.display()
    );
    let mut worker = Worker::start(&server, &["--exec", &script]);
    // More than a pipe holds, for a second stream whose command never reads.
    let long = "x".repeat(300_000);
    let input = r#"{"stream": "a", "info": {"n": [1, "ü"]}}"#;
    run_with_stdin(crate::support::at(&server).args(["submit", "--file", "-"]), input);
    worker.wait_for_events("done", 1);

    let seen = fs::read_to_string(&file).unwrap();
    let events = worker.events();
    let added = events.iter().find(|event| event["event"] == "added").unwrap();
    for line in [
        "STREAMHERD_STREAM=a".to_owned(),
        "STREAMHERD_ATTEMPT=0".to_owned(),
        "STREAMHERD_SERVICE=orders".to_owned(),
        format!("STREAMHERD_TOKEN={}", added["token"].as_str().unwrap()),
        format!("STREAMHERD_ID={}", added["id"].as_str().unwrap()),
        r#"{"n": [1, "ü"]}"#.to_owned(),
    ] {
        assert!(seen.lines().any(|seen| seen == line), "{seen} lacks {line}");
    }
    worker.end();

    let mut deaf = Worker::start(&server, &["--exec", "exit 0"]);
    let input = format!("{{\"stream\": \"b\", \"info\": \"{long}\"}}");
    run_with_stdin(crate::support::at(&server).args(["submit", "--file", "-"]), &input);
    deaf.wait_for_events("done", 1);
    deaf.end();
}

#[test]
fn exec_gets_sigterm_when_its_lease_is_lost() {
    let server = Server::start();
    let dir = tempfile::tempdir().unwrap();
    let started = dir.path().join("started");
    let ended = dir.path().join("ended");
    // Says that all is well in the end, which must not count.
    let script = format!(
        "trap 'touch {}; exit 0' TERM; touch {}; while :; do sleep 0.05; done",
        ended.display(),
        started.display()
    );
    let mut worker = Worker::start(
        &server,
        &["--exec", &script, "--lock-ttl", "1000", "--concurrency", "1"],
    );
    submit(&server, &["a"]);
    eventually_blocking(DEADLINE, "the command runs", || started.exists().then_some(()));

    server.freeze();
    eventually_blocking(DEADLINE, "the command is told", || ended.exists().then_some(()));
    worker.wait_for_events("disowned", 1);
    server.thaw();

    let events = worker.events();
    let disowned = events.iter().find(|event| event["event"] == "disowned").unwrap();
    assert_eq!(disowned["reason"], "deadline_passed");
    // It comes again, to this worker, as an attempt of its own.
    worker.wait_for_events("added", 2);
    assert_eq!(worker.story("a")[..3], ["added", "disowned", "added"]);
    worker.end();
}

#[test]
fn sigterm_releases_unfinished_streams_and_exits_zero() {
    let server = Server::start();
    let dir = tempfile::tempdir().unwrap();
    // The grandchild shows that the whole group is ended.
    let script = format!(
        "sleep 60 & echo $! > {0}/$STREAMHERD_STREAM.tmp; mv {0}/$STREAMHERD_STREAM.tmp {0}/$STREAMHERD_STREAM; wait",
        dir.path().display()
    );
    let mut worker = Worker::start(&server, &["--exec", &script, "--shutdown-deadline", "100ms"]);
    submit(&server, &["a", "b"]);
    let pids = ["a", "b"].map(|name| {
        let file = dir.path().join(name);
        eventually_blocking(DEADLINE, "the command runs", || fs::read_to_string(&file).ok())
            .trim()
            .parse::<i32>()
            .unwrap()
    });
    assert!(pids.into_iter().all(is_alive));
    worker.end();

    for name in ["a", "b"] {
        assert_eq!(worker.story(name), ["added", "released"]);
    }
    let last = worker.events().pop().unwrap();
    assert_eq!(
        (&last["event"], &last["reason"]),
        (&Value::from("terminated"), &Value::from("shutdown"))
    );
    let status = status(&server);
    assert_eq!(
        (&status["requeued"], &status["pending"]),
        (&Value::from(2), &Value::from(0))
    );
    // Orphans of this process's children: gone as soon as init has reaped them, where there is one.
    eventually_blocking(DEADLINE, "no command is left", || {
        pids.iter().all(|pid| !is_alive(*pid) || is_zombie(*pid)).then_some(())
    });
}

#[test]
fn a_second_signal_ends_the_worker_and_its_commands_at_once() {
    let server = Server::start();
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("pid");
    let script = format!(
        "trap '' TERM; echo $$ > {0}.tmp; mv {0}.tmp {0}; while :; do sleep 1; done",
        file.display()
    );
    let mut worker = Worker::start(&server, &["--exec", &script, "--shutdown-deadline", "10m"]);
    submit(&server, &["a"]);
    let pid = eventually_blocking(DEADLINE, "the command runs", || fs::read_to_string(&file).ok());
    let pid: i32 = pid.trim().parse().unwrap();

    // Signals that come close together are one.
    let code = eventually_blocking(DEADLINE, "the worker ends", || {
        if worker.process.try_wait().is_none() {
            worker.process.terminate();
        }
        worker.process.try_wait().map(|status| status.code())
    });
    assert_eq!(code, Some(143));
    eventually_blocking(DEADLINE, "no command is left", || {
        (!is_alive(pid) || is_zombie(pid)).then_some(())
    });
}

/// Dead, and not reaped: in a container without an init nobody does that.
fn is_zombie(pid: i32) -> bool {
    fs::read_to_string(format!("/proc/{pid}/stat"))
        .is_ok_and(|stat| stat.rsplit_once(") ").is_some_and(|(_, rest)| rest.starts_with('Z')))
}
