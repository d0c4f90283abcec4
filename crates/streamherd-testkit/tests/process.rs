//! Child processes: freeze, kill, reap.

use std::io::{BufRead, BufReader, Write};
use std::os::unix::process::ExitStatusExt;
use std::process::{Command, Stdio};
use std::sync::mpsc;
use std::time::Duration;

use streamherd_testkit::Process;

const SOON: Duration = Duration::from_secs(10);

fn sleeper() -> Process {
    let mut command = Command::new("sleep");
    command.arg("600");
    Process::spawn(command)
}

#[test]
fn a_killed_process_ends_by_sigkill_even_when_frozen() {
    let mut process = sleeper();
    process.freeze();
    process.kill();
    assert_eq!(process.wait(SOON).signal(), Some(9));
    process.kill();
}

#[test]
fn a_terminated_process_ends_by_sigterm() {
    let mut process = sleeper();
    assert_eq!(process.try_wait(), None);
    process.terminate();
    assert_eq!(process.wait(SOON).signal(), Some(15));
}

#[test]
fn a_frozen_process_answers_after_the_thaw() {
    let mut command = Command::new("cat");
    command.stdin(Stdio::piped()).stdout(Stdio::piped());
    let mut process = Process::spawn(command);
    let mut stdin = process.take_stdin().unwrap();
    let stdout = BufReader::new(process.take_stdout().unwrap());
    let (sender, lines) = mpsc::channel();
    std::thread::spawn(move || {
        for line in stdout.lines() {
            let _ = sender.send(line.unwrap());
        }
    });

    process.freeze();
    process.freeze();
    stdin.write_all(b"hello\n").unwrap();
    assert!(lines.recv_timeout(Duration::from_millis(50)).is_err());
    process.thaw();
    assert_eq!(lines.recv_timeout(SOON).unwrap(), "hello");
    drop(stdin);
    assert!(process.wait(SOON).success());
}

#[test]
fn a_dropped_process_is_gone() {
    let mut command = Command::new("cat");
    command.stdin(Stdio::piped()).stdout(Stdio::piped());
    let mut process = Process::spawn(command);
    let _stdin = process.take_stdin();
    let mut stdout = BufReader::new(process.take_stdout().unwrap());
    drop(process);
    let mut line = String::new();
    assert_eq!(stdout.read_line(&mut line).unwrap(), 0, "its stdout is closed");
}

#[test]
#[should_panic(expected = "still runs after")]
fn waiting_too_long_for_a_process_panics() {
    sleeper().wait(Duration::from_millis(30));
}

#[test]
#[should_panic(expected = "cannot start /nonexistent")]
fn a_command_that_does_not_exist_is_named() {
    let _ = Process::spawn(Command::new("/nonexistent"));
}
