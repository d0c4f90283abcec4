//! The process groups of running commands, none of which may outlive the worker.

use std::collections::HashSet;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use rustix::io::Errno;
use rustix::process::{Pid, Signal, kill_process_group, test_kill_process_group};
use tokio::process::Child;
use tokio::time::Instant;

/// Between SIGTERM and SIGKILL.
pub(super) const GRACE: Duration = Duration::from_secs(5);
const LOOK_AGAIN: Duration = Duration::from_millis(20);

/// All groups that run.
#[derive(Clone, Default)]
pub(super) struct Groups(Arc<Mutex<HashSet<Pid>>>);

impl Groups {
    /// Takes charge of the group that this child leads.
    pub(super) fn lead(&self, child: Child, leader: Pid) -> Group {
        self.running().insert(leader);
        Group {
            child,
            leader,
            groups: self.clone(),
        }
    }

    /// Kills everything, for an exit that waits for nobody.
    pub(super) fn kill_all(&self) {
        for leader in self.running().iter() {
            let _ = kill_process_group(*leader, Signal::KILL);
        }
    }

    fn running(&self) -> MutexGuard<'_, HashSet<Pid>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// One running command with all that it starts. Killed when dropped, unless it has ended.
pub(super) struct Group {
    child: Child,
    leader: Pid,
    groups: Groups,
}

impl Group {
    /// Waits for the command itself. What it left in the background is its own affair.
    ///
    /// # Cancel safety
    /// Cancel safe.
    pub(super) async fn wait(&mut self) -> std::io::Result<std::process::ExitStatus> {
        let status = self.child.wait().await;
        // Reaped, so that the number may soon belong to a stranger.
        self.groups.running().remove(&self.leader);
        status
    }

    /// Ends the whole group: SIGTERM, and SIGKILL for what is left after the grace.
    pub(super) async fn end(mut self) {
        let _ = kill_process_group(self.leader, Signal::TERM);
        let patience = Instant::now() + GRACE;
        while !self.is_gone() && Instant::now() < patience {
            tokio::time::sleep(LOOK_AGAIN).await;
        }
        if !self.is_gone() {
            let _ = kill_process_group(self.leader, Signal::KILL);
        }
        let _ = self.child.wait().await;
        self.groups.running().remove(&self.leader);
    }

    /// The group's number belongs to it as long as it has members, also after its leader is reaped.
    fn is_gone(&mut self) -> bool {
        let leader_lives = matches!(self.child.try_wait(), Ok(None));
        !leader_lives && (test_kill_process_group(self.leader) == Err(Errno::SRCH) || only_zombies(self.leader))
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        if self.groups.running().remove(&self.leader) {
            let _ = kill_process_group(self.leader, Signal::KILL);
        }
    }
}

/// Whether the members of a group are dead and wait for init to reap them. In a container whose first process is no init
/// they wait for ever.
#[cfg(target_os = "linux")]
fn only_zombies(group: Pid) -> bool {
    let Ok(processes) = std::fs::read_dir("/proc") else {
        return false;
    };
    !processes
        .flatten()
        .any(|process| std::fs::read_to_string(process.path().join("stat")).is_ok_and(|stat| lives_in(group, &stat)))
}

#[cfg(not(target_os = "linux"))]
fn only_zombies(_group: Pid) -> bool {
    false
}

/// Reads `pid (name) state ppid pgrp …`, where the name may hold blanks and parentheses.
#[cfg(target_os = "linux")]
fn lives_in(group: Pid, stat: &str) -> bool {
    let mut fields = stat.rsplit_once(") ").map_or("", |(_, rest)| rest).split(' ');
    let state = fields.next();
    let its_group = fields.nth(1).and_then(|field| field.parse().ok());
    its_group == Some(group.as_raw_nonzero().get()) && !matches!(state, Some("Z" | "X"))
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use super::*;

    #[test]
    fn the_dead_are_told_from_the_living() {
        let group = Pid::from_raw(42).unwrap();
        assert!(lives_in(group, "43 (a) b) S 1 42 42 0"));
        assert!(!lives_in(group, "43 (sleep) Z 1 42 42 0"));
        assert!(!lives_in(group, "43 (sleep) S 42 7 7 0"));
        assert!(!lives_in(group, ""));
    }
}
