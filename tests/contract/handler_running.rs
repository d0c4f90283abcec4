//! What the handler runtime does around its handlers: how many run, which are stopped, what it claims and tells.

use std::collections::BTreeMap;
use std::time::Duration;

use metrics_util::debugging::{DebugValue, DebuggingRecorder};
use streamherd::error::RunError;
use streamherd::{BoxError, Builder, Job, KeyspaceEvents, Outcome, RetryPolicy, Worker};
use streamherd_testkit::eventually;
use streamherd_tests::{
    Census, Diary, Handling, Log, Redis, SOON, TTL, Truth, builder, hold, names, patient, plain, queue, recovery,
    submit,
};
use tracing_subscriber::filter::LevelFilter;

const WORKER: &str = env!("CARGO_BIN_EXE_contract-worker");
/// What handlers have at a shutdown in tests that are not about it.
const LONG: Duration = Duration::from_secs(20);

#[tokio::test]
async fn a_handler_whose_lease_is_lost_is_told_to_stop_and_dropped_after_its_grace() {
    const GRACE: Duration = Duration::from_millis(700);
    let server = Redis::start(crate::TOPOLOGY);
    let mut truth = Truth::at(&server, "stubborn");
    submit(&server, ["stubborn"]).await;
    let (diary, mut reading) = Diary::open();
    let handler = move |job: Job| {
        let diary = diary.clone();
        async move {
            let name = plain(job.stream()).to_owned();
            let _gone = diary.at_drop(format!("{name} gone"));
            diary.note(format!("{name} began {}", job.id()));
            if name == "next" {
                return Ok(());
            }
            job.stop().cancelled().await;
            assert!(job.lost().is_cancelled() && !job.is_valid());
            diary.note(format!("{name} stops"));
            if name == "obedient" {
                return Err("stopped".into());
            }
            std::future::pending::<Result<(), BoxError>>().await
        }
    };
    let worker = Handling::start(patient(&server), LONG, |w| w.grace(GRACE).concurrency(1).run(handler)).await;

    // The one that doesn't stop is dropped, and its place is free for the next.
    let steal = |truth: &mut Truth| {
        let id = truth.pending("input").remove(0).id;
        truth.cmd(&format!("SET T:lock:{id} thief PX 60000")).ok();
        id
    };
    eventually(SOON, "it is held", || {
        let held = !truth.locks().is_empty();
        async move { held.then_some(()) }
    })
    .await;
    let id = steal(&mut truth);
    reading.reads(&format!("stubborn began {id}")).await;
    let told = reading.reads("stubborn stops").await;
    let gone = reading.reads("stubborn gone").await;
    assert!(gone - told >= GRACE && gone - told < GRACE * 5, "{:?}", gone - told);
    assert_eq!((truth.length(), truth.pending_count()), (1, 1), "it settled nothing");
    truth.cmd(&format!("XACK T:input workers {id}")).ok();
    truth.cmd(&format!("XDEL T:input {id}")).ok();

    // One that stops has no need of the grace.
    submit(&server, server.beside("stubborn", ["obedient"])).await;
    eventually(SOON, "it is held", || {
        let held = truth.locks().len() == 2;
        async move { held.then_some(()) }
    })
    .await;
    let id = steal(&mut truth);
    let told = reading.reads("obedient stops").await;
    let gone = reading.reads("obedient gone").await;
    assert!(gone - told < GRACE, "{:?}", gone - told);
    assert_eq!((truth.length(), truth.pending_count()), (1, 1), "nor did this");
    truth.cmd(&format!("XACK T:input workers {id}")).ok();
    truth.cmd(&format!("XDEL T:input {id}")).ok();

    submit(&server, server.beside("stubborn", ["next"])).await;
    reading.reads("next gone").await;
    let report = worker.end().await;
    assert_eq!(
        (report.done, report.lost, report.retried, report.released),
        (1, 2, 0, 0)
    );
}

#[tokio::test]
async fn no_more_handlers_run_than_allowed_and_leases_that_wait_for_one_outlive_their_ttl() {
    let server = Redis::start(crate::TOPOLOGY);
    let mut truth = Truth::of(&server);
    queue(&server, &names("s", 12));
    let census = Census::default();
    let counting = census.clone();
    let handler = move |job: Job| {
        let running = counting.enter();
        async move {
            let _running = running;
            assert!(job.is_valid());
            tokio::time::sleep(TTL * 3 / 4).await;
            if job.attempt() > 0 {
                Err("it was given away while it waited")
            } else {
                Ok(())
            }
        }
    };
    let worker = Handling::start(builder(&server).max_in_flight(12), LONG, |w| {
        w.concurrency(3).run(handler)
    })
    .await;
    eventually(SOON, "all are held", || {
        let held = truth.locks().len();
        async move { (held == 12).then_some(()) }
    })
    .await;
    // Somebody who would take what lapses.
    let peer = Handling::start(builder(&server), LONG, |w| {
        w.run(|job: Job| async move { Err::<(), _>(format!("{} was given away", job.stream())) })
    })
    .await;
    truth.becomes_clean().await;
    assert_eq!((census.most(), census.now()), (3, 0));
    assert_eq!(worker.end().await.done, 12);
    let report = peer.end().await;
    assert_eq!((report.retried, report.dead_lettered), (0, 0));
}

#[tokio::test]
async fn orphans_are_claimed_by_themselves_where_no_scan_could_find_them() {
    let server = Redis::start(crate::TOPOLOGY);
    let mut truth = Truth::of(&server);
    let mut unscanned = recovery();
    unscanned.scan_interval = Duration::ZERO;
    queue(&server, &names("s", 8));
    let mut victim = hold(WORKER, &server, 8).await;
    let (diary, mut reading) = Diary::open();
    let handler = move |job: Job| {
        diary.note(format!("{} {}/{}", job.stream(), job.abandonments(), job.failures()));
        async { Ok::<(), BoxError>(()) }
    };
    let worker = Handling::start(builder(&server).recovery(unscanned), LONG, |w| w.run(handler)).await;
    victim.process.kill();
    for name in names("s", 8) {
        reading.reads(&format!("{name} 1/0")).await;
    }
    truth.becomes_clean().await;
    assert_eq!(worker.end().await.done, 8);
}

#[tokio::test]
async fn a_worker_whose_settings_break_a_rule_does_not_run() {
    let server = Redis::start(crate::TOPOLOGY);
    let refused = async |setting: &str, set: fn(Worker) -> Worker| {
        let (client, notifications) = quiet(&server).max_in_flight(4).connect().await.unwrap();
        let worker = set(Worker::new(client, notifications));
        let ended = worker.run(|_: Job| async { Ok::<(), BoxError>(()) }).await;
        let Err(RunError::Setting(error)) = ended else {
            panic!("{setting}: {ended:?}");
        };
        assert_eq!(error.setting, setting);
        for part in [&error.value, &error.rule, &error.suggestion] {
            assert!(!part.is_empty() && error.to_string().contains(part), "{error}");
        }
    };
    refused("concurrency", |w| w.concurrency(0)).await;
    refused("concurrency", |w| w.concurrency(5)).await;
    refused("grace", |w| w.grace(Duration::MAX)).await;
    refused("max_hold", |w| w.max_hold(Duration::ZERO)).await;
    refused("shutdown_on", |w| {
        w.shutdown_on(std::future::pending::<()>(), Duration::MAX)
    })
    .await;
    refused("retry.longest", |w| {
        let longest = Duration::MAX;
        w.retry(RetryPolicy {
            longest,
            ..RetryPolicy::default()
        })
    })
    .await;
}

fn quiet(server: &Redis) -> Builder {
    builder(server).keyspace_events(KeyspaceEvents::Off)
}

#[tokio::test]
async fn handlers_are_counted_by_how_they_ended() {
    let recorder = DebuggingRecorder::new();
    let counts = recorder.snapshotter();
    let _guard = metrics::set_default_local_recorder(&recorder);
    let server = Redis::start(crate::TOPOLOGY);
    let mut truth = Truth::of(&server);
    let mut recovery = recovery();
    recovery.max_failures = 1;
    submit(&server, ["ok", "error", "panic", "dead"]).await;
    let handler = |job: Job| async move {
        match job.stream() {
            "error" => Err("no"),
            "panic" => panic!("on purpose"),
            "dead" => Ok(Outcome::dead_letter("no")),
            _ => Ok(Outcome::Done),
        }
    };
    let worker = Handling::start(quiet(&server).recovery(recovery), LONG, |w| w.run(handler)).await;
    truth.becomes_clean().await;
    worker.end().await;
    let mut seen = BTreeMap::new();
    for (key, _, _, value) in counts.snapshot().into_vec() {
        let key = key.key();
        let outcome = key
            .labels()
            .find(|label| label.key() == "outcome")
            .map_or("", |label| label.value());
        let value = match value {
            DebugValue::Counter(n) => n as f64,
            DebugValue::Gauge(n) => n.into_inner(),
            DebugValue::Histogram(values) => values.len() as f64,
        };
        seen.insert(format!("{} {outcome}", key.name()), value);
    }
    for outcome in ["done", "error", "panic", "dead_letter"] {
        for name in ["streamherd_handled_total", "streamherd_handler_seconds"] {
            assert_eq!(seen.get(&format!("{name} {outcome}")), Some(&1.0), "{name} {outcome}");
        }
    }
    assert_eq!(seen.get("streamherd_handler_panics_total "), Some(&1.0));
    assert_eq!(seen.get("streamherd_handlers_running "), Some(&0.0), "all have ended");
}

#[tokio::test]
async fn a_handler_runs_in_the_span_of_its_lease() {
    let log = Log::of_this_thread(LevelFilter::INFO);
    let server = Redis::start(crate::TOPOLOGY);
    let mut truth = Truth::of(&server);
    submit(&server, ["first"]).await;
    let handler = |job: Job| async move {
        tokio::task::yield_now().await;
        tracing::info!(token = %job.token(), "inside");
        Err::<(), _>("it broke")
    };
    let mut recovery = recovery();
    recovery.max_failures = 1;
    let worker = Handling::start(quiet(&server).recovery(recovery), LONG, |w| w.run(handler)).await;
    truth.becomes_clean().await;
    log.hears_what_others_have_met();
    submit(&server, ["s-7"]).await;
    truth.becomes_clean().await;
    worker.end().await;
    let text = log.take();
    for said in ["inside", "a handler failed"] {
        let inside = |line: &str| line.contains("lease{service=orders stream=\"s-7\" token=") && line.contains(said);
        assert!(text.lines().any(inside), "{said}: {text}");
    }
    assert!(text.contains("it broke"));
}
