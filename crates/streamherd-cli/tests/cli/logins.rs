//! TLS and logins from flags and the environment; and that no password is ever printed.

use std::path::Path;
use std::process::{Command, Output};

use streamherd_testkit::Server;

use crate::support::{SERVICE, run, stderr, stdout, streamherd};

const SECRET: &str = "hunter2/?#@:% é";
const ENCODED: &str = "hunter2%2F%3F%23%40%3A%25%20%C3%A9";

fn status(url: &str) -> Command {
    let mut command = streamherd();
    command.args(["--url", url, "--service", SERVICE, "status"]);
    command
}

/// A server with TLS that wants a certificate, and a password of its users.
fn guarded() -> Server {
    Server::builder()
        .require_client_certificate()
        .user("worker", SECRET, "~* &* +@all")
        .start()
}

fn with_files(server: &Server, command: &mut Command) {
    let made = server.certificates().unwrap();
    command.arg("--tls-ca").arg(made.authority());
    command.arg("--tls-cert").arg(made.client_certificate());
    command.arg("--tls-key").arg(made.client_key());
}

#[track_caller]
fn works(command: &mut Command) {
    let output = run(command);
    assert!(output.status.success(), "{}", stderr(&output));
}

#[track_caller]
fn fails(command: &mut Command, because: &str) -> Output {
    let output = run(command);
    let text = stdout(&output) + &stderr(&output);
    assert_eq!(output.status.code(), Some(2), "{text}");
    assert!(text.contains(because), "{because}: {text}");
    assert!(!text.contains("hunter2"), "{text}");
    output
}

#[test]
fn tls_and_logins_are_read_from_flags_and_the_environment() {
    let server = guarded();
    let made = server.certificates().unwrap();
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("password");
    std::fs::write(&file, format!("{SECRET}\n")).unwrap();

    let mut command = status(&server.url());
    with_files(&server, &mut command);
    works(command.args(["--username", "worker", "--password-file"]).arg(&file));

    let mut from_environment = status(&server.url());
    from_environment
        .env("STREAMHERD_TLS_CA", made.authority())
        .env("STREAMHERD_TLS_CERT", made.client_certificate())
        .env("STREAMHERD_TLS_KEY", made.client_key())
        .env("STREAMHERD_USERNAME", "worker")
        .env("STREAMHERD_PASSWORD", SECRET);
    works(&mut from_environment);
    fails(
        from_environment.env("STREAMHERD_PASSWORD_FILE", &file),
        "STREAMHERD_PASSWORD and --password-file",
    );
    works(from_environment.env("STREAMHERD_PASSWORD", ""));

    // The system's authorities, as far as a test can tell.
    let mut command = status(&server.url_as("worker"));
    command
        .env("SSL_CERT_FILE", made.authority())
        .env_remove("SSL_CERT_DIR")
        .env("STREAMHERD_TLS_CERT", made.client_certificate())
        .env("STREAMHERD_TLS_KEY", made.client_key());
    works(&mut command);
}

#[test]
fn a_file_that_is_missing_is_named_with_its_flag() {
    let server = guarded();
    let (nowhere, made) = (Path::new("/no/such/file"), server.certificates().unwrap());
    let url = server.url_as("worker");
    for flag in ["--tls-ca", "--password-file"] {
        let output = fails(status(&url).arg(flag).arg(nowhere), "/no/such/file");
        assert!(stderr(&output).contains(flag), "{flag}: {}", stderr(&output));
    }
    let without_authorities = &mut status(&url);
    without_authorities
        .env("SSL_CERT_FILE", nowhere)
        .env_remove("SSL_CERT_DIR");
    fails(without_authorities, "no authorities to trust");
    let certificate = made.client_certificate();
    fails(status(&url).arg("--tls-cert").arg(&certificate), "--tls-key FILE");
    fails(status(&url).arg("--tls-key").arg(&certificate), "--tls-cert FILE");
    let both = |key: &Path, because| {
        let mut command = status(&url);
        fails(
            command.arg("--tls-cert").arg(&certificate).arg("--tls-key").arg(key),
            because,
        );
    };
    both(nowhere, "--tls-key");
    both(&certificate, "no private key");
    fails(
        status("redis://127.0.0.1:1").arg("--tls-ca").arg(made.authority()),
        "rediss",
    );
}

#[test]
fn a_connection_that_fails_does_not_print_the_password() {
    let server = guarded();
    let plain = Server::builder().user("worker", SECRET, "").start();
    let with_login = |url: &str, login: &str| url.replacen("://", &format!("://{login}@"), 1);
    let right = format!("worker:{ENCODED}");
    let wrong = format!("stranger:{ENCODED}");
    let cases = [
        (with_login(&plain.url(), &wrong), "refused the login"),
        (with_login(&plain.url(), &right), "lacks a permission"),
        (with_login(&plain.url(), "worker:hunter2wrong"), "refused the login"),
        (with_login("redis://127.0.0.1:1", &right), "could not be reached"),
        (with_login(&server.url(), &right), "TLS"),
        (with_login("redis://127.0.0.1:port", &right), "its port"),
        ("redis://worker:1/hunter2@127.0.0.1:6379".to_owned(), "percent-encoded"),
    ];
    for (url, because) in cases {
        for command in ["status", "doctor", "worker", "submit"] {
            let mut command = {
                let name = command;
                let mut command = streamherd();
                command.env("RUST_LOG", "trace").env("REDIS_URL", &url);
                command.args(["--service", SERVICE, name]);
                match name {
                    "worker" => command.args(["--work-ms", "0"]),
                    "submit" => command.arg("a"),
                    _ => &mut command,
                };
                command
            };
            let text = {
                let output = run(&mut command);
                assert!(!output.status.success(), "{command:?}");
                stdout(&output) + &stderr(&output)
            };
            assert!(!text.contains("hunter2"), "{text}");
            let looks = command.get_args().any(|arg| arg == "status");
            assert!(!looks || text.contains(because), "{because}: {text}");
        }
    }
    let mut secret = status(&server.url());
    secret
        .env("RUST_LOG", "trace")
        .env("STREAMHERD_USERNAME", "stranger")
        .env("STREAMHERD_PASSWORD", SECRET);
    with_files(&server, &mut secret);
    fails(&mut secret, "refused the login");
    // Help is printed to whoever asks.
    let help = run(streamherd()
        .env("REDIS_URL", with_login(&server.url(), &right))
        .env("STREAMHERD_PASSWORD", SECRET)
        .arg("--help"));
    assert!(help.status.success() && !stdout(&help).contains("hunter2"));
}
