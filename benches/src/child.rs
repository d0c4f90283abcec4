//! The processes that are measured, from outside.

use std::fs;
use std::io::{BufRead as _, BufReader, Write as _};
use std::process::{ChildStdin, ChildStdout, Command, Stdio};

use streamherd_testkit::Process;

use crate::BenchError;
use crate::part::{Counted, Part, Word};
use crate::workloads::Options;

/// A part that runs. Killed when dropped.
pub(crate) struct Child {
    pub(crate) process: Process,
    stdin: Option<ChildStdin>,
    stdout: BufReader<ChildStdout>,
}

/// What a process has used so far.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Usage {
    pub(crate) cpu_s: f64,
    pub(crate) rss_kb: u64,
    pub(crate) peak_rss_kb: u64,
}

impl Child {
    /// Starts a part, and waits until it could begin.
    pub(crate) fn start(options: &Options, part: &Part) -> Result<Self, BenchError> {
        let mut child = Self::spawn(options, part)?;
        child.ready()?;
        Ok(child)
    }

    /// Waits until it could begin, or, where it serves, until it is connected.
    pub(crate) fn ready(&mut self) -> Result<(), BenchError> {
        self.until("ready", |word| matches!(word, Word::Ready).then_some(()))
    }

    fn spawn(options: &Options, part: &Part) -> Result<Self, BenchError> {
        let mut command = Command::new(std::env::current_exe()?);
        command
            .args(&options.play)
            .arg(serde_json::to_string(part)?)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped());
        let mut process = Process::try_spawn(command)?;
        let no_pipe = || std::io::Error::other("a pipe to a child is missing");
        let stdout = process.take_stdout().ok_or_else(no_pipe)?;
        Ok(Self {
            stdin: process.take_stdin(),
            stdout: BufReader::new(stdout),
            process,
        })
    }

    /// Has it begin, or, where it serves and has begun, end.
    pub(crate) fn go(&mut self) -> Result<(), BenchError> {
        if let Some(stdin) = &mut self.stdin {
            stdin.write_all(b"go\n")?;
            stdin.flush()?;
        }
        Ok(())
    }

    /// Waits until it has come to its end.
    pub(crate) fn counted(&mut self) -> Result<Counted, BenchError> {
        self.until("end", |word| match word {
            Word::End(counted) => Some(counted),
            Word::Ready => None,
        })
    }

    fn until<T>(&mut self, wanted: &'static str, mut is: impl FnMut(Word) -> Option<T>) -> Result<T, BenchError> {
        let mut line = String::new();
        while self.stdout.read_line(&mut line)? > 0 {
            if let Some(found) = is(serde_json::from_str(&line)?) {
                return Ok(found);
            }
            line.clear();
        }
        Err(BenchError::Part { wanted })
    }

    pub(crate) fn usage(&self) -> Result<Usage, BenchError> {
        usage_of(self.process.pid())
    }
}

/// What a process of this machine has used so far.
pub(crate) fn usage_of(pid: u32) -> Result<Usage, BenchError> {
    let status = fs::read_to_string(format!("/proc/{pid}/status"))?;
    let kb = |name: &str| {
        let line = status.lines().find_map(|line| line.strip_prefix(name));
        line.and_then(|rest| rest.split_whitespace().next()?.parse().ok())
            .unwrap_or(0)
    };
    let stat = fs::read_to_string(format!("/proc/{pid}/stat"))?;
    // The name in brackets may hold anything; user and system time are the 12th and 13th field behind it, in hundredths.
    let behind = stat.rsplit(')').next().unwrap_or_default();
    let ticks: u64 = behind
        .split_whitespace()
        .skip(11)
        .take(2)
        .filter_map(|field| field.parse::<u64>().ok())
        .sum();
    #[expect(clippy::cast_precision_loss)]
    Ok(Usage {
        cpu_s: ticks as f64 / 100.0,
        rss_kb: kb("VmRSS:"),
        peak_rss_kb: kb("VmHWM:"),
    })
}
