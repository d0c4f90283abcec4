//! `retries`, `reading`, `fencing`: what becomes of work that does not go well.

use streamherd_testkit::Server;

use crate::lesson::{Lesson, becomes};
use crate::program::Program;
use crate::workers::ctrl_c;

#[test]
fn retries() {
    let server = Server::start();
    let lesson = Lesson::of("retries").at(&server);
    let dead = || server.client().cmd("XLEN {retries:0}:dlq").int();
    let mut worker = lesson.start("cargo run -p streamherd-examples --example retries");
    for promise in [
        "flaky: attempt 0: the bank does not answer",
        "flaky: attempt 2: done",
        "early: attempt 0: the shop opens in two seconds",
        "early: attempt 1: done",
    ] {
        lesson.sees(&worker, promise);
    }
    lesson.shows(
        "cargo run -p streamherd-cli -- --service retries dlq list",
        &[],
        &[
            "… rejected … nonsense … there is no work of this name",
            "… max_failures … buggy … the handler panicked: divided by zero",
        ],
    );
    lesson.run("cargo run -p streamherd-cli -- --service retries dlq redrive --reason max_failures --dry-run");
    assert_eq!(dead(), 2, "nothing was redriven");

    lesson.run("cargo run -p streamherd-cli -- --service retries dlq redrive --reason max_failures");
    let letters = || format!("{:?}", server.client().cmd("XRANGE {retries:0}:dlq - +"));
    let redriven = format!("{:?}", b"_sh_redriven".as_slice()).replace(['[', ']'], "");
    becomes("buggy has died again", || dead() == 2 && letters().contains(&redriven));
    ctrl_c(&worker.pid());
    assert!(worker.ends().0.success());

    let mended = lesson.start("cargo run -p streamherd-examples --example retries -- mended");
    lesson.sees(
        &mended,
        "redriven: buggy, which had failed 3 times: the handler panicked: divided by zero",
    );
    lesson.sees(&mended, "buggy: attempt 0: done");
    lesson.run("cargo run -p streamherd-cli -- --service retries dlq purge --reason rejected --yes");
    assert_eq!(dead(), 0);
}

#[test]
fn reading() {
    let server = Server::start();
    let lesson = Lesson::of("reading").at(&server);
    let program = "cargo run -p streamherd-examples --example reading";
    let workers = [lesson.start(program), lesson.start(program)];
    let shop = lesson.start("cargo run -p streamherd-examples --example reading -- shop cart-1 100");
    let reading = holder(&workers, "process … reads cart-1 from 0");
    lesson.sees(&workers[reading], "process … reads cart-1 from 0");
    lesson.sees(&workers[reading], "cart-1: at …, total …");
    lesson.kill("kill -9 PID", &workers[reading].pid());
    let other = &workers[1 - reading];
    lesson.sees(other, "process … reads cart-1 from …-…");
    lesson.sees(other, "cart-1: paid 5050");
    shop.says("cart-1: 100 items, and the end");

    // Another cart, and a worker that stands still.
    let workers = [lesson.start(program), lesson.start(program)];
    ctrl_c(&other.pid());
    let _shop = lesson.start("cargo run -p streamherd-examples --example reading -- shop cart-2 100");
    let reading = holder(&workers, "process … reads cart-2 from 0");
    let (stopped, other) = (&workers[reading], &workers[1 - reading]);
    stopped.says("cart-2: at …, total …");
    lesson.kill("kill -STOP PID", &stopped.pid());
    other.says("process … reads cart-2 from …-…");
    lesson.kill("kill -CONT PID", &stopped.pid());
    other.says("cart-2: paid 5050");
    let state = lesson.redis_cli("redis-cli HGETALL cart-2:read", &server).pairs();
    let field = |wanted| &state.iter().find(|(name, _)| name == wanted).expect("a field").1;
    assert_eq!(field("total"), "5050");
    assert!(!stopped.has_said(0, "cart-2: paid …"));

    // As a writer that is even later.
    let source = include_str!("../../reading.rs");
    let script = source
        .split_once("r#\"")
        .and_then(|(_, rest)| rest.split_once("\"#"))
        .expect("a script")
        .0;
    let older = format!("{:020}", field("token").parse::<u64>().unwrap() - 1);
    let refused = server
        .client()
        .call(&["EVAL", script, "1", "cart-2:read", &older, "0-1", "1"]);
    assert!(
        refused.error().is_some_and(|error| error.starts_with("STALE")),
        "{refused:?}"
    );
    assert_eq!(server.client().cmd("HGET cart-2:read total").int(), 5050);
}

/// Which of the two says it first.
fn holder(workers: &[Program; 2], promise: &str) -> usize {
    becomes(promise, || workers.iter().any(|worker| worker.has_said(0, promise)));
    usize::from(!workers[0].has_said(0, promise))
}

#[test]
fn fencing() {
    let server = Server::start();
    let lesson = Lesson::of("fencing").at(&server);
    let database = lesson.bin.path().join("accounts.db").display().to_string();
    let lesson = lesson.with("DATABASE", database);
    let program = "cargo run -p streamherd-examples --example fencing --features sqlite";
    let first = lesson.start(program);
    lesson.sees(&first, "process …: account-1 under token …");
    lesson.sees(&first, "process …: account-1 is written");
    ctrl_c(&first.pid());

    let workers = [lesson.start(program), lesson.start(program)];
    let holds = holder(&workers, "process …: account-1 under token …");
    let (stopped, other) = (&workers[holds], &workers[1 - holds]);
    let [_, late] = &stopped.says("process …: account-1 under token …")[..] else {
        panic!("a process and a token")
    };
    lesson.kill("kill -STOP PID", &stopped.pid());
    other.says("process …: account-1 is written");
    lesson.kill("kill -CONT PID", &stopped.pid());
    lesson.sees(stopped, "process …: the lease on entry … is lost, …");
    let refused = lesson.sees(stopped, "process …: the database refuses token …, the row has …");
    assert_eq!(&refused[1], late);
    assert!(refused[2] > refused[1], "{refused:?}");
}
