//! `worker --exec`: a shell command works on the stream.

use std::io::{ErrorKind, Write as _};
use std::os::unix::process::ExitStatusExt as _;
use std::process::{ExitStatus, Stdio};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use rustix::process::Pid;
use serde_json::value::RawValue;
use streamherd::Lease;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::process::{ChildStderr, ChildStdin, Command};
use tokio_util::sync::CancellationToken;

use super::Verdict;
use super::group::Groups;

/// sysexits.h: EX_TEMPFAIL and EX_DATAERR.
const RETRY: i32 = 75;
const DEAD_LETTER: i32 = 65;
/// What a shell exits with when a command can't be executed, and when there is none of that name.
const NOT_EXECUTABLE: i32 = 126;
const NOT_FOUND: i32 = 127;
/// How much of the end of stderr is kept, and so the longest reason.
const TAIL: usize = 4 * 1024;
/// A process that the command left behind may hold its stderr open for ever.
const LAST_WORDS: Duration = Duration::from_millis(200);

/// A command to run for each stream.
pub(super) struct Exec {
    pub(super) command: String,
    pub(super) service: String,
    pub(super) groups: Groups,
}

impl Exec {
    /// Works on a stream until the command ends, the lease is lost or `stop` fires; then nothing of it is left running,
    /// but for what a command put into the background and left behind.
    pub(super) async fn work(&self, lease: &Lease, stop: &CancellationToken) -> Verdict {
        // Whoever named it: no environment can hold such a name, and a part of it is another name.
        if lease.stream().contains('\0') {
            return Verdict::DeadLetter("its name holds a NUL character, which no environment variable can".to_owned());
        }
        let (mut child, leader) = match self.start(lease) {
            Ok(started) => started,
            // Of what other streams would meet too.
            Err(e) if matches!(e.kind(), ErrorKind::NotFound | ErrorKind::PermissionDenied) => {
                return Verdict::Broken(format!("sh could not be started: {e}"));
            }
            Err(e) => return Verdict::Retry(format!("the command could not be started: {e}")),
        };
        let info = lease.info::<Box<RawValue>>().ok();
        let stdin = child.stdin.take();
        // Beside the command: it may read late, or never.
        let feeding = tokio::spawn(feed(stdin, info));
        let tail = Tail::default();
        let listening = tokio::spawn(tail.clone().listen(child.stderr.take()));
        let mut group = self.groups.lead(child, leader);

        let verdict = tokio::select! {
            status = group.wait() => {
                let _ = tokio::time::timeout(LAST_WORDS, listening).await;
                match status {
                    Ok(status) => judge(status, tail.last_line()),
                    Err(e) => Verdict::Retry(format!("the command could not be waited for: {e}")),
                }
            }
            () = lease.lost().cancelled() => {
                group.end().await;
                Verdict::Lost
            }
            () = stop.cancelled() => {
                // Its lease is released when it is gone, so that nobody works beside it.
                group.end().await;
                Verdict::Release
            }
        };
        feeding.abort();
        verdict
    }

    fn start(&self, lease: &Lease) -> std::io::Result<(tokio::process::Child, Pid)> {
        let mut command = Command::new("sh");
        // Those that this process was started in are another trace's.
        command.env_remove("TRACEPARENT").env_remove("TRACESTATE");
        if let Some(context) = lease.trace_context() {
            command.env("TRACEPARENT", context.to_string());
        }
        let child = command
            .arg("-c")
            .arg(&self.command)
            .env("STREAMHERD_STREAM", lease.stream())
            .env("STREAMHERD_TOKEN", lease.token().to_string())
            .env("STREAMHERD_ATTEMPT", lease.attempt().to_string())
            .env("STREAMHERD_ID", lease.id().to_string())
            .env("STREAMHERD_SERVICE", &self.service)
            .stdin(Stdio::piped())
            // Ours is for events.
            .stdout(Stdio::from(rustix::stdio::stderr().try_clone_to_owned()?))
            .stderr(Stdio::piped())
            // Of its own, so that a signal reaches all it starts, and a Ctrl-C in the terminal does not.
            .process_group(0)
            .kill_on_drop(true)
            .spawn()?;
        let leader = child
            .id()
            .and_then(|id| i32::try_from(id).ok())
            .and_then(Pid::from_raw)
            .ok_or_else(|| std::io::Error::other("it has no process id"))?;
        Ok((child, leader))
    }
}

fn judge(status: ExitStatus, last_line: Option<String>) -> Verdict {
    match status.code() {
        Some(0) => Verdict::Done,
        Some(DEAD_LETTER) => Verdict::DeadLetter(last_line.unwrap_or_else(|| format!("exit {DEAD_LETTER}"))),
        code => {
            let ending = match code {
                Some(RETRY) => format!("exit status {RETRY} (retry)"),
                Some(code) => format!("exit status {code}"),
                None => format!("killed by signal {}", status.signal().unwrap_or_default()),
            };
            let why = match last_line {
                Some(line) => format!("{ending}: {line}"),
                None => ending,
            };
            match code {
                Some(NOT_EXECUTABLE | NOT_FOUND) => Verdict::Broken(why),
                _ => Verdict::Retry(why),
            }
        }
    }
}

async fn feed(stdin: Option<ChildStdin>, info: Option<Box<RawValue>>) {
    let Some(mut stdin) = stdin else { return };
    let info = info.as_deref().map_or("null", RawValue::get);
    // A command that does not read it has no use for it.
    let _ = stdin.write_all(info.as_bytes()).await;
}

/// The end of what a command said on stderr.
#[derive(Clone, Default)]
struct Tail(Arc<Mutex<Vec<u8>>>);

impl Tail {
    /// Passes stderr on to ours, until it is closed.
    async fn listen(self, stderr: Option<ChildStderr>) {
        let Some(mut stderr) = stderr else { return };
        let mut chunk = [0; TAIL];
        while let Ok(read @ 1..) = stderr.read(&mut chunk).await {
            let said = chunk.get(..read).unwrap_or_default();
            let _ = std::io::stderr().write_all(said);
            let mut tail = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            tail.extend_from_slice(said);
            let too_much = tail.len().saturating_sub(TAIL);
            tail.drain(..too_much);
        }
    }

    fn last_line(&self) -> Option<String> {
        let tail = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        String::from_utf8_lossy(&tail)
            .lines()
            .map(str::trim)
            .rfind(|line| !line.is_empty())
            .map(str::to_owned)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn verdict(wait_status: i32, last_line: Option<&str>) -> Verdict {
        judge(ExitStatus::from_raw(wait_status), last_line.map(str::to_owned))
    }

    #[test]
    fn exit_codes_are_judged_as_documented() {
        assert_eq!(verdict(0, Some("noise")), Verdict::Done);
        assert_eq!(
            verdict(75 << 8, None),
            Verdict::Retry("exit status 75 (retry)".to_owned())
        );
        assert_eq!(verdict(65 << 8, None), Verdict::DeadLetter("exit 65".to_owned()));
        assert_eq!(verdict(65 << 8, Some("bad")), Verdict::DeadLetter("bad".to_owned()));
        assert_eq!(
            verdict(3 << 8, Some("no")),
            Verdict::Retry("exit status 3: no".to_owned())
        );
        assert_eq!(verdict(9, None), Verdict::Retry("killed by signal 9".to_owned()));
        for code in [126, 127] {
            let why = format!("exit status {code}: sh: no");
            assert_eq!(verdict(code << 8, Some("sh: no")), Verdict::Broken(why));
        }
    }

    #[test]
    fn the_last_line_is_the_last_that_says_something() {
        let tail = Tail::default();
        assert_eq!(tail.last_line(), None);
        tail.0.lock().unwrap().extend_from_slice(b"first\nlast \n\n  \n");
        assert_eq!(tail.last_line().as_deref(), Some("last"));
    }
}
