//! Running the binary, and reading what it says.

use std::io::{BufRead as _, BufReader, Write as _};
use std::process::{Command, Output, Stdio};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use serde_json::Value;
use streamherd_testkit::{Process, Server, eventually_blocking};

/// More than anything here takes on a busy machine.
pub(crate) const DEADLINE: Duration = Duration::from_secs(30);
pub(crate) const SERVICE: &str = "orders";

/// The binary without anything from the environment that could change what it does.
pub(crate) fn streamherd() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_streamherd"));
    for (name, _) in std::env::vars_os() {
        let name = name.to_string_lossy();
        let ours = name.starts_with("STREAMHERD_") && name != "STREAMHERD_REDIS_SERVER";
        if ours || ["REDIS_URL", "RUST_LOG", "TRACEPARENT"].contains(&&*name) {
            command.env_remove(&*name);
        }
    }
    command
}

/// The binary, told where the server is.
pub(crate) fn at(server: &Server) -> Command {
    let mut command = streamherd();
    command.args(["--url", &server.url(), "--service", SERVICE]);
    command
}

pub(crate) fn run(command: &mut Command) -> Output {
    command.stdin(Stdio::null()).output().unwrap()
}

pub(crate) fn run_with_stdin(command: &mut Command, input: &str) -> Output {
    command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    child.stdin.take().unwrap().write_all(input.as_bytes()).unwrap();
    child.wait_with_output().unwrap()
}

/// Runs what a command printed as a command to run.
#[track_caller]
pub(crate) fn shell(command: &str) {
    let output = run(Command::new("sh").args(["-ec", command]));
    let said = stdout(&output);
    assert!(
        output.status.success() && said.starts_with("OK"),
        "{command}: {said}{}",
        stderr(&output)
    );
}

pub(crate) fn stdout(output: &Output) -> String {
    String::from_utf8(output.stdout.clone()).unwrap()
}

pub(crate) fn stderr(output: &Output) -> String {
    String::from_utf8(output.stderr.clone()).unwrap()
}

#[track_caller]
pub(crate) fn submit(server: &Server, names: &[&str]) {
    let output = run(at(server).arg("submit").args(names));
    assert!(output.status.success(), "{}", stderr(&output));
}

#[track_caller]
pub(crate) fn status(server: &Server) -> Value {
    let output = run(at(server).args(["--output", "json", "status"]));
    assert!(output.status.success(), "{}", stderr(&output));
    serde_json::from_slice(&output.stdout).unwrap()
}

/// A worker with `--events`, whose lines are read as they come.
pub(crate) struct Worker {
    pub(crate) process: Process,
    lines: Arc<Mutex<Vec<String>>>,
}

impl Worker {
    /// Starts it and waits until it is ready.
    #[track_caller]
    pub(crate) fn start(server: &Server, args: &[&str]) -> Self {
        let mut command = at(server);
        command
            .args(["worker", "--events"])
            .args(args)
            .stdin(Stdio::null())
            .stdout(Stdio::piped());
        Self::spawn(command)
    }

    /// Starts a worker with `--events` and its stdout piped, and waits until it is ready.
    #[track_caller]
    pub(crate) fn spawn(command: Command) -> Self {
        let mut process = Process::spawn(command);
        let lines = Arc::new(Mutex::new(Vec::new()));
        let stdout = BufReader::new(process.take_stdout().unwrap());
        let read = Arc::clone(&lines);
        thread::spawn(move || {
            for line in stdout.lines() {
                read.lock().unwrap().push(line.unwrap());
            }
        });
        let worker = Self { process, lines };
        worker.wait_for("it is ready", |events| events.iter().any(|e| e["event"] == "ready"));
        worker
    }

    pub(crate) fn lines(&self) -> Vec<String> {
        self.lines.lock().unwrap().clone()
    }

    pub(crate) fn events(&self) -> Vec<Value> {
        let lines = self.lines();
        lines.iter().map(|line| serde_json::from_str(line).unwrap()).collect()
    }

    /// What happened to a stream, in order.
    pub(crate) fn story(&self, stream: &str) -> Vec<String> {
        let events = self.events();
        let about = events.iter().filter(|event| event["stream"] == stream);
        about.map(|event| event["event"].as_str().unwrap().to_owned()).collect()
    }

    #[track_caller]
    pub(crate) fn wait_for(&self, what: &str, condition: impl Fn(&[Value]) -> bool) {
        eventually_blocking(DEADLINE, what, || condition(&self.events()).then_some(()));
    }

    /// Waits until this has happened to so many streams.
    #[track_caller]
    pub(crate) fn wait_for_events(&self, name: &str, count: usize) {
        self.wait_for(&format!("{count} × {name}"), |events| {
            events.iter().filter(|event| event["event"] == name).count() >= count
        });
    }

    /// Ends it with SIGTERM and expects it to end well.
    #[track_caller]
    pub(crate) fn end(&mut self) {
        self.process.terminate();
        let status = self.process.wait(DEADLINE);
        assert_eq!(status.code(), Some(0), "{status}");
        self.wait_for_events("terminated", 1);
    }
}

/// Whether a process of this id exists.
pub(crate) fn is_alive(pid: i32) -> bool {
    let pid = rustix::process::Pid::from_raw(pid).unwrap();
    rustix::process::test_kill_process(pid).is_ok()
}
