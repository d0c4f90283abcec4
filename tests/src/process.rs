//! A worker in a process of its own.

use std::io::{BufRead as _, BufReader, Write as _};

use serde_json::Value;
use streamherd_testkit::Process;

use crate::{Address, Reachable, SOON};

/// A worker in a process of its own (`contract-worker`), to be killed and frozen.
#[derive(Debug)]
pub struct WorkerProcess {
    /// The process.
    pub process: Process,
    stdin: std::process::ChildStdin,
    lines: tokio::sync::mpsc::UnboundedReceiver<Value>,
    /// Everything it has said so far and that was received.
    pub said: Vec<Value>,
}

impl WorkerProcess {
    /// Starts one; `binary` is `env!("CARGO_BIN_EXE_contract-worker")`.
    #[must_use]
    pub fn start(binary: &str, at: &(impl Reachable + ?Sized), options: &[&str]) -> Self {
        let mut command = std::process::Command::new(binary);
        let Address { url, partitions } = at.address();
        command.arg(url).arg(partitions.to_string()).args(options);
        command
            // glibc keeps what was freed for each of its arenas, of which there are as many as threads happen to meet: that moves
            // the memory of a worker by megabytes, up and down.
            .env("MALLOC_ARENA_MAX", "1")
            .stdin(std::process::Stdio::piped())
            .stdout(std::process::Stdio::piped());
        let mut process = Process::spawn(command);
        let stdin = process.take_stdin().expect("a pipe to the worker");
        let stdout = process.take_stdout().expect("a pipe from the worker");
        let (tell, lines) = tokio::sync::mpsc::unbounded_channel();
        std::thread::spawn(move || {
            for line in BufReader::new(stdout).lines().map_while(Result::ok) {
                let line = serde_json::from_str(&line).expect("a worker says JSON");
                if tell.send(line).is_err() {
                    return;
                }
            }
        });
        Self {
            process,
            stdin,
            lines,
            said: Vec::new(),
        }
    }

    /// Waits for the next line that says this event.
    pub async fn says(&mut self, event: &str) -> Value {
        let waiting = async {
            while let Some(line) = self.lines.recv().await {
                self.said.push(line.clone());
                if line["event"] == event {
                    return line;
                }
            }
            panic!("the worker ended before it said {event:?}; it said {:?}", self.said)
        };
        match tokio::time::timeout(SOON, waiting).await {
            Ok(line) => line,
            Err(_) => panic!("the worker did not say {event:?} within {SOON:?}"),
        }
    }

    /// Waits for `count` such lines.
    pub async fn says_times(&mut self, event: &str, count: usize) -> Vec<Value> {
        let mut lines = Vec::with_capacity(count);
        while lines.len() < count {
            lines.push(self.says(event).await);
        }
        lines
    }

    /// All that it has said and that was not received, once it has ended.
    pub async fn rest(&mut self) -> Vec<Value> {
        while let Some(line) = self.lines.recv().await {
            self.said.push(line);
        }
        self.said.clone()
    }

    /// Has it settle all it holds that way.
    pub fn order(&mut self, how: &str) {
        writeln!(self.stdin, "{how}").expect("the worker reads its orders");
    }

    /// All that a worker has said whose process has ended.
    pub async fn last_words(mut self) -> Vec<Value> {
        let ending = async {
            while let Some(line) = self.lines.recv().await {
                self.said.push(line);
            }
        };
        if tokio::time::timeout(SOON, ending).await.is_err() {
            panic!("the worker still talks after {SOON:?}");
        }
        self.said
    }
}

/// A worker process with that many slots, all of them taken; `binary` as for [`WorkerProcess::start`].
pub async fn hold(binary: &str, at: &(impl Reachable + ?Sized), leases: usize) -> WorkerProcess {
    let slots = format!("slots={leases}");
    let mut worker = WorkerProcess::start(binary, at, &["then=hold", &slots]);
    worker.says_times("added", leases).await;
    worker
}
