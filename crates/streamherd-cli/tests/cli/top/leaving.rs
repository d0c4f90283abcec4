//! What becomes of the terminal when Redis goes away, and when `top` ends.

use std::process::Stdio;

use rustix::process::Signal;
use streamherd_testkit::{Server, eventually_blocking};

use super::orphan;
use crate::support::{DEADLINE, SERVICE, at, run, stderr, stdout, submit};
use crate::terminal::Terminal;

#[test]
fn while_redis_is_away_what_was_seen_stays_and_then_it_goes_on() {
    let mut server = Server::builder().persistent().start();
    orphan(&server, &["user-1"]);
    let mut top = Terminal::top(&server, &[]);
    top.press("3");
    top.wait_for(&["▸ user-1", "live, seen"]);
    server.kill();
    top.wait_for(&["▸ user-1", "STALE, seen", "Redis does not answer:"]);
    top.press("1");
    top.wait_for(&["FAILURE", "what you see is"]);
    top.press("p");
    top.wait_for(&["Pause service orders?"]);
    top.press("y");
    top.wait_for(&["Not done"]);
    top.press(" ");
    server.restart();
    top.wait_for(&["live, seen"]);
    top.wait_without("Redis does not answer");
    submit(&server, &["user-2"]);
    top.wait_for(&["queued (lag)            1"]);
}

type End = fn(&mut Terminal);

#[test]
fn the_terminal_is_given_back_as_it_was() {
    let server = Server::start();
    let ends: [(&str, End); 5] = [
        ("q", |top| top.press("q")),
        ("Esc", |top| top.press("\u{1b}")),
        ("Ctrl-C", |top| top.press("\u{3}")),
        ("SIGTERM", |top| top.signal(Signal::TERM)),
        ("SIGINT", |top| top.signal(Signal::INT)),
    ];
    for (how, end) in ends {
        let mut top = Terminal::top(&server, &[]);
        top.wait_for(&["live, seen"]);
        assert!(
            !top.is_given_back() && !top.modes().contains("ICANON"),
            "{how}: {}",
            top.modes()
        );
        end(&mut top);
        assert_eq!(top.wait(), 0, "{how}");
        eventually_blocking(DEADLINE, how, || top.is_given_back().then_some(()));
        assert!(
            top.modes().contains("ICANON") && top.modes().contains("ECHO"),
            "{how}: {}",
            top.modes()
        );
    }
}

#[test]
fn logs_are_kept_off_the_screen_and_told_afterwards() {
    let mut server = Server::start();
    let mut top = Terminal::top(&server, &[]);
    top.wait_for(&["live, seen", "q leave"]);
    server.kill();
    top.wait_for(&["STALE, seen"]);
    let log = "no answer from Redis to a look";
    assert!(!top.written().contains(log), "{:?}", top.written());
    top.press("q");
    assert_eq!(top.wait(), 0);
    eventually_blocking(DEADLINE, "the log", || {
        let written = top.written();
        let (_, after) = written.split_once("\u{1b}[?1049l")?;
        after.contains(log).then_some(())
    });
}

#[test]
fn without_colours_it_is_told_in_words() {
    let server = Server::start();
    orphan(&server, &["user-1"]);
    let mut command = at(&server);
    command.arg("top");
    let mut coloured = Terminal::run(&command);
    coloured.wait_for(&["WARNING", "live, seen"]);
    assert!(
        coloured.written().contains("\u{1b}[38;5;"),
        "colours are used where they may be"
    );
    coloured.press("q");
    coloured.wait();
    let mut shell = crate::support::streamherd();
    shell.args(["--url", &server.url(), "--service", SERVICE, "top"]);
    let mut wrapped = std::process::Command::new("env");
    wrapped
        .arg("NO_COLOR=1")
        .arg(shell.get_program())
        .args(shell.get_args());
    for (name, value) in shell.get_envs() {
        if value.is_none() {
            wrapped.env_remove(name);
        }
    }
    let plain = Terminal::run(&wrapped);
    plain.wait_for(&["WARNING", "live, seen"]);
    assert!(!plain.written().contains("\u{1b}[38;"), "{:?}", plain.written());
}

#[test]
fn without_a_terminal_it_names_what_to_use() {
    let server = Server::start();
    let output = run(at(&server).arg("top").stdout(Stdio::piped()));
    assert_eq!((output.status.code(), stdout(&output).as_str()), (Some(2), ""));
    let said = stderr(&output);
    assert!(
        said.starts_with("error: ") && said.contains("`streamherd status`"),
        "{said}"
    );
}
