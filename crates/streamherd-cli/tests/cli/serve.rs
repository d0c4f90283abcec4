//! The dashboard as a process.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpStream;
use std::process::Stdio;
use std::time::Duration;

use serde_json::Value;
use streamherd_testkit::{Process, Server};

use crate::support::{DEADLINE, at, run, stderr, submit};

/// A dashboard that listens.
struct Dashboard {
    process: Process,
    address: String,
    first: Value,
}

impl Dashboard {
    fn start(server: &Server, args: &[&str], variables: &[(&str, &str)]) -> Self {
        let mut command = at(server);
        command
            .args(["--output", "json", "serve", "--listen", "127.0.0.1:0"])
            .args(args)
            .envs(variables.iter().copied())
            .stdin(Stdio::null())
            .stdout(Stdio::piped());
        let mut process = Process::spawn(command);
        let mut line = String::new();
        BufReader::new(process.take_stdout().unwrap())
            .read_line(&mut line)
            .unwrap();
        let first: Value = serde_json::from_str(&line).unwrap();
        let url = first["url"].as_str().unwrap();
        let address = url.strip_prefix("http://").unwrap().trim_end_matches('/').to_owned();
        Self {
            process,
            address,
            first,
        }
    }

    /// The status and the rest of what is answered.
    fn ask(&self, method: &str, path: &str, headers: &str) -> (u16, String) {
        let mut connection = TcpStream::connect(&self.address).unwrap();
        connection.set_read_timeout(Some(DEADLINE)).unwrap();
        let host = if headers.contains("Host:") {
            String::new()
        } else {
            format!("Host: {}\r\n", self.address)
        };
        let asked =
            format!("{method} {path} HTTP/1.1\r\n{host}{headers}Connection: close\r\nContent-Length: 2\r\n\r\n{{}}");
        connection.write_all(asked.as_bytes()).unwrap();
        let mut answer = String::new();
        connection.read_to_string(&mut answer).unwrap();
        let status = answer.split(' ').nth(1).unwrap().parse().unwrap();
        (status, answer)
    }

    fn session(&self, token: &str) -> u16 {
        let headers = format!("Authorization: Bearer {token}\r\nContent-Type: application/json\r\n");
        self.ask("POST", "/api/v1/session", &headers).0
    }
}

#[test]
fn it_serves_the_page_the_api_and_the_probes_until_it_is_told_to_end() {
    let server = Server::start();
    submit(&server, &["a"]);
    let mut dashboard = Dashboard::start(&server, &[], &[]);
    assert_eq!(
        (&dashboard.first["service"], &dashboard.first["read_only"]),
        (&"orders".into(), &true.into())
    );
    let (status, page) = dashboard.ask("GET", "/", "");
    assert!(status == 200 && page.contains("<!doctype html>"), "{page}");
    for path in [
        "/api/v1/overview",
        "/api/v1/openapi.json",
        "/livez",
        "/readyz",
        "/metrics",
    ] {
        assert_eq!(dashboard.ask("GET", path, "").0, 200, "{path}");
    }
    assert_eq!(dashboard.session("x"), 403, "read-only");
    let mut watcher = TcpStream::connect(&dashboard.address).unwrap();
    watcher.set_read_timeout(Some(DEADLINE)).unwrap();
    let asked = format!("GET /api/v1/events HTTP/1.1\r\nHost: {}\r\n\r\n", dashboard.address);
    watcher.write_all(asked.as_bytes()).unwrap();
    assert!(watcher.read(&mut [0; 16]).unwrap() > 0);
    dashboard.process.terminate();
    let ended = dashboard.process.wait(Duration::from_secs(20));
    assert_eq!(ended.code(), Some(0), "{ended}");
}

#[test]
fn the_token_comes_from_a_flag_a_variable_or_a_file() {
    let server = Server::start();
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("token");
    std::fs::write(&file, "from-file\n").unwrap();
    let file = file.to_str().unwrap();
    for (args, variables, token) in [
        (&["--admin-token", "from-flag"][..], &[][..], "from-flag"),
        (&[], &[("STREAMHERD_ADMIN_TOKEN", "from-variable")], "from-variable"),
        (
            &["--admin-token-file", file],
            &[("STREAMHERD_ADMIN_TOKEN", "")],
            "from-file",
        ),
    ] {
        let dashboard = Dashboard::start(&server, args, variables);
        assert_eq!(dashboard.first["read_only"], false);
        assert_eq!(
            (dashboard.session(token), dashboard.session("x")),
            (204, 401),
            "{token}"
        );
    }
}

#[test]
fn it_answers_under_a_name_only_if_that_is_allowed() {
    let server = Server::start();
    let dashboard = Dashboard::start(&server, &["--allow-host", "herd.example.com"], &[]);
    for (host, status) in [("herd.example.com", 200), ("localhost", 200), ("evil.example.com", 421)] {
        let headers = format!("Host: {host}\r\n");
        assert_eq!(dashboard.ask("GET", "/api/v1/overview", &headers).0, status, "{host}");
    }
}

#[test]
fn what_keeps_it_from_starting_is_said_with_what_to_do() {
    let server = Server::start();
    let taken = Dashboard::start(&server, &[], &[]);
    for (args, says) in [
        (vec!["--listen", taken.address.as_str()], "--listen"),
        (vec!["--listen", "localhost"], "--listen"),
        (vec!["--admin-token-file", "/nowhere/token"], "/nowhere/token"),
        (vec!["--admin-token", "a", "--admin-token-file", "b"], "two tokens"),
    ] {
        let output = run(at(&server).arg("serve").args(&args));
        assert_eq!(output.status.code(), Some(2), "{args:?}");
        assert!(stderr(&output).contains(says), "{args:?}: {}", stderr(&output));
    }
}
