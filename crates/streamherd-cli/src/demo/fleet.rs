//! The demo's worker processes.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus, Stdio};
use std::time::Duration;

use streamherd_testkit::Process;

use crate::args::{Events, LOGIN_VARIABLES};
use crate::failure::Failure;

/// Streams a worker holds at one time.
pub(super) const SLOTS: u32 = 4;
/// Short, so that one needn't wait long for what the demo shows.
pub(super) const LOCK_TTL: Duration = Duration::from_secs(2);
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

    pub(super) fn terminate(&self) {
        self.process.terminate();
    }

    /// How it ended, if it has.
    pub(super) fn ended(&mut self) -> Option<ExitStatus> {
        self.process.try_wait()
    }

    /// Fails if it ended without being asked to.
    pub(super) fn check(&mut self) -> Result<(), Failure> {
        if self.state == State::Killed {
            return Ok(());
        }
        match self.ended() {
            None => Ok(()),
            Some(status) => Err(Failure::failed(format!(
                "{} ended by itself ({status}); the end of its log:\n{}",
                self.name,
                self.log_tail()
            ))),
        }
    }

    /// The end of what it logged.
    pub(super) fn log_tail(&self) -> String {
        let log = fs::read(&self.log).unwrap_or_default();
        let log = String::from_utf8_lossy(&log);
        let lines: Vec<_> = log.lines().collect();
        let skipped = lines.len().saturating_sub(LOG_LINES_SHOWN);
        lines.get(skipped..).unwrap_or_default().join("\n")
    }
}
