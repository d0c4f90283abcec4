//! What a worker in any language answers an orchestrator.

use std::fs::File;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::process::Stdio;

use streamherd_testkit::{Process, Server, eventually_blocking};

use crate::support::{DEADLINE, at, run, stderr, submit};

/// A worker, and where it says that its probes are.
fn start(server: &Server, log: &Path) -> (Process, String) {
    let mut command = at(server);
    command
        .args([
            "worker",
            "--probes",
            "127.0.0.1:0",
            "--exec",
            "test $STREAMHERD_STREAM = a",
        ])
        .stdin(Stdio::null())
        .stderr(File::create(log).unwrap());
    let process = Process::spawn(command);
    let address = eventually_blocking(DEADLINE, "it says where its probes are", || {
        let said = BufReader::new(File::open(log).unwrap()).lines().map_while(Result::ok);
        let mut addresses = said.filter_map(|line| {
            let (_, rest) = line.split_once("http://")?;
            rest.split_once(": /livez, /readyz, /metrics")
                .map(|(address, _)| address.to_owned())
        });
        addresses.next()
    });
    (process, address)
}

fn get(address: &str, path: &str) -> (String, String) {
    let mut stream = TcpStream::connect(address).unwrap();
    write!(stream, "GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n").unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    (head.lines().next().unwrap().to_owned(), body.to_owned())
}

#[test]
fn a_worker_in_any_language_answers_probes_and_counts_its_work() {
    let mut server = Server::builder().persistent().start();
    let folder = tempfile::tempdir().unwrap();
    let (mut process, address) = start(&server, &folder.path().join("log"));
    let answers = |path: &str, status: &str, part: &str| {
        eventually_blocking(DEADLINE, &format!("{path} answers {status}, and {part}"), || {
            let (head, body) = get(&address, path);
            (head.contains(status) && body.contains(part)).then_some(())
        });
    };
    answers("/livez", " 200 ", r#""live":true"#);
    answers("/readyz", " 200 ", r#""ready":true"#);
    submit(&server, &["a", "b"]);
    for operation in ["done", "retry"] {
        // There once it was counted; how often is open, as the one that fails is tried again.
        let settled = format!(r#"streamherd_settled_total{{service="orders",operation="{operation}",outcome="ok"}} "#);
        answers("/metrics", " 200 ", &settled);
    }
    // Of the thread that keeps leases, too.
    answers(
        "/metrics",
        " 200 ",
        r#"streamherd_store_seconds_count{service="orders",operation="register"}"#,
    );
    server.kill();
    answers("/readyz", " 503 ", r#""condition":"redis""#);
    answers("/livez", " 200 ", r#""live":true"#);
    server.restart();
    answers("/readyz", " 200 ", r#""failing":[]"#);
    process.terminate();
    assert_eq!(process.wait(DEADLINE).code(), Some(0));
}

#[test]
fn an_address_that_is_taken_is_a_start_up_error_that_names_it() {
    let server = Server::start();
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let output = run(at(&server).args(["worker", "--work-ms", "0", "--probes", &address]));
    assert_eq!(output.status.code(), Some(2));
    assert!(
        stderr(&output).contains(&format!("--probes {address}: ")),
        "{}",
        stderr(&output)
    );
}
