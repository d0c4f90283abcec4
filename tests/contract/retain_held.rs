//! What a producer keeps and a worker holds, has finished or has written back is not queued once more.

use std::time::Duration;

use streamherd::{Duplicates, Lease};
use streamherd_testkit::{Matcher, eventually};
use streamherd_tests::{Proxied, Redis, SOON, TTL, Truth, Worker, builder, by_name, has_looked, patient};

use super::retain::retaining;

/// Waits until a producer behind the proxy has submitted again what was lost in the partition of a stream.
async fn has_resubmitted(proxy: &Proxied, server: &Redis, stream: &str, loss: impl FnOnce()) {
    let call = server.at_home(stream, Matcher::script("resubmit"));
    let call = proxy.on(call, 1, streamherd_testkit::Fault::Delay(Duration::from_millis(1)));
    loss();
    call.wait_fired(SOON).await;
    has_looked(proxy, server, stream).await;
}

fn flush(server: &Redis) {
    Truth::of(server).each("FLUSHALL");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_worker_holds_is_written_back_by_it_alone() {
    for duplicates in [Duplicates::Coalesce, Duplicates::Parallel] {
        let server = Redis::start(crate::TOPOLOGY);
        let mut truth = Truth::at(&server, "held");
        let proxy = server.proxy().await;
        let names = server.neighbours(["held", "queued"]);
        let mut worker = Worker::with(patient(&server).max_in_flight(1)).await;
        let producer = retaining(&proxy).await.duplicates(duplicates);
        producer.submit(&names[0], &()).await.unwrap();
        let held = worker.added().await;
        producer.submit(&names[1], &()).await.unwrap();
        has_resubmitted(&proxy, &server, "held", || flush(&server)).await;
        let there = by_name(&truth.entries("input"));
        assert_eq!(there.into_values().collect::<Vec<_>>(), [1, 1], "{duplicates:?}");
        assert!(held.is_valid());
        held.done().await.unwrap();
        let queued = worker.added().await;
        assert_eq!(queued.stream(), names[1]);
        queued.done().await.unwrap();
        Truth::of(&server).becomes_clean().await;
        producer.close().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_worker_had_to_give_up_is_queued_by_it_or_by_its_producer_once() {
    for duplicates in [Duplicates::Coalesce, Duplicates::Parallel] {
        let mut server = Redis::start(crate::TOPOLOGY);
        let names = server.neighbours(["given-up", "queued"]);
        let mut worker = Worker::with(builder(&server).max_in_flight(1)).await;
        let producer = retaining(&server).await.duplicates(duplicates);
        producer.submit(&names[0], &()).await.unwrap();
        let lease = worker.added().await;
        let origin = lease.original_id();
        producer.submit(&names[1], &()).await.unwrap();
        server.kill();
        worker.disowned().await;
        drop(lease);
        server.restart_empty();
        let mut seen = Vec::new();
        for _ in 0..2 {
            let lease = worker.added().await;
            seen.push((lease.stream().to_owned(), lease.original_id()));
            lease.done().await.unwrap();
        }
        // The producer waits for one more lock_ttl than the workers, and looks every two seconds.
        worker.listen_for(TTL * 2 + Duration::from_secs(3)).await;
        assert_eq!(worker.unasked(), 0, "{duplicates:?}: {seen:?} and then once more");
        seen.sort();
        assert_eq!(seen[0], (names[0].clone(), origin), "{duplicates:?}");
        assert_eq!(seen[1].0, names[1]);
        Truth::of(&server).becomes_clean().await;
        producer.close().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_worker_that_writes_back_after_the_producer_takes_its_place() {
    for duplicates in [Duplicates::Coalesce, Duplicates::Parallel] {
        let server = Redis::start(crate::TOPOLOGY);
        let mut truth = Truth::of(&server);
        let proxy = server.proxy().await;
        let mut worker = Worker::with(patient(&proxy).max_in_flight(1)).await;
        let producer = retaining(&server).await.duplicates(duplicates);
        producer.submit("a", &()).await.unwrap();
        let lease = worker.added().await;
        let origin = lease.original_id();
        // It does not hear of the loss before its producer has waited long enough.
        proxy.refuse(true);
        flush(&server);
        eventually(SOON, "the producer has queued it", || {
            let queued = truth.length();
            async move { (queued == 1).then_some(()) }
        })
        .await;
        worker.disowned().await;
        drop(lease);
        proxy.refuse(false);
        let again = worker.added().await;
        assert_eq!(again.original_id(), origin);
        worker.listen_for(Duration::from_secs(8)).await;
        assert_eq!((truth.length(), worker.unasked()), (1, 0), "{duplicates:?}");
        again.done().await.unwrap();
        truth.becomes_clean().await;
        producer.close().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_seen_finished_is_not_run_again() {
    for duplicates in [Duplicates::Coalesce, Duplicates::Parallel] {
        let server = Redis::start(crate::TOPOLOGY);
        let mut truth = Truth::at(&server, "done");
        let proxy = server.proxy().await;
        let names = server.neighbours(["done", "queued"]);
        let mut worker = Worker::with(patient(&server).max_in_flight(1)).await;
        let producer = retaining(&proxy).await.duplicates(duplicates);
        for name in &names {
            producer.submit(name, &()).await.unwrap();
        }
        worker.added().await.done().await.unwrap();
        let held = worker.added().await;
        producer.submit(&server.beside("done", ["last"])[0], &()).await.unwrap();
        has_looked(&proxy, &server, "done").await;
        has_resubmitted(&proxy, &server, "done", || flush(&server)).await;
        let there = by_name(&truth.entries("input"));
        assert!(
            there.len() == 2 && !there.contains_key("done"),
            "{duplicates:?}: {there:?}"
        );
        held.done().await.unwrap();
        worker.added().await.done().await.unwrap();
        Truth::of(&server).becomes_clean().await;
        producer.close().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_group_that_is_made_anew_has_nothing_submitted_again() {
    for loss in ["XGROUP DESTROY T:input workers", "DEL T:epoch"] {
        for duplicates in [Duplicates::Coalesce, Duplicates::Parallel] {
            let server = Redis::start(crate::TOPOLOGY);
            let mut truth = Truth::at(&server, "held");
            let proxy = server.proxy().await;
            let names = server.neighbours(["held", "queued", "more"]);
            let mut worker = Worker::with(patient(&server).max_in_flight(1)).await;
            let producer = retaining(&proxy).await.duplicates(duplicates);
            for name in &names {
                producer.submit(name, &()).await.unwrap();
            }
            let held = worker.added().await;
            // The same info once more, which the run that waits serves.
            if duplicates == Duplicates::Coalesce {
                producer.submit(&names[1], &()).await.unwrap();
            }
            truth.cmd(loss).ok();
            worker.data_loss().await;
            // Longer than its lock_ttl.
            for _ in 0..3 {
                has_looked(&proxy, &server, "held").await;
            }
            let there = by_name(&truth.entries("input"));
            assert_eq!(
                (there.len(), truth.length()),
                (3, 3),
                "{loss}, {duplicates:?}: {there:?}"
            );
            held.done().await.unwrap();
            for _ in 0..2 {
                worker.added().await.done().await.unwrap();
            }
            Truth::of(&server).becomes_clean().await;
            producer.close().await;
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_wish_that_was_lost_while_its_stream_is_held_is_back() {
    for info in [1, 2] {
        let server = Redis::start(crate::TOPOLOGY);
        let proxy = server.proxy().await;
        let mut worker = Worker::with(patient(&server)).await;
        let producer = retaining(&proxy).await;
        producer.submit("a", &1).await.unwrap();
        let first: Lease = worker.added().await;
        producer.submit("a", &info).await.unwrap();
        has_resubmitted(&proxy, &server, "a", || flush(&server)).await;
        assert!(first.is_valid());
        first.done().await.unwrap();
        let second = worker.added().await;
        assert_eq!((second.stream(), second.info::<u32>().unwrap()), ("a", info));
        second.done().await.unwrap();
        Truth::of(&server).becomes_clean().await;
        worker.listen_for(Duration::from_secs(3)).await;
        assert_eq!(worker.unasked(), 0);
        producer.close().await;
    }
}
