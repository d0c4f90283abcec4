//! What is submitted by a future that is dropped: nothing, or one stream.

use std::time::{Duration, SystemTime};

use streamherd::error::SubmitError;
use streamherd::{Duplicates, Durability, Producer};
use streamherd_testkit::Command;
use streamherd_tests::{Cut, Redis, Truth, Worker, builder, by_name, drop_at_each_poll, drop_everywhere};

const LATER: Duration = Duration::from_secs(600);

#[tokio::test]
async fn a_dropped_submit_queues_its_stream_once_or_not_at_all() {
    dropped_submits("Producer::submit", async |cut, producer, [name, ..]| {
        cut.drop(producer.submit(name, &7)).await.is_some()
    })
    .await;
}

#[tokio::test]
async fn a_dropped_submit_of_many_queues_each_stream_once_or_not_at_all() {
    dropped_submits("Producer::submit_many", async |cut, producer, names| {
        cut.drop(producer.submit_many(names.iter().map(|name| (name, 7))))
            .await
            .is_some()
    })
    .await;
}

#[tokio::test]
async fn a_dropped_schedule_delays_its_stream_once_or_not_at_all() {
    dropped_submits("Producer::schedule", async |cut, producer, [name, ..]| {
        let at = SystemTime::now() + LATER;
        cut.drop(producer.schedule(name, &7, at)).await.is_some()
    })
    .await;
    dropped_submits("Producer::schedule_after", async |cut, producer, [name, ..]| {
        cut.drop(producer.schedule_after(name, &7, LATER)).await.is_some()
    })
    .await;
}

#[tokio::test]
async fn a_dropped_schedule_of_many_delays_each_stream_once_or_not_at_all() {
    dropped_submits("Producer::schedule_many_after", async |cut, producer, names| {
        let items = names.iter().map(|name| (name, 7));
        cut.drop(producer.schedule_many_after(items, LATER)).await.is_some()
    })
    .await;
}

/// Submits three streams, or one of them, by a future that is dropped; then all three by one that is not. In the end all
/// have been worked on once.
async fn dropped_submits(operation: &str, submit: impl AsyncFn(&Cut<'_>, &Producer, &[String; 3]) -> bool) {
    let server = Redis::start(crate::TOPOLOGY);
    let mut truth = Truth::of(&server);
    let proxy = server.proxy().await;
    let plain = builder(&proxy).connect_producer().await.unwrap();
    // Nobody confirms it, so it waits for that long; and what it keeps is no more than what was accepted.
    let unconfirmed = Durability::Replicas {
        count: 1,
        within: Duration::from_millis(5),
    };
    let kept = plain.clone().retain(LATER, 1_000).await.unwrap();
    let producers = [plain.clone(), kept.durability(unconfirmed)];
    // Connections are opened as they are needed.
    let mut wanted = server.each_partition();
    for producer in &producers {
        producer.submit_many(wanted.iter().map(|name| (name, 7))).await;
    }
    let standing = super::Standing::of(&mut truth);
    let of = |command: &Command| command.script() == Some("submit") || command.is("WAIT");
    for (round, producer) in producers.iter().enumerate() {
        drop_everywhere(operation, &proxy, of, async |cut| {
            let names = [0, 1, 2].map(|nth| cut.name(&format!("s{round}{nth}")));
            let ready = submit(cut, producer, &names).await;
            let queued = |truth: &mut Truth| {
                let queued = by_name(&truth.entries("input"));
                let delayed = truth.cmd("HVALS T:delayed:body").array();
                let delayed = |name: &&String| delayed.iter().any(|body| holds(&body.bytes(), name));
                names
                    .iter()
                    .filter(|name| queued.contains_key(*name) || delayed(name))
                    .count()
            };
            if cut.is_before_all() {
                assert_eq!(queued(&mut truth), 0, "nothing was sent");
            }
            if cut.is_carried_out() || ready {
                assert_ne!(queued(&mut truth), 0, "it is carried out");
            }
            // By the same connection, so behind what was dropped.
            for result in producer.submit_many(names.iter().map(|name| (name, 7))).await {
                assert!(
                    matches!(result, Ok(_) | Err(SubmitError::NotDurable { .. })),
                    "{result:?}"
                );
            }
            wanted.extend(names);
        })
        .await;
    }
    standing.returns(&mut truth).await;
    let queued = by_name(&truth.entries("input"));
    assert_eq!(queued.len(), wanted.len());
    assert!(queued.values().all(|times| *times == 1), "{queued:?}");
    assert_eq!(truth.cmd("ZCARD T:delayed").int(), 0, "what was delayed is due");
    for producer in producers {
        producer.close().await;
    }
    super::nothing_is_left(&mut truth).await;

    let mut worker = Worker::start(&server).await;
    for _ in wanted {
        let lease = worker.added().await;
        assert_eq!((lease.attempt(), lease.info::<u8>().unwrap()), (0, 7));
        lease.done().await.unwrap();
    }
    truth.becomes_clean().await;
}

fn holds(body: &[u8], name: &str) -> bool {
    let name = format!("\"{name}\"");
    body.windows(name.len()).any(|part| part == name.as_bytes())
}

#[tokio::test]
async fn a_dropped_parallel_submit_is_one_run_at_most() {
    let server = Redis::start(crate::TOPOLOGY);
    let mut truth = Truth::of(&server);
    let proxy = server.proxy().await;
    let producer = builder(&proxy).connect_producer().await.unwrap();
    let producer = producer.duplicates(Duplicates::Parallel);
    let of = |command: &Command| command.is("XADD");
    drop_everywhere("Producer::submit", &proxy, of, async |cut| {
        let name = cut.name("s");
        let dropped = cut.drop(producer.submit(&name, &7)).await.is_none();
        // Behind the other on its connection.
        producer.submit(&name, &7).await.unwrap();
        let runs = by_name(&truth.entries("input"))[&name];
        let least = if dropped && !cut.is_carried_out() { 1 } else { 2 };
        let most = if cut.is_before_all() { 1 } else { 2 };
        assert!((least..=most).contains(&runs), "{runs} runs");
    })
    .await;
    producer.close().await;
    super::nothing_is_left(&mut truth).await;
}

#[tokio::test]
async fn a_dropped_retain_keeps_nothing_and_starts_nothing() {
    let server = Redis::start(crate::TOPOLOGY);
    let mut truth = Truth::of(&server);
    let proxy = server.proxy().await;
    let producer = builder(&proxy).connect_producer().await.unwrap();
    let standing = super::Standing::of(&mut truth);
    drop_everywhere(
        "Producer::retain",
        &proxy,
        |_: &Command| true,
        async |cut| {
            let kept = cut.drop(producer.clone().retain(LATER, 10)).await;
            drop(kept.map(Result::unwrap));
            standing.returns(&mut truth).await;
            producer.submit(&cut.name("s"), &()).await.unwrap();
        },
    )
    .await;
    producer.close().await;
    super::nothing_is_left(&mut truth).await;
}

#[tokio::test]
async fn a_dropped_close_of_a_producer_leaves_nothing() {
    let server = Redis::start(crate::TOPOLOGY);
    let mut truth = Truth::of(&server);
    drop_at_each_poll("Producer::close", &mut async |cut: &Cut<'_>| {
        let producer = builder(&server).connect_producer().await.unwrap();
        let producer = producer.retain(LATER, 10).await.unwrap();
        producer.submit(&cut.name("s"), &()).await.unwrap();
        cut.drop(producer.close()).await;
        super::nothing_is_left(&mut truth).await;
    })
    .await;
}
