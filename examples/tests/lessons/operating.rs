//! `shutdown`, `prometheus`, `traces`, `tower`.

use streamherd_testkit::Server;

use crate::lesson::{Lesson, becomes};
use crate::page::{folder, kept};
use crate::workers::ctrl_c;

const SUBMIT: &str = "cargo run -p streamherd-examples --example producer";

#[test]
fn shutdown() {
    let server = Server::start();
    let lesson = Lesson::of("shutdown").at(&server);
    let program = "cargo run -p streamherd-examples --example shutdown";
    let mut worker = lesson.start(program);
    let address = &worker.says("process …, ask http://…/readyz")[1];
    lesson.sees_in(
        &[format!("process {}, ask http://127.0.0.1:9090/readyz", worker.pid())],
        "process …, ask http://127.0.0.1:9090/readyz",
    );
    let readyz = || lesson.curl("curl -i http://127.0.0.1:9090/readyz", address);
    becomes("it is ready", || kept("HTTP/1.1 200 …", &readyz()[0]).is_some());
    lesson.run(SUBMIT);
    lesson.sees(&worker, "session-0: takes five seconds");
    worker.says("session-2: takes five seconds");
    worker.says("twin: takes five seconds");
    lesson.kill("kill -TERM PID", &worker.pid());
    lesson.sees(&worker, "SIGTERM: no new streams; what is held has 30s");
    // It says so before it begins to.
    let mut answer = Vec::new();
    becomes("it is not ready any more", || {
        answer = readyz();
        kept("HTTP/1.1 503 …", &answer[0]).is_some()
    });
    lesson.sees_in(&answer, "HTTP/1.1 503 …");
    lesson.sees_in(&answer, "…\"shutting_down\"…");
    lesson.sees(&worker, "session-0: finished");
    lesson.sees(&worker, "done …, handed over 0");
    assert!(worker.ends().0.success());
    let locks = server.client().cmd("KEYS {orders:0}:lock:*").array();
    assert!(locks.is_empty(), "it leaves no lease: {locks:?}");

    let mut worker = lesson.start(program);
    lesson.run(SUBMIT);
    worker.says("session-0: takes five seconds");
    lesson.kill("kill -TERM PID", &worker.pid());
    worker.says("SIGTERM: no new streams; what is held has 30s");
    lesson.kill("kill -TERM PID", &worker.pid());
    assert_eq!(worker.ends().0.code(), Some(143));
    lesson
        .start("cargo run -p streamherd-examples --example worker")
        .says("session-0: attempt 1, user 0 on pro");
}

#[test]
fn the_times_of_the_shutdown_are_those_of_the_deployment() {
    let read = |name: &str| std::fs::read_to_string(folder().join(name)).unwrap();
    let (program, deployment) = (read("shutdown.rs"), read("deploy/deployment.yaml"));
    assert!(program.contains("const DEADLINE: Duration = Duration::from_secs(30);"));
    assert!(program.contains("const GRACE: Duration = Duration::from_secs(5);"));
    assert!(deployment.contains("--shutdown-deadline, 30s,"));
    assert!(deployment.contains("terminationGracePeriodSeconds: 60\n"));
}

#[test]
fn prometheus() {
    let mut server = Server::builder().persistent().start();
    let lesson = Lesson::of("prometheus").at(&server);
    let worker = lesson.start("cargo run -p streamherd-examples --example prometheus");
    let address = &worker.says("ask http://…/readyz")[0];
    lesson.sees_in(
        &["ask http://127.0.0.1:9090/readyz".to_owned()],
        "ask http://127.0.0.1:9090/readyz",
    );
    lesson.run(SUBMIT);
    lesson.sees(&worker, "session-0: attempt 0");

    let readyz = || lesson.curl("curl -i http://127.0.0.1:9090/readyz", address);
    let is = |answer: &[String], promise: &str| kept(promise, &answer[0]).is_some();
    becomes("it is ready", || is(&readyz(), "HTTP/1.1 200 …"));
    lesson.sees_in(&readyz(), "HTTP/1.1 200 …");
    let settled = "streamherd_settled_total{…} …";
    let metrics = || lesson.curl("curl -s http://127.0.0.1:9090/metrics", address);
    becomes("it has settled", || {
        metrics().iter().any(|line| kept(settled, line).is_some())
    });
    lesson.sees_in(&metrics(), settled);

    server.kill();
    becomes("it is not ready", || is(&readyz(), "HTTP/1.1 503 …"));
    let alive = lesson.curl("curl -i http://127.0.0.1:9090/livez", address);
    assert!(is(&alive, "HTTP/1.1 200 …"), "{alive:?}");
    server.restart();
    becomes("it is ready again", || is(&readyz(), "HTTP/1.1 200 …"));

    ctrl_c(&worker.pid());
    lesson.sees(&worker, "done …, handed over 0");
}

#[test]
fn traces() {
    let server = Server::start();
    let lesson = Lesson::of("traces").at(&server);
    let said = lesson.run("cargo run -p streamherd-examples --example traces");
    for promise in [
        "submit traces … child of …",
        "process traces … linked to … attempt=0 streamherd.ending=retry",
        "charge the card … child of …",
        "process traces … linked to … attempt=1 streamherd.ending=done",
        "done: 2, tried again: 2",
    ] {
        lesson.sees_in(&said, promise);
    }
    let traces = said
        .iter()
        .filter_map(|line| kept("process traces …/… linked to …/… stream=…", line));
    let linked: std::collections::BTreeSet<String> = traces.map(|wild| wild[2].clone()).collect();
    assert_eq!(server.client().cmd("EXISTS {traces:0}:live").int(), 0, "all is done");
    assert_eq!(
        linked.len(),
        1,
        "all attempts are linked to one trace: {}",
        said.join("\n")
    );
}

#[test]
fn tower() {
    let server = Server::start();
    let lesson = Lesson::of("tower").at(&server);
    let program = "cargo run -p streamherd-examples --example tower";
    let first = lesson.start(program);
    lesson.sees(&first, "photo-…: shrunk");
    lesson.sees(&first, "no room, back to the queue");
    lesson.sees(&first, "took too long, again later");
    for photo in 0..12 {
        becomes("every photo is shrunk in the end", || {
            first.has_said(0, &format!("photo-{photo}: shrunk"))
        });
    }
    becomes("nothing is left", || {
        server.client().cmd("EXISTS {tower:0}:live").int() == 0
    });
    ctrl_c(&first.pid());
    first.says("done …, handed back …");
}
