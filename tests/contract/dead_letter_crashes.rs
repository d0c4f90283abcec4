//! A redrive or purge is killed right before or right after each of its commands: every letter is in one place.

use std::sync::{Arc, Mutex};

use streamherd::DeadLetterFilter;
use streamherd_testkit::{Armed, Fault, Matcher, eventually};
use streamherd_tests::letters::{admin, bury, make_known, name_of};
use streamherd_tests::{Proxied, Redis, SOON, Truth, WorkerProcess, side_by_side};

const BINARY: &str = env!("CARGO_BIN_EXE_contract-admin");
/// Three calls of a batch, and two of a page.
const LETTERS: usize = 250;

#[derive(Debug, Clone, Copy)]
struct Row {
    action: &'static str,
    script: &'static str,
    nth: usize,
    after: bool,
}

#[test]
fn a_redrive_or_purge_killed_at_any_command_loses_and_doubles_nothing() {
    let mut rows = Vec::new();
    for action in ["redrive", "purge"] {
        for (script, nth) in [("letters", 1), ("letters", 2), (action, 1), (action, 2), (action, 3)] {
            for after in [false, true] {
                let row = Row {
                    action,
                    script,
                    nth,
                    after,
                };
                rows.push((format!("{row:?}"), row));
            }
        }
    }
    side_by_side(6, rows, killed);
}

async fn killed(row: Row) {
    let server = Redis::start(crate::TOPOLOGY);
    let all = server.together("s", LETTERS);
    let mut truth = Truth::at(&server, &all[0]);
    bury(&server, &all, "rejected");
    let proxy = server.proxy().await;
    make_known(&proxy).await;
    let command = server.at_home(&all[0], Matcher::script(row.script));
    let (process, death) = start(&proxy, command, row);
    death.wait_fired(SOON).await;
    eventually(SOON, "the dead process's connections are closed", || {
        let alone = truth.clients().is_empty();
        async move { alone.then_some(()) }
    })
    .await;

    // Batches are whole: a script that began was carried out.
    let batches = row.nth - 1 + usize::from(row.after);
    let done = match (row.script, row.nth) {
        ("letters", 1) => 0,
        // The second page is read when less than a batch is left of the first.
        ("letters", _) => 200,
        _ => LETTERS.min(batches * 100),
    };
    let (queued, dead) = places(&mut truth);
    assert_eq!(dead, all[done..], "the oldest went first");
    let wanted = if row.action == "redrive" { &all[..done] } else { &[] };
    assert_eq!(queued, wanted);
    let process = process.lock().unwrap().take().unwrap();
    let told = process.last_words().await;
    let told: Vec<_> = told.iter().filter(|line| line["event"] == "letter").collect();
    assert!(told.len() <= done, "nothing is told that was not done");

    // Another one goes on.
    let admin = admin(&server).await;
    let mut run = match row.action {
        "redrive" => admin.redrive(DeadLetterFilter::default()),
        _ => admin.purge(DeadLetterFilter::default()),
    };
    let report = run.finish().await.unwrap();
    let rest = u64::try_from(LETTERS - done).unwrap();
    assert_eq!((report.redriven + report.purged, report.gone), (rest, 0));
    let (queued, dead) = places(&mut truth);
    let wanted: &[String] = if row.action == "redrive" { &all } else { &[] };
    assert_eq!((queued.as_slice(), dead.len()), (wanted, 0));
}

/// A process behind a proxy that kills it at the row's command.
fn start(proxy: &Proxied, command: Matcher, row: Row) -> (Arc<Mutex<Option<WorkerProcess>>>, Armed) {
    let process: Arc<Mutex<Option<WorkerProcess>>> = Arc::default();
    // Held until it is started, as its first command may come before that is noted.
    let mut started = process.lock().unwrap();
    let victim = Arc::clone(&process);
    let kill = Box::new(move || victim.lock().unwrap().as_mut().unwrap().process.kill());
    let fault = if row.after {
        Fault::After(kill)
    } else {
        Fault::Before(kill)
    };
    let death = proxy.on(command, row.nth, fault);
    *started = Some(WorkerProcess::start(BINARY, proxy, &[row.action]));
    drop(started);
    (process, death)
}

/// The streams at the front of the queue, and those that are dead, at one moment.
fn places(truth: &mut Truth) -> (Vec<String>, Vec<String>) {
    truth.cmd("MULTI").ok();
    for stream in ["front", "dlq"] {
        truth.cmd(&format!("XRANGE T:{stream} - +")).ok();
    }
    let answers = truth.cmd("EXEC").array();
    let streams = |answer: &streamherd_testkit::Reply| -> Vec<String> {
        let entries = answer.array();
        entries.iter().map(|entry| name_of(&entry.array()[1].pairs())).collect()
    };
    (streams(&answers[0]), streams(&answers[1]))
}
