//! Redis forgets, fills up, stands still, or another program meddles: the service goes on by itself.

use std::time::{Duration, Instant};

use metrics_util::debugging::{DebugValue, DebuggingRecorder, Snapshotter};
use streamherd::error::{DisownedReason, SettleError};
use streamherd::{Builder, Client, KeyspaceEvents, Lane, Lease, RetryAfter};
use streamherd_testkit::{Fault, Matcher, Proxy, Server, eventually};
use streamherd_tests::{SERVICE, SOON, Truth, Worker, builder, field, names, recovery, side_by_side, submit};

/// A worker whose leases outlive a slow restart.
fn patient(url: &str) -> Builder {
    let mut recovery = recovery();
    recovery.min_idle = Some(Duration::from_millis(6_500));
    builder(url)
        .lock_ttl(Duration::from_secs(6))
        .heartbeat(Duration::from_millis(300))
        .recovery(recovery)
}

#[tokio::test]
async fn a_server_that_forgets_the_scripts_is_taught_them_again() {
    let server = Server::start();
    let mut truth = Truth::of(&server);
    truth.make_groups();
    let proxy = Proxy::start(&server).await;
    let mut worker = Worker::with(patient(&proxy.url())).await;
    submit(&server.url(), ["held"]).await;
    let held = worker.added().await;

    truth.cmd("SCRIPT FLUSH").ok();
    submit(&server.url(), ["later"]).await;
    let later = worker.added().await;
    assert_eq!((later.stream(), later.attempt()), ("later", 0));
    for script in ["renew", "list", "acquire", "hello"] {
        eventually(SOON, "the script is sent in full", || {
            let sent = proxy.seen().iter().any(|name| *name == format!("EVAL:{script}"));
            async move { sent.then_some(()) }
        })
        .await;
    }
    assert!(held.is_valid() && later.is_valid());
    truth.cmd("SCRIPT FLUSH").ok();
    held.done().await.unwrap();
    later.done().await.unwrap();
    assert!(proxy.seen().iter().any(|name| name == "EVAL:settle"));
    assert_eq!((worker.losses, worker.unasked(), worker.unasked_disowned()), (0, 0, 0));
    assert!(truth.is_clean());
}

#[tokio::test]
async fn a_lease_goes_on_over_a_restart_that_keeps_the_data() {
    let mut server = Server::builder().persistent().start();
    let mut worker = Worker::with(patient(&server.url())).await;
    submit(&server.url(), ["a"]).await;
    let lease = worker.added().await;
    server.restart();
    let mut truth = Truth::of(&server);
    assert_eq!(truth.pending_count(), 1, "the data is kept");
    let before = lease.remaining();
    eventually(SOON, "the lease is renewed at the new server", || {
        let renewed = lease.remaining() > before;
        async move { renewed.then_some(()) }
    })
    .await;
    worker.listen_for(Duration::from_millis(1_500)).await;
    assert!(lease.is_valid());
    assert_eq!((worker.losses, worker.unasked(), worker.unasked_disowned()), (0, 0, 0));
    lease.done().await.unwrap();
    submit(&server.url(), ["b"]).await;
    let next = worker.added().await;
    assert_eq!((next.stream(), next.attempt()), ("b", 0));
    next.done().await.unwrap();
    assert!(truth.is_clean());
}

#[tokio::test]
async fn done_needs_no_memory_and_a_retry_waits_for_it() {
    let server = Server::start();
    let mut truth = Truth::of(&server);
    let mut worker = Worker::with(patient(&server.url())).await;
    submit(&server.url(), ["finished", "failed"]).await;
    let mut leases = worker.added_many(2).await;
    leases.sort_by_key(|lease| lease.stream().to_owned());
    let finished = leases.pop().unwrap();
    let failed = leases.pop().unwrap();

    truth.cmd("CONFIG SET maxmemory 1").ok();
    assert!(truth.cmd("SET x y").is_error(), "the memory is full");
    finished.done().await.unwrap();
    let mut retrying = Box::pin(failed.retry(RetryAfter::now()));
    let waits = tokio::time::timeout(Duration::from_secs(1), &mut retrying).await;
    assert!(waits.is_err(), "it is neither refused nor lost: {waits:?}");
    assert_eq!((truth.pending_count(), truth.length(), truth.locks().len()), (1, 1, 1));
    truth.cmd("CONFIG SET maxmemory 0").ok();
    tokio::time::timeout(SOON, retrying).await.unwrap().unwrap();
    let again = worker.added().await;
    assert_eq!((again.stream(), again.attempt(), again.failures()), ("failed", 1, 1));
    worker.listen_for(Duration::from_millis(1_200)).await;
    assert_eq!((worker.unasked(), worker.unasked_disowned()), (0, 0));
    again.done().await.unwrap();
    assert!(truth.is_clean());
}

#[tokio::test]
async fn a_done_whose_answer_is_lost_while_memory_is_full_is_not_called_disowned() {
    let server = Server::start();
    let mut truth = Truth::of(&server);
    let proxy = Proxy::start(&server).await;
    let mut worker = Worker::with(patient(&proxy.url())).await;
    submit(&server.url(), ["a"]).await;
    let lease = worker.added().await;
    truth.cmd("CONFIG SET maxmemory 1").ok();
    let loss = proxy.on(Matcher::script("settle"), 1, Fault::SwallowReply);
    let done = lease.done().await;
    assert!(loss.fired());
    assert!(truth.is_clean(), "it was done");
    assert!(!matches!(done, Err(SettleError::Disowned(_))), "it counted: {done:?}");
}

#[tokio::test]
async fn an_entry_of_5000_fields_goes_to_the_dead_letters_and_stops_nobody() {
    let server = Server::start();
    let mut truth = Truth::of(&server);
    truth.make_groups();
    let huge = |lane: &str| {
        let mut words = vec!["XADD".to_owned(), Truth::key(lane), "*".to_owned()];
        words.extend(["lbs-input".to_owned(), r#"{"DataStreamName":"huge"}"#.to_owned()]);
        words.extend((1..5_000).flat_map(|n| [format!("f{n}"), "v".to_owned()]));
        words
    };
    let mut raw = server.client();
    // One is an orphan already, found by the scan; one stands in front of the others, found by a reader.
    raw.call(&huge("input")).ok();
    truth.abandon();
    raw.call(&huge("front")).ok();
    submit(&server.url(), names("s", 5)).await;

    let mut worker = Worker::with(builder(&server.url()).max_in_flight(2)).await;
    let mut seen = Vec::new();
    while seen.len() < 5 {
        let lease = worker.added().await;
        seen.push(lease.stream().to_owned());
        lease.done().await.unwrap();
    }
    seen.sort();
    assert_eq!(seen, names("s", 5));
    let dead = eventually(SOON, "both are dead letters", || {
        let dead = truth.dead_letters();
        async move { (dead.len() == 2).then_some(dead) }
    })
    .await;
    for letter in &dead {
        assert_eq!(field(letter, "_sh_reason"), "too_large");
        assert!(letter.len() < 20, "packed: {} fields", letter.len());
        assert!(field(letter, "_sh_packed").contains("f4999"));
    }
    truth.becomes_clean().await;
    assert_eq!(worker.unasked(), 0);
}

#[tokio::test]
async fn a_pending_entry_whose_body_was_deleted_is_tidied_away_once_and_counted() {
    let recorder = DebuggingRecorder::new();
    let counts = recorder.snapshotter();
    let _guard = metrics::set_default_local_recorder(&recorder);
    let server = Server::start();
    let mut truth = Truth::of(&server);
    truth.make_groups();
    submit(&server.url(), ["gone"]).await;
    let id = truth.abandon();
    assert_eq!(truth.cmd(&format!("XDEL T:input {id}")).int(), 1);
    assert_eq!(truth.pending_count(), 1);

    let mut worker = Worker::start(&server.url()).await;
    truth.becomes_clean().await;
    worker.listen_for(Duration::from_millis(1_200)).await;
    assert_eq!((worker.unasked(), worker.unasked_disowned()), (0, 0));
    assert_eq!(counter(&counts, "streamherd_vanished_total"), 1, "tidied away once");
    assert!(truth.is_clean() && truth.dead_letters().is_empty());
}

#[tokio::test]
async fn a_held_entry_that_another_program_deletes_can_be_done_and_not_put_back() {
    let server = Server::start();
    let mut truth = Truth::of(&server);
    let mut worker = Worker::with(patient(&server.url())).await;
    submit(&server.url(), ["done", "retry"]).await;
    let leases = worker.added_many(2).await;
    for lease in &leases {
        assert_eq!(truth.cmd(&format!("XDEL T:input {}", lease.id())).int(), 1);
    }
    worker.listen_for(Duration::from_millis(1_500)).await;
    assert_eq!((worker.unasked(), worker.unasked_disowned()), (0, 0));
    for lease in leases {
        assert!(lease.is_valid());
        if lease.stream() == "done" {
            lease.done().await.unwrap();
        } else {
            let outcome = lease.retry(RetryAfter::now()).await;
            assert!(matches!(outcome, Err(SettleError::Vanished { .. })), "{outcome:?}");
        }
    }
    assert!(truth.is_clean());
}

#[tokio::test]
async fn a_held_entry_that_another_program_acknowledges_is_still_its_holders() {
    let server = Server::start();
    let mut truth = Truth::of(&server);
    let mut worker = Worker::with(patient(&server.url())).await;
    submit(&server.url(), ["done", "retry"]).await;
    let leases = worker.added_many(2).await;
    for lease in &leases {
        assert_eq!(truth.cmd(&format!("XACK T:input workers {}", lease.id())).int(), 1);
    }
    worker.listen_for(Duration::from_millis(1_500)).await;
    assert_eq!((worker.unasked(), worker.unasked_disowned()), (0, 0));
    for lease in leases {
        assert!(lease.is_valid(), "the lock is its own");
        if lease.stream() == "done" {
            lease.done().await.unwrap();
        } else {
            lease.retry(RetryAfter::now()).await.unwrap();
        }
    }
    let again = worker.added().await;
    assert_eq!((again.stream(), again.failures()), ("retry", 1));
    again.done().await.unwrap();
    assert!(truth.is_clean());
}

#[tokio::test]
async fn a_lock_of_another_type_or_without_an_end_holds_no_entry_for_ever() {
    let server = Server::start();
    let mut truth = Truth::of(&server);
    truth.make_groups();
    let wrong = ["SET LOCK ghost:1", "HSET LOCK a b", "SADD LOCK a"];
    submit(&server.url(), names("orphan", wrong.len())).await;
    for lock in wrong {
        let id = truth.abandon();
        truth.cmd(&lock.replace("LOCK", &format!("T:lock:{id}"))).ok();
    }
    submit(&server.url(), names("new", wrong.len())).await;
    for ((id, _), lock) in truth.entries("input").split_off(wrong.len()).iter().zip(wrong) {
        truth.cmd(&lock.replace("LOCK", &format!("T:lock:{id}"))).ok();
    }

    let mut worker = Worker::with(patient(&server.url())).await;
    let mut leases = worker.added_many(2 * wrong.len()).await;
    leases.sort_by_key(|lease| lease.stream().to_owned());
    let streams: Vec<_> = leases.iter().map(Lease::stream).collect();
    assert_eq!(
        streams,
        [names("new", wrong.len()), names("orphan", wrong.len())].concat()
    );
    // And while they are held.
    for (lease, lock) in leases.iter().zip(wrong) {
        truth.cmd(&format!("DEL T:lock:{}", lease.id())).ok();
        truth.cmd(&lock.replace("LOCK", &format!("T:lock:{}", lease.id()))).ok();
    }
    worker.listen_for(Duration::from_millis(1_500)).await;
    assert_eq!((worker.unasked(), worker.unasked_disowned()), (0, 0));
    for lease in leases {
        let value = truth.cmd(&format!("GET T:lock:{}", lease.id())).text();
        assert_eq!(value, format!("{}:{}", worker.client.consumer(), lease.token()));
        lease.done().await.unwrap();
    }
    assert!(truth.is_clean());
}

/// Ways to lose the group, and whether the locks are lost with it.
const LOSSES: [(&str, bool); 6] = [
    ("XGROUP DESTROY T:input workers", false),
    ("XGROUP DESTROY T:front workers", false),
    ("DEL T:epoch", false),
    ("DEL T:input", false),
    ("DEL T:input T:front T:epoch T:control T:consumers", false),
    ("FLUSHALL", true),
];

#[test]
fn a_fleet_heals_by_itself_when_redis_loses_its_group() {
    let rows = LOSSES.map(|(loss, locks)| (loss.to_owned(), (loss, locks)));
    side_by_side(6, rows.into(), |(loss, locks_too)| a_loss(loss, locks_too));
}

async fn a_loss(loss: &str, locks_too: bool) {
    let server = Server::start();
    let mut truth = Truth::of(&server);
    let mut fleet = [
        Worker::with(patient(&server.url()).max_in_flight(8)).await,
        Worker::with(patient(&server.url()).max_in_flight(8)).await,
    ];
    submit(&server.url(), names("held", 4)).await;
    let mut held = Vec::new();
    let deadline = Instant::now() + SOON;
    while held.len() < 4 {
        assert!(Instant::now() < deadline, "only {} streams were given out", held.len());
        for worker in &mut fleet {
            worker.listen_for(Duration::from_millis(20)).await;
            while worker.unasked() > 0 {
                held.push(worker.added().await);
            }
        }
    }
    truth.cmd(loss).ok();
    for worker in &mut fleet {
        worker.data_loss().await;
    }
    let fresh = names("fresh", 4);
    submit(&server.url(), &fresh).await;

    let mut finished: Vec<String> = Vec::new();
    let mut old = Vec::new();
    let deadline = Instant::now() + SOON;
    while finished.len() < fresh.len() {
        assert!(
            Instant::now() < deadline,
            "of the new streams only {finished:?} were worked on"
        );
        for worker in &mut fleet {
            worker.listen_for(Duration::from_millis(20)).await;
            while worker.unasked() > 0 {
                let lease = worker.added().await;
                if fresh.iter().any(|name| name == lease.stream()) {
                    finished.push(lease.stream().to_owned());
                    lease.done().await.unwrap();
                } else {
                    old.push(lease);
                }
            }
        }
    }
    for worker in &mut fleet {
        worker.listen_for(Duration::from_millis(1_500)).await;
        while worker.unasked() > 0 {
            old.push(worker.added().await);
        }
    }
    finished.sort();
    assert_eq!(finished, fresh);
    for again in &old {
        let rival = held.iter().find(|lease| lease.original_id() == again.original_id());
        let both = rival.is_some_and(|lease| lease.is_valid()) && again.is_valid();
        assert!(
            !both,
            "{} has two valid leases: {again:?} and {rival:?}",
            again.stream()
        );
    }
    for lease in held {
        let (valid, name) = (lease.is_valid(), lease.stream().to_owned());
        match lease.done().await {
            // Whoever has the lock has the stream.
            Ok(_) => assert!(valid && !locks_too, "{name}"),
            Err(SettleError::Disowned(lost)) => {
                assert!(!valid && locks_too, "{name}: its lock was not lost");
                assert_eq!(lost.reason, DisownedReason::DataLoss);
            }
            Err(e) => panic!("{name}: {e:?}"),
        }
    }
    for lease in old {
        lease.done().await.unwrap();
    }
    truth.becomes_clean().await;
    assert!(
        fleet
            .iter()
            .all(|worker| worker.losses == 1 && worker.terminated.is_none())
    );
}

#[tokio::test]
async fn a_group_that_is_made_anew_does_not_give_a_worker_what_it_holds() {
    let server = Server::start();
    let mut truth = Truth::of(&server);
    let mut worker = Worker::with(patient(&server.url())).await;
    submit(&server.url(), ["a"]).await;
    let lease = worker.added().await;
    truth.cmd("XGROUP DESTROY T:input workers").ok();
    worker.data_loss().await;
    worker.listen_for(Duration::from_millis(1_500)).await;
    assert!(lease.is_valid());
    assert_eq!(
        worker.unasked(),
        0,
        "the same stream is handed out twice, with one token"
    );
    lease.done().await.unwrap();
    assert!(truth.is_clean());
}

#[tokio::test]
async fn a_service_in_another_database_works_and_hears_its_own_expiries() {
    let server = Server::start();
    let mut truth = Truth::of(&server);
    truth.cmd("SELECT 3").ok();
    truth.make_groups();
    let url = format!("{}/3", server.url());
    // Without a scan, which would be first; what is claimed comes from the notification.
    let mut recovery = recovery();
    recovery.scan_interval = Duration::ZERO;
    let mut there = Worker::with(builder(&url).recovery(recovery)).await;
    let mut namesake = Worker::with(patient(&server.url())).await;
    submit(&url, ["a"]).await;
    let lease = there.added().await;
    assert_eq!(lease.stream(), "a");

    // Given to a consumer that dies with a lock that is about to expire; nobody else reads this one.
    submit_to_a_ghost(&mut truth, "b");
    let orphan = there.expired().await;
    assert_eq!((orphan.stream(), orphan.owner()), ("b", "ghost"));
    there.client.claim(&orphan).await.unwrap();
    let recovered = there.added().await;
    assert_eq!((recovered.stream(), recovered.id().lane), ("b", Lane::Front));
    assert!(lease.is_valid());
    lease.done().await.unwrap();
    recovered.done().await.unwrap();
    assert!(truth.is_clean());

    submit(&server.url(), ["elsewhere"]).await;
    let other = namesake.added().await;
    assert_eq!(other.stream(), "elsewhere");
    there.listen_for(Duration::from_millis(300)).await;
    assert_eq!((there.unasked(), namesake.unasked()), (0, 0));
    other.done().await.unwrap();
}

/// Adds an entry and gives it to a dead consumer in one step, so that no reader comes between.
fn submit_to_a_ghost(truth: &mut Truth, name: &str) {
    let script = "local id = redis.call('XADD', KEYS[1], '*', 'lbs-input', ARGV[1])
        redis.call('XREADGROUP', 'GROUP', 'workers', 'ghost', 'COUNT', 1, 'STREAMS', KEYS[1], '>')
        redis.call('XCLAIM', KEYS[1], 'workers', 'ghost', 0, id, 'IDLE', 3600000)
        redis.call('SET', KEYS[2] .. id, 'ghost:1', 'PX', 300)";
    let input = serde_json::json!({ "DataStreamName": name }).to_string();
    let (key, lock) = (Truth::key("input"), Truth::key("lock:"));
    truth.call(&["EVAL", script, "2", &key, &lock, &input]).ok();
}

#[tokio::test]
async fn a_service_name_with_glob_characters_hears_its_own_expiries_and_no_others() {
    let server = Server::start();
    let mut redis = server.client();
    let services = [
        ("ord*rs", SERVICE),
        ("or?ers", SERVICE),
        ("order[s]", SERVICE),
        ("order[^x]", SERVICE),
        (r"order\s", SERVICE),
        ("*", SERVICE),
    ];
    for (service, other) in services {
        let (client, _notifications) = Client::builder(service).url(server.url()).connect().await.unwrap();
        assert!(client.health().listening);
        let mut heard = |service: &str| {
            let channel = format!("__keyspace@0__:{{{service}:0}}:lock:1-0");
            redis.call(&["PUBLISH", &channel, "expired"]).int()
        };
        assert_eq!((heard(service), heard(other)), (1, 0), "{service}");
        client.shutdown(Duration::ZERO).await;
    }
}

#[tokio::test]
async fn a_reader_reads_again_by_itself_after_a_server_that_stood_still() {
    let server = Server::start();
    let mut truth = Truth::of(&server);
    let proxy = Proxy::start(&server).await;
    for (events, name) in [(KeyspaceEvents::Ensure, "a"), (KeyspaceEvents::Off, "b")] {
        let mut worker = Worker::with(patient(&proxy.url()).keyspace_events(events)).await;
        let reads = || proxy.seen().iter().filter(|name| *name == "XREADGROUP").count();
        let before = reads();
        eventually(SOON, "a read is under way", || {
            let reading = reads() > before || worker.client.health().since_read.is_some();
            async move { reading.then_some(()) }
        })
        .await;
        server.freeze();
        // The fault itself: longer than a read and its timeout.
        worker.listen_for(Duration::from_secs(4)).await;
        server.thaw();
        submit(&server.url(), [name]).await;
        let lease = worker.added().await;
        assert_eq!((lease.stream(), lease.attempt()), (name, 0), "read, not recovered");
        worker.listen_for(Duration::from_millis(1_200)).await;
        assert_eq!((worker.unasked(), worker.unasked_disowned(), worker.losses), (0, 0, 0));
        assert!(worker.client.health().since_read.unwrap() < Duration::from_secs(3));
        lease.done().await.unwrap();
        worker.client.shutdown(Duration::ZERO).await;
    }
    assert!(truth.is_clean());
}

/// The sum of a counter over all its labels.
fn counter(counts: &Snapshotter, name: &str) -> u64 {
    let all = counts.snapshot().into_vec();
    let values = all.into_iter().filter(|(key, ..)| key.key().name() == name);
    values
        .map(|(.., value)| match value {
            DebugValue::Counter(n) => n,
            other => panic!("{name} is no counter: {other:?}"),
        })
        .sum()
}
