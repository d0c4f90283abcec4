//! Retries that wait, and schedules: never early, soon after, once.

use std::time::{Duration, SystemTime};

use streamherd::{Recovery, Reference, RetryAfter, Settled, Submitted};
use streamherd_testkit::{Matcher, eventually};
use streamherd_tests::{Lost, Redis, SOON, Truth, Worker, builder, field, patiently, recovery, submit};

/// Redis's own clock, in milliseconds.
fn now_ms(truth: &mut Truth) -> u64 {
    let time = truth.cmd("TIME").strings();
    let part = |n: usize| time[n].parse::<u64>().unwrap();
    part(0) * 1000 + part(1) / 1000
}

#[tokio::test]
async fn a_retry_waits_as_long_as_it_was_told_and_comes_back_with_its_count() {
    let server = Redis::start(crate::TOPOLOGY);
    let mut truth = Truth::of(&server);
    let mut worker = Worker::start(&server).await;
    submit(&server, ["a"]).await;
    let lease = worker.added().await;
    let before = now_ms(&mut truth);
    let retry = RetryAfter::after(Duration::from_millis(700)).because("not yet");
    assert_eq!(lease.retry(retry).await.unwrap(), Settled::Delayed);
    assert_eq!((truth.length(), truth.pending_count(), truth.locks().len()), (0, 0, 0));
    assert_eq!(truth.cmd("ZCARD T:delayed").int(), 1);

    let lease = worker.added().await;
    assert!(now_ms(&mut truth) >= before + 700);
    assert_eq!((lease.stream(), lease.failures(), lease.attempt()), ("a", 1, 1));
    lease.done().await.unwrap();
    assert!(truth.is_clean());
}

#[tokio::test]
async fn a_worker_that_knows_of_a_due_time_does_not_wait_for_its_next_scan() {
    let server = Redis::start(crate::TOPOLOGY);
    let mut worker = Worker::with(builder(&server).recovery(Recovery {
        scan_interval: Duration::from_secs(600),
        ..recovery()
    }))
    .await;
    submit(&server, ["a"]).await;
    let retry = RetryAfter::after(Duration::from_millis(300));
    worker.added().await.retry(retry).await.unwrap();
    // Within SOON, of the ten minutes.
    worker.added().await.done().await.unwrap();
}

#[tokio::test]
async fn delayed_work_is_promoted_by_workers_that_do_not_scan() {
    let server = Redis::start(crate::TOPOLOGY);
    let producer = builder(&server).connect_producer().await.unwrap();
    let delay = Duration::from_millis(100);
    producer.schedule_after("a", &1, delay).await.unwrap();
    let mut worker = Worker::with(builder(&server).recovery(Recovery {
        scan_interval: Duration::ZERO,
        ..recovery()
    }))
    .await;
    worker.added().await.done().await.unwrap();
}

/// A tick looks for what is due, and for what is due next.
const LOOKS_PER_CALL: u64 = 2;

#[tokio::test]
async fn a_promotion_that_fails_is_tried_again_but_not_without_a_pause() {
    let server = Redis::start(crate::TOPOLOGY);
    let mut truth = Truth::at(&server, "a");
    let mut worker = Worker::with(builder(&server).recovery(Recovery {
        scan_interval: Duration::from_secs(600),
        ..recovery()
    }))
    .await;
    submit(&server, ["a"]).await;
    let retry = RetryAfter::after(Duration::from_millis(300));
    worker.added().await.retry(retry).await.unwrap();
    truth.cmd("RENAME T:delayed T:elsewhere").ok();
    truth.cmd("SET T:delayed foreign").ok();
    truth.cmd("CONFIG RESETSTAT").ok();
    worker.listen_for(Duration::from_secs(2)).await;
    let tried = truth.calls("zrangebyscore");
    assert!((2..=40).contains(&tried), "tried {tried} times in two seconds");

    truth.cmd("RENAME T:elsewhere T:delayed").ok();
    // Within SOON, of the ten minutes.
    worker.added().await.done().await.unwrap();
}

#[tokio::test]
async fn while_memory_is_full_a_promotion_does_not_go_through_all_that_is_due() {
    let server = Redis::start(crate::TOPOLOGY);
    let mut truth = Truth::of(&server);
    let mut worker = Worker::with(builder(&server).max_in_flight(1_000).recovery(Recovery {
        scan_interval: Duration::from_millis(500),
        ..recovery()
    }))
    .await;
    let producer = patiently(|| builder(&server).command_timeout(SOON).connect_producer()).await;
    let items = (0..1_000).map(|n| (format!("s{n}"), n));
    // Longer than submitting them takes.
    let delay = Duration::from_secs(4);
    let submitted = producer.schedule_many_after(items, delay).await;
    assert!(submitted.iter().all(Result::is_ok));
    truth.cmd("CONFIG SET maxmemory 1").ok();
    worker.listen_for(delay).await;
    truth.cmd("CONFIG RESETSTAT").ok();
    worker.listen_for(Duration::from_secs(2)).await;
    let looks = truth.calls("zrangebyscore") / LOOKS_PER_CALL / u64::from(server.address().partitions);
    assert!((1..=20).contains(&looks), "looked {looks} times in two seconds");
    assert_eq!(truth.cmd("ZCARD T:delayed").int(), 1_000);

    truth.cmd("CONFIG SET maxmemory 0").ok();
    worker.added_many(1_000).await;
}

#[tokio::test]
async fn a_schedule_is_kept_to_the_clock_of_redis_and_one_of_the_past_is_now() {
    let server = Redis::start(crate::TOPOLOGY);
    let mut truth = Truth::of(&server);
    let producer = builder(&server).connect_producer().await.unwrap();
    let at = SystemTime::now() + Duration::from_millis(800);
    let at_ms = u64::try_from(at.duration_since(SystemTime::UNIX_EPOCH).unwrap().as_millis()).unwrap();
    let names = server.neighbours(["later", "past"]);
    let later = producer.schedule(&names[0], &1, at).await.unwrap();
    let Submitted::New(Reference::Delayed(id)) = later else {
        panic!("{later:?}")
    };
    let past = producer.schedule(&names[1], &2, SystemTime::UNIX_EPOCH).await.unwrap();
    assert!(matches!(past, Submitted::New(Reference::Queued(_))), "{past:?}");

    let mut worker = Worker::start(&server).await;
    let first = worker.added().await;
    assert_eq!(first.stream(), names[1]);
    first.done().await.unwrap();
    let second = worker.added().await;
    assert!(now_ms(&mut truth) >= at_ms);
    assert_eq!((second.stream(), second.attempt()), ("later", 0));
    assert_eq!(second.original_id(), id, "as it was submitted");
    second.done().await.unwrap();
    assert!(truth.is_clean());
}

#[tokio::test]
async fn the_last_failure_does_not_wait_for_its_dead_letter() {
    let server = Redis::start(crate::TOPOLOGY);
    let mut truth = Truth::of(&server);
    let mut worker = Worker::with(builder(&server).recovery(Recovery {
        max_failures: 1,
        ..recovery()
    }))
    .await;
    submit(&server, ["a"]).await;
    let retry = RetryAfter::after(Duration::from_secs(600)).because("no");
    let settled = worker.added().await.retry(retry).await.unwrap();
    assert!(matches!(settled, Settled::DeadLettered { .. }), "{settled:?}");
    assert_eq!(truth.dead_letters().len(), 1);
    assert!(truth.is_clean());
}

#[tokio::test]
async fn fields_that_are_no_text_survive_a_delay() {
    let server = Redis::start(crate::TOPOLOGY);
    let mut truth = Truth::at(&server, "a");
    let mut worker = Worker::start(&server).await;
    let add = "redis.call('XADD', KEYS[1], '*', 'bin', string.char(255, 0, 1), 'lbs-input', ARGV[1])";
    let body = r#"{"DataStreamName":"a","Info":null}"#;
    truth.call(&["EVAL", add, "1", "T:input", body]).ok();
    let retry = RetryAfter::after(Duration::from_millis(50));
    worker.added().await.retry(retry).await.unwrap();
    let lease = worker.added().await;
    let kept = "local f = redis.call('XRANGE', KEYS[1], '-', '+')[1][2] \
                for i = 1, #f, 2 do if f[i] == 'bin' then return f[i + 1] == string.char(255, 0, 1) and 1 or 0 end end";
    assert_eq!(truth.call(&["EVAL", kept, "1", "T:front"]).int(), 1);
    lease.done().await.unwrap();
}

#[tokio::test]
async fn a_delayed_entry_whose_body_is_spoilt_or_gone_does_not_stop_the_others() {
    let server = Redis::start(crate::TOPOLOGY);
    let mut truth = Truth::at(&server, "a");
    let producer = builder(&server).connect_producer().await.unwrap();
    truth.cmd("ZADD T:delayed 1 1-1 2 1-2").ok();
    truth.cmd("HSET T:delayed:body 1-2 garbage").ok();
    producer
        .schedule_after("a", &1, Duration::from_millis(1))
        .await
        .unwrap();
    let mut worker = Worker::start(&server).await;
    worker.added().await.done().await.unwrap();
    truth.becomes_clean().await;
    let dead = truth.dead_letters();
    assert_eq!(dead.len(), 1);
    assert_eq!(field(&dead[0], "_sh_reason"), "unparseable");
}

#[tokio::test]
async fn a_submit_of_a_delayed_stream_makes_it_due_now() {
    let server = Redis::start(crate::TOPOLOGY);
    let mut truth = Truth::of(&server);
    let producer = builder(&server).connect_producer().await.unwrap();
    let mut worker = Worker::start(&server).await;
    producer.submit("a", &1).await.unwrap();
    let retry = RetryAfter::after(Duration::from_secs(600));
    worker.added().await.retry(retry).await.unwrap();
    let again = producer.submit("a", &1).await.unwrap();
    assert!(matches!(again, Submitted::Coalesced(Reference::Queued(_))), "{again:?}");
    let lease = worker.added().await;
    assert_eq!((lease.stream(), lease.failures()), ("a", 1));
    lease.done().await.unwrap();
    eventually(SOON, "nothing is left", || {
        let clean = truth.is_clean();
        async move { clean.then_some(()) }
    })
    .await;
}

#[tokio::test]
async fn a_promotion_whose_answer_or_request_is_lost_happens_once() {
    for lost in Lost::BOTH {
        let server = Redis::start(crate::TOPOLOGY);
        let mut truth = Truth::of(&server);
        let producer = builder(&server).connect_producer().await.unwrap();
        for name in server.neighbours(["a", "b"]) {
            let delay = Duration::from_millis(1);
            producer.schedule_after(&name, &1, delay).await.unwrap();
        }
        let proxy = server.proxy().await;
        let promotion = server.at_home("a", Matcher::script("promote"));
        let loss = proxy.on(promotion, 1, lost.fault());
        let mut worker = Worker::start(&proxy).await;
        for lease in worker.added_many(2).await {
            assert_eq!(lease.attempt(), 0);
            lease.done().await.unwrap();
        }
        assert!(loss.fired());
        truth.becomes_clean().await;
        assert_eq!(worker.unasked(), 0, "{lost:?}");
    }
}

#[tokio::test]
async fn a_repeated_submit_whose_answer_was_lost_is_the_same_submit() {
    for lost in Lost::BOTH {
        let server = Redis::start(crate::TOPOLOGY);
        let mut truth = Truth::of(&server);
        let proxy = server.proxy().await;
        let producer = builder(&proxy).connect_producer().await.unwrap();
        let loss = proxy.on(Matcher::script("submit"), 1, lost.fault());
        producer.submit("a", &1).await.unwrap_err();
        assert!(loss.fired());
        eventually(SOON, "the producer gets through again", || {
            let producer = &producer;
            async move { producer.submit("a", &1).await.ok() }
        })
        .await;
        assert_eq!(truth.length(), 1, "{lost:?}");
    }
}

#[tokio::test]
async fn what_is_delayed_for_ever_waits_for_ten_years_and_hides_nothing() {
    let server = Redis::start(crate::TOPOLOGY);
    let producer = builder(&server).connect_producer().await.unwrap();
    let far = SystemTime::UNIX_EPOCH + Duration::from_secs(1 << 50);
    producer.schedule_after("a", &1, Duration::MAX).await.unwrap();
    producer.schedule("b", &1, far).await.unwrap();
    let mut worker = Worker::start(&server).await;
    producer.submit("c", &1).await.unwrap();
    let lease = worker.added().await;
    lease.retry(RetryAfter::after(Duration::MAX)).await.unwrap();
    let admin = builder(&server).connect_admin().await.unwrap();
    let status = admin.status().await.unwrap();
    assert_eq!(status.delayed, 3);
    assert!(status.delayed_next_ms.is_some());
    producer.submit("d", &1).await.unwrap();
    worker.added().await.done().await.unwrap();
}
