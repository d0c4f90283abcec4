//! `doctor` as people and programs read it.

use std::process::Output;

use serde_json::Value;
use streamherd_testkit::{Server, ServerBuilder};

use crate::support::{SERVICE, at, run, shell, stderr, stdout, streamherd};

fn healthy() -> ServerBuilder {
    Server::builder().persistent().arg("--notify-keyspace-events", "Kx")
}

fn doctor(server: &Server, args: &[&str]) -> Output {
    run(at(server).arg("doctor").args(args))
}

fn json(server: &Server) -> Value {
    let output = doctor(server, &["--output", "json"]);
    assert_eq!(stdout(&output).lines().count(), 1, "{}", stdout(&output));
    serde_json::from_slice(&output.stdout).unwrap()
}

/// The lines that follow a check's own, and its mark.
#[track_caller]
fn lines_of(text: &str, name: &str) -> (char, Vec<String>) {
    let mut lines = text
        .lines()
        .skip_while(|line| line.split_whitespace().nth(1) != Some(name));
    let first = lines.next().unwrap_or_else(|| panic!("no {name} in {text}"));
    let more = lines.take_while(|line| line.starts_with("    "));
    (
        first.chars().next().unwrap(),
        more.map(|line| line.trim().to_owned()).collect(),
    )
}

#[test]
fn a_server_as_it_should_be_is_one_line_a_check_and_exit_code_0() {
    let server = healthy().start();
    let output = doctor(&server, &[]);
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    let text = stdout(&output);
    let (checks, summary) = text.split_once("\n\n").unwrap();
    assert!(checks.lines().all(|line| line.starts_with("✓ ")), "{text}");
    assert_eq!(
        summary,
        format!("{} ok, 0 warnings, 0 failures\n", checks.lines().count())
    );
    assert_eq!(stderr(&output), "");
}

#[test]
fn warnings_say_what_mends_them_and_leave_exit_code_0() {
    let server = Server::builder().arg("--notify-keyspace-events", "Ex").start();
    let output = doctor(&server, &[]);
    assert_eq!(output.status.code(), Some(0));
    let text = stdout(&output);
    let wanted = format!(
        "mend: redis-cli -h 127.0.0.1 -p {} CONFIG SET notify-keyspace-events xEK",
        server.port()
    );
    let (mark, lines) = lines_of(&text, "notifications");
    assert_eq!((mark, lines.last()), ('!', Some(&wanted)), "{text}");
    for name in ["notifications", "persistence"] {
        let (_, lines) = lines_of(&text, name);
        shell(lines.last().unwrap().strip_prefix("mend: ").unwrap());
    }
    assert!(!stdout(&doctor(&server, &[])).contains("mend:"));
}

#[test]
fn a_failure_is_exit_code_1_until_its_command_was_run() {
    let server = healthy().arg("--maxmemory-policy", "volatile-lru").start();
    let output = doctor(&server, &[]);
    assert_eq!(output.status.code(), Some(1));
    let text = stdout(&output);
    let (mark, lines) = lines_of(&text, "eviction");
    assert_eq!(mark, '✗');
    assert!(lines[0].contains("locks have a time to live"), "{text}");
    assert!(text.ends_with(", 0 warnings, 1 failure\n"), "{text}");
    shell(lines[1].strip_prefix("mend: ").unwrap());
    assert_eq!(doctor(&server, &[]).status.code(), Some(0));
}

#[test]
fn json_is_one_object_with_every_check() {
    let server = healthy().arg("--maxmemory-policy", "allkeys-lru").start();
    let diagnosis = json(&server);
    assert_eq!(diagnosis["service"], SERVICE);
    assert_eq!(diagnosis["role"], "worker");
    assert_eq!(diagnosis["verdict"], "failure");
    let checks = diagnosis["checks"].as_array().unwrap();
    let names: Vec<&str> = checks.iter().map(|check| check["name"].as_str().unwrap()).collect();
    let wanted = [
        "server_version",
        "topology",
        "rights",
        "optional_rights",
        "scripts",
        "writes",
        "eviction",
        "memory",
        "persistence",
        "notifications",
        "idle_timeout",
        "clock",
        "keys",
        "stream_ids",
        "group",
        "lock_ttl",
    ];
    assert_eq!(names, wanted, "programs know them by these names");
    for check in checks {
        let failed = check["name"] == "eviction";
        assert_eq!(check["verdict"], if failed { "failure" } else { "ok" }, "{check}");
        assert_eq!(check["mend"].is_string(), failed, "{check}");
        assert!(check["found"].is_string() && check["meaning"].is_string(), "{check}");
    }
}

#[test]
fn a_login_is_judged_by_its_role_and_given_what_it_lacks() {
    let server = healthy().start();
    server.client().cmd("ACL SETUSER app on >secret +ping").ok();
    let url = format!("redis://app:secret@127.0.0.1:{}", server.port());
    let doctor = |role: &str| run(streamherd().args(["--url", &url, "--service", SERVICE, "doctor", "--role", role]));
    for role in ["producer", "operator", "worker"] {
        let mut output = doctor(role);
        assert_eq!(output.status.code(), Some(1));
        // Who may send no command with a key learns of its keys in a second round.
        for _ in 0..2 {
            let text = stdout(&output);
            let (mark, lines) = lines_of(&text, "rights");
            if mark != '✗' {
                break;
            }
            assert!(
                lines[0].contains(&format!("ACL SETUSER {role} reset on '>PASSWORD'")),
                "{text}"
            );
            assert!(!text.contains("secret"), "{text}");
            shell(lines[1].strip_prefix("mend: ").unwrap());
            output = doctor(role);
        }
        assert_eq!(output.status.code(), Some(0), "{}", stdout(&output));
    }
}

#[test]
fn a_login_that_may_use_all_keys_is_mended_too() {
    let server = healthy().start();
    server.client().cmd("ACL SETUSER app on >secret ~* +get +ping").ok();
    let url = format!("redis://app:secret@127.0.0.1:{}", server.port());
    let doctor = || run(streamherd().args(["--url", &url, "--service", SERVICE, "doctor", "--role", "producer"]));
    let text = stdout(&doctor());
    assert_eq!(lines_of(&text, "scripts").0, '✗', "{text}");
    let (_, lines) = lines_of(&text, "rights");
    shell(lines[1].strip_prefix("mend: ").unwrap());
    assert_eq!(doctor().status.code(), Some(0));
}

#[test]
fn no_server_and_a_refused_login_are_start_up_errors() {
    let mut server = Server::builder().arg("--requirepass", "right").start();
    let url = format!("redis://:wr0ng-secret@127.0.0.1:{}", server.port());
    let refused = run(streamherd().args(["--url", &url, "--service", SERVICE, "doctor"]));
    assert_eq!(refused.status.code(), Some(2));
    assert!(stderr(&refused).contains("refused the login"), "{}", stderr(&refused));
    assert!(!stderr(&refused).contains("wr0ng-secret"));
    assert_eq!(stdout(&refused), "");
    server.kill();
    let away = doctor(&server, &[]);
    assert_eq!(away.status.code(), Some(2));
    assert!(stderr(&away).contains("could not be reached"), "{}", stderr(&away));
}

#[test]
fn its_help_tells_its_exit_codes() {
    let help = stdout(&run(streamherd().args(["doctor", "--help"])));
    for part in ["Exit codes:", "breaks a guarantee", "REDISCLI_AUTH", "--role"] {
        assert!(help.contains(part), "{help}");
    }
}
