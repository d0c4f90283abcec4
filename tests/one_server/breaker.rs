//! What opens the breaker of a master, what does not, and how an outage is told.

use std::time::Duration;

use metrics_util::debugging::{DebugValue, DebuggingRecorder};
use streamherd::{BreakerState, MasterHealth};
use streamherd_testkit::eventually;
use streamherd_tests::{Log, Redis, SOON, Truth, Worker, patient, submit};
use tracing_subscriber::filter::LevelFilter;

fn master(worker: &Worker) -> MasterHealth {
    worker.client.health().masters.remove(0)
}

async fn becomes(worker: &Worker, breaker: BreakerState, error: &str) {
    let mut last = None;
    let told = eventually(SOON, "the breaker is in that state, for that reason", || {
        let now = master(worker);
        let found = now.breaker == breaker && now.last_error.as_ref().is_some_and(|text| text.contains(error));
        last = Some(now);
        async move { found.then_some(()) }
    });
    told.await;
    let since = last.expect("it was looked at").since;
    assert!(since < SOON, "{since:?}");
}

#[tokio::test]
async fn what_waiting_mends_opens_the_breaker_and_each_reason_is_told() {
    let mut redis = Redis::start(crate::TOPOLOGY);
    let worker = Worker::with(patient(&redis)).await;
    assert_eq!(
        (master(&worker).breaker, master(&worker).partitions),
        (BreakerState::Closed, vec![0])
    );

    let mut truth = Truth::of(&redis);
    truth.cmd("REPLICAOF 127.0.0.1 1").ok();
    becomes(&worker, BreakerState::Open, "READONLY").await;
    truth.cmd("REPLICAOF NO ONE").ok();
    becomes(&worker, BreakerState::Closed, "").await;

    redis.freeze();
    becomes(&worker, BreakerState::Open, "did not answer in time").await;
    redis.thaw();
    becomes(&worker, BreakerState::Closed, "").await;

    redis.kill();
    becomes(&worker, BreakerState::Open, "connect").await;
    redis.restart();
    becomes(&worker, BreakerState::Closed, "").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_loads_its_data_is_away_until_it_has() {
    let options = [
        ("--key-load-delay", "1000"),
        ("--loading-process-events-interval-bytes", "1024"),
    ];
    let mut redis = Redis::with(crate::TOPOLOGY, &options);
    let mut truth = Truth::of(&redis);
    let many = "for i = 1, 4000 do redis.call('SET', 'k' .. i, 'v') end";
    truth.call(&["EVAL", many, "0"]).ok();
    truth.cmd("BGREWRITEAOF").ok();
    eventually(SOON, "all is on disk", || {
        let info = truth.cmd("INFO persistence").text();
        let written = info.contains("aof_rewrite_in_progress:0") && info.contains("aof_rewrite_scheduled:0");
        async move { written.then_some(()) }
    })
    .await;
    let worker = Worker::with(patient(&redis)).await;
    // Four seconds at least, in which only a probe asks: what others had under way may be the last that fails.
    let restarting = tokio::task::spawn_blocking(move || {
        redis.restart();
        redis
    });
    becomes(&worker, BreakerState::Open, "LOADING").await;
    let _redis = restarting.await.unwrap();
    becomes(&worker, BreakerState::Closed, "").await;
}

#[tokio::test]
async fn what_waiting_does_not_mend_is_told_at_once_and_opens_nothing() {
    let redis = Redis::start(crate::TOPOLOGY);
    let mut truth = Truth::of(&redis);
    let mut worker = Worker::with(patient(&redis)).await;
    truth.call(&["ACL", "SETUSER", "default", "-xreadgroup"]).ok();
    becomes(&worker, BreakerState::Closed, "lacks a permission").await;
    truth.call(&["ACL", "SETUSER", "default", "+xreadgroup"]).ok();

    truth.cmd("CONFIG SET maxmemory 1").ok();
    becomes(&worker, BreakerState::Closed, "maxmemory").await;
    truth.cmd("CONFIG SET maxmemory 0").ok();
    submit(&redis, ["a"]).await;
    worker.added().await.done().await.unwrap();
    assert!(truth.is_clean());
}

#[tokio::test]
async fn an_outage_is_two_lines_in_the_log_and_counted() {
    // Everything runs on this thread but heartbeats, which have nothing to do.
    let log = Log::of_this_thread(LevelFilter::WARN);
    let recorder = DebuggingRecorder::new();
    let metrics = recorder.snapshotter();
    let _recording = metrics::set_default_local_recorder(&recorder);
    let redis = Redis::start(crate::TOPOLOGY);
    let proxy = redis.proxy().await;
    let worker = Worker::with(patient(&proxy)).await;
    for (nth, silent) in [true, false, true].into_iter().enumerate() {
        if silent {
            proxy.swallow(true);
        } else {
            proxy.refuse(true);
        }
        becomes(&worker, BreakerState::Open, "").await;
        tokio::time::sleep(Duration::from_secs(2)).await;
        proxy.refuse(false);
        proxy.swallow(false);
        becomes(&worker, BreakerState::Closed, "").await;
        let lines = log.take();
        if nth == 0 {
            log.hears_what_others_have_met();
            continue;
        }
        let [away, back] = ["Redis is away", "Redis is back"].map(|what| lines.matches(what).count());
        // Whose failure was the third tells of it; the heartbeat's thread, which says hello, is not heard here.
        assert!(
            away <= 1 && back == 1 && lines.lines().count() == away + back,
            "{lines}"
        );
    }
    // The thread of heartbeats may have told of the other changes.
    let mut closed = 0;
    let mut away = None;
    for (key, _, _, value) in metrics.snapshot().into_vec() {
        let closes = key.key().labels().any(|label| label.value() == "closed");
        match (key.key().name(), value) {
            ("streamherd_breaker_changes_total", DebugValue::Counter(times)) if closes => closed = times,
            ("streamherd_masters_away", DebugValue::Gauge(masters)) => away = Some(masters.into_inner()),
            _ => {}
        }
    }
    assert_eq!((closed, away), (3, Some(0.0)));
}
