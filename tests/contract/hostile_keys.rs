//! What other programs can make of the service's keys while workers run: whatever it is, it holds up no more than it must,
//! and when it is mended all goes on.

use std::time::Duration;

use streamherd::Recovery;
use streamherd_testkit::eventually;
use streamherd_tests::{Redis, SCAN, SOON, TTL, Truth, Worker, builder, patient, queue, recovery, submit};

/// Keys that hold something of another type for longer than a lease lives without a heartbeat, one after the other. No lease
/// depends on them.
const ASIDE: [&str; 7] = ["input", "front", "dlq", "delayed", "live", "consumers", "scan"];

/// Puts a key aside and makes a list of it, in one step: a worker would make it anew in between.
const SPOIL: &str = "if redis.call('EXISTS', KEYS[1]) == 1 then redis.call('RENAME', KEYS[1], KEYS[2]) end
    return redis.call('RPUSH', KEYS[1], 'junk')";

#[tokio::test]
async fn a_key_that_becomes_another_type_ends_no_lease_and_when_it_is_mended_work_goes_on() {
    let server = Redis::start(crate::TOPOLOGY);
    let names = server.together("s", 2 * ASIDE.len() + 1);
    let mut truth = Truth::at(&server, &names[0]);
    let mut worker = Worker::start(&server).await;
    submit(&server, &names[..1]).await;
    let held = worker.added().await;
    for (turn, key) in ASIDE.iter().enumerate() {
        let (at, saved) = (format!("T:{key}"), format!("T:saved:{key}"));
        truth.call(&["EVAL", SPOIL, "2", &at, &saved]).ok();
        worker.listen_for(TTL + TTL / 4).await;
        assert!(held.is_valid(), "{key}: {:?}", held.remaining());
        assert_eq!(worker.unasked_disowned(), 0, "{key}");
        truth.call(&["DEL", &at]).ok();
        // The gate of the scan has expired by now.
        if truth.call(&["EXISTS", &saved]).int() == 1 {
            truth.call(&["RENAME", &saved, &at]).ok();
        }
        let two = &names[1 + 2 * turn..3 + 2 * turn];
        submit(&server, two).await;
        for lease in worker.added_many(2).await {
            assert!(
                two.iter().any(|name| name == lease.stream()),
                "{key}: {}",
                lease.stream()
            );
            lease.done().await.unwrap();
        }
    }
    assert!(worker.terminated.is_none());
    held.done().await.unwrap();
    truth.becomes_clean().await;
    assert_eq!(worker.losses, 0);
}

#[tokio::test]
async fn an_epoch_or_a_control_that_becomes_another_type_for_a_moment_ends_no_lease() {
    let server = Redis::start(crate::TOPOLOGY);
    let names = server.together("s", 3);
    let mut truth = Truth::at(&server, &names[0]);
    let mut worker = Worker::with(patient(&server)).await;
    submit(&server, &names[..1]).await;
    let held = worker.added().await;
    for (turn, key) in ["epoch", "control"].iter().enumerate() {
        let (at, saved) = (format!("T:{key}"), format!("T:saved:{key}"));
        truth.call(&["EVAL", SPOIL, "2", &at, &saved]).ok();
        worker.listen_for(Duration::from_secs(2)).await;
        assert!(held.is_valid() && worker.unasked_disowned() == 0, "{key}");
        truth.call(&["RENAME", &saved, &at]).ok();
        submit(&server, [&names[turn + 1]]).await;
        let lease = worker.added().await;
        assert_eq!(*lease.stream(), names[turn + 1]);
        lease.done().await.unwrap();
    }
    held.done().await.unwrap();
    truth.becomes_clean().await;
    assert_eq!((worker.losses, worker.unasked_disowned()), (0, 0));
}

#[tokio::test]
async fn junk_beside_what_is_kept_stops_neither_work_nor_looks_at_it() {
    let server = Redis::start(crate::TOPOLOGY);
    let names = server.together("s", 3);
    let mut truth = Truth::at(&server, &names[0]);
    truth.make_groups();
    let junk = r#"
        local bytes = {'', 'x', '-1', 'nan', '\255\254\0', string.rep('\129', 9), '{}', string.rep('[', 5000)}
        for _, value in ipairs(bytes) do
          redis.call('HSET', KEYS[1], value, value)
          redis.call('HSET', KEYS[2], value, value)
          redis.call('HSET', KEYS[2], value .. ':last', value)
          redis.call('HSET', KEYS[3], 'paused:' .. value, value)
          redis.call('HSET', KEYS[5], value, value)
          redis.call('ZADD', KEYS[4], 5, value)
          for _, note in ipairs({'moved:', 'written:', 'lost:', 'lock:'}) do
            redis.call('SADD', string.sub(KEYS[1], 1, -5) .. note .. value, value)
          end
          redis.call('XADD', KEYS[6], '*', value, value)
        end
        redis.call('ZADD', KEYS[4], '+inf', 'never', '-inf', 'always', 1e300, 'late', -1e300, 'early')
        return redis.call('HLEN', KEYS[1])"#;
    let keys = [
        "T:live",
        "T:consumers",
        "T:control",
        "T:delayed",
        "T:delayed:body",
        "T:dlq",
    ];
    let words = [&["EVAL", junk, "6"][..], &keys[..]].concat();
    assert_eq!(truth.call(&words).int(), 8);
    let recovery = Recovery {
        sweep_interval: SCAN,
        ..recovery()
    };
    let mut worker = Worker::with(builder(&server).recovery(recovery)).await;
    submit(&server, &names).await;
    for lease in worker.added_many(names.len()).await {
        lease.done().await.unwrap();
    }
    // What is due is nobody's, what is live stands for nothing.
    eventually(SOON, "it is tidied away", || {
        let left = truth.cmd("HLEN T:live").int() + truth.cmd("ZCOUNT T:delayed -inf 1000000000").int();
        async move { (left == 0).then_some(()) }
    })
    .await;
    let admin = builder(&server).connect_admin().await.unwrap();
    let status = admin.status().await.unwrap();
    assert_eq!((status.queued, status.delayed), (0, 2), "those that are never due");
    assert!(
        status
            .consumers
            .iter()
            .any(|one| one.consumer == *worker.client.consumer().as_str())
    );
    let mut letters = admin.dead_letters(streamherd::DeadLetterFilter::default());
    let mut seen = 0;
    while letters.next().await.unwrap().is_some() {
        seen += 1;
    }
    assert!(seen >= 8, "{seen} letters");
    assert!(worker.terminated.is_none());
}

#[tokio::test]
async fn a_hundred_thousand_names_that_stand_for_nothing_are_tidied_away_beside_the_work() {
    let server = Redis::start(crate::TOPOLOGY);
    let names = server.together("s", 100);
    let mut truth = Truth::at(&server, &names[0]);
    truth.make_groups();
    let junk = "for i = 1, 100000 do redis.call('HSET', KEYS[1], 'junk-' .. i, cmsgpack.pack({'5-' .. i})) end";
    truth.call(&["EVAL", junk, "1", "T:live"]);
    let recovery = Recovery {
        sweep_interval: SCAN,
        ..recovery()
    };
    let mut worker = Worker::with(builder(&server).recovery(recovery)).await;
    queue(&server, &names);
    for _ in &names {
        worker.added().await.done().await.unwrap();
    }
    let left = truth.cmd("HLEN T:live").int();
    worker.listen_for(Duration::from_secs(2)).await;
    let after = truth.cmd("HLEN T:live").int();
    assert!(after < left || after == 0, "{left} names, then {after}");
}
