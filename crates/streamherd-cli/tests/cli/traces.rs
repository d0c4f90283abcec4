//! The trace that a stream was submitted in, from one command to the next.

use std::fs;

use streamherd_testkit::Server;

use crate::support::{Worker, at, run, stderr, stdout};

const GIVEN: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
const INHERITED: &str = "00-11111111111111111111111111111111-2222222222222222-00";

#[test]
fn a_submit_is_part_of_the_trace_that_it_is_told_or_else_of_the_one_it_was_started_in() {
    let server = Server::start();
    let mut redis = server.client();
    let mut carried = |command: &mut std::process::Command| {
        redis.cmd("FLUSHALL").ok();
        let output = run(command);
        assert!(output.status.success(), "{}", stderr(&output));
        let entries = redis.cmd("XRANGE {orders:0}:input - +").array();
        let fields = entries[0].array()[1].pairs().into_iter();
        let mut traces = fields.filter(|(name, _)| name == "_sh_traceparent");
        (traces.next().map(|(_, value)| value), stderr(&output))
    };
    let (trace, _) = carried(at(&server).args(["submit", "a"]));
    assert_eq!(trace, None);
    let (trace, _) = carried(at(&server).args(["submit", "a", "--traceparent", GIVEN]));
    assert_eq!(trace.as_deref(), Some(GIVEN));
    let (trace, _) = carried(at(&server).args(["submit", "a"]).env("TRACEPARENT", INHERITED));
    assert_eq!(trace.as_deref(), Some(INHERITED));
    let mut both = at(&server);
    both.args(["submit", "a", "--traceparent", GIVEN])
        .env("TRACEPARENT", INHERITED);
    assert_eq!(carried(&mut both).0.as_deref(), Some(GIVEN));
    // Whoever wrote that, the stream is queued.
    let (trace, said) = carried(at(&server).args(["submit", "a"]).env("TRACEPARENT", "none"));
    assert_eq!(trace, None);
    assert!(
        said.contains("TRACEPARENT is left out: not a W3C traceparent"),
        "{said}"
    );
    let (trace, said) = carried(at(&server).args(["submit", "a"]).env("TRACEPARENT", ""));
    assert!(trace.is_none() && !said.contains("TRACEPARENT"), "{said}");

    let refused = run(at(&server).args(["submit", "a", "--traceparent", "none"]));
    assert_eq!(refused.status.code(), Some(2));
    assert!(stderr(&refused).contains("of the form 00-"), "{}", stderr(&refused));
}

#[test]
fn exec_gets_the_trace_of_its_stream_and_not_that_of_its_worker() {
    let server = Server::start();
    let dir = tempfile::tempdir().unwrap();
    let file = |name: &str| dir.path().join(name);
    let script = format!(
        "echo \"${{TRACEPARENT-none}} ${{TRACESTATE-none}}\" > {}/$STREAMHERD_STREAM; [ $STREAMHERD_STREAM = untraced ] || exit 65",
        dir.path().display()
    );
    let mut command = at(&server);
    command
        .args(["worker", "--events", "--exec", &script])
        .env("TRACEPARENT", INHERITED)
        .env("TRACESTATE", "worker=1")
        .stdin(std::process::Stdio::null())
        .stdout(std::process::Stdio::piped());
    let mut worker = Worker::spawn(command);
    run(at(&server).args(["submit", "traced", "--traceparent", GIVEN]));
    run(at(&server).args(["submit", "untraced"]));
    worker.wait_for_events("dead_lettered", 1);
    worker.wait_for_events("done", 1);
    let seen = |name: &str| fs::read_to_string(file(name)).unwrap();
    assert_eq!(seen("traced"), format!("{GIVEN} none\n"));
    assert_eq!(seen("untraced"), "none none\n");

    let listed = stdout(&run(at(&server).args(["--output", "json", "dlq", "list"])));
    let letter: serde_json::Value = serde_json::from_str(&listed).unwrap();
    let shown = stdout(&run(at(&server).args(["dlq", "show", letter["id"].as_str().unwrap()])));
    assert!(
        shown.lines().any(|line| line == format!("trace     {GIVEN}")),
        "{shown}"
    );
    worker.end();
}
