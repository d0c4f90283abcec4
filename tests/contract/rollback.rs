//! Redis comes back without its last writes, under the same epoch: after a failover, or from a snapshot.

use std::time::Duration;

use streamherd::Lease;
use streamherd_testkit::eventually;
use streamherd_tests::letters::input;
use streamherd_tests::{Redis, SOON, Truth, Worker, builder, field, patient, submit};

/// A worker that holds what it was given, and a server that has forgotten the last of it, though not its group.
struct Rollback {
    server: Redis,
    truth: Truth,
    worker: Worker,
}

impl Rollback {
    /// What `then` does is lost.
    async fn of(
        before: &[&str],
        then: impl AsyncFnOnce(&mut Worker, &Redis, Vec<Lease>) -> Vec<Lease>,
    ) -> (Self, Vec<Lease>) {
        let mut server = Redis::with(crate::TOPOLOGY, &[("--appendonly", "no"), ("--save", "")]);
        let mut worker = Worker::with(patient(&server)).await;
        submit(&server, before).await;
        let held = worker.added_many(before.len()).await;
        Truth::of(&server).cmd("SAVE").ok();
        let held = then(&mut worker, &server, held).await;
        server.restart();
        let truth = Truth::of(&server);
        (Self { server, truth, worker }, held)
    }

    /// Waits until hello was said to the server that came back.
    async fn heals(&mut self) {
        eventually(SOON, "the generation is another one", || {
            let epochs = self.truth.each("GET T:epoch");
            let healed = epochs.iter().all(|epoch| epoch.text().contains(".1."));
            async move { healed.then_some(()) }
        })
        .await;
    }

    async fn others_are_given_nothing(&mut self) -> Worker {
        let mut other = Worker::with(patient(&self.server)).await;
        other.listen_for(Duration::from_secs(8)).await;
        assert_eq!(other.unasked(), 0, "somebody else was given what is held");
        other
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn guarantee_7_a_restart_from_an_old_snapshot_takes_no_stream_from_its_owner() {
    let (mut rollback, held) = Rollback::of(&["kept"], async |worker, server, mut held| {
        submit(server, ["forgotten", "unread"]).await;
        held.extend(worker.added_many(2).await);
        held
    })
    .await;
    rollback.heals().await;
    rollback.others_are_given_nothing().await;
    assert_eq!((rollback.worker.losses, rollback.worker.unasked_disowned()), (0, 0));
    for lease in held {
        assert!(lease.is_valid(), "{lease:?}");
        lease.done().await.unwrap();
    }
    rollback.truth.becomes_clean().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn guarantee_2_what_the_server_takes_for_new_stays_with_its_owner() {
    // The delivery alone is lost: the entry is there, and nobody was given it.
    let (mut rollback, held) = Rollback::of(&[], async |worker, server, _| {
        worker.client.pause().await.unwrap();
        submit(server, ["a"]).await;
        Truth::of(server).cmd("SAVE").ok();
        worker.client.resume().await.unwrap();
        vec![worker.added().await]
    })
    .await;
    rollback.heals().await;
    // It came back paused.
    let client = rollback.worker.client.clone();
    eventually(SOON, "the pause is taken back", || async { client.resume().await.ok() }).await;
    rollback.others_are_given_nothing().await;
    for lease in held {
        lease.done().await.unwrap();
    }
    rollback.truth.becomes_clean().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_is_handed_out_in_the_quiet_time_after_a_rollback() {
    let (mut rollback, held) = Rollback::of(&["kept"], async |_, _, held| held).await;
    submit(&rollback.server, ["new"]).await;
    let new = rollback.worker.added().await;
    let quiet_until: u64 = Truth::at(&rollback.server, "new")
        .cmd("HGET T:control quiet_until")
        .text()
        .parse()
        .unwrap();
    assert!(
        new.token().get() / 1_000 >= quiet_until,
        "{} was handed out before {quiet_until}",
        new.token()
    );
    for lease in held.into_iter().chain([new]) {
        lease.done().await.unwrap();
    }
    rollback.truth.becomes_clean().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_done_that_was_forgotten_is_done_again_when_its_answer_was_heard() {
    let (mut rollback, _) = Rollback::of(&["finished"], async |_, _, held| {
        for lease in held {
            lease.done().await.unwrap();
        }
        Vec::new()
    })
    .await;
    // Redis gives it back as pending, and nobody knows that it was finished: delivery is at least once.
    let again = rollback.worker.added().await;
    assert_eq!(again.stream(), "finished");
    again.done().await.unwrap();
    rollback.truth.becomes_clean().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn guarantee_2_a_run_whose_end_was_forgotten_waits_for_the_one_that_came_after_it() {
    let (mut rollback, held) = Rollback::of(&["a"], async |worker, server, held| {
        // Wanted once more while it is held, and handed out once more; that and the end of the first are lost.
        submit_info(server, "a", "later").await;
        Truth::of(server).cmd("SAVE").ok();
        for lease in held {
            lease.done().await.unwrap();
        }
        vec![worker.added().await]
    })
    .await;
    rollback.heals().await;
    rollback.others_are_given_nothing().await;
    for lease in held {
        assert!(lease.is_valid(), "{lease:?}");
        lease.done().await.unwrap();
    }
    let forgotten = rollback.worker.added().await;
    assert_eq!(forgotten.stream(), "a");
    forgotten.done().await.unwrap();
    rollback.truth.becomes_clean().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn guarantee_7_a_run_stays_with_who_was_handed_its_next_try_where_that_was_forgotten() {
    let (mut rollback, held) = Rollback::of(&["a"], async |worker, _, held| {
        for lease in held {
            lease.retry(streamherd::RetryAfter::now()).await.unwrap();
        }
        vec![worker.added().await]
    })
    .await;
    rollback.heals().await;
    rollback.others_are_given_nothing().await;
    assert_eq!(rollback.worker.unasked_disowned(), 0);
    for lease in held {
        assert!(lease.is_valid(), "{lease:?}");
        lease.done().await.unwrap();
    }
    rollback.truth.becomes_clean().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_entry_written_anew_keeps_its_fields_its_counters_and_its_name() {
    let (mut rollback, mut held) = Rollback::of(&[], async |worker, server, _| {
        let mut truth = Truth::at(server, "a");
        submit(server, ["a"]).await;
        worker.added().await.retry(streamherd::RetryAfter::now()).await.unwrap();
        let again = worker.added().await;
        // Wanted once more while it is held.
        submit_info(server, "a", "later").await;
        truth
            .call(&[
                "XADD",
                "T:input",
                "*",
                "lbs-input",
                &input(&server.beside("a", ["raw"])[0]),
                "x-trace",
                "7",
            ])
            .ok();
        vec![again, worker.added().await]
    })
    .await;
    rollback.heals().await;
    let raw = held.pop().unwrap();
    let lease = held.pop().unwrap();
    let (origin, token) = (lease.original_id(), lease.token());
    eventually(SOON, "both are written anew", || {
        let written = rollback.truth.pending_count();
        async move { (written == 2).then_some(()) }
    })
    .await;
    assert_eq!(
        (lease.original_id(), lease.token(), lease.attempt()),
        (origin, token, 1)
    );
    let front = rollback.truth.entries("front");
    assert_eq!(field(&front[0].1, "_sh_failures"), "1");
    assert_eq!(field(&front[0].1, "_sh_origin"), origin.to_string());
    let input = rollback.truth.entries("input");
    assert_eq!(field(&input[0].1, "x-trace"), "7");
    // A submit finds it held by its name.
    submit(&rollback.server, ["a"]).await;
    assert_eq!(rollback.truth.length(), 2, "the name was not written anew");
    raw.done().await.unwrap();
    lease.done().await.unwrap();
    let last = rollback.worker.added().await;
    assert_eq!(last.stream(), "a");
    last.done().await.unwrap();
    rollback.truth.becomes_clean().await;
}

async fn submit_info(server: &Redis, name: &str, info: &str) {
    let producer = builder(server).connect_producer().await.unwrap();
    producer.submit(name, info).await.unwrap();
    producer.close().await;
}
