//! A program that a page has started, and what it says.

use std::io::{BufRead as _, BufReader, Read};
use std::process::{Command, ExitStatus, Stdio};
use std::sync::{Arc, Condvar, Mutex};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use streamherd_testkit::Process;

use crate::page::kept;

/// More than anything takes that a page promises, also on a machine with other things to do.
pub(crate) const SOON: Duration = Duration::from_secs(50);

/// A program that runs, and is killed when it is dropped.
#[derive(Debug)]
pub(crate) struct Program {
    process: Process,
    said: Arc<Said>,
    readers: Vec<JoinHandle<()>>,
}

impl Drop for Program {
    /// Where the test has failed: a program that has started servers ends them at Ctrl-C, and could not if it was killed.
    fn drop(&mut self) {
        if !thread::panicking() || self.process.try_wait().is_some() {
            return;
        }
        let _ = Command::new("sh").args(["-c", "kill -INT $0", &self.pid()]).status();
        let until = Instant::now() + Duration::from_secs(5);
        while self.process.try_wait().is_none() && Instant::now() < until {
            thread::sleep(Duration::from_millis(20));
        }
    }
}

#[derive(Debug, Default)]
struct Said {
    lines: Mutex<Vec<String>>,
    more: Condvar,
}

impl Program {
    pub(crate) fn start(mut command: Command) -> Self {
        command
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        let mut process = Process::spawn(command);
        let said = Arc::<Said>::default();
        let pipes: [Box<dyn Read + Send>; 2] = [
            Box::new(process.take_stdout().expect("a pipe")),
            Box::new(process.take_stderr().expect("a pipe")),
        ];
        let readers = pipes.map(|pipe| {
            let said = Arc::clone(&said);
            thread::spawn(move || {
                for line in BufReader::new(pipe).lines().map_while(Result::ok) {
                    said.lines.lock().unwrap().push(line);
                    said.more.notify_all();
                }
            })
        });
        Self {
            process,
            said,
            readers: readers.into(),
        }
    }

    pub(crate) fn pid(&self) -> String {
        self.process.pid().to_string()
    }

    /// How much it has said, for [`says_after`](Self::says_after).
    pub(crate) fn mark(&self) -> usize {
        self.said.lines.lock().unwrap().len()
    }

    /// Waits until it has said this at any time; answers what the `…` stand for.
    #[track_caller]
    pub(crate) fn says(&self, promise: &str) -> Vec<String> {
        self.says_after(0, promise)
    }

    /// Waits until it has said this behind a [`mark`](Self::mark).
    #[track_caller]
    pub(crate) fn says_after(&self, mark: usize, promise: &str) -> Vec<String> {
        let until = Instant::now() + SOON;
        let mut lines = self.said.lines.lock().unwrap();
        loop {
            if let Some(wild) = lines.iter().skip(mark).find_map(|line| kept(promise, line)) {
                return wild;
            }
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                panic!("it has not said {promise:?} after line {mark} of\n{}", lines.join("\n"));
            }
            lines = self.said.more.wait_timeout(lines, left).unwrap().0;
        }
    }

    /// Whether it has said this.
    pub(crate) fn has_said(&self, mark: usize, promise: &str) -> bool {
        let lines = self.said.lines.lock().unwrap();
        lines.iter().skip(mark).any(|line| kept(promise, line).is_some())
    }

    /// Waits until it has ended, and answers how, and all it has said.
    #[track_caller]
    pub(crate) fn ends(&mut self) -> (ExitStatus, Vec<String>) {
        let status = self.process.wait(SOON);
        for reader in self.readers.drain(..) {
            reader.join().unwrap();
        }
        (status, self.said.lines.lock().unwrap().clone())
    }
}
