//! The demo's worker processes.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use streamherd_testkit::Process;

use super::journal::{self, Journal};
use super::records::Event;
use crate::args::{Events, LOGIN_VARIABLES};
use crate::failure::Failure;
use crate::output;

/// Streams a worker holds at one time.
pub(super) const SLOTS: u32 = 4;
/// Short, so that one needn't wait long for what the demo shows.
pub(super) const LOCK_TTL: Duration = Duration::from_secs(2);
/// Between two looks at something that is waited for.
pub(super) const POLL: Duration = Duration::from_millis(20);
/// For workers that have nothing left to do.
const FAREWELL: Duration = Duration::from_secs(20);
const LOG_LINES_SHOWN: usize = 20;

/// What all workers have in common.
pub(super) struct Setup<'a> {
    pub(super) url: &'a str,
    pub(super) service: &'a str,
    pub(super) dir: &'a Path,
    pub(super) ledger: &'a Path,
    pub(super) work: Duration,
    pub(super) keyspace_events: Events,
}

/// One worker process; killed when dropped.
pub(super) struct Worker {
    pub(super) name: String,
    pub(super) state: State,
    process: Process,
    /// Its events, as far as they were read.
    news: Journal<Event>,
    events: PathBuf,
    log: PathBuf,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum State {
    Running,
    Stopped,
    Killed,
}

impl Worker {
    pub(super) fn start(number: u16, setup: &Setup<'_>) -> std::io::Result<Self> {
        let name = format!("worker-{number}");
        let events = setup.dir.join(format!("{name}.events"));
        let log = setup.dir.join(format!("{name}.log"));
        let mut command = Command::new(std::env::current_exe()?);
        // The demo's server is its own.
        for name in LOGIN_VARIABLES {
            command.env_remove(name);
        }
        command
            .args(["--url", setup.url, "--service", setup.service, "worker", "--events"])
            .args(["--name", &name])
            .args(["--concurrency", &SLOTS.to_string()])
            .args(["--work-ms", &setup.work.as_millis().to_string()])
            .args(["--lock-ttl", &LOCK_TTL.as_millis().to_string()])
            .args(["--keyspace-events", setup.keyspace_events.as_str()])
            .arg("--ledger")
            .arg(setup.ledger)
            .stdin(Stdio::null())
            .stdout(File::create(&events)?)
            .stderr(File::create(&log)?);
        Ok(Self {
            process: Process::try_spawn(command)?,
            news: Journal::open(&events)?,
            name,
            state: State::Running,
            events,
            log,
        })
    }

    /// Whether it has connected.
    pub(super) fn is_ready(&self) -> bool {
        fs::read_to_string(&self.events).is_ok_and(|text| text.contains(r#""event":"ready""#))
    }

    /// What it has said since the last call.
    pub(super) fn news(&mut self) -> std::io::Result<Vec<Event>> {
        self.news.read()
    }

    /// All that it has said.
    pub(super) fn events(&self) -> std::io::Result<Vec<Event>> {
        journal::read_all(&self.events)
    }

    /// Stands still from here on. Its connections stay open.
    pub(super) fn freeze(&mut self) {
        self.process.freeze();
        self.state = State::Stopped;
    }

    pub(super) fn thaw(&mut self) {
        self.process.thaw();
        self.state = State::Running;
    }

    pub(super) fn kill(&mut self) {
        self.process.kill();
        self.state = State::Killed;
    }

    /// How it ended, if it has.
    fn ended(&mut self) -> Option<ExitStatus> {
        self.process.try_wait()
    }

    /// Fails if it ended without being asked to.
    pub(super) fn check(&mut self) -> Result<(), Failure> {
        if self.state == State::Killed {
            return Ok(());
        }
        match self.ended() {
            None => Ok(()),
            Some(status) => {
                let what = format!("{} ended by itself ({status}); the end of its log:", self.name);
                Err(Failure::failed(what).with_text(&self.log_tail()))
            }
        }
    }

    /// The end of what it logged.
    fn log_tail(&self) -> String {
        let log = fs::read(&self.log).unwrap_or_default();
        let log = String::from_utf8_lossy(&log);
        let lines: Vec<_> = log.lines().collect();
        let skipped = lines.len().saturating_sub(LOG_LINES_SHOWN);
        lines.get(skipped..).unwrap_or_default().join("\n")
    }
}

/// Ends the workers that are left; returns how many did not end with 0.
pub(super) async fn end(workers: &mut [Worker]) -> usize {
    let mut left: Vec<&mut Worker> = workers
        .iter_mut()
        .filter(|worker| worker.state != State::Killed)
        .collect();
    for worker in &mut left {
        if worker.state == State::Stopped {
            worker.thaw();
        }
        worker.process.terminate();
    }
    let end = Instant::now() + FAREWELL;
    let mut unclean = 0;
    for worker in left {
        let status = loop {
            let status = worker.ended();
            if status.is_some() || Instant::now() >= end {
                break status;
            }
            tokio::time::sleep(POLL).await;
        };
        if status.is_none_or(|status| !status.success()) {
            unclean += 1;
            let ending = status.map_or_else(|| "still runs".to_owned(), |status| format!("ended with {status}"));
            output::say(&format!("{} {ending}; the end of its log:", worker.name));
            worker.log_tail().lines().for_each(output::say);
            // It may still hold streams, and is not to change what is counted next.
            worker.kill();
        }
    }
    unclean
}
