//! What keeping submits costs, and that it ends.

use std::io::Write;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use streamherd::Need;
use streamherd::error::ConnectError;
use streamherd_testkit::{Fault, Matcher, eventually};
use streamherd_tests::{Redis, SOON, Truth, Worker, builder, by_name, has_looked, patient};

use super::retain::retaining;

/// Waits until so many streams are queued, and says which.
async fn queued(server: &Redis, count: i64) -> Vec<String> {
    let mut truth = Truth::of(server);
    eventually(SOON, "what is kept is queued again", || {
        let queued = truth.length();
        async move { (queued >= count).then_some(()) }
    })
    .await;
    by_name(&truth.entries("input")).into_keys().collect()
}

#[tokio::test]
async fn no_more_are_kept_than_was_said_and_the_newest_of_them() {
    let server = Redis::start(crate::TOPOLOGY);
    let producer = builder(&server).connect_producer().await.unwrap();
    let producer = producer.retain(SOON, 2).await.unwrap();
    for name in ["a", "b", "c"] {
        producer.submit(name, &()).await.unwrap();
    }
    Truth::of(&server).each("FLUSHALL");
    assert_eq!(queued(&server, 2).await, ["b", "c"]);
}

#[tokio::test]
async fn what_is_old_is_kept_no_longer() {
    let server = Redis::start(crate::TOPOLOGY);
    let proxy = server.proxy().await;
    let producer = builder(&proxy).connect_producer().await.unwrap();
    let producer = producer.retain(Duration::from_secs(4), 100).await.unwrap();
    producer.submit("old", &()).await.unwrap();
    // Each takes 3.2 s at least.
    for _ in 0..2 {
        has_looked(&proxy, &server, "old").await;
    }
    producer.submit("new", &()).await.unwrap();
    Truth::of(&server).each("FLUSHALL");
    assert_eq!(queued(&server, 1).await, ["new"]);
}

#[tokio::test]
async fn what_was_young_when_redis_went_away_is_kept_until_it_is_back() {
    let mut server = Redis::start(crate::TOPOLOGY);
    let proxy = server.proxy().await;
    let producer = builder(&proxy).connect_producer().await.unwrap();
    let producer = producer.retain(Duration::from_secs(1), 100).await.unwrap();
    producer.submit("a", &()).await.unwrap();
    server.kill();
    // Not a wait for anything: an outage that is longer than that.
    tokio::time::sleep(Duration::from_secs(3)).await;
    server.restart_empty();
    assert_eq!(queued(&server, 1).await, ["a"]);
}

#[tokio::test]
async fn a_producer_that_was_dropped_or_closed_looks_no_longer() {
    let server = Redis::start(crate::TOPOLOGY);
    let mut truth = Truth::of(&server);
    for closes in [true, false] {
        let producer = retaining(&server).await;
        let clone = producer.clone();
        if closes {
            clone.close().await;
        } else {
            drop(clone);
            drop(producer);
        }
        eventually(SOON, "its connections have gone", || {
            let left = truth.clients().len();
            async move { (left == 0).then_some(()) }
        })
        .await;
    }
    let proxy = server.proxy().await;
    let worker = Worker::with(patient(&proxy)).await;
    let producer = worker.client.producer();
    let producer = producer.retain(SOON, 10).await.unwrap();
    let clone = producer.clone();
    drop(producer);
    has_looked(&proxy, &server, "a").await;
    drop(clone);
    let look = proxy.on(Matcher::script("kept"), 1, Fault::Delay(Duration::ZERO));
    // Not a wait for anything, but longer than the time between two looks.
    tokio::time::sleep(Duration::from_secs(4)).await;
    assert!(!look.fired(), "the client goes on, but nobody keeps anything");
    worker.client.shutdown(Duration::ZERO).await;
}

#[tokio::test]
async fn a_client_that_is_shut_down_looks_no_longer_whoever_still_has_a_producer() {
    let server = Redis::start(crate::TOPOLOGY);
    let mut truth = Truth::of(&server);
    let worker = Worker::with(patient(&server)).await;
    let producer = worker.client.producer().retain(SOON, 10).await.unwrap();
    worker.client.shutdown(Duration::ZERO).await;
    // Not a wait for anything, but longer than the time between two looks.
    tokio::time::sleep(Duration::from_secs(4)).await;
    assert_eq!(truth.clients(), Vec::<String>::new());
    drop(producer);
}

#[tokio::test]
async fn while_redis_is_away_little_is_tried_and_one_line_is_logged() {
    let log = Log::default();
    let lines = log.clone();
    let subscriber = tracing_subscriber::fmt()
        .with_ansi(false)
        .with_writer(move || lines.clone())
        .finish();
    let _guard = tracing::subscriber::set_default(subscriber);
    let server = Redis::start(crate::TOPOLOGY);
    let proxy = server.proxy().await;
    let producer = retaining(&proxy).await;
    let partitions = usize::from(streamherd_tests::Reachable::address(&server).partitions);
    let said = |what: &str| {
        let text = String::from_utf8(log.0.lock().unwrap().clone()).unwrap();
        text.lines().filter(|line| line.contains(what)).count()
    };
    // Another test may meet these lines for the first time while nobody is interested in them. So each is met here before it
    // counts: not a wait for anything, but longer than the time between two looks.
    proxy.refuse(true);
    tokio::time::sleep(Duration::from_secs(4)).await;
    proxy.refuse(false);
    for name in server.each_partition() {
        has_looked(&proxy, &server, &name).await;
    }
    tracing::callsite::rebuild_interest_cache();
    log.0.lock().unwrap().clear();
    proxy.refuse(true);
    let away = "be looked for at present";
    eventually(SOON, "it is told that nobody can look", || {
        let told = said(away) == partitions;
        async move { told.then_some(()) }
    })
    .await;
    // Not a wait for anything: an outage.
    tokio::time::sleep(Duration::from_secs(5)).await;
    proxy.refuse(false);
    eventually(SOON, "it is told that they are back", || {
        let told = said("can be looked for again") == partitions;
        async move { told.then_some(()) }
    })
    .await;
    assert_eq!(said(away), partitions, "once each");
    assert_eq!(said("may have lost"), 0, "a connection that broke is no loss");
    producer.close().await;
}

#[tokio::test]
async fn a_bound_that_can_not_be_is_refused_with_one_that_would_do() {
    let server = Redis::start(crate::TOPOLOGY);
    let producer = builder(&server).connect_producer().await.unwrap();
    let cases = [
        (Duration::from_millis(999), 1, "retain.duration", "1s"),
        (Duration::from_secs(3601), 1, "retain.duration", "3600s"),
        (SOON, 0, "retain.max", "1"),
        (SOON, 1_000_001, "retain.max", "1000000"),
    ];
    for (duration, max, setting, suggestion) in cases {
        let Err(ConnectError::Setting(error)) = producer.clone().retain(duration, max).await else {
            panic!("{duration:?} and {max} are taken");
        };
        assert_eq!((error.setting, error.suggestion.as_str()), (setting, suggestion));
    }
}

#[tokio::test]
async fn the_rights_of_a_producer_are_enough_to_keep_and_without_them_it_is_refused() {
    let server = Redis::start(crate::TOPOLOGY);
    let admin = builder(&server).connect_admin().await.unwrap();
    let rules = admin.acl_rules(streamherd::Role::Producer);
    admin.close().await;
    for lacks in ["GET", "SET"] {
        let right = streamherd::Role::Producer
            .rights()
            .find(|right| right.command == lacks)
            .unwrap();
        assert_eq!(right.need, Need::Useful, "who does not retain does without");
        let less: Vec<String> = rules.iter().filter(|rule| **rule != right.rule()).cloned().collect();
        let producer = builder(&server.user("producer", &less))
            .connect_producer()
            .await
            .unwrap();
        producer.submit("a", &()).await.unwrap();
        match producer.retain(SOON, 10).await {
            Err(ConnectError::Store(e)) => assert!(e.is_denied(), "{lacks}: {e}"),
            other => panic!("without {lacks}: {other:?}"),
        }
    }
    let mut truth = Truth::of(&server);
    truth.each("FLUSHALL");
    truth.each("ACL LOG RESET");
    let producer = retaining(&server.user("producer", &rules)).await;
    producer.submit("a", &1).await.unwrap();
    producer.submit("a", &2).await.unwrap();
    producer.schedule_after("b", &1, SOON * 100).await.unwrap();
    truth.each("FLUSHALL");
    assert_eq!(queued(&server, 1).await, ["a"]);
    eventually(SOON, "the delayed one waits again", || {
        let delayed = truth.cmd("ZCARD T:delayed").int();
        async move { (delayed == 1).then_some(()) }
    })
    .await;
    let refused = truth.cmd("ACL LOG 10").array();
    assert!(refused.is_empty(), "{refused:?}");
}

#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl Write for Log {
    fn write(&mut self, text: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().write(text)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}
