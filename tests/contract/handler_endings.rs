//! How handlers end that do not end by themselves: at `max_hold`, at a shutdown, with their worker.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use streamherd::{BoxError, Job, RetryPolicy};
use streamherd_testkit::eventually;
use streamherd_tests::{
    Diary, Handling, Redis, SOON, TTL, Truth, Worker, builder, field, names, patient, patient_recovery, plain, queue,
    submit,
};

const LONG: Duration = Duration::from_secs(20);
const AT_ONCE: RetryPolicy = RetryPolicy {
    first: Duration::ZERO,
    longest: Duration::ZERO,
};

#[tokio::test]
async fn a_handler_that_hangs_is_ended_after_max_hold_as_a_counted_failure() {
    const MAX_HOLD: Duration = Duration::from_secs(3);
    let server = Redis::start(crate::TOPOLOGY);
    let mut truth = Truth::of(&server);
    submit(&server, ["hangs"]).await;
    let mut recovery = patient_recovery();
    recovery.max_failures = 2;
    let (diary, mut reading) = Diary::open();
    let handler = move |job: Job| {
        let diary = diary.clone();
        async move {
            let attempt = format!("{}/{}", job.failures(), job.abandonments());
            let _gone = diary.at_drop(format!("{attempt} gone"));
            diary.note(format!("{attempt} began"));
            job.lost().cancelled().await;
            diary.note(format!("{attempt} lost"));
            std::future::pending::<Result<(), BoxError>>().await
        }
    };
    let worker = Handling::start(patient(&server).recovery(recovery), LONG, |w| {
        w.max_hold(MAX_HOLD).grace(TTL / 8).retry(AT_ONCE).run(handler)
    })
    .await;
    for attempt in ["0/0", "1/0"] {
        let began = reading.reads(&format!("{attempt} began")).await;
        let lost = reading.reads(&format!("{attempt} lost")).await;
        reading.reads(&format!("{attempt} gone")).await;
        let held = lost - began;
        assert!(held >= MAX_HOLD - Duration::from_millis(1), "{held:?}");
        assert!(held < MAX_HOLD * 2, "{held:?}");
    }
    truth.becomes_clean().await;
    let letters = truth.dead_letters();
    assert_eq!(letters.len(), 1);
    assert_eq!(field(&letters[0], "_sh_error"), "held longer than max_hold");
    assert_eq!(field(&letters[0], "_sh_failures"), "2");
    let report = worker.end().await;
    assert_eq!((report.lost, report.done, report.retried), (2, 0, 0));
}

/// Lets go of what blocks a thread, also where a test fails, whose runtime would wait for that thread.
#[derive(Default)]
struct LetGo(Arc<AtomicBool>);

impl LetGo {
    fn now(&self) {
        self.0.store(true, Ordering::SeqCst);
    }
}

impl Drop for LetGo {
    fn drop(&mut self) {
        self.now();
    }
}

/// Blocks its thread until it is let go.
fn block_until(let_go: &AtomicBool) {
    while !let_go.load(Ordering::SeqCst) {
        std::thread::sleep(Duration::from_millis(5));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_handler_that_blocks_its_thread_loses_its_stream_after_max_hold_and_its_failure_is_counted() {
    let server = Redis::start(crate::TOPOLOGY);
    let mut truth = Truth::of(&server);
    submit(&server, ["blocks"]).await;
    let let_go = LetGo::default();
    let blocker = Arc::clone(&let_go.0);
    let (diary, mut reading) = Diary::open();
    let handler = move |job: Job| {
        let (diary, let_go) = (diary.clone(), Arc::clone(&blocker));
        async move {
            diary.note("began");
            block_until(&let_go);
            diary.note(if job.is_valid() { "still valid" } else { "late" });
            Ok::<(), BoxError>(())
        }
    };
    let worker = Handling::start(patient(&server).max_in_flight(1), LONG, |w| {
        w.max_hold(TTL / 2).grace(Duration::ZERO).retry(AT_ONCE).run(handler)
    })
    .await;
    let began = reading.reads("began").await;
    let mut peer = Worker::with(patient(&server)).await;
    let lease = peer.added().await;
    assert!(
        began.elapsed() < TTL * 2,
        "no lock had to expire: {:?}",
        began.elapsed()
    );
    assert_eq!((lease.failures(), lease.abandonments()), (1, 0));
    assert!(!let_go.0.load(Ordering::SeqCst), "it is blocked to this moment");
    let_go.now();
    reading.reads("late").await;
    assert!(lease.is_valid());
    lease.done().await.unwrap();
    assert!(truth.is_clean());
    let report = worker.end().await;
    assert_eq!((report.done, report.lost), (0, 1));
}

#[test]
fn a_handler_that_blocks_its_whole_runtime_loses_its_stream_to_a_peer_after_max_hold() {
    let server = Redis::start(crate::TOPOLOGY);
    let url = server.address();
    let let_go = LetGo::default();
    let runtime = || {
        tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .unwrap()
    };
    std::thread::scope(|threads| {
        let (diary, mut reading) = Diary::open();
        let blocker = Arc::clone(&let_go.0);
        let blocked = threads.spawn(move || {
            runtime().block_on(async {
                let begun = Arc::new(tokio::sync::Notify::new());
                let begins = Arc::clone(&begun);
                let handler = move |job: Job| {
                    let (diary, let_go, begins) = (diary.clone(), Arc::clone(&blocker), Arc::clone(&begins));
                    async move {
                        diary.note("began");
                        begins.notify_one();
                        block_until(&let_go);
                        assert!(!job.is_valid(), "it was told the truth");
                        Ok::<(), BoxError>(())
                    }
                };
                let mut worker = Handling::start(builder(&url), Duration::ZERO, |w| {
                    w.max_hold(TTL / 2).retry(AT_ONCE).run(handler)
                })
                .await;
                submit(&url, ["blocks"]).await;
                // This goes on when the handler lets go of the only thread.
                begun.notified().await;
                worker.stop();
                worker.ended().await
            })
        });
        runtime().block_on(async {
            // Moved here, where a failure drops it; the scope waits for the other thread.
            let let_go = let_go;
            let began = reading.reads("began").await;
            let mut peer = Worker::start(&server).await;
            let lease = peer.added().await;
            assert_eq!((lease.failures(), lease.abandonments()), (0, 1), "as from a dead one");
            assert!(began.elapsed() > TTL);
            let_go.now();
            lease.done().await.unwrap();
        });
        let report = blocked.join().unwrap();
        assert_eq!((report.done, report.lost, report.panicked), (0, 1, 0));
    });
    assert!(Truth::of(&server).is_clean());
}

#[tokio::test]
async fn guarantee_6_a_shutdown_drains_then_stops_handlers_and_gives_no_stream_away_under_one() {
    const GRACE: Duration = Duration::from_millis(600);
    // A machine that stands still does not use it up before what waits is handed over.
    const DEADLINE: Duration = Duration::from_secs(4);
    let server = Redis::start(crate::TOPOLOGY);
    let mut truth = Truth::of(&server);
    let first = ["quick", "obedient", "stubborn"].map(str::to_owned);
    queue(
        &server,
        &server.neighbours(first.into_iter().chain(names("waiting", 2))),
    );
    let (diary, mut reading) = Diary::open();
    let may_finish = Arc::new(AtomicBool::new(false));
    let finish = Arc::clone(&may_finish);
    let handler = move |job: Job| {
        let (diary, may_finish) = (diary.clone(), Arc::clone(&finish));
        async move {
            let name = plain(job.stream()).to_owned();
            let _gone = diary.at_drop(format!("{name} gone"));
            diary.note(format!("{name} began"));
            if name == "quick" {
                while !may_finish.load(Ordering::SeqCst) {
                    tokio::time::sleep(Duration::from_millis(5)).await;
                }
                return Ok::<(), BoxError>(());
            }
            job.stop().cancelled().await;
            assert!(job.is_valid(), "its stream is nobody else's yet");
            diary.note(format!("{name} stops"));
            if name == "obedient" {
                return Err("stopped".into());
            }
            std::future::pending().await
        }
    };
    let mut worker = Handling::start(patient(&server).max_in_flight(5), DEADLINE, |w| {
        w.concurrency(3).grace(GRACE).run(handler)
    })
    .await;
    for name in ["quick", "obedient", "stubborn"] {
        reading.reads(&format!("{name} began")).await;
    }
    eventually(SOON, "the others wait", || {
        let held = truth.locks().len();
        async move { (held == 5).then_some(()) }
    })
    .await;
    let mut peer = Worker::with(patient(&server)).await;

    let asked = Instant::now();
    worker.stop();
    let mut taken = vec![peer.added().await, peer.added().await];
    assert!(
        asked.elapsed() < DEADLINE,
        "what waits goes at once: {:?}",
        asked.elapsed()
    );
    assert!(taken.iter().all(|lease| lease.stream().starts_with("waiting")));
    assert!(!reading.has("obedient stops") && !reading.has("stubborn stops"));
    may_finish.store(true, Ordering::SeqCst);
    reading.reads("quick gone").await;

    for (name, least) in [("obedient", DEADLINE), ("stubborn", DEADLINE + GRACE)] {
        let stops = reading.reads(&format!("{name} stops")).await;
        assert!(stops - asked >= DEADLINE);
        let lease = peer.added().await;
        let given = Instant::now();
        assert_eq!(plain(lease.stream()), name);
        assert!(reading.has(&format!("{name} gone")), "not before its handler is gone");
        assert!(
            given - asked >= least && given - asked < least + TTL * 2,
            "{:?}",
            given - asked
        );
        taken.push(lease);
    }
    let report = worker.ended().await;
    assert_eq!((report.done, report.released), (1, 4));
    assert_eq!(
        (report.retried, report.lost, report.stuck, report.panicked),
        (0, 0, 0, 0)
    );
    assert_eq!((report.client.released, report.client.abandoned), (4, 0));
    assert_eq!(truth.length(), 4, "nothing but the finished one was acknowledged");
    for lease in taken {
        assert_eq!(
            (lease.attempt(), lease.failures(), lease.abandonments()),
            (0, 0, 0),
            "nothing was counted"
        );
        lease.done().await.unwrap();
    }
    assert!(truth.is_clean() && truth.dead_letters().is_empty());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_worker_ends_without_the_handler_that_blocks_its_thread() {
    let server = Redis::start(crate::TOPOLOGY);
    let mut truth = Truth::of(&server);
    submit(&server, ["blocks"]).await;
    let let_go = LetGo::default();
    let blocker = Arc::clone(&let_go.0);
    let (diary, mut reading) = Diary::open();
    let handler = move |_: Job| {
        let (diary, let_go) = (diary.clone(), Arc::clone(&blocker));
        async move {
            diary.note("began");
            block_until(&let_go);
            Ok::<(), BoxError>(())
        }
    };
    let worker = Handling::start(patient(&server), Duration::ZERO, |w| {
        w.grace(Duration::from_millis(100)).run(handler)
    })
    .await;
    reading.reads("began").await;
    let report = worker.end().await;
    assert_eq!((report.stuck, report.done, report.client.released), (1, 0, 1));
    assert_eq!(
        (truth.entries("front").len(), truth.pending_count()),
        (1, 0),
        "the client handed it over"
    );
    let_go.now();
}

#[tokio::test]
async fn guarantee_6_a_worker_that_is_dropped_hands_back_what_its_handlers_held() {
    let server = Redis::start(crate::TOPOLOGY);
    let mut truth = Truth::of(&server);
    queue(&server, &server.together("s", 4));
    let (diary, mut reading) = Diary::open();
    let handler = move |job: Job| {
        let diary = diary.clone();
        async move {
            let _gone = diary.at_drop(format!("{} gone", plain(job.stream())));
            diary.note(format!("{} began", plain(job.stream())));
            std::future::pending::<Result<(), BoxError>>().await
        }
    };
    let worker = Handling::start(patient(&server).max_in_flight(4), LONG, |w| {
        w.concurrency(2).run(handler)
    })
    .await;
    for name in names("s", 2) {
        reading.reads(&format!("{name} began")).await;
    }
    eventually(SOON, "the others wait", || {
        let held = truth.locks().len();
        async move { (held == 4).then_some(()) }
    })
    .await;
    worker.abort().await;
    for name in names("s", 2) {
        reading.reads(&format!("{name} gone")).await;
    }
    let mut peer = Worker::with(patient(&server)).await;
    for lease in peer.added_many(4).await {
        assert_eq!((lease.attempt(), lease.failures()), (0, 0));
        lease.done().await.unwrap();
    }
    assert!(truth.is_clean() && truth.dead_letters().is_empty());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn guarantee_6_a_dropped_worker_gives_no_stream_away_under_a_handler_that_blocks_its_thread() {
    let server = Redis::start(crate::TOPOLOGY);
    let mut truth = Truth::of(&server);
    submit(&server, ["blocks"]).await;
    let let_go = LetGo::default();
    let blocker = Arc::clone(&let_go.0);
    let (diary, mut reading) = Diary::open();
    let handler = move |_: Job| {
        let (diary, let_go) = (diary.clone(), Arc::clone(&blocker));
        async move {
            diary.note("began");
            block_until(&let_go);
            std::future::pending::<Result<(), BoxError>>().await
        }
    };
    let worker = Handling::start(patient(&server), LONG, |w| w.run(handler)).await;
    reading.reads("began").await;
    worker.abort().await;
    let mut peer = Worker::with(patient(&server)).await;
    assert_eq!(peer.listen_for(TTL * 2).await.unasked(), 0, "its handler still runs");
    let_go.now();
    let lease = peer.added().await;
    assert_eq!((lease.attempt(), lease.failures()), (0, 0));
    lease.done().await.unwrap();
    assert!(truth.is_clean());
}

#[tokio::test]
async fn a_worker_ends_with_its_client_and_its_handlers_with_it() {
    let server = Redis::start(crate::TOPOLOGY);
    submit(&server, ["s"]).await;
    let (diary, mut reading) = Diary::open();
    let handler = move |job: Job| {
        let diary = diary.clone();
        async move {
            let _gone = diary.at_drop("gone");
            diary.note("began");
            job.stop().cancelled().await;
            diary.note("stops");
            std::future::pending::<Result<(), BoxError>>().await
        }
    };
    let worker = Handling::start(patient(&server), LONG, |w| {
        w.grace(Duration::from_millis(200)).run(handler)
    })
    .await;
    reading.reads("began").await;
    let ended = worker.client.shutdown(Duration::ZERO).await;
    assert_eq!(ended.released, 1);
    let report = worker.ended().await;
    assert_eq!(report.client, ended);
    assert_eq!((report.lost, report.done, report.stuck), (1, 0, 0));
    assert!(reading.has("stops") && reading.has("gone"));
}
