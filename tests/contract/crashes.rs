//! A worker process dies right before or right after each of its commands: what it had goes to others, once and whole.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex};

use serde_json::Value;
use streamherd_testkit::{Armed, Fault, Matcher, Reply, eventually};
use streamherd_tests::{MIN_IDLE, Proxied, Redis, SOON, Truth, Worker, WorkerProcess, field, side_by_side, submit};

const BINARY: &str = env!("CARGO_BIN_EXE_contract-worker");
const STREAMS: usize = 3;
/// Cases at a time: nearly all of their time is waiting for locks to expire.
const WIDTH: usize = 16;

#[derive(Debug, Clone, Copy)]
enum Moment {
    Before,
    After,
}

/// One death.
#[derive(Debug, Clone, Copy)]
struct Row {
    /// What the worker does with its streams.
    mode: &'static str,
    /// A command, or the name of a script.
    sent: &'static str,
    nth: usize,
    moment: Moment,
}

impl Row {
    fn both(mode: &'static str, sent: &'static str, nth: usize) -> [(String, Self); 2] {
        [Moment::Before, Moment::After].map(|moment| {
            let row = Self {
                mode,
                sent,
                nth,
                moment,
            };
            (format!("{mode}, {moment:?} {sent} number {nth}"), row)
        })
    }

    /// What is about a partition counts where the streams are.
    fn matcher(&self, server: &Redis, stream: &str) -> Matcher {
        if self.sent.chars().any(char::is_lowercase) {
            server.at_home(stream, Matcher::script(self.sent))
        } else if self.sent.starts_with('X') {
            server.at_home(stream, Matcher::command(self.sent))
        } else {
            Matcher::command(self.sent)
        }
    }
}

#[test]
fn a_crash_before_any_stream_is_read_costs_nothing() {
    let start = [
        ("INFO", 1),
        ("INFO", 2),
        ("SCRIPT LOAD", 1),
        ("SCRIPT LOAD", 10),
        ("hello", 1),
        ("CONFIG GET", 1),
        ("CONFIG SET", 1),
        ("PSUBSCRIBE", 1),
    ];
    let rows = start.into_iter().flat_map(|(sent, nth)| Row::both("hold", sent, nth));
    side_by_side(crate::TOPOLOGY.at_a_time(WIDTH), rows.collect(), |row| async move {
        let left = a_crash(row).await;
        assert!(left.values().all(|found| !found.pending), "nothing had been handed out");
    });
}

#[test]
fn a_crash_at_any_command_of_any_ending_loses_nothing_and_leaves_no_half_state() {
    let common = [
        ("read", 1),
        ("read", 2),
        ("XREADGROUP", 1),
        ("list", 1),
        ("XPENDING", 1),
    ];
    let mut rows = Vec::new();
    for mode in ["done", "retry", "delay", "dead_letter", "release", "hold"] {
        rows.extend(common.into_iter().flat_map(|(sent, nth)| Row::both(mode, sent, nth)));
        let own = if mode == "hold" { "renew" } else { "settle" };
        rows.extend(Row::both(mode, own, 1));
    }
    // What was handed out before is locked by a call of its own.
    for mode in ["retry", "delay", "release"] {
        rows.extend(Row::both(mode, "acquire", 1));
    }
    rows.extend(Row::both("delay", "promote", 2));
    rows.extend(Row::both("delay", "promote", 3));
    // Once, as they have nothing to do with how a stream ends.
    for (sent, nth) in [
        ("renew", 2),
        ("list", 2),
        ("hello", 2),
        ("XPENDING", 2),
        ("register", 1),
        ("register", 2),
        ("promote", 1),
    ] {
        rows.extend(Row::both("hold", sent, nth));
    }
    // By then what was handed back has been read and handed back again.
    rows.extend(
        ["retry", "release"]
            .into_iter()
            .flat_map(|mode| Row::both(mode, "settle", 3)),
    );
    side_by_side(crate::TOPOLOGY.at_a_time(WIDTH), rows, |row| async move {
        a_crash(row).await;
    });
}

#[test]
fn a_crash_of_the_one_who_recovers_loses_nothing_either() {
    let commands = [("list", 1), ("list", 2), ("requeue", 1), ("look", 1)];
    let rows = commands
        .into_iter()
        .flat_map(|(sent, nth)| Row::both("hold", sent, nth));
    side_by_side(crate::TOPOLOGY.at_a_time(WIDTH), rows.collect(), a_crash_of_the_rescuer);
}

/// Queues streams, has a worker die at the row's command, checks what is left and has another worker finish it.
async fn a_crash(row: Row) -> Found {
    let server = Redis::start(crate::TOPOLOGY);
    let all: BTreeSet<String> = server.together("s", STREAMS).into_iter().collect();
    let mut truth = Truth::at(&server, all.first().unwrap());
    submit(&server, &all).await;
    let proxy = server.proxy().await;
    let command = row.matcher(&server, all.first().unwrap());
    let (said, left) = Dying::start(&proxy, row, command).end(&mut truth).await;
    let healthy = Worker::start(&server).await;
    accounted_for(&mut truth, row.mode, &all, &said, &left);
    finish(healthy, &mut truth, &left).await;
    left.queued
}

/// A first worker dies with streams in hand, and a second one as it brings them back.
async fn a_crash_of_the_rescuer(row: Row) {
    let server = Redis::start(crate::TOPOLOGY);
    let all: BTreeSet<String> = server.together("s", STREAMS).into_iter().collect();
    let mut truth = Truth::at(&server, all.first().unwrap());
    submit(&server, &all).await;
    let mut first = WorkerProcess::start(BINARY, &server, &["then=hold"]);
    first.says_times("added", STREAMS).await;
    let proxy = server.proxy().await;
    let command = row.matcher(&server, all.first().unwrap());
    let dying = if row.sent == "look" {
        // It has to be there to hear the locks expire.
        let mut dying = Dying::start(&proxy, row, command);
        dying.is_ready().await;
        first.process.kill();
        dying
    } else {
        first.process.kill();
        // So that its first scan finds them.
        let idle = MIN_IDLE.as_millis();
        eventually(SOON, "the orphans may be recovered", || {
            let orphans = truth.cmd(&format!("XPENDING T:input workers IDLE {idle} - + 10"));
            let ripe = orphans.array().len() == STREAMS && truth.locks().is_empty();
            async move { ripe.then_some(()) }
        })
        .await;
        Dying::start(&proxy, row, command)
    };
    let (said, left) = dying.end(&mut truth).await;
    assert_eq!(left.queued.keys().collect::<Vec<_>>(), all.iter().collect::<Vec<_>>());
    assert!(
        left.queued.values().all(|found| found.abandonments <= 1),
        "re-queued once"
    );
    let healthy = Worker::start(&server).await;
    accounted_for(&mut truth, row.mode, &all, &said, &left);
    finish(healthy, &mut truth, &left).await;
}

/// A worker process behind a proxy that kills it at the row's command.
struct Dying {
    process: Arc<Mutex<Option<WorkerProcess>>>,
    death: Armed,
}

impl Dying {
    fn start(proxy: &Proxied, row: Row, command: Matcher) -> Self {
        let process: Arc<Mutex<Option<WorkerProcess>>> = Arc::default();
        // Held until it is started, as its first command may come before that is noted.
        let mut started = process.lock().unwrap();
        let victim = Arc::clone(&process);
        let kill = Box::new(move || victim.lock().unwrap().as_mut().unwrap().process.kill());
        let fault = match row.moment {
            Moment::Before => Fault::Before(kill),
            Moment::After => Fault::After(kill),
        };
        let death = proxy.on(command, row.nth, fault);
        let mode = format!("then={}", row.mode);
        *started = Some(WorkerProcess::start(BINARY, proxy, &[&mode]));
        drop(started);
        Self { process, death }
    }

    async fn is_ready(&mut self) {
        let mut process = self.process.lock().unwrap().take().unwrap();
        process.says("ready").await;
        *self.process.lock().unwrap() = Some(process);
    }

    /// What it said, and what it left, once nothing of it can reach the server any more.
    async fn end(self, truth: &mut Truth) -> (Vec<Value>, Left) {
        self.death.wait_fired(SOON).await;
        // What it had sent on its other connections may still be on the way.
        eventually(SOON, "the dead worker's connections are closed", || {
            let alone = truth.clients().is_empty();
            async move { alone.then_some(()) }
        })
        .await;
        let left = Left::seen(truth);
        let process = self.process.lock().unwrap().take().unwrap();
        (process.last_words().await, left)
    }
}

/// Every stream is in exactly one place, or was finished by a handler that had been given it.
fn accounted_for(truth: &mut Truth, mode: &str, all: &BTreeSet<String>, said: &[Value], left: &Left) {
    let told = |event: &str| -> BTreeSet<String> {
        let lines = said.iter().filter(|line| line["event"] == event);
        lines.map(|line| line["stream"].as_str().unwrap().to_owned()).collect()
    };
    for name in all {
        let places = usize::from(left.queued.contains_key(name)) + usize::from(left.dead.contains_key(name));
        if places == 0 {
            assert!(mode == "done" && told("added").contains(name), "{name} is lost");
        }
        assert!(places <= 1, "{name} is doubled");
    }
    assert!(
        left.queued
            .keys()
            .chain(left.dead.keys())
            .all(|name| all.contains(name))
    );
    for line in said.iter().filter(|line| line["event"] == "settled") {
        assert_eq!(line["outcome"], "ok", "{line}");
        if mode == "done" {
            let name = line["stream"].as_str().unwrap();
            assert!(!left.queued.contains_key(name), "{name} was done");
        }
    }
    for (name, reason) in &left.dead {
        let expected = match mode {
            "dead_letter" => "rejected",
            "retry" | "delay" => "max_failures",
            _ => panic!("{name} is dead for no reason"),
        };
        assert_eq!(reason, expected);
        assert!(told("added").contains(name));
    }
    assert_eq!(Left::seen(truth).dead, left.dead, "dead letters stay as they are");
}

/// A healthy worker is given each stream that is left, once, and nothing else.
async fn finish(mut healthy: Worker, truth: &mut Truth, left: &Left) {
    let mut done = BTreeSet::new();
    while done.len() < left.queued.len() {
        let lease = healthy.added().await;
        let name = lease.stream().to_owned();
        let found = left.queued.get(&name).unwrap_or_else(|| panic!("{name} was finished"));
        assert_eq!(lease.original_id().to_string(), found.origin);
        assert_eq!(lease.failures(), found.failures, "{name}");
        assert_eq!(
            lease.abandonments(),
            found.abandonments + u32::from(found.pending),
            "{name}"
        );
        assert_eq!(lease.attempt(), lease.failures() + lease.abandonments());
        let now = Left::seen(truth);
        assert!(now.queued.contains_key(&name) && !done.contains(&name));
        lease.done().await.unwrap();
        done.insert(name);
    }
    truth.becomes_clean().await;
    assert_eq!(
        (healthy.unasked(), healthy.unasked_disowned(), healthy.losses),
        (0, 0, 0)
    );
    let last = Left::seen(truth);
    assert_eq!((last.queued.len(), last.dead), (0, left.dead.clone()));
}

type Found = BTreeMap<String, Place>;

/// What one moment of the store shows.
#[derive(Debug)]
struct Left {
    /// Streams in either lane, or delayed.
    queued: Found,
    /// Reasons of the dead letters.
    dead: BTreeMap<String, String>,
}

#[derive(Debug)]
struct Place {
    pending: bool,
    origin: String,
    failures: u32,
    abandonments: u32,
}

impl Left {
    /// Looks at all places in one transaction; a stream in two of them is a failure at any time.
    fn seen(truth: &mut Truth) -> Self {
        truth.cmd("MULTI").ok();
        for lane in ["front", "input"] {
            truth.cmd(&format!("XRANGE T:{lane} - +")).ok();
            truth.cmd(&format!("XPENDING T:{lane} workers - + 1000")).ok();
        }
        truth.cmd("XRANGE T:dlq - +").ok();
        // Bodies of delayed entries are packed.
        let delayed = "local all = {} for _, id in ipairs(redis.call('ZRANGE', KEYS[1], 0, -1)) do \
                       all[#all + 1] = {id, cmsgpack.unpack(redis.call('HGET', KEYS[2], id))[2]} end return all";
        truth.call(&["EVAL", delayed, "2", "T:delayed", "T:delayed:body"]).ok();
        let answers = truth.cmd("EXEC").array();
        let mut left = Self {
            queued: Found::new(),
            dead: BTreeMap::new(),
        };
        let nothing = Reply::Array(Vec::new());
        for (queue, pending) in [
            (&answers[0], &answers[1]),
            (&answers[2], &answers[3]),
            (&answers[5], &nothing),
        ] {
            let pending = pending_ids(pending);
            for (id, fields) in entries(queue) {
                let number = |name| optional(&fields, name).map_or(0, |value| value.parse().unwrap());
                let place = Place {
                    pending: pending.contains(&id),
                    failures: number("_sh_failures"),
                    abandonments: number("_sh_abandonments"),
                    origin: optional(&fields, "_sh_origin").unwrap_or(&id).to_owned(),
                };
                let name = name_of(&fields);
                assert!(left.queued.insert(name.clone(), place).is_none(), "{name} is doubled");
            }
        }
        for (_, fields) in entries(&answers[4]) {
            let (name, reason) = (name_of(&fields), field(&fields, "_sh_reason").to_owned());
            assert!(!left.queued.contains_key(&name), "{name} is queued and dead");
            assert!(left.dead.insert(name.clone(), reason).is_none(), "{name} is dead twice");
        }
        left
    }
}

type Fields = Vec<(String, String)>;

fn entries(reply: &Reply) -> Vec<(String, Fields)> {
    let entries = reply.array();
    let entries = entries.iter().map(Reply::array);
    entries.map(|entry| (entry[0].text(), entry[1].pairs())).collect()
}

/// Before the first hello there is no group, and nothing can be pending.
fn pending_ids(reply: &Reply) -> BTreeSet<String> {
    if reply.is_error() {
        return BTreeSet::new();
    }
    reply.array().iter().map(|record| record.array()[0].text()).collect()
}

fn optional<'a>(fields: &'a Fields, name: &str) -> Option<&'a str> {
    let mut fields = fields.iter();
    fields.find(|(key, _)| key == name).map(|(_, value)| value.as_str())
}

fn name_of(fields: &Fields) -> String {
    let input: Value = serde_json::from_str(field(fields, "lbs-input")).unwrap();
    input["DataStreamName"].as_str().unwrap().to_owned()
}
