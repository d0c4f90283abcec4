//! The handler runtime: what a handler returns becomes of its stream, and nothing it does ends the worker.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use serde_json::Value;
use streamherd::{BoxError, Handler, Job, Outcome, RetryPolicy};
use streamherd_tests::{Diary, Handling, Redis, Truth, field, names, patient, patient_recovery, queue, submit};

/// What handlers have at a shutdown in tests that are not about it.
const LONG: Duration = Duration::from_secs(20);
/// No waiting between tries.
const AT_ONCE: RetryPolicy = RetryPolicy {
    first: Duration::ZERO,
    longest: Duration::ZERO,
};

#[tokio::test]
async fn a_handler_that_returns_ok_has_finished_its_stream() {
    let server = Redis::start(crate::TOPOLOGY);
    let mut truth = Truth::of(&server);
    submit(&server, names("s", 20)).await;
    let (diary, mut reading) = Diary::open();
    let handler = move |job: Job| {
        let diary = diary.clone();
        async move {
            let info: Value = job.info()?;
            assert!(job.is_valid() && job.remaining() > Duration::ZERO && !job.stop().is_cancelled());
            job.ensure_valid()?;
            diary.note(format!(
                "{} of {info} try {} fail {}",
                job.stream(),
                job.attempt(),
                job.failures()
            ));
            Ok::<_, BoxError>(())
        }
    };
    let worker = Handling::start(patient(&server), LONG, |w| w.run(handler)).await;
    for name in names("s", 20) {
        reading
            .reads(&format!("{name} of {{\"of\":\"{name}\"}} try 0 fail 0"))
            .await;
    }
    truth.becomes_clean().await;
    let report = worker.end().await;
    assert_eq!(
        (report.done, report.retried, report.released, report.lost),
        (20, 0, 0, 0)
    );
    assert_eq!((report.stuck, report.client.abandoned), (0, 0));
}

#[tokio::test]
async fn a_handler_s_error_is_counted_and_kept_with_its_sources_in_the_dead_letter() {
    let server = Redis::start(crate::TOPOLOGY);
    let mut truth = Truth::of(&server);
    submit(&server, ["broken"]).await;
    let mut recovery = patient_recovery();
    recovery.max_failures = 3;
    let (diary, mut reading) = Diary::open();
    let handler = move |job: Job| {
        let diary = diary.clone();
        async move {
            diary.note(format!("try {} fail {}", job.attempt(), job.failures()));
            Err::<(), _>(Broken(job.attempt(), std::io::Error::other("disk full")))
        }
    };
    let worker = Handling::start(patient(&server).recovery(recovery), LONG, |w| {
        w.retry(AT_ONCE).run(handler)
    })
    .await;
    for n in 0..3 {
        reading.reads(&format!("try {n} fail {n}")).await;
    }
    truth.becomes_clean().await;
    let letters = truth.dead_letters();
    assert_eq!(letters.len(), 1);
    assert_eq!(field(&letters[0], "_sh_error"), "order 2 not written: disk full");
    assert_eq!(field(&letters[0], "_sh_reason"), "max_failures");
    assert_eq!(field(&letters[0], "_sh_failures"), "3");
    let report = worker.end().await;
    assert_eq!(
        (report.done, report.retried, report.dead_lettered, report.panicked),
        (0, 2, 1, 0)
    );
}

#[derive(Debug)]
struct Broken(u32, std::io::Error);

impl std::fmt::Display for Broken {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "order {} not written", self.0)
    }
}

impl std::error::Error for Broken {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        Some(&self.1)
    }
}

/// A handler that is a type of its own: does at the first attempt what the stream's name says, and is done at the next.
struct AsNamed(Diary);

impl Handler for AsNamed {
    async fn handle(&self, job: Job) -> Result<Outcome, BoxError> {
        let name = job.stream().to_owned();
        let seen = format!("{name} {}/{}", job.attempt(), job.failures());
        self.0.note(&seen);
        Ok(match name.as_str() {
            "dead" => Outcome::dead_letter("not an order"),
            "retry" if job.attempt() == 0 => Outcome::retry("come back"),
            "later" if job.attempt() == 0 => Outcome::retry_after(Duration::from_millis(1), "come back later"),
            // The front lane is where it is put back to.
            "release" if job.id().lane == streamherd::Lane::Input => Outcome::Release,
            _ => Outcome::Done,
        })
    }
}

#[tokio::test]
async fn every_outcome_is_carried_out() {
    let server = Redis::start(crate::TOPOLOGY);
    let mut truth = Truth::of(&server);
    submit(&server, ["done", "dead", "retry", "later", "release"]).await;
    let (diary, mut reading) = Diary::open();
    let worker = Handling::start(patient(&server), LONG, |w| w.retry(AT_ONCE).run(AsNamed(diary))).await;
    let seen = [
        "done 0/0",
        "dead 0/0",
        "retry 0/0",
        "retry 1/1",
        "later 0/0",
        "later 1/1",
        "release 0/0",
        "release 0/0",
    ];
    for seen in seen {
        reading.reads(seen).await;
    }
    truth.becomes_clean().await;
    let letters = truth.dead_letters();
    assert_eq!(letters.len(), 1);
    assert_eq!(field(&letters[0], "_sh_error"), "not an order");
    assert_eq!(field(&letters[0], "_sh_reason"), "rejected");
    let report = worker.end().await;
    assert_eq!(
        (report.done, report.retried, report.dead_lettered, report.released),
        (4, 2, 1, 1)
    );
}

#[tokio::test]
async fn a_poison_handler_ends_in_the_dlq_after_exactly_its_attempts_while_1000_good_streams_pass_it() {
    const GOOD: usize = 1_000;
    const ATTEMPTS: usize = 5;
    let server = Redis::start(crate::TOPOLOGY);
    let mut truth = Truth::of(&server);
    queue(&server, &["poison".to_owned()]);
    queue(&server, &names("good", GOOD));
    let (good, poisoned) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
    let (finished, tried) = (Arc::clone(&good), Arc::clone(&poisoned));
    let handler = move |job: Job| {
        let (good, poisoned) = (Arc::clone(&finished), Arc::clone(&tried));
        async move {
            if job.stream() != "poison" {
                assert_eq!(job.attempt(), 0, "handed out once");
                good.fetch_add(1, Ordering::SeqCst);
                return Ok::<_, BoxError>(());
            }
            let attempt = poisoned.fetch_add(1, Ordering::SeqCst) + 1;
            // Its attempts spread over the others' time: were they to wait for it, nobody would ever get on.
            while good.load(Ordering::SeqCst) < GOOD / ATTEMPTS * attempt {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
            panic!("attempt {attempt} hit a mine")
        }
    };
    let worker = Handling::start(patient(&server).max_in_flight(16), LONG, |w| {
        w.retry(AT_ONCE).run(handler)
    })
    .await;
    truth.becomes_clean().await;
    assert_eq!(good.load(Ordering::SeqCst), GOOD);
    assert_eq!(poisoned.load(Ordering::SeqCst), ATTEMPTS);
    let letters = truth.dead_letters();
    assert_eq!(letters.len(), 1);
    assert_eq!(
        field(&letters[0], "_sh_error"),
        "the handler panicked: attempt 5 hit a mine"
    );
    assert_eq!(field(&letters[0], "_sh_reason"), "max_failures");
    submit(&server, ["afterwards"]).await;
    truth.becomes_clean().await;
    let report = worker.end().await;
    assert_eq!(
        (report.done, report.retried),
        (GOOD as u64 + 1, ATTEMPTS as u64 - 1),
        "the worker lives on"
    );
    assert_eq!((report.dead_lettered, report.panicked), (1, ATTEMPTS as u64));
}

#[tokio::test]
async fn a_panic_anywhere_in_a_handler_is_a_failure_and_no_more() {
    struct AtDrop;
    impl Drop for AtDrop {
        fn drop(&mut self) {
            panic!("in a drop");
        }
    }
    struct Unprintable;
    impl std::fmt::Display for Unprintable {
        fn fmt(&self, _: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
            panic!("in the error's text")
        }
    }
    impl std::fmt::Debug for Unprintable {
        fn fmt(&self, _: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
            panic!("in the error's text")
        }
    }
    impl std::error::Error for Unprintable {}

    let server = Redis::start(crate::TOPOLOGY);
    let mut truth = Truth::of(&server);
    let mut recovery = patient_recovery();
    recovery.max_failures = 1;
    let handler = |job: Job| {
        assert_ne!(job.stream(), "call", "in the call");
        async move {
            match job.stream() {
                "value" => std::panic::panic_any(7_u8),
                "text" => return Err(Box::new(Unprintable) as BoxError),
                "drop" => {
                    let _bomb = AtDrop;
                    tokio::task::yield_now().await;
                }
                _ => {}
            }
            Ok(())
        }
    };
    let worker = Handling::start(patient(&server).recovery(recovery), LONG, |w| {
        w.concurrency(1).run(handler)
    })
    .await;
    submit(&server, ["call", "value", "text", "drop", "good"]).await;
    truth.becomes_clean().await;
    let mut errors = BTreeMap::new();
    for letter in truth.dead_letters() {
        let input: Value = serde_json::from_str(field(&letter, "lbs-input")).unwrap();
        let name = input["DataStreamName"].as_str().unwrap().to_owned();
        errors.insert(name, field(&letter, "_sh_error").to_owned());
    }
    let wanted = [
        ("call", "in the call"),
        ("drop", "in a drop"),
        ("text", "in the error's text"),
        ("value", "without a message"),
    ];
    assert_eq!(errors.len(), wanted.len(), "{errors:?}");
    for (name, text) in wanted {
        assert!(errors[name].contains(text), "{name}: {}", errors[name]);
    }
    let report = worker.end().await;
    assert_eq!((report.done, report.dead_lettered, report.panicked), (1, 4, 4));
}
