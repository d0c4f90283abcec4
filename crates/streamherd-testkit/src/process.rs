use std::io;
use std::process::{Child, ChildStderr, ChildStdin, ChildStdout, Command, ExitStatus};
use std::thread;
use std::time::Duration;

use rustix::io::Errno;
use rustix::process::{Pid, Signal, WaitId, WaitIdOptions, kill_process, waitid};

use crate::eventually::Pace;

/// A child process that a test can freeze, kill and wait for. Dropping it kills it and reaps it.
///
/// Only the process itself is signalled, by the pid of the child that was started; processes that it starts in turn are
/// left alone.
#[derive(Debug)]
pub struct Process {
    child: Child,
    /// Set once the child is reaped. From then on its pid may belong to a stranger, so nothing signals it any more.
    status: Option<ExitStatus>,
}

impl Process {
    /// Starts `command`.
    ///
    /// # Panics
    ///
    /// If the command cannot be started.
    #[must_use]
    #[track_caller]
    pub fn spawn(command: Command) -> Self {
        let program = command.get_program().to_os_string();
        match Self::try_spawn(command) {
            Ok(process) => process,
            Err(error) => panic!("cannot start {}: {error}", program.display()),
        }
    }

    /// Starts `command`.
    ///
    /// # Errors
    ///
    /// If the command cannot be started.
    pub fn try_spawn(mut command: Command) -> io::Result<Self> {
        Ok(Self {
            child: command.spawn()?,
            status: None,
        })
    }

    /// The process id.
    #[must_use]
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// The child's stdin, once, if the command was given a pipe for it.
    pub fn take_stdin(&mut self) -> Option<ChildStdin> {
        self.child.stdin.take()
    }

    /// The child's stdout, once, if the command was given a pipe for it.
    pub fn take_stdout(&mut self) -> Option<ChildStdout> {
        self.child.stdout.take()
    }

    /// The child's stderr, once, if the command was given a pipe for it.
    pub fn take_stderr(&mut self) -> Option<ChildStderr> {
        self.child.stderr.take()
    }

    /// Stops the process (`SIGSTOP`) and returns when it stands still: its sockets stay open and nobody answers on them.
    ///
    /// # Panics
    ///
    /// If the process has been reaped already.
    #[track_caller]
    pub fn freeze(&self) {
        self.signal(Signal::STOP);
        // The signal is only queued by now; without this wait the process could still answer one more request.
        // NOWAIT leaves the state in place, so that freezing twice returns as well.
        let stopped = WaitIdOptions::STOPPED | WaitIdOptions::EXITED | WaitIdOptions::NOWAIT;
        while let Err(Errno::INTR) = waitid(WaitId::Pid(self.id()), stopped) {}
    }

    /// Lets a frozen process run on (`SIGCONT`).
    ///
    /// # Panics
    ///
    /// If the process has been reaped already.
    #[track_caller]
    pub fn thaw(&self) {
        self.signal(Signal::CONT);
    }

    /// Asks the process to end (`SIGTERM`). A frozen process sees it when it is thawed.
    ///
    /// # Panics
    ///
    /// If the process has been reaped already.
    #[track_caller]
    pub fn terminate(&self) {
        self.signal(Signal::TERM);
    }

    /// Kills the process (`SIGKILL`), frozen or not, and reaps it. Does nothing if it has ended already.
    #[track_caller]
    pub fn kill(&mut self) {
        if let Err(error) = self.try_kill() {
            panic!("cannot kill process {}: {error}", self.pid());
        }
    }

    /// How the process ended, or `None` while it runs.
    ///
    /// # Panics
    ///
    /// If the operating system refuses to tell.
    #[track_caller]
    pub fn try_wait(&mut self) -> Option<ExitStatus> {
        if self.status.is_none() {
            self.status = match self.child.try_wait() {
                Ok(status) => status,
                Err(error) => panic!("cannot wait for process {}: {error}", self.pid()),
            };
        }
        self.status
    }

    /// Waits until the process has ended, and returns how.
    ///
    /// # Panics
    ///
    /// If it still runs after `deadline`.
    #[track_caller]
    pub fn wait(&mut self, deadline: Duration) -> ExitStatus {
        let mut pace = Pace::starting_at(deadline, Duration::from_millis(1));
        loop {
            if let Some(status) = self.try_wait() {
                return status;
            }
            match pace.next() {
                Some(pause) => thread::sleep(pause),
                None => panic!("process {} still runs after {deadline:?}", self.pid()),
            }
        }
    }

    fn try_kill(&mut self) -> io::Result<()> {
        if self.status.is_none() {
            self.child.kill()?;
            self.status = Some(self.child.wait()?);
        }
        Ok(())
    }

    #[track_caller]
    fn signal(&self, signal: Signal) {
        if let Some(status) = self.status {
            panic!("process {} has ended already ({status})", self.pid());
        }
        if let Err(error) = kill_process(self.id(), signal) {
            panic!("cannot send {signal:?} to process {}: {error}", self.pid());
        }
    }

    fn id(&self) -> Pid {
        Pid::from_child(&self.child)
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // Nothing sensible is left to do about a child that cannot be killed, and a panic here would hide the test's.
        let _ = self.try_kill();
    }
}
