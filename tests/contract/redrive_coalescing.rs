//! A dead letter of a data stream that is alive meanwhile: the stream exists once, and no wish for it is lost.

use std::time::Duration;

use streamherd::{Admin, DeadLetterFilter, LetterOutcome, Producer, RetryAfter};
use streamherd_tests::letters::{admin, outcomes};
use streamherd_tests::{Redis, Truth, Worker, builder, field};

/// A stream that has died with some info, and all that deals with it.
struct Scene {
    /// Ends when this does.
    server: Redis,
    truth: Truth,
    admin: Admin,
    producer: Producer,
    worker: Worker,
}

impl Scene {
    /// The stream `a` is dead, and was wanted with the info 1.
    async fn dead() -> Self {
        let server = Redis::start(crate::TOPOLOGY);
        let producer = builder(&server).connect_producer().await.unwrap();
        let mut worker = Worker::start(&server).await;
        producer.submit("a", &1).await.unwrap();
        worker.added().await.dead_letter("no").await.unwrap();
        let (truth, admin) = (Truth::of(&server), admin(&server).await);
        let mut scene = Self {
            server,
            truth,
            admin,
            producer,
            worker,
        };
        assert!(scene.truth.is_clean());
        assert_eq!(scene.letters(), 1);
        scene
    }

    /// The same, with nobody who works.
    async fn dead_and_queued(info: u32) -> Self {
        let scene = Self::dead().await;
        scene.worker.client.shutdown(Duration::ZERO).await;
        scene.producer.submit("a", &info).await.unwrap();
        scene
    }

    async fn works_again(&mut self) {
        self.worker = Worker::start(&self.server.address()).await;
    }

    fn letters(&mut self) -> i64 {
        self.truth.cmd("XLEN T:dlq").int()
    }

    /// Redrives what there is, and says what became of it; a dry run before says the same and changes nothing.
    async fn redrive(&mut self) -> String {
        let state = |truth: &mut Truth| {
            let keys = [
                "XRANGE T:dlq - +",
                "XRANGE T:front - +",
                "XRANGE T:input - +",
                "HGETALL T:live",
            ];
            keys.map(|command| truth.cmd(command))
        };
        let before = state(&mut self.truth);
        let would = outcomes(self.admin.redrive(DeadLetterFilter::default()).dry_run()).await;
        assert_eq!(state(&mut self.truth), before);
        let is = outcomes(self.admin.redrive(DeadLetterFilter::default())).await;
        let words = |all: &[streamherd::HandledLetter]| -> Vec<String> {
            let word = |one: &streamherd::HandledLetter| match one.outcome {
                LetterOutcome::Coalesced(reference) => format!("coalesced {reference}"),
                _ => one.outcome.as_str().to_owned(),
            };
            all.iter().map(word).collect()
        };
        let is = words(&is);
        // What was delayed is queued by it.
        if !is[0].starts_with("coalesced front:") {
            assert_eq!(words(&would), is);
        }
        is[0].split(' ').next().unwrap().to_owned()
    }

    /// The infos that the stream is worked on with from now on, one after the other.
    async fn runs(&mut self, count: usize) -> Vec<u32> {
        let mut infos = Vec::new();
        for _ in 0..count {
            let lease = self.worker.added().await;
            assert_eq!((lease.stream(), lease.attempt()), ("a", 0));
            infos.push(lease.info().unwrap());
            lease.done().await.unwrap();
        }
        assert!(self.truth.is_clean());
        infos
    }
}

#[tokio::test]
async fn a_stream_that_is_not_alive_is_queued_and_coalesced_with_from_then_on() {
    let mut scene = Scene::dead().await;
    scene.worker.client.shutdown(Duration::ZERO).await;
    assert_eq!(scene.redrive().await, "redriven");
    assert_eq!(scene.letters(), 0);
    let again = scene.producer.submit("a", &1).await.unwrap();
    assert!(matches!(again, streamherd::Submitted::Coalesced(_)));
    scene.works_again().await;
    assert_eq!(scene.runs(1).await, [1]);
}

#[tokio::test]
async fn a_stream_that_is_queued_with_the_same_info_runs_once() {
    let mut scene = Scene::dead_and_queued(1).await;
    assert_eq!(scene.redrive().await, "coalesced");
    assert_eq!((scene.letters(), scene.truth.length()), (0, 1));
    scene.works_again().await;
    assert_eq!(scene.runs(1).await, [1]);
}

#[tokio::test]
async fn a_stream_that_is_queued_with_other_info_runs_with_both() {
    let mut scene = Scene::dead_and_queued(2).await;
    assert_eq!(scene.redrive().await, "coalesced");
    assert_eq!((scene.letters(), scene.truth.length()), (0, 1));
    scene.works_again().await;
    assert_eq!(scene.runs(2).await, [2, 1]);
}

#[tokio::test]
async fn a_stream_that_is_held_runs_again_with_the_letter_s_info_and_provenance() {
    for info in [1, 2] {
        let mut scene = Scene::dead().await;
        let letter = scene.truth.dead_letters().remove(0);
        scene.producer.submit("a", &info).await.unwrap();
        let held = scene.worker.added().await;
        assert_eq!(scene.redrive().await, "coalesced");
        assert_eq!((scene.letters(), scene.truth.length()), (0, 1), "one at a time");
        held.done().await.unwrap();
        let again = scene.worker.added().await;
        assert_eq!((again.info::<u32>().unwrap(), again.attempt()), (1, 0));
        assert_eq!(again.original_id().to_string(), field(&letter, "_sh_origin"));
        again.done().await.unwrap();
        assert!(scene.truth.is_clean());
    }
}

#[tokio::test]
async fn a_stream_that_waits_for_a_retry_is_due_now() {
    for (info, runs) in [(1, vec![1]), (2, vec![2, 1])] {
        let mut scene = Scene::dead().await;
        scene.producer.submit("a", &info).await.unwrap();
        let later = RetryAfter::after(Duration::from_secs(3_600));
        scene.worker.added().await.retry(later).await.unwrap();
        assert_eq!(scene.redrive().await, "coalesced");
        let mut seen = Vec::new();
        for _ in &runs {
            let lease = scene.worker.added().await;
            seen.push(lease.info::<u32>().unwrap());
            lease.done().await.unwrap();
        }
        assert_eq!((seen, scene.letters()), (runs, 0));
        assert!(scene.truth.is_clean());
    }
}

#[tokio::test]
async fn a_letter_gives_way_to_newer_info_and_stays_for_the_operator() {
    let mut scene = Scene::dead().await;
    scene.producer.submit("a", &2).await.unwrap();
    let held = scene.worker.added().await;
    scene.producer.submit("a", &3).await.unwrap();
    assert_eq!(scene.redrive().await, "superseded");
    assert_eq!(scene.letters(), 1);
    held.done().await.unwrap();
    assert_eq!(scene.runs(1).await, [3]);
    assert_eq!(scene.redrive().await, "redriven", "now there is nothing newer");
    assert_eq!(scene.runs(1).await, [1]);
}

#[tokio::test]
async fn newer_info_submitted_after_the_redrive_wins() {
    let mut scene = Scene::dead().await;
    scene.producer.submit("a", &2).await.unwrap();
    let held = scene.worker.added().await;
    assert_eq!(scene.redrive().await, "coalesced");
    scene.producer.submit("a", &3).await.unwrap();
    held.done().await.unwrap();
    assert_eq!(scene.runs(1).await, [3]);
}

#[tokio::test]
async fn several_letters_of_one_stream_run_one_at_a_time() {
    let mut scene = Scene::dead().await;
    for info in [2, 3] {
        scene.producer.submit("a", &info).await.unwrap();
        scene.worker.added().await.dead_letter("no").await.unwrap();
    }
    scene.worker.client.shutdown(Duration::ZERO).await;
    let handled = outcomes(scene.admin.redrive(DeadLetterFilter::default())).await;
    let words: Vec<_> = handled.iter().map(|one| one.outcome.as_str()).collect();
    assert_eq!(words, ["redriven", "coalesced", "superseded"]);
    scene.works_again().await;
    assert_eq!(scene.runs(2).await, [1, 2]);
    assert_eq!(scene.redrive().await, "redriven");
    assert_eq!(scene.runs(1).await, [3]);
}

#[tokio::test]
async fn letters_of_parallel_runs_are_each_a_run_of_their_own() {
    let mut scene = Scene::dead().await;
    let parallel = scene.producer.clone().duplicates(streamherd::Duplicates::Parallel);
    for info in [2, 2] {
        parallel.submit("a", &info).await.unwrap();
        scene.worker.added().await.dead_letter("no").await.unwrap();
    }
    parallel.submit("a", &2).await.unwrap();
    let held = scene.worker.added().await;
    let handled = outcomes(scene.admin.redrive(DeadLetterFilter::default())).await;
    assert!(
        handled.iter().all(|one| one.outcome.as_str() == "redriven"),
        "{handled:?}"
    );
    held.done().await.unwrap();
    let mut infos: Vec<u32> = Vec::new();
    for lease in scene.worker.added_many(3).await {
        infos.push(lease.info().unwrap());
        lease.done().await.unwrap();
    }
    infos.sort_unstable();
    assert_eq!(infos, [1, 2, 2]);
    assert!(scene.truth.is_clean());
}
