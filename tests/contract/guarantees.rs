//! What holds at every instant, and what a lost lease and a bad entry can't do.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use serde_json::Value;
use streamherd::error::{DisownedReason, SettleError};
use streamherd::{Lease, Notification, RetryAfter, Settled};
use streamherd_testkit::{RawClient, Server, eventually};
use streamherd_tests::{SOON, TTL, Truth, Worker, WorkerProcess, builder, field, names, queue};

const WORKER: &str = env!("CARGO_BIN_EXE_contract-worker");
const MARGIN: Duration = Duration::from_nanos(TTL.as_nanos() as u64 / 12);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn guarantee_1_a_stream_is_in_exactly_one_state_at_every_instant_of_a_churn() {
    let server = Server::start();
    let mut truth = Truth::of(&server);
    let submitted = names("s", 300);
    queue(&server, &submitted);
    let ledger = Arc::new(Ledger::default());
    let over = Arc::new(AtomicBool::new(false));
    let observer = std::thread::spawn({
        let (mut redis, ledger, over) = (server.client(), Arc::clone(&ledger), Arc::clone(&over));
        let submitted: BTreeSet<String> = submitted.iter().cloned().collect();
        move || observe(&mut redis, &submitted, &ledger, &over)
    });

    for number in 0..3 {
        tokio::spawn(churn(server.url(), number, Arc::clone(&ledger)));
    }
    // Two that die again and again: one with all it holds, one in the middle of finishing.
    let mut dying: BTreeSet<String> = BTreeSet::new();
    for _ in 0..3 {
        let mut holding = WorkerProcess::start(WORKER, &server.url(), &["then=hold", "slots=10"]);
        let mut finishing = WorkerProcess::start(WORKER, &server.url(), &["then=done", "slots=2"]);
        holding.says("added").await;
        finishing.says("added").await;
        finishing.process.kill();
        holding.process.kill();
        for line in finishing.rest().await {
            if line["event"] == "added" {
                dying.insert(line["stream"].as_str().unwrap().to_owned());
            }
        }
    }
    truth.becomes_clean().await;
    over.store(true, Ordering::Relaxed);
    let seen = observer.join().unwrap();
    println!(
        "{} samples, {} gone, {} dead",
        seen.samples,
        seen.gone.len(),
        truth.dead_letters().len()
    );
    assert!(seen.samples > 50, "{}", seen.samples);
    let unexplained: Vec<_> = seen.unexplained.difference(&dying).collect();
    assert!(
        unexplained.is_empty(),
        "gone, and nobody finished them: {unexplained:?}"
    );
    let dead = truth.dead_letters().len();
    assert_eq!(seen.gone.len() + dead, submitted.len(), "each is done or a dead letter");
    assert!(dead > 0 && seen.gone.len() > 100);
}

/// What the workers in this process have finished.
#[derive(Default)]
struct Ledger {
    /// About to be done.
    finishing: Mutex<BTreeSet<String>>,
    /// Confirmed.
    done: Mutex<BTreeSet<String>>,
}

#[derive(Default)]
struct Seen {
    samples: usize,
    gone: BTreeSet<String>,
    /// Gone without a worker of this process having finished them.
    unexplained: BTreeSet<String>,
}

/// Looks at all places at one moment, again and again.
fn observe(redis: &mut RawClient, submitted: &BTreeSet<String>, ledger: &Ledger, over: &AtomicBool) -> Seen {
    let script =
        "local all = {} for _, key in ipairs(KEYS) do for _, e in ipairs(redis.call('XRANGE', key, '-', '+')) do
        for i = 1, #e[2], 2 do if e[2][i] == 'lbs-input' then all[#all + 1] = e[2][i + 1] end end end end return all";
    let mut words = vec!["EVAL".to_owned(), script.to_owned(), "3".to_owned()];
    words.extend(["input", "front", "dlq"].map(Truth::key));
    let mut seen = Seen::default();
    loop {
        let last = over.load(Ordering::Relaxed);
        let done = ledger.done.lock().unwrap().clone();
        let mut copies: BTreeMap<String, usize> = BTreeMap::new();
        for input in redis.call(&words).strings() {
            let input: Value = serde_json::from_str(&input).unwrap();
            *copies
                .entry(input["DataStreamName"].as_str().unwrap().to_owned())
                .or_default() += 1;
        }
        let finishing = ledger.finishing.lock().unwrap();
        for name in submitted {
            match copies.get(name) {
                None => {
                    seen.gone.insert(name.clone());
                    if !finishing.contains(name) {
                        seen.unexplained.insert(name.clone());
                    }
                }
                Some(1) => {
                    assert!(!seen.gone.contains(name), "{name} came back");
                    assert!(!done.contains(name), "{name} is done and there");
                }
                Some(many) => panic!("{name} exists {many} times"),
            }
        }
        drop(finishing);
        seen.samples += 1;
        if last {
            return seen;
        }
        std::thread::sleep(Duration::from_millis(2));
    }
}

/// Takes what comes and ends it in one way or the other.
async fn churn(url: String, number: usize, ledger: Arc<Ledger>) {
    let (client, mut notifications) = builder(&url).max_in_flight(8).connect().await.unwrap();
    let mut turn = number;
    while let Some(notification) = notifications.recv().await {
        match notification {
            Notification::StreamAdded(lease) => {
                turn += 1;
                tokio::spawn(end_somehow(lease, turn, Arc::clone(&ledger)));
            }
            Notification::StreamExpired(orphan) => drop(client.claim(&orphan).await),
            other => panic!("{other:?}"),
        }
    }
}

async fn end_somehow(lease: Lease, turn: usize, ledger: Arc<Ledger>) {
    // The work: long enough that the killed workers get their share.
    tokio::time::sleep(Duration::from_millis(40)).await;
    let name = lease.stream().to_owned();
    match turn % 10 {
        0..=2 => drop(lease.retry(RetryAfter::now()).await.unwrap()),
        3..=4 => drop(lease.release().await.unwrap()),
        5 => drop(lease),
        6 if turn.is_multiple_of(4) => drop(lease.dead_letter("enough").await.unwrap()),
        _ => {
            ledger.finishing.lock().unwrap().insert(name.clone());
            lease.done().await.unwrap();
            ledger.done.lock().unwrap().insert(name);
        }
    }
}

#[tokio::test]
async fn guarantee_3_a_lease_ends_here_a_margin_before_its_lock_ends_there() {
    let server = Server::start();
    let mut truth = Truth::of(&server);
    queue(&server, &names("s", 1));
    let mut worker = Worker::start(&server.url()).await;
    let lease = worker.added().await;
    let lock = format!("{{orders:0}}:lock:{}", lease.id());
    let mut compared = 0;
    let end = Instant::now() + TTL;
    while Instant::now() < end {
        worker.listen_for(Duration::from_millis(20)).await;
        let before = lease.remaining();
        let there = truth.call(&["PTTL", &lock]).int();
        let here = lease.remaining();
        // A renewal in between would compare two different locks.
        if here <= before {
            let there = Duration::from_millis(u64::try_from(there).unwrap() + 1);
            assert!(here + MARGIN <= there, "{here:?} here, {there:?} there");
            compared += 1;
        }
    }
    assert!(compared > 5);
    lease.done().await.unwrap();
}

#[tokio::test]
async fn guarantee_3_a_lease_is_invalid_within_its_ttl_when_redis_stands_still() {
    let server = Server::start();
    let mut truth = Truth::of(&server);
    queue(&server, &names("s", 2));
    let mut worker = Worker::start(&server.url()).await;
    let leases = worker.added_many(2).await;
    assert!(leases.iter().all(Lease::is_valid));

    // No renewal can begin after this and succeed, so the last one began before.
    server.freeze();
    let frozen = Instant::now();
    while let Some(remaining) = leases.iter().map(Lease::remaining).filter(|r| !r.is_zero()).min() {
        assert!(frozen.elapsed() < TTL, "still {remaining:?}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    for lease in &leases {
        assert!(!lease.is_valid());
        let lost = lease.ensure_valid().unwrap_err();
        assert_eq!(lost.reason, DisownedReason::DeadlinePassed);
        lease.lost().cancelled().await;
    }
    for _ in &leases {
        assert_eq!(worker.disowned().await.reason, DisownedReason::DeadlinePassed);
    }
    let told = frozen.elapsed();
    assert!(told < TTL, "told after {told:?}");
    for lease in leases {
        let outcome = lease.done().await;
        assert!(matches!(outcome, Err(SettleError::Disowned(_))), "{outcome:?}");
    }

    server.thaw();
    let mut again = worker.added_many(2).await;
    again.sort_by_key(|lease| lease.stream().to_owned());
    for (lease, name) in again.into_iter().zip(names("s", 2)) {
        assert_eq!((lease.stream(), lease.failures()), (name.as_str(), 0));
        assert!(lease.is_valid());
        lease.done().await.unwrap();
    }
    truth.becomes_clean().await;
}

#[tokio::test]
async fn guarantee_3_no_settlement_changes_anything_once_a_peer_has_requeued_the_entry() {
    let server = Server::start();
    let mut truth = Truth::of(&server);
    queue(&server, &names("s", 4));
    let mut worker = Worker::with(builder(&server.url()).max_in_flight(4)).await;
    for lease in worker.added_many(4).await {
        let turn = lease.stream().to_owned();
        let (id, body) = (lease.id().id.to_string(), truth.entries("input").remove(0).1);
        assert_eq!(body.len(), 1);
        // A peer's re-queue, step by step; the owner has not heard of it.
        let lock = Truth::key(&format!("lock:{id}"));
        let (input, front) = (Truth::key("input"), Truth::key("front"));
        truth.cmd("MULTI").ok();
        truth.call(&["DEL", &lock]).ok();
        truth
            .call(&[
                "XADD",
                &front,
                "*",
                "lbs-input",
                &body[0].1,
                "_retry_count",
                "1",
                "of",
                &turn,
            ])
            .ok();
        truth.call(&["XACK", &input, "workers", &id]).ok();
        truth.call(&["XDEL", &input, &id]).ok();
        truth.cmd("EXEC").ok();

        let outcome = match turn.as_str() {
            "s-0" => lease.done().await,
            "s-1" => lease.retry(RetryAfter::now()).await,
            "s-2" => lease.dead_letter("no").await,
            _ => lease.release().await,
        };
        assert!(matches!(&outcome, Err(SettleError::Disowned(_))), "{turn}: {outcome:?}");
    }
    assert!(truth.entries("input").is_empty());
    assert!(truth.entries("dlq").is_empty());
    let front = truth.entries("front");
    let left: Vec<_> = front
        .iter()
        .map(|(_, fields)| (field(fields, "of"), field(fields, "_retry_count")))
        .collect();
    assert_eq!(left, [("s-0", "1"), ("s-1", "1"), ("s-2", "1"), ("s-3", "1")]);
    for lease in worker.added_many(4).await {
        assert_eq!(lease.attempt(), 1);
        lease.done().await.unwrap();
    }
    assert!(truth.is_clean());
}

/// Entries that no producer of ours makes: name, reason for the dead letter, fields.
fn bad_entries() -> Vec<(&'static str, &'static str, Vec<Vec<u8>>)> {
    let pair = |name: &[u8], value: &[u8]| vec![name.to_vec(), value.to_vec()];
    let input = |value: &str| pair(b"lbs-input", value.as_bytes());
    let named = |name: &str| input(&serde_json::json!({ "DataStreamName": name, "Info": null }).to_string());
    let mut many = named("many");
    (0..1_000).for_each(|n| many.extend(pair(format!("f{n}").as_bytes(), b"x")));
    let mut big = named("big");
    big.extend(pair(b"blob", &vec![b'x'; 1024 * 1024]));
    vec![
        ("no lbs-input", "unparseable", pair(b"other", b"1")),
        ("not JSON", "unparseable", input("{\"DataStreamName\":")),
        ("JSON of another kind", "unparseable", input("[1,2]")),
        ("an empty name", "unparseable", named("")),
        ("a name over 1 KiB", "unparseable", named(&"n".repeat(1_025))),
        (
            "binary garbage",
            "unparseable",
            pair(b"\xff\x00\xfe", b"\r\n\x00\xff$-1\r\n"),
        ),
        (
            "garbage as lbs-input",
            "unparseable",
            pair(b"lbs-input", b"\xff\xfe{}\x00"),
        ),
        ("1,001 fields", "too_large", many),
        ("more than 1 MiB", "too_large", big),
    ]
}

fn add(redis: &mut RawClient, fields: &[Vec<u8>]) -> String {
    let mut words = vec![b"XADD".to_vec(), Truth::key("input").into_bytes(), b"*".to_vec()];
    words.extend(fields.iter().cloned());
    redis.call(&words).text()
}

/// Every bad entry is a dead letter with its reason and its raw fields, by the id it came under.
fn assert_buried(redis: &mut RawClient, added: &BTreeMap<String, (&'static str, &'static str, Vec<Vec<u8>>)>) {
    let letters = redis.call(&["XRANGE", &Truth::key("dlq"), "-", "+"]).array();
    assert_eq!(letters.len(), added.len());
    for letter in letters {
        let fields: Vec<Vec<u8>> = letter.array()[1]
            .array()
            .iter()
            .map(streamherd_testkit::Reply::bytes)
            .collect();
        let of = |name: &str| {
            let found = fields.chunks(2).find(|pair| pair[0] == name.as_bytes());
            found.map(|pair| String::from_utf8_lossy(&pair[1]).into_owned())
        };
        let origin = of("_sh_origin").expect("a dead letter says where it is from");
        let (what, reason, raw) = &added[&origin];
        assert_eq!(of("_sh_reason").as_deref(), Some(*reason), "{what}");
        if *reason == "too_large" {
            let packed = fields.chunks(2).find(|pair| pair[0] == b"_sh_packed").expect(what);
            let unpack = "return cmsgpack.unpack(ARGV[1])";
            let unpacked = redis
                .call(&[b"EVAL".as_slice(), unpack.as_bytes(), b"0", &packed[1]])
                .array();
            let unpacked: Vec<_> = unpacked.iter().map(streamherd_testkit::Reply::bytes).collect();
            assert_eq!(&unpacked, raw, "{what}");
        } else {
            assert_eq!(&fields[..raw.len()], raw, "{what}");
            assert!(!of("_sh_error").unwrap().is_empty(), "{what}");
        }
    }
}

#[tokio::test]
async fn guarantee_8_bad_entries_do_not_stop_a_reader() {
    let server = Server::start();
    let mut truth = Truth::of(&server);
    let mut redis = server.client();
    let mut added = BTreeMap::new();
    for (number, bad) in bad_entries().into_iter().enumerate() {
        added.insert(add(&mut redis, &bad.2), bad);
        queue(&server, &[format!("good-{number}")]);
    }
    let mut worker = Worker::with(builder(&server.url()).max_in_flight(2)).await;
    for number in 0..added.len() {
        let lease = worker.added().await;
        assert_eq!(lease.stream(), format!("good-{number}"));
        lease.done().await.unwrap();
    }
    truth.becomes_clean().await;
    assert_buried(&mut redis, &added);
    assert_eq!(worker.listen_for(Duration::ZERO).await.unasked(), 0);
}

#[tokio::test]
async fn guarantee_8_bad_entries_do_not_stop_the_scan() {
    let server = Server::start();
    let mut truth = Truth::of(&server);
    let mut redis = server.client();
    let worker = Worker::deaf(&server.url()).await;
    worker.client.shutdown(Duration::ZERO).await;
    let mut added = BTreeMap::new();
    for (number, bad) in bad_entries().into_iter().enumerate() {
        added.insert(add(&mut redis, &bad.2), bad);
        queue(&server, &[format!("good-{number}")]);
    }
    // Somebody who read all of it and died.
    truth.cmd("XREADGROUP GROUP workers ghost STREAMS T:input >").ok();
    assert_eq!(truth.pending("input").len(), 2 * added.len());

    let mut worker = Worker::deaf(&server.url()).await;
    let mut good: Vec<String> = Vec::new();
    for lease in worker.added_many(added.len()).await {
        assert_eq!(lease.abandonments(), 1);
        good.push(lease.stream().to_owned());
        lease.done().await.unwrap();
    }
    good.sort();
    assert_eq!(good, names("good", added.len()));
    truth.becomes_clean().await;
    assert_buried(&mut redis, &added);
}

#[tokio::test]
async fn guarantee_8_a_pending_entry_whose_body_is_gone_is_tidied_away() {
    let server = Server::start();
    let mut truth = Truth::of(&server);
    let worker = Worker::start(&server.url()).await;
    worker.client.shutdown(Duration::ZERO).await;
    queue(&server, &names("s", 3));
    truth.cmd("XREADGROUP GROUP workers ghost STREAMS T:input >").ok();
    for (id, _) in truth.entries("input").into_iter().take(2) {
        truth.cmd(&format!("XDEL T:input {id}")).ok();
    }
    let mut worker = Worker::start(&server.url()).await;
    let lease = worker.added().await;
    assert_eq!((lease.stream(), lease.attempt()), ("s-2", 1));
    lease.done().await.unwrap();
    truth.becomes_clean().await;
    assert!(truth.dead_letters().is_empty());
}

#[tokio::test]
async fn guarantee_8_a_held_stream_whose_body_was_deleted_can_be_done_and_not_put_back() {
    let server = Server::start();
    let mut truth = Truth::of(&server);
    let mut worker = Worker::with(builder(&server.url()).max_in_flight(4)).await;
    queue(&server, &names("s", 4));
    let leases = worker.added_many(4).await;
    for lease in &leases {
        truth.cmd(&format!("XDEL T:input {}", lease.id())).ok();
    }
    for lease in leases {
        let turn = lease.stream().to_owned();
        let outcome = match turn.as_str() {
            "s-0" => lease.done().await,
            "s-1" => lease.retry(RetryAfter::now()).await,
            "s-2" => lease.dead_letter("no").await,
            _ => lease.release().await,
        };
        match outcome {
            Ok(Settled::Done) => assert_eq!(turn, "s-0"),
            Err(SettleError::Vanished { .. }) => assert_ne!(turn, "s-0"),
            other => panic!("{turn}: {other:?}"),
        }
    }
    eventually(SOON, "nothing is pending", || {
        let clean = truth.is_clean();
        async move { clean.then_some(()) }
    })
    .await;
}
