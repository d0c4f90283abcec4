//! Pause, resume, capacity, the registry, and what is tidied away.

use std::time::Duration;

use serde_json::Value;
use streamherd::{Recovery, RetryAfter};
use streamherd_testkit::{Matcher, eventually};
use streamherd_tests::{
    Lost, MIN_IDLE, Redis, SCAN, SOON, TTL, Truth, Worker, builder, names, plain, queue, recovery, submit,
};

fn sweeping() -> Recovery {
    Recovery {
        sweep_interval: SCAN,
        reap_after: Duration::from_millis(100),
        ..recovery()
    }
}

#[tokio::test]
async fn a_paused_service_hands_out_nothing_and_holds_what_it_holds() {
    let server = Redis::start(crate::TOPOLOGY);
    let mut truth = Truth::of(&server);
    let mut one = Worker::start(&server).await;
    let mut two = Worker::start(&server).await;
    submit(&server, ["held"]).await;
    let held = tokio::select! { lease = one.added() => lease, lease = two.added() => lease };
    truth.cmd("HSET T:control paused 1").ok();
    submit(&server, names("s", 10)).await;
    for worker in [&mut one, &mut two] {
        assert_eq!(worker.listen_for(MIN_IDLE).await.unasked(), 0);
        assert!(worker.client.health().paused);
    }
    held.done().await.unwrap();
    assert_eq!((truth.length(), truth.pending_count()), (10, 0));

    truth.cmd("HDEL T:control paused").ok();
    for _ in 0..10 {
        let lease = tokio::select! { lease = one.added() => lease, lease = two.added() => lease };
        assert_eq!(lease.attempt(), 0, "a pause costs nothing");
        lease.done().await.unwrap();
    }
    assert!(truth.is_clean());
}

#[tokio::test]
async fn a_paused_consumer_stays_paused_over_a_restart_and_others_work_on() {
    let server = Redis::start(crate::TOPOLOGY);
    let mut paused = Worker::with(builder(&server).consumer("sick")).await;
    assert!(paused.client.pause().await.unwrap());
    assert!(!paused.client.pause().await.unwrap(), "once is enough");
    paused.client.shutdown(Duration::ZERO).await;

    let mut restarted = Worker::with(builder(&server).consumer("sick")).await;
    let mut healthy = Worker::with(builder(&server).consumer("healthy")).await;
    submit(&server, names("s", 20)).await;
    for lease in healthy.added_many(20).await {
        lease.done().await.unwrap();
    }
    assert_eq!(restarted.listen_for(Duration::ZERO).await.unasked(), 0);
    healthy.client.shutdown(Duration::ZERO).await;
    submit(&server, ["last"]).await;
    assert!(restarted.client.resume().await.unwrap());
    restarted.added().await.done().await.unwrap();
    assert_eq!(paused.listen_for(Duration::ZERO).await.unasked(), 0);
}

#[tokio::test]
async fn capacity_changes_while_work_is_held() {
    let server = Redis::start(crate::TOPOLOGY);
    let mut truth = Truth::of(&server);
    let mut worker = Worker::with(builder(&server).max_in_flight(4).read_batch(4)).await;
    queue(&server, &names("s", 40));
    let mut held = worker.added_many(4).await;
    worker.client.set_max_in_flight(8).unwrap();
    held.extend(worker.added_many(4).await);
    assert_eq!(truth.pending_count(), 8);

    worker.client.set_max_in_flight(2).unwrap();
    for lease in held.drain(..6) {
        lease.done().await.unwrap();
    }
    assert_eq!(worker.listen_for(SCAN * 4).await.unasked(), 0, "two are held already");
    for lease in held.drain(..) {
        lease.done().await.unwrap();
    }
    let two = worker.added_many(2).await;
    assert_eq!(worker.listen_for(SCAN * 4).await.unasked(), 0);
    assert_eq!((truth.pending_count(), two.len()), (2, 2));
    for bad in [0, 1_000_001] {
        let error = worker.client.set_max_in_flight(bad).unwrap_err();
        assert_eq!(error.setting, "max_in_flight");
    }
}

#[tokio::test]
async fn a_worker_is_in_the_registry_from_its_start_to_its_end() {
    let server = Redis::start(crate::TOPOLOGY);
    let mut truth = Truth::at(&server, "a");
    let mut worker = Worker::with(builder(&server).max_in_flight(7)).await;
    let id = worker.client.consumer().to_string();
    submit(&server, ["a"]).await;
    let lease = worker.added().await;
    let row = eventually(SOON, "its row says that it holds one", || {
        let row = truth.call(&["HGET", "T:consumers", &id]).text();
        let (_, about) = row.split_once(' ').unwrap();
        let about: Value = serde_json::from_str(about).unwrap();
        async move { (about["held"] == 1).then_some(about) }
    })
    .await;
    let ttl = u64::try_from(TTL.as_millis()).unwrap();
    assert_eq!((&row["capacity"], &row["lock_ttl_ms"]), (&7.into(), &ttl.into()));
    assert_eq!(row["pid"], std::process::id());
    lease.done().await.unwrap();
    worker.client.shutdown(Duration::ZERO).await;
    assert_eq!(truth.cmd("HLEN T:consumers").int(), 0);
}

#[tokio::test]
async fn a_dead_consumer_is_reaped_once_nothing_is_pending_under_its_name() {
    let server = Redis::start(crate::TOPOLOGY);
    let mut truth = Truth::of(&server);
    truth.make_groups();
    queue(&server, &["a".to_owned()]);
    truth
        .cmd("XREADGROUP GROUP workers dead.aaaaaaaa COUNT 1 STREAMS T:input >")
        .ok();
    truth.cmd("XGROUP CREATECONSUMER T:front workers dead.aaaaaaaa").ok();
    truth.call(&["HSET", "T:consumers", "dead.aaaaaaaa", "1 {}"]).ok();
    truth
        .call(&["HSET", "T:consumers", "long-dead.bbbbbbbb:last", "x"])
        .ok();
    let mut worker = Worker::with(builder(&server).recovery(sweeping())).await;
    // Its entry is brought back first.
    let lease = worker.added().await;
    assert_eq!((lease.stream(), lease.abandonments()), ("a", 1));
    let id = worker.client.consumer().to_string();
    eventually(SOON, "only the living are left", || {
        let rows = truth.cmd("HKEYS T:consumers").strings();
        let consumers: Vec<_> = ["input", "front"]
            .iter()
            .flat_map(|lane| truth.cmd(&format!("XINFO CONSUMERS T:{lane} workers")).array())
            .map(|consumer| consumer.strings()[1].clone())
            .collect();
        let alone = rows.iter().all(|row| row.starts_with(&id)) && consumers.iter().all(|name| *name == id);
        async move { alone.then_some(()) }
    })
    .await;
    lease.done().await.unwrap();
}

#[tokio::test]
async fn an_entry_stranded_by_another_program_is_queued_again() {
    // What an operator can do by hand.
    let ways = [
        ("its consumer was deleted", "XGROUP DELCONSUMER T:input workers ghost"),
        ("it was acknowledged", "XACK T:input workers {id}"),
    ];
    for (way, command) in ways {
        let server = Redis::start(crate::TOPOLOGY);
        let mut truth = Truth::at(&server, "a");
        truth.make_groups();
        submit(&server, ["a"]).await;
        let id = truth.abandon();
        truth.cmd(&command.replace("{id}", &id)).ok();
        assert_eq!((truth.pending_count(), truth.length()), (0, 1));
        let mut worker = Worker::with(builder(&server).recovery(sweeping())).await;
        let lease = worker.added().await;
        assert_eq!((lease.stream(), lease.attempt()), ("a", 0), "{way}");
        assert_eq!(lease.original_id().to_string(), id);
        lease.done().await.unwrap();
        assert!(truth.is_clean(), "{way}");
    }
}

#[tokio::test]
async fn entries_skipped_by_a_moved_group_are_queued_again_in_their_order_and_once() {
    let server = Redis::start(crate::TOPOLOGY);
    let all = server.together("s", 250);
    let mut truth = Truth::at(&server, &all[0]);
    truth.make_groups();
    submit(&server, &all).await;
    truth.cmd("XGROUP SETID T:input workers $").ok();
    submit(&server, server.beside(&all[0], ["new"])).await;
    let mut worker = Worker::with(builder(&server).max_in_flight(300).recovery(sweeping())).await;
    let mut seen: Vec<_> = worker.added_many(251).await;
    let first = seen.iter().position(|lease| plain(lease.stream()) == "new").unwrap();
    let new = seen.remove(first);
    let order: Vec<_> = seen.iter().map(|lease| lease.stream().to_owned()).collect();
    assert_eq!(order, all);
    for lease in seen.into_iter().chain([new]) {
        lease.done().await.unwrap();
    }
    assert!(truth.is_clean());
}

#[tokio::test]
async fn a_held_entry_that_somebody_acknowledged_stays_with_its_owner() {
    let server = Redis::start(crate::TOPOLOGY);
    let mut truth = Truth::of(&server);
    let mut worker = Worker::with(builder(&server).recovery(sweeping())).await;
    submit(&server, ["a"]).await;
    let lease = worker.added().await;
    truth.cmd(&format!("XACK T:input workers {}", lease.id())).ok();
    assert_eq!(worker.listen_for(MIN_IDLE).await.unasked(), 0);
    assert!(lease.is_valid());
    lease.done().await.unwrap();
    assert!(truth.is_clean());
}

#[tokio::test]
async fn a_stream_held_for_long_is_forgiven_its_abandonments_and_its_failures_are_not() {
    let server = Redis::start(crate::TOPOLOGY);
    let mut truth = Truth::at(&server, "a");
    truth.make_groups();
    let add = "XADD T:input * lbs-input {\"DataStreamName\":\"a\"} _sh_abandonments 4 _sh_failures 2 _retry_count 6";
    truth.cmd(add).ok();
    // For an hour.
    truth.abandon();
    let mut worker = Worker::start(&server).await;
    let lease = worker.added().await;
    assert_eq!((lease.abandonments(), lease.failures(), lease.attempt()), (1, 2, 3));
    lease.retry(RetryAfter::now()).await.unwrap();
    worker.added().await.done().await.unwrap();
}

#[tokio::test]
async fn a_sweep_whose_answer_or_request_is_lost_brings_each_back_once() {
    for lost in Lost::BOTH {
        let server = Redis::start(crate::TOPOLOGY);
        let names = server.together("s", 3);
        let mut truth = Truth::at(&server, &names[0]);
        truth.make_groups();
        submit(&server, &names).await;
        truth.cmd("XGROUP SETID T:input workers $").ok();
        let proxy = server.proxy().await;
        // The first looks at the front.
        let sweep = server.at_home(&names[0], Matcher::script("sweep"));
        let loss = proxy.on(sweep, 2, lost.fault());
        let mut worker = Worker::with(builder(&proxy).recovery(sweeping())).await;
        for lease in worker.added_many(3).await {
            assert_eq!(lease.attempt(), 0);
            lease.done().await.unwrap();
        }
        assert!(loss.fired());
        truth.becomes_clean().await;
        assert_eq!(worker.unasked(), 0, "{lost:?}");
    }
}
