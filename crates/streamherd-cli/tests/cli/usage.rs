use streamherd_testkit::Server;

use crate::support::{run, stderr, stdout, streamherd};

#[test]
fn the_binary_runs() {
    let output = run(streamherd().arg("--version"));
    assert!(output.status.success());
    assert!(stdout(&output).starts_with("streamherd "));
}

#[test]
fn missing_service_is_a_usage_error() {
    for args in [&["status"][..], &["worker", "--work-ms", "0"], &["submit", "a"]] {
        let output = run(streamherd().args(args));
        assert_eq!(output.status.code(), Some(2), "{args:?}");
        let message = stderr(&output);
        assert!(
            message.contains("--service") && message.contains("STREAMHERD_SERVICE"),
            "{message}"
        );
    }
}

#[test]
fn global_flags_are_read_from_the_environment() {
    let server = Server::start();
    let output = run(streamherd()
        .env("REDIS_URL", server.url())
        .env("STREAMHERD_SERVICE", "orders")
        .env("STREAMHERD_OUTPUT", "json")
        .arg("status"));
    let status: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(status["service"], "orders");
}

#[test]
fn a_bad_setting_is_a_start_up_error_that_says_what_would_do() {
    let output = run(streamherd().args(["--service", "orders", "worker", "--work-ms", "0", "--lock-ttl", "10"]));
    assert_eq!(output.status.code(), Some(2));
    let message = stderr(&output);
    assert!(message.contains("lock_ttl") && message.contains("600ms"), "{message}");
    assert!(message.contains("(--lock-ttl)"), "{message}");
}

#[test]
fn what_would_finish_or_hide_everything_by_mistake_is_a_usage_error() {
    let wrong: [(&[&str], &str); 6] = [
        (&["worker", "--exec", ""], "--exec is empty"),
        (&["worker", "--exec", "  "], "--exec is empty"),
        (&["worker", "--exec", "true", "--retry-first", "10m"], "(--retry-first)"),
        (&["status", "--leases", "0"], "1 or more"),
        (&["dlq", "list", "--limit", "0"], "--limit"),
        (&["dlq", "redrive", "--all", "--rate", "0"], "1 or more"),
    ];
    for (args, says) in wrong {
        let output = run(streamherd().args(["--service", "orders"]).args(args));
        assert_eq!(output.status.code(), Some(2), "{args:?}");
        assert!(stderr(&output).contains(says), "{args:?}: {}", stderr(&output));
    }
}

#[test]
fn a_worker_without_work_is_a_usage_error() {
    let output = run(streamherd().args(["--service", "orders", "worker"]));
    assert_eq!(output.status.code(), Some(2));
    let message = stderr(&output);
    assert!(
        message.contains("--exec CMD") && message.contains("--work-ms MS"),
        "{message}"
    );
}

#[test]
fn usage_does_not_depend_on_the_environment() {
    for args in [
        &["--help"][..],
        &["worker", "--help"],
        &["submit", "--help"],
        &["submit"],
    ] {
        let usage = |command: &mut std::process::Command| {
            let output = run(command.args(args));
            let said = stdout(&output) + &stderr(&output);
            said.lines().find(|line| line.starts_with("Usage:")).unwrap().to_owned()
        };
        let plain = usage(&mut streamherd());
        assert_eq!(usage(streamherd().env("REDIS_URL", "redis://127.0.0.1:6379")), plain);
        assert!(!plain.contains("--url"), "{plain}");
    }
}

#[test]
fn a_refused_password_is_not_printed() {
    let server = Server::builder().arg("--requirepass", "right").start();
    let url = format!("redis://:wr0ng-secret@127.0.0.1:{}", server.port());
    for args in [
        &["status"][..],
        &["worker", "--work-ms", "0"],
        &["submit", "a"],
        &["--help"],
    ] {
        let output = run(streamherd()
            .env("REDIS_URL", &url)
            .env("RUST_LOG", "trace")
            .args(["--service", "orders"])
            .args(args));
        let said = stdout(&output) + &stderr(&output);
        assert!(!said.contains("wr0ng-secret"), "{args:?}: {said}");
        if args != ["--help"] {
            assert_eq!(output.status.code(), Some(2), "{args:?}: {said}");
            assert!(said.contains("refused the login"), "{args:?}: {said}");
        }
    }
}

#[test]
fn a_server_that_is_away_is_a_start_up_error_that_names_its_address() {
    let mut server = Server::start();
    server.kill();
    let output = run(streamherd().args(["--service", "orders", "--url", &server.url(), "status"]));
    assert_eq!(output.status.code(), Some(2));
    assert!(
        stderr(&output).contains(&format!("127.0.0.1:{}", server.port())),
        "{}",
        stderr(&output)
    );
}
