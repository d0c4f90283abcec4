//! What comes from the terminal: keys, its size, and its end.

use std::io::Read as _;

use portable_pty::{CommandBuilder, PtySize, native_pty_system};
use rustix::process::Signal;
use streamherd_testkit::{Server, eventually_blocking};

use super::orphan;
use crate::support::{DEADLINE, at};
use crate::terminal::Terminal;

/// Lines of the screen that are no rows of the list.
const AROUND: u16 = 6;

#[test]
fn a_key_and_a_resize_that_come_at_once_are_both_seen() {
    let server = Server::start();
    let names: Vec<String> = (0..60).map(|n| format!("s-{n:02}")).collect();
    orphan(&server, &names.iter().map(String::as_str).collect::<Vec<_>>());
    let mut top = Terminal::top(&server, &[]);
    top.press("3");
    top.wait_for(&["▸ s-00", "s-17", "PgDn: more"]);
    for round in 1..=12 {
        let rows = 24 + 2 * round;
        // Both wait for it when it goes on.
        top.signal(Signal::STOP);
        if round % 2 == 0 {
            top.press("j");
            top.resize(80, rows);
        } else {
            top.resize(80, rows);
            top.press("j");
        }
        top.signal(Signal::CONT);
        // A page is as long as the size that it was told.
        let last = format!("s-{:02}", rows - AROUND - 1);
        top.wait_for(&[&format!("▸ s-{round:02}"), &last]);
    }
}

#[test]
fn a_terminal_that_goes_away_ends_it() {
    let server = Server::start();
    let mut command = at(&server);
    let pair = native_pty_system().openpty(PtySize::default()).unwrap();
    let mut told = CommandBuilder::new(command.get_program());
    told.args(command.arg("top").get_args());
    told.env("TERM", "xterm-256color");
    let mut child = pair.slave.spawn_command(told).unwrap();
    drop(pair.slave);
    let mut reader = pair.master.try_clone_reader().unwrap();
    let mut written = Vec::new();
    let mut bytes = [0; 4_096];
    while !String::from_utf8_lossy(&written).contains("streamherd top") {
        let read = reader.read(&mut bytes).unwrap();
        assert!(read > 0, "{}", String::from_utf8_lossy(&written));
        written.extend_from_slice(&bytes[..read]);
    }
    drop((reader, pair.master));
    let ended = eventually_blocking(DEADLINE, "it ends", || {
        child.try_wait().unwrap().map(|status| status.exit_code())
    });
    // By SIGHUP, or as it can't draw any more: whichever is noticed first. A panic would be 101.
    assert!(ended <= 1, "{ended}");
}
