//! `streamherd top` in a real terminal, on a real Redis with real workers.

mod acting;
mod input;
mod leaving;

use streamherd::{Client, Notification, Progress};
use streamherd_testkit::{RawClient, Server};

use crate::support::{SERVICE, Worker, at, run, stderr, submit};
use crate::terminal::Terminal;

/// Streams that a consumer was given that never lived: orphans, as long as no worker runs.
fn orphan(server: &Server, names: &[&str]) {
    submit(server, names);
    let mut redis = server.client();
    // A worker may have made it.
    redis.cmd("XGROUP CREATE {orders:0}:input workers 0");
    redis
        .cmd("XREADGROUP GROUP workers ghost STREAMS {orders:0}:input >")
        .ok();
}

/// Dead letters of streams with these names.
fn bury(server: &Server, names: &[&str]) {
    let mut worker = Worker::start(server, &["--exec", "echo no good >&2; exit 65"]);
    submit(server, names);
    worker.wait_for_events("dead_lettered", names.len());
    worker.end();
}

fn letters(redis: &mut RawClient) -> i64 {
    redis.cmd("XLEN {orders:0}:dlq").int()
}

#[test]
fn it_shows_who_holds_what_and_how_far_it_got_and_then_that_it_is_an_orphan() {
    let server = Server::start();
    let mut top = Terminal::top(&server, &[]);
    top.wait_for(&["streamherd top · orders", "live, seen", "1 Overview"]);
    let mut worker = Worker::start(
        &server,
        &[
            "--exec",
            "sleep 60",
            "--name",
            "pod-7",
            "--concurrency",
            "3",
            "--lock-ttl",
            "1s",
        ],
    );
    submit(&server, &["session-1"]);
    worker.wait_for_events("added", 1);
    top.wait_for(&["1 alive hold 1 of 3", "2 of 3 slots free"]);
    top.press("2");
    top.wait_for(&["▸ pod-7.", "alive"]);
    top.press("\r");
    top.wait_for(&["held         1 of 3", "heartbeat", "pid"]);
    top.press("l");
    top.wait_for(&["▸ session-1", "leased", "of pod-7."]);
    worker.process.kill();
    top.wait_for(&["▸ session-1", "orphan"]);
    top.press("f");
    top.wait_for(&["orphans only", "session-1"]);
    top.press("1");
    top.wait_for(&["1 consumer is silent"]);
}

#[test]
fn progress_is_seen_as_the_owner_tells_it() {
    let server = Server::start();
    let runtime = tokio::runtime::Runtime::new().unwrap();
    submit(&server, &["session-1"]);
    let (client, lease) = runtime.block_on(async {
        let builder = Client::builder(SERVICE).url(server.url()).consumer("pod-7");
        let (client, mut notifications) = builder.connect().await.unwrap();
        let lease = loop {
            if let Notification::StreamAdded(lease) = notifications.recv().await.unwrap() {
                break lease;
            }
        };
        (client, lease)
    });
    let mut top = Terminal::top(&server, &[]);
    top.press("3");
    top.wait_for(&["▸ session-1", "leased", "pod-7."]);
    lease.report(Progress::of(0.42).with_text("42 of 100 files"));
    top.wait_for(&["42% 42 of"]);
    top.press("\r");
    top.wait_for(&["progress     42% 42 of 100 files, told", "owner        pod-7.", "token"]);
    top.press("\u{1b}");
    top.wait_for(&["▸ session-1"]);
    runtime.block_on(async {
        lease.done().await.unwrap();
        client.shutdown(std::time::Duration::ZERO).await;
    });
    top.wait_for(&["Nothing is pending at a consumer."]);
}

#[test]
fn every_view_fits_80_by_24_and_the_screen_follows_its_size() {
    let server = Server::start();
    let long = "a-name-that-is-much-longer-than-any-column-of-the-terminal-can-be-".repeat(3);
    bury(&server, &[&long, "short"]);
    orphan(&server, &["user-1", &format!("{long}2")]);
    let mut top = Terminal::top(&server, &[]);
    let views = [
        ("1", "queued (lag)"),
        ("2", "ghost"),
        ("3", "user-1"),
        ("4", "Nothing waits"),
        ("5", "short"),
        ("6", "answers"),
    ];
    let whole = |lines: &[String], rows: usize, keys: &str| {
        lines.len() == rows && lines[0].contains("orders") && lines[rows - 1].contains(keys)
    };
    for (key, text) in views {
        top.press(key);
        top.wait_for(&[text]);
        top.wait_until("the keys on the last line", |lines| whole(lines, 24, "q leave  ? help"));
        assert!(top.lines()[1].contains("6 Partitions"), "{:?}", top.lines());
        assert!(top.look(|screen| (0..24).all(|row| !screen.row_wrapped(row))));
    }
    top.press("?");
    top.wait_for(&["redrive the marked dead letter"]);
    top.press(" 3");
    for (columns, rows) in [(40, 20), (120, 40), (36, 10)] {
        top.resize(columns, rows);
        top.wait_until("it follows", |lines| {
            whole(lines, usize::from(rows), "q leave") && lines.iter().any(|line| line.contains("▸ user-1"))
        });
    }
    top.resize(30, 6);
    top.wait_for(&["30×6 is too small"]);
    top.resize(80, 24);
    top.wait_for(&["▸ user-1", "6 Partitions"]);
    top.press("q");
    assert_eq!(top.wait(), 0);
}

#[test]
fn pages_are_turned_and_each_is_as_long_as_the_screen() {
    let server = Server::start();
    let names: Vec<String> = (0..45).map(|n| format!("s-{n:02}")).collect();
    orphan(&server, &names.iter().map(String::as_str).collect::<Vec<_>>());
    let mut top = Terminal::top(&server, &[]);
    top.press("3");
    top.wait_for(&["▸ s-00", "s-17", "page 1, PgDn: more"]);
    top.press("\u{1b}[6~");
    top.wait_for(&["▸ s-18", "page 2, PgDn: more"]);
    top.press("\u{1b}[6~");
    top.wait_for(&["▸ s-36", "s-44", "page 3"]);
    top.wait_without("PgDn: more");
    top.press("\u{1b}[B");
    top.wait_for(&["▸ s-37"]);
    top.press("\u{1b}[5~");
    top.wait_for(&["▸ s-18", "page 2"]);
}

#[test]
fn a_page_of_many_is_all_that_is_read() {
    let server = Server::start();
    let mut redis = server.client();
    let error = "x".repeat(1_000);
    for n in 0..4_000 {
        let input = format!("{{\"DataStreamName\":\"s-{n:04}\",\"Info\":null}}");
        let letter = [
            "XADD",
            "{orders:0}:dlq",
            "*",
            "lbs-input",
            &input,
            "_sh_reason",
            "rejected",
            "_sh_error",
            &error,
        ];
        redis.call(&letter).ok();
    }
    let sent = |redis: &mut RawClient| -> u64 {
        let info = String::from_utf8(redis.cmd("INFO stats").bytes()).unwrap();
        let line = info
            .lines()
            .find_map(|line| line.strip_prefix("total_net_output_bytes:"));
        line.unwrap().parse().unwrap()
    };
    let before = sent(&mut redis);
    let mut command = at(&server);
    command.args(["top", "--interval", "1h"]);
    let mut top = Terminal::run(&command);
    top.wait_for(&["dead letters         4000"]);
    top.press("5");
    top.wait_for(&["▸ s-0000", "s-0017", "page 1, PgDn: more"]);
    top.press("\u{1b}[6~");
    top.wait_for(&["▸ s-0018", "page 2, PgDn: more"]);
    let read = sent(&mut redis) - before;
    assert!(read < 1_000_000, "{read} of more than 4,000,000 bytes");
}

/// A title, a cleared screen, a line of its own, C1 forms, an override of direction, wide and piled letters.
const HOSTILE: &str =
    "a\u{1b}]0;pwned\u{7}\u{1b}[2J\u{1b}[?1049l\r\nFORGED\u{9b}31m\u{202e}gpj日本\u{301}\u{200b}\u{5e9}";

#[test]
fn hostile_names_stay_in_their_cells() {
    let server = Server::start();
    orphan(&server, &[HOSTILE, "plain"]);
    let mut redis = server.client();
    redis
        .call(&["HSET", "{orders:0}:control", &format!("paused:{HOSTILE}"), "5"])
        .ok();
    let mut top = Terminal::top(&server, &[]);
    top.wait_for(&["a\\u{1b}]0;pwned\\u{7}"]);
    top.press("3");
    top.wait_for(&["▸ a\\u{1b}]0;", "plain"]);
    top.press("\r");
    top.wait_for(&["a\\u{1b}]0;pwned\\u{7}\\u{1b}[2J", "FORGED\\u{9b}31m", "gpj日本"]);
    top.press("a");
    top.wait_for(&["again?", "y: yes, do it"]);
    top.press("n");
    top.wait_for(&["Nothing was changed."]);
    assert!(top.look(vt100::Screen::alternate_screen));
    let written = top.written();
    for wrong in ["\u{1b}]0;", "\u{202e}", "\u{9b}", "\u{200b}", "\u{1b}[?1049l"] {
        assert!(!written.contains(wrong), "{wrong:?}");
    }
    assert!(!top.lines().iter().any(|line| line.starts_with("FORGED")));
}

#[test]
fn partitions_are_shown_with_the_server_that_holds_them() {
    let server = Server::start();
    let output = run(at(&server).args(["--partitions", "3", "submit", "a", "b", "c", "d"]));
    assert!(output.status.success(), "{}", stderr(&output));
    let mut worker = Worker::start(
        &server,
        &["--partitions", "3", "--exec", "sleep 60", "--shutdown-deadline", "0s"],
    );
    worker.wait_for_events("added", 4);
    let mut top = Terminal::top(&server, &[]);
    top.wait_for(&["3 partitions on 1 server", "pending                 4"]);
    top.press("6j");
    let address = server.url().replace("redis://", "");
    top.wait_for(&["▸    1", &address, "answers"]);
    top.press("\r");
    top.wait_for(&["Partition 1", "breaker      closed for"]);
    worker.end();
}
