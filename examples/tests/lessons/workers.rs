//! `worker`, `notifications`, `producer`.

use streamherd_testkit::{Reply, Server};

use crate::lesson::{Lesson, becomes};

#[test]
fn worker() {
    let server = Server::start();
    let lesson = Lesson::of("worker").at(&server);
    let mut first = lesson.start("cargo run -p streamherd-examples --example worker");
    lesson.sees(&first, "… is ready, process …");
    lesson.run("cargo run -p streamherd-examples --example producer -- 20");
    lesson.sees(&first, "session-0: attempt 0, user 0 on pro");
    lesson.sees(&first, "session-0: written under token …");

    let second = lesson.start("cargo run -p streamherd-examples --example worker");
    let alive = second.says("… is ready, process …").remove(0);
    lesson.kill("kill -9 PID", &first.pid());
    first.ends();
    lesson.sees(&second, "session-…: attempt 1, user … on pro");

    lesson.run("cargo run -p streamherd-cli -- --service orders submit nonsense");
    lesson.shows(
        "cargo run -p streamherd-cli -- --service orders dlq list",
        &[],
        &["… rejected … nonsense … the info is not a session"],
    );
    assert_eq!(server.client().cmd("XLEN {orders:0}:dlq").int(), 1);

    becomes("nothing is left with the dead one", || {
        owners(&server).iter().all(|owner| *owner == alive)
    });
    ctrl_c(&second.pid());
    lesson.sees(&second, "done …, handed over …");
    assert!(owners(&server).is_empty(), "what was not done is queued");
}

/// The consumers that streams are pending at.
fn owners(server: &Server) -> Vec<String> {
    let pending = ["input", "front"].map(|lane| server.client().cmd(&format!("XPENDING {{orders:0}}:{lane} workers")));
    let owners = pending.iter().filter_map(|summary| match &summary.array()[3] {
        Reply::Array(owners) => Some(owners.clone()),
        _ => None,
    });
    owners.flatten().map(|owner| owner.array()[0].text()).collect()
}

#[test]
fn notifications() {
    let server = Server::start();
    let lesson = Lesson::of("notifications").at(&server);
    let program = "cargo run -p streamherd-examples --example notifications";
    let submit = "cargo run -p streamherd-examples --example producer -- 8";
    let first = lesson.start(program);
    lesson.sees(&first, "… is ready, process …");
    lesson.run(submit);
    lesson.sees(&first, "session-0: attempt 0, token …");
    lesson.sees(&first, "session-0: Done");
    becomes("all is done", || held(&server) == 0);

    let second = lesson.start(program);
    second.says("… is ready, process …");
    let marks = [first.mark(), second.mark()];
    lesson.run(submit);
    let holds = |which: usize| [&first, &second][which].has_said(marks[which], "session-…: attempt 0, token …");
    becomes("one of them has work", || holds(0) || holds(1));
    let (stopped, other) = if holds(0) { (&first, &second) } else { (&second, &first) };
    let (before, elsewhere) = (stopped.mark(), other.mark());
    lesson.kill("kill -STOP PID", &stopped.pid());
    lesson.sees_after(other, elsewhere, "claimed … from …");
    lesson.sees_after(other, elsewhere, "session-…: attempt 1, token …");
    lesson.kill("kill -CONT PID", &stopped.pid());
    lesson.sees_after(stopped, before, "lost session-…: …");
    becomes("all is done", || held(&server) == 0);

    lesson.run(submit);
    becomes("there is work", || held(&server) > 0);
    let marks = [first.mark(), second.mark()];
    lesson.redis_cli("redis-cli DEL '{orders:0}:input' '{orders:0}:epoch'", &server);
    lesson.sees_after(&first, marks[0], "Redis lost its data, as this worker has seen …×");
    let promise = lesson.promises("session-…: Done");
    let done = |which: usize| [&first, &second][which].has_said(marks[which], promise);
    becomes("what was held is done", || done(0) || done(1));
    for one in [&first, &second] {
        assert!(
            !one.has_said(marks[0].max(marks[1]), "lost session-…: …"),
            "nobody was disturbed"
        );
    }

    ctrl_c(&first.pid());
    lesson.sees(&first, "settled …, handed over …");
}

#[test]
fn producer() {
    let server = Server::start();
    let lesson = Lesson::of("producer").at(&server);
    let program = "cargo run -p streamherd-examples --example producer";
    let status = "cargo run -p streamherd-cli -- --service orders status";
    let queued = || server.client().cmd("XLEN {orders:0}:input").int();
    let said = lesson.run(program);
    lesson.sees_in(&said, "session-0: queued as …");
    lesson.sees_in(&said, "later: due in three seconds, as …");
    lesson.sees_in(&said, "twin: two runs, … and …");
    assert_eq!(
        (queued(), server.client().cmd("ZCARD {orders:0}:delayed").int()),
        (5, 1)
    );

    let said = lesson.run(program);
    lesson.sees_in(&said, "session-0: waits already, as …");
    assert_eq!(queued(), 7, "two more twins");
    lesson.run(status);

    let keeping = lesson.start("cargo run -p streamherd-examples --example producer -- 3 stay");
    lesson.sees(&keeping, "keeps 3 streams; Ctrl-C ends it");
    lesson.redis_cli(
        "redis-cli DEL '{orders:0}:input' '{orders:0}:live' '{orders:0}:epoch'",
        &server,
    );
    becomes("what it keeps is back", || queued() == 3);
    lesson.run(status);
    ctrl_c(&keeping.pid());
}

/// What workers hold.
fn held(server: &Server) -> usize {
    server.client().cmd("KEYS {orders:0}:lock:*").array().len()
}

/// As the terminal sends it.
pub(crate) fn ctrl_c(pid: &str) {
    let status = std::process::Command::new("sh")
        .args(["-c", "kill -INT $0", pid])
        .status();
    assert!(status.expect("kill").success());
}
