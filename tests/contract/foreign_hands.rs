//! What other programs do to entries and locks: whoever holds a stream goes on, and nothing is stuck.

use std::time::Duration;

use metrics_util::debugging::{DebugValue, DebuggingRecorder, Snapshotter};
use streamherd::error::SettleError;
use streamherd::{Lease, Recovery, RetryAfter};
use streamherd_testkit::eventually;
use streamherd_tests::{Redis, SCAN, SOON, Truth, Worker, builder, names, patient, plain, queue, recovery, submit};

#[tokio::test]
async fn a_pending_entry_whose_body_was_deleted_is_tidied_away_once_and_counted() {
    let recorder = DebuggingRecorder::new();
    let counts = recorder.snapshotter();
    let _guard = metrics::set_default_local_recorder(&recorder);
    let server = Redis::start(crate::TOPOLOGY);
    let mut truth = Truth::at(&server, "gone");
    truth.make_groups();
    submit(&server, ["gone"]).await;
    let id = truth.abandon();
    assert_eq!(truth.cmd(&format!("XDEL T:input {id}")).int(), 1);
    assert_eq!(truth.pending_count(), 1);

    // The sweep forgets its name.
    let recovery = Recovery {
        sweep_interval: SCAN,
        ..recovery()
    };
    let mut worker = Worker::with(builder(&server).recovery(recovery)).await;
    truth.becomes_clean().await;
    worker.listen_for(Duration::from_millis(1_200)).await;
    assert_eq!((worker.unasked(), worker.unasked_disowned()), (0, 0));
    assert_eq!(counter(&counts, "streamherd_vanished_total"), 1, "tidied away once");
    assert!(truth.is_clean() && truth.dead_letters().is_empty());
}

#[tokio::test]
async fn a_receipt_that_another_program_has_spoilt_keeps_no_stream_from_being_done() {
    const SPOILT: [&[u8]; 6] = [b"", b"garbage", b"\xc1", b"\x91\x01", b"\x92\x01\x01", b"\x92\xa1a\x90"];
    let server = Redis::start(crate::TOPOLOGY);
    let names = server.together("s", SPOILT.len());
    let mut truth = Truth::at(&server, &names[0]);
    let mut worker = Worker::start(&server).await;
    let receipt = format!("{}:last", worker.client.consumer());
    queue(&server, &names);
    for (lease, spoilt) in worker.added_many(names.len()).await.into_iter().zip(SPOILT) {
        let words: [&[u8]; 4] = [b"HSET", b"T:consumers", receipt.as_bytes(), spoilt];
        truth.call(&words).ok();
        lease.done().await.unwrap();
    }
    truth.becomes_clean().await;
}

#[tokio::test]
async fn a_sweep_of_much_that_is_pending_leaves_redis_to_others() {
    let server = Redis::start(crate::TOPOLOGY);
    let names = server.together("s", 20_000);
    let mut truth = Truth::at(&server, &names[0]);
    truth.make_groups();
    queue(&server, &names);
    let take = "XREADGROUP GROUP workers foreign COUNT 20000 STREAMS T:input >";
    assert_eq!(truth.cmd(take).array().len(), 1);
    let recovery = Recovery {
        min_idle: Some(Duration::from_secs(3_600)),
        sweep_interval: Duration::from_millis(100),
        ..recovery()
    };
    let mut worker = Worker::with(builder(&server).recovery(recovery)).await;
    truth.cmd("CONFIG RESETSTAT").ok();
    worker.listen_for(Duration::from_secs(2)).await;
    let looks = truth.calls("xrange");
    // One between two pending entries each: at 2 % of the time, some microseconds each.
    assert!((100..40_000).contains(&looks), "{looks} looks in two seconds");
    assert_eq!(truth.pending_count(), 20_000);
}

#[tokio::test]
async fn a_consumer_whose_name_is_no_text_stops_neither_status_nor_the_removal_of_dead_names() {
    let server = Redis::start(crate::TOPOLOGY);
    let mut truth = Truth::at(&server, "any");
    truth.make_groups();
    let join = r"redis.call('XGROUP', 'CREATECONSUMER', KEYS[1], 'workers', '\255')
                 return redis.call('HSET', KEYS[2], '\254', 'x', '\253:last', 'x', 'dead', '1 {}')";
    let added = truth.call(&["EVAL", join, "2", "T:input", "T:consumers"]);
    assert_eq!(added.int(), 3);
    let admin = builder(&server).connect_admin().await.unwrap();
    let consumers = admin.status().await.unwrap().consumers;
    assert!(consumers.iter().any(|c| c.consumer == "\u{fffd}"), "{consumers:?}");

    let recovery = Recovery {
        sweep_interval: SCAN,
        ..recovery()
    };
    let _worker = Worker::with(builder(&server).recovery(recovery)).await;
    eventually(SOON, "the dead name is removed", || {
        let gone = truth.cmd("HEXISTS T:consumers dead").int() == 0;
        async move { gone.then_some(()) }
    })
    .await;
}

#[tokio::test]
async fn a_held_entry_that_another_program_deletes_can_be_done_and_not_put_back() {
    let server = Redis::start(crate::TOPOLOGY);
    let mut truth = Truth::at(&server, "done");
    let mut worker = Worker::with(patient(&server)).await;
    submit(&server, server.neighbours(["done", "retry"])).await;
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
    let server = Redis::start(crate::TOPOLOGY);
    let mut truth = Truth::at(&server, "done");
    let mut worker = Worker::with(patient(&server)).await;
    submit(&server, server.neighbours(["done", "retry"])).await;
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
    assert_eq!((plain(again.stream()), again.failures()), ("retry", 1));
    again.done().await.unwrap();
    assert!(truth.is_clean());
}

#[tokio::test]
async fn a_lock_of_another_type_or_without_an_end_holds_no_entry_for_ever() {
    let server = Redis::start(crate::TOPOLOGY);
    let wrong = ["SET LOCK ghost:1", "HSET LOCK a b", "SADD LOCK a"];
    let orphans = server.together("orphan", wrong.len());
    let new = server.beside(&orphans[0], names("new", wrong.len()));
    let mut truth = Truth::at(&server, &orphans[0]);
    truth.make_groups();
    submit(&server, &orphans).await;
    for lock in wrong {
        let id = truth.abandon();
        truth.cmd(&lock.replace("LOCK", &format!("T:lock:{id}"))).ok();
    }
    submit(&server, &new).await;
    for ((id, _), lock) in truth.entries("input").split_off(wrong.len()).iter().zip(wrong) {
        truth.cmd(&lock.replace("LOCK", &format!("T:lock:{id}"))).ok();
    }

    let mut worker = Worker::with(patient(&server)).await;
    let mut leases = worker.added_many(2 * wrong.len()).await;
    leases.sort_by_key(|lease| lease.stream().to_owned());
    let streams: Vec<_> = leases.iter().map(Lease::stream).collect();
    assert_eq!(streams, [new, orphans].concat());
    // And while they are held.
    for (lease, lock) in leases.iter().zip(wrong) {
        // In one step: its owner would make it anew in between.
        let key = format!("T:lock:{}", lease.id());
        let make = lock.replace("LOCK", &key);
        let mut words = vec![
            "EVAL",
            "redis.call('DEL', KEYS[1]) return redis.call(unpack(ARGV))",
            "1",
            &key,
        ];
        words.extend(make.split_whitespace());
        truth.call(&words).ok();
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
