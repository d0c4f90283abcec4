//! How often a stream is tried, what becomes of it then, and how much one worker takes.

use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use streamherd::{Builder, Notification, Recovery, RetryAfter};
use streamherd_testkit::{Fault, Matcher, eventually};
use streamherd_tests::{Redis, SOON, Truth, Worker, builder, field, names, plain, queue, recovery, submit};
use tokio::sync::oneshot;

fn limited(server: &Redis, change: impl FnOnce(&mut Recovery)) -> Builder {
    let mut recovery = recovery();
    change(&mut recovery);
    builder(server).recovery(recovery)
}

/// Orphans are found within a second.
fn hasty(server: &Redis, change: impl FnOnce(&mut Recovery)) -> Builder {
    let settings = limited(server, |recovery| {
        recovery.min_idle = Some(Duration::from_millis(850));
        recovery.scan_interval = Duration::from_millis(50);
        change(recovery);
    });
    settings
        .lock_ttl(Duration::from_millis(600))
        .heartbeat(Duration::from_millis(200))
}

#[tokio::test]
async fn the_fifth_failure_is_the_last_and_its_dead_letter_tells_all() {
    let server = Redis::start(crate::TOPOLOGY);
    let mut truth = Truth::at(&server, "s");
    let raw = r#"{"DataStreamName":"s","Info":{"a":[1,2]}}"#;
    let first = truth
        .call(&["XADD", "T:input", "*", "trace", "t1", "lbs-input", raw, "trace", "t2"])
        .text();
    let mut worker = Worker::start(&server).await;
    let mut last = String::new();
    for failure in 1..=5 {
        let lease = worker.added().await;
        assert_eq!(
            (lease.attempt(), lease.failures(), lease.abandonments()),
            (failure - 1, failure - 1, 0)
        );
        last = lease.id().id.to_string();
        lease
            .retry(RetryAfter::now().because(format!("failure {failure}")))
            .await
            .unwrap();
    }
    assert!(truth.is_clean());
    let letters = truth.dead_letters();
    assert_eq!(letters.len(), 1);
    let letter = &letters[0];
    let raw = [("trace", "t1"), ("lbs-input", raw), ("trace", "t2")];
    assert_eq!(
        letter[..3],
        raw.map(|(name, value)| (name.to_owned(), value.to_owned()))
    );
    let (seen, _) = first.split_once('-').unwrap();
    let told = [
        ("_sh_reason", "max_failures"),
        ("_sh_error", "failure 5"),
        ("_sh_consumer", worker.client.consumer().as_str()),
        ("_sh_failures", "5"),
        ("_sh_abandonments", "0"),
        ("_retry_count", "5"),
        ("_sh_origin", &first),
        ("_sh_first_seen", seen),
        ("_sh_last_id", &last),
    ];
    for (name, value) in told {
        assert_eq!(field(letter, name), value, "{name}");
    }
    assert!(field(letter, "_sh_at").parse::<u64>().unwrap() >= seen.parse().unwrap());
}

#[tokio::test]
async fn a_limit_of_zero_failures_is_none() {
    let server = Redis::start(crate::TOPOLOGY);
    let mut truth = Truth::of(&server);
    queue(&server, &names("s", 1));
    let mut worker = Worker::with(limited(&server, |r| r.max_failures = 0)).await;
    for failures in 0..20 {
        let lease = worker.added().await;
        assert_eq!(lease.failures(), failures);
        // Dropped, it has failed as well.
        if failures % 2 == 0 {
            lease.retry(RetryAfter::now()).await.unwrap();
        }
    }
    assert!(truth.dead_letters().is_empty());
    worker.added().await.done().await.unwrap();
    assert!(truth.is_clean());
}

#[tokio::test]
async fn abandoned_as_often_as_allowed_a_stream_is_a_dead_letter() {
    let server = Redis::start(crate::TOPOLOGY);
    let mut truth = Truth::of(&server);
    // Without its notifications a client scans and does not read.
    let (scanning, notifications) = hasty(&server, |r| r.max_abandonments = 3).connect().await.unwrap();
    drop(notifications);
    eventually(SOON, "it reads no more", || {
        let reading = truth.is_read();
        async move { (!reading).then_some(()) }
    })
    .await;
    queue(&server, &names("s", 1));
    let origin = truth.entries("input")[0].0.clone();
    // A consumer that dies of it each time: it reads, and sets no lock.
    eventually(SOON, "the stream is a dead letter", || {
        truth.cmd("XREADGROUP GROUP workers ghost STREAMS T:front T:input > >");
        let dead = truth.dead_letters();
        async move { (!dead.is_empty()).then_some(()) }
    })
    .await;
    let letters = truth.dead_letters();
    assert_eq!(letters.len(), 1);
    let told = [
        ("lbs-input", r#"{"DataStreamName":"s-0","Info":{"of":"s-0"}}"#),
        ("_sh_reason", "max_abandonments"),
        ("_sh_consumer", "ghost"),
        ("_sh_failures", "0"),
        ("_sh_abandonments", "3"),
        ("_retry_count", "3"),
        ("_sh_origin", &origin),
    ];
    for (name, value) in told {
        assert_eq!(field(&letters[0], name), value, "{name}");
    }
    assert!(!field(&letters[0], "_sh_error").is_empty());
    assert!(truth.is_clean());
    scanning.shutdown(Duration::ZERO).await;
}

#[tokio::test]
async fn failures_and_abandonments_have_limits_of_their_own_and_zero_abandonments_is_no_limit() {
    let server = Redis::start(crate::TOPOLOGY);
    let mut truth = Truth::at(&server, "tried");
    let mut worker = Worker::with(limited(&server, |r| r.max_abandonments = 0)).await;
    worker.client.shutdown(Duration::ZERO).await;
    assert_eq!(worker.terminated().await, "shut down");
    let names = server.neighbours(["tried", "orphaned"]);
    for (name, (failures, abandonments)) in names.iter().zip([("4", "0"), ("0", "70")]) {
        let input = serde_json::json!({ "DataStreamName": name }).to_string();
        truth
            .call(&[
                "XADD",
                "T:input",
                "*",
                "lbs-input",
                &input,
                "_sh_failures",
                failures,
                "_sh_abandonments",
                abandonments,
            ])
            .ok();
    }
    truth.cmd("XREADGROUP GROUP workers ghost STREAMS T:input >").ok();
    let mut worker = Worker::with(limited(&server, |r| r.max_abandonments = 0)).await;
    let mut leases = worker.added_many(2).await;
    leases.sort_by_key(|lease| lease.stream().to_owned());
    let counted: Vec<_> = leases
        .iter()
        .map(|l| (plain(l.stream()), l.failures(), l.abandonments()))
        .collect();
    assert_eq!(counted, [("orphaned", 0, 71), ("tried", 4, 1)]);
    for lease in leases {
        lease.done().await.unwrap();
    }
    assert!(truth.is_clean() && truth.dead_letters().is_empty());
}

#[tokio::test]
async fn dead_letters_are_trimmed_to_about_the_limit_and_zero_keeps_all() {
    for (limit, kept) in [(100, 100..=200), (0, 350..=350)] {
        let server = Redis::start(crate::TOPOLOGY);
        let all = server.together("s", 350);
        let mut truth = Truth::at(&server, &all[0]);
        queue(&server, &all);
        let mut worker = Worker::with(limited(&server, |r| r.dlq_max_len = limit).max_in_flight(350)).await;
        for _ in 0..350 {
            worker.added().await.dead_letter("enough").await.unwrap();
        }
        let letters = truth.dead_letters();
        assert!(
            kept.contains(&letters.len()),
            "{} with the limit {limit}",
            letters.len()
        );
        let newest = field(letters.last().unwrap(), "lbs-input");
        assert!(newest.contains("s-349"), "the old ones go: {newest}");
        assert!(letters.iter().all(|letter| field(letter, "_sh_reason") == "rejected"));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_worker_never_has_more_pending_than_max_in_flight() {
    const STREAMS: usize = 60;
    for slots in [1_i64, 2, 5] {
        let server = Redis::start(crate::TOPOLOGY);
        let all = server.together("s", STREAMS);
        queue(&server, &all);
        let (over, most) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicI64::new(0)));
        let sampler = std::thread::spawn({
            let (mut truth, over, most) = (Truth::at(&server, &all[0]), Arc::clone(&over), Arc::clone(&most));
            let pending = "local n = 0 for _, key in ipairs(KEYS) do
                local p = redis.pcall('XPENDING', key, 'workers') if not p.err then n = n + p[1] end end return n";
            move || {
                while !over.load(Ordering::Relaxed) {
                    let now = truth.call(&["EVAL", pending, "2", "T:input", "T:front"]).int();
                    most.fetch_max(now, Ordering::Relaxed);
                }
            }
        });
        let settings = limited(&server, |r| r.max_failures = 0)
            .max_in_flight(usize::try_from(slots).unwrap())
            .read_batch(16);
        let (client, mut notifications) = settings.connect().await.unwrap();
        let mut done = 0;
        let mut turn = 0;
        while done < STREAMS {
            let Some(Notification::StreamAdded(lease)) = notifications.recv().await else {
                panic!("a stream is added");
            };
            turn += 1;
            eventually(SOON, "it is looked at while something is pending", || {
                let most = most.load(Ordering::Relaxed);
                async move { (most > 0).then_some(()) }
            })
            .await;
            match turn % 3 {
                0 => drop(lease.retry(RetryAfter::now()).await.unwrap()),
                1 if turn % 2 == 0 => drop(lease.release().await.unwrap()),
                _ => {
                    lease.done().await.unwrap();
                    done += 1;
                }
            }
        }
        over.store(true, Ordering::Relaxed);
        sampler.join().unwrap();
        let most = most.load(Ordering::Relaxed);
        assert!((1..=slots).contains(&most), "{most} pending with {slots} slots");
        client.shutdown(Duration::ZERO).await;
    }
}

#[tokio::test]
async fn a_worker_with_one_slot_takes_one_stream_also_when_both_lanes_fill_at_once() {
    let server = Redis::start(crate::TOPOLOGY);
    let names = server.neighbours(["new", "old"]);
    let mut truth = Truth::at(&server, "new");
    let input = truth.key("input");
    let proxy = server.proxy().await;
    let mut worker = Worker::with(builder(&proxy).max_in_flight(1)).await;
    // Held until both lanes have something.
    let both = Matcher::command("XREADGROUP").about(&input);
    let (release, held) = oneshot::channel();
    proxy.on(both, 1, Fault::HoldUntil(held)).wait_fired(SOON).await;
    // What was read too many would be handed back with this, and is counted before.
    proxy.on(Matcher::script("settle"), 1, Fault::Delay(Duration::from_millis(300)));
    queue(&server, &names[..1]);
    truth
        .call(&[
            "XADD",
            "T:front",
            "*",
            "lbs-input",
            &serde_json::json!({ "DataStreamName": names[1] }).to_string(),
        ])
        .ok();
    release.send(()).unwrap();
    let pending = eventually(SOON, "it has read", || {
        let pending = truth.pending_count();
        async move { (pending > 0).then_some(pending) }
    });
    assert_eq!(pending.await, 1, "one slot, one entry pending");
    for _ in 0..2 {
        worker.added().await.done().await.unwrap();
    }
}

#[tokio::test]
async fn a_read_asks_for_no_more_than_is_free() {
    let server = Redis::start(crate::TOPOLOGY);
    let proxy = server.proxy().await;
    let asked = Arc::new(Mutex::new(Vec::new()));
    let spy = Matcher::custom({
        let asked = Arc::clone(&asked);
        move |command| {
            if command.script() == Some("read") {
                // Its last arguments are the most entries it may take, over both lanes, and four other numbers.
                let count = String::from_utf8_lossy(command.args().iter().nth_back(4).unwrap()).into_owned();
                asked.lock().unwrap().push(count.parse::<usize>().unwrap());
            }
            false
        }
    });
    proxy.on(spy, 1, Fault::DropRequest);
    let mut worker = Worker::with(builder(&proxy).max_in_flight(10).read_batch(8)).await;
    submit(&server, names("s", 6)).await;
    let leases = worker.added_many(6).await;
    let reads = asked.lock().unwrap().len();
    assert_eq!(asked.lock().unwrap().iter().max(), Some(&8), "a batch at most");
    eventually(SOON, "two more reads were begun", || {
        let begun = asked.lock().unwrap().len() >= reads + 2;
        async move { begun.then_some(()) }
    })
    .await;
    let last = asked.lock().unwrap().last().copied();
    assert!((1..=4).contains(&last.unwrap()), "four are free: {last:?}");
    submit(&server, names("t", 4)).await;
    let full = worker.added_many(4).await;
    let reads = asked.lock().unwrap().len();
    worker.listen_for(Duration::from_millis(1_300)).await;
    assert_eq!(asked.lock().unwrap().len(), reads, "nothing is free, nothing is asked");
    for lease in leases.into_iter().chain(full) {
        lease.done().await.unwrap();
    }
}

#[tokio::test]
async fn small_batches_spread_a_backlog_over_the_workers() {
    let server = Redis::start(crate::TOPOLOGY);
    let mut truth = Truth::of(&server);
    let mut workers = Vec::new();
    for _ in 0..4 {
        workers.push(Worker::start(&server).await);
    }
    let readers = workers.len() * usize::from(server.address().partitions);
    eventually(SOON, "all of them wait for work everywhere", || {
        let clients = truth.clients();
        let waiting = clients
            .iter()
            .filter(|c| c.contains("cmd=xreadgroup") && c.contains("flags=b"))
            .count();
        async move { (waiting == readers).then_some(()) }
    })
    .await;
    queue(&server, &names("s", 100));
    eventually(SOON, "all entries are handed out", || {
        let pending = truth.pending_count();
        async move { (pending == 100).then_some(()) }
    })
    .await;
    let mut shares = std::collections::BTreeMap::new();
    for pending in truth.pending("input") {
        *shares.entry(pending.consumer).or_insert(0) += 1;
    }
    assert_eq!(shares.len(), 4, "{shares:?}");
    // One that was between two of its waits when the queue filled gets little, but none takes nearly all.
    assert!(shares.values().all(|share| *share <= 64), "{shares:?}");
    for worker in &workers {
        worker.client.shutdown(Duration::ZERO).await;
    }
}
