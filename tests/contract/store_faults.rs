//! Redis forgets, restarts, fills up or stands still: the service goes on by itself.

use std::time::{Duration, Instant};

use streamherd::error::SettleError;
use streamherd::{KeyspaceEvents, RetryAfter};
use streamherd_testkit::{Fault, Matcher, eventually};
use streamherd_tests::{Redis, SOON, Truth, Worker, patient, submit};

#[tokio::test]
async fn a_server_that_forgets_the_scripts_is_taught_them_again() {
    let server = Redis::start(crate::TOPOLOGY);
    let mut truth = Truth::of(&server);
    truth.make_groups();
    let proxy = server.proxy().await;
    let mut worker = Worker::with(patient(&proxy)).await;
    submit(&server, ["held"]).await;
    let held = worker.added().await;

    truth.cmd("SCRIPT FLUSH").ok();
    submit(&server, ["later"]).await;
    let later = worker.added().await;
    assert_eq!((later.stream(), later.attempt()), ("later", 0));
    for script in ["renew", "list", "acquire", "hello"] {
        eventually(SOON, "the script is sent in full", || {
            let sent = proxy.seen().iter().any(|name| *name == format!("EVAL:{script}"));
            async move { sent.then_some(()) }
        })
        .await;
    }
    assert!(held.is_valid() && later.is_valid());
    truth.cmd("SCRIPT FLUSH").ok();
    held.done().await.unwrap();
    later.done().await.unwrap();
    assert!(proxy.seen().iter().any(|name| name == "EVAL:settle"));
    assert_eq!((worker.losses, worker.unasked(), worker.unasked_disowned()), (0, 0, 0));
    assert!(truth.is_clean());
}

#[tokio::test]
async fn a_lease_goes_on_over_a_restart_that_keeps_the_data() {
    let mut server = Redis::start(crate::TOPOLOGY);
    let mut worker = Worker::with(patient(&server)).await;
    submit(&server, ["a"]).await;
    let lease = worker.added().await;
    server.restart();
    let mut truth = Truth::of(&server);
    assert_eq!(truth.pending_count(), 1, "the data is kept");
    // The deadline, not the time that remains: a lease renewed an instant ago has more of that than any later look may
    // find.
    let deadline = || Instant::now() + lease.remaining();
    let before = deadline();
    eventually(SOON, "the lease is renewed at the new server", || {
        let renewed = deadline() > before + Duration::from_millis(100);
        async move { renewed.then_some(()) }
    })
    .await;
    worker.listen_for(Duration::from_millis(1_500)).await;
    assert!(lease.is_valid());
    assert_eq!((worker.losses, worker.unasked(), worker.unasked_disowned()), (0, 0, 0));
    lease.done().await.unwrap();
    submit(&server, ["b"]).await;
    let next = worker.added().await;
    assert_eq!((next.stream(), next.attempt()), ("b", 0));
    next.done().await.unwrap();
    assert!(truth.is_clean());
}

#[tokio::test]
async fn done_needs_no_memory_and_a_retry_waits_for_it() {
    let server = Redis::start(crate::TOPOLOGY);
    let mut truth = Truth::of(&server);
    let mut worker = Worker::with(patient(&server)).await;
    submit(&server, ["finished", "failed"]).await;
    let mut leases = worker.added_many(2).await;
    leases.sort_by_key(|lease| lease.stream().to_owned());
    let finished = leases.pop().unwrap();
    let failed = leases.pop().unwrap();

    truth.cmd("CONFIG SET maxmemory 1").ok();
    assert!(truth.cmd("SET x y").is_error(), "the memory is full");
    finished.done().await.unwrap();
    let mut retrying = Box::pin(failed.retry(RetryAfter::now()));
    let waits = tokio::time::timeout(Duration::from_secs(1), &mut retrying).await;
    assert!(waits.is_err(), "it is neither refused nor lost: {waits:?}");
    assert_eq!((truth.pending_count(), truth.length(), truth.locks().len()), (1, 1, 1));
    truth.cmd("CONFIG SET maxmemory 0").ok();
    tokio::time::timeout(SOON, retrying).await.unwrap().unwrap();
    let again = worker.added().await;
    assert_eq!((again.stream(), again.attempt(), again.failures()), ("failed", 1, 1));
    worker.listen_for(Duration::from_millis(1_200)).await;
    assert_eq!((worker.unasked(), worker.unasked_disowned()), (0, 0));
    again.done().await.unwrap();
    assert!(truth.is_clean());
}

#[tokio::test]
async fn a_done_whose_answer_is_lost_while_memory_is_full_is_not_called_disowned() {
    let server = Redis::start(crate::TOPOLOGY);
    let mut truth = Truth::of(&server);
    let proxy = server.proxy().await;
    let mut worker = Worker::with(patient(&proxy)).await;
    submit(&server, ["a"]).await;
    let lease = worker.added().await;
    truth.cmd("CONFIG SET maxmemory 1").ok();
    let loss = proxy.on(Matcher::script("settle"), 1, Fault::SwallowReply);
    let done = lease.done().await;
    assert!(loss.fired());
    assert!(truth.is_clean(), "it was done");
    assert!(!matches!(done, Err(SettleError::Disowned(_))), "it counted: {done:?}");
}

#[tokio::test]
async fn a_reader_reads_again_by_itself_after_a_server_that_stood_still() {
    let mut server = Redis::start(crate::TOPOLOGY);
    let mut truth = Truth::of(&server);
    let proxy = server.proxy().await;
    for (events, name) in [(KeyspaceEvents::Ensure, "a"), (KeyspaceEvents::Off, "b")] {
        let settings = patient(&proxy).command_timeout(Duration::from_secs(1));
        let mut worker = Worker::with(settings.keyspace_events(events)).await;
        let reads = || proxy.seen().iter().filter(|name| *name == "XREADGROUP").count();
        let before = reads();
        eventually(SOON, "a read is under way", || {
            let reading = reads() > before || worker.client.health().since_read.is_some();
            async move { reading.then_some(()) }
        })
        .await;
        server.freeze();
        // The fault itself: longer than a read and its timeout.
        worker.listen_for(Duration::from_secs(4)).await;
        server.thaw();
        submit(&server, [name]).await;
        let lease = worker.added().await;
        assert_eq!((lease.stream(), lease.attempt()), (name, 0), "read, not recovered");
        worker.listen_for(Duration::from_millis(1_200)).await;
        assert_eq!((worker.unasked(), worker.unasked_disowned(), worker.losses), (0, 0, 0));
        eventually(SOON, "all of the queue is read again", || {
            let since = worker.client.health().since_read;
            async move { since.filter(|since| *since < Duration::from_secs(3)) }
        })
        .await;
        lease.done().await.unwrap();
        worker.client.shutdown(Duration::ZERO).await;
    }
    assert!(truth.is_clean());
}
