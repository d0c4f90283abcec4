//! One call of a client whose answer is lost, or that arrives twice: what its caller is told, and what comes of it.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use serde_json::Value;
use streamherd::error::{ClaimError, SubmitError};
use streamherd::{Claimed, RetryAfter};
use streamherd_testkit::{Fault, Matcher, Reply, eventually};
use streamherd_tests::{Lost, Redis, SOON, Truth, Worker, builder, field, names, recovery, submit};

#[tokio::test]
async fn a_submit_without_an_answer_says_so_and_is_queued_at_most_once() {
    for lost in Lost::BOTH {
        let server = Redis::start(crate::TOPOLOGY);
        let mut truth = Truth::of(&server);
        let proxy = server.proxy().await;
        let producer = builder(&proxy).connect_producer().await.unwrap();
        let loss = proxy.on(Matcher::script("submit"), 1, lost.fault());
        let submitted = producer.submit("a", &7).await;
        assert!(
            matches!(submitted, Err(SubmitError::MaybeSubmitted(_))),
            "{submitted:?}"
        );
        assert!(loss.fired());
        let there = usize::from(lost == Lost::Reply);
        assert_eq!(truth.entries("input").len(), there);
        submit_until_connected(&producer, "b").await;
        assert_eq!(truth.entries("input").len(), there + 1);
        producer.close().await;
    }
}

#[tokio::test]
async fn each_of_many_submits_tells_the_truth_about_itself() {
    for lost in Lost::BOTH {
        let server = Redis::start(crate::TOPOLOGY);
        let mut truth = Truth::of(&server);
        let proxy = server.proxy().await;
        let producer = builder(&proxy).connect_producer().await.unwrap();
        let loss = proxy.on(Matcher::script("submit"), 2, lost.fault());
        let wanted = names("s", 300);
        let results = producer.submit_many(wanted.iter().map(|name| (name, ()))).await;
        assert!(loss.fired());
        let queued: Vec<String> = truth
            .entries("input")
            .iter()
            .map(|(_, fields)| name_of(fields))
            .collect();
        let mut unknown = 0;
        for (name, result) in wanted.iter().zip(&results) {
            let there = queued.iter().filter(|queued| *queued == name).count();
            match result {
                Ok(_) => assert_eq!(there, 1, "{name} was accepted"),
                Err(SubmitError::NotSubmitted(_)) => assert_eq!(there, 0, "{name} was not sent"),
                Err(SubmitError::MaybeSubmitted(_)) => {
                    assert!(there <= 1, "{name} was sent once");
                    unknown += 1;
                }
                Err(e) => panic!("{name}: {e:?}"),
            }
        }
        assert!(unknown >= 1, "somebody's answer was lost");
        producer.close().await;
    }
}

#[tokio::test]
async fn a_claim_without_an_answer_is_carried_out_at_most_once() {
    for lost in Lost::BOTH {
        let server = Redis::start(crate::TOPOLOGY);
        let mut truth = Truth::at(&server, "a");
        truth.make_groups();
        submit(&server, ["a"]).await;
        let id = truth.abandon();
        truth.cmd(&format!("SET T:lock:{id} ghost:1 PX 60000")).ok();
        let proxy = server.proxy().await;
        let mut recovery = recovery();
        recovery.scan_interval = Duration::ZERO;
        let mut worker = Worker::with(builder(&proxy).recovery(recovery)).await;
        truth.expire(&id);
        let orphan = worker.expired().await;
        assert_eq!(orphan.id().to_string(), id);

        let loss = proxy.on(Matcher::script("requeue"), 1, lost.fault());
        let claimed = worker.client.claim(&orphan).await;
        assert!(matches!(claimed, Err(ClaimError::Store(_))), "{claimed:?}");
        assert!(loss.fired());
        let again = eventually(SOON, "the connection is back", || async {
            match worker.client.claim(&orphan).await {
                Err(ClaimError::Store(_)) => None,
                answered => Some(answered),
            }
        })
        .await;
        match lost {
            Lost::Reply => assert!(matches!(again, Err(ClaimError::AlreadyClaimed(_))), "{again:?}"),
            Lost::Request => assert!(matches!(again, Ok(Claimed::Requeued(_))), "{again:?}"),
        }
        let lease = worker.added().await;
        assert_eq!((lease.stream(), lease.abandonments()), ("a", 1));
        worker.listen_for(Duration::from_millis(1_200)).await;
        assert_eq!(worker.unasked(), 0);
        lease.done().await.unwrap();
        assert!(truth.is_clean());
    }
}

#[tokio::test]
async fn a_shutdown_ends_a_long_read_though_its_unblocking_was_lost() {
    for lost in Lost::BOTH {
        let server = Redis::start(crate::TOPOLOGY);
        let proxy = server.proxy().await;
        let block = Duration::from_secs(60);
        let worker = Worker::with(builder(&proxy).read_block(block)).await;
        eventually(SOON, "the worker reads", || {
            let reads = proxy.seen().iter().any(|name| name == "XREADGROUP");
            async move { reads.then_some(()) }
        })
        .await;
        let loss = proxy.on(Matcher::command("CLIENT UNBLOCK"), 1, lost.fault());
        tokio::time::timeout(SOON, worker.client.shutdown(Duration::ZERO))
            .await
            .expect("long before the read ends by itself");
        assert!(loss.fired());
    }
}

#[tokio::test]
async fn a_settlement_that_arrives_a_second_time_or_too_late_does_nothing() {
    let server = Redis::start(crate::TOPOLOGY);
    let mut truth = Truth::at(&server, "a");
    let proxy = server.proxy().await;
    // The requests themselves, to be repeated as a dead connection would deliver them.
    let sent: Arc<Mutex<Vec<Vec<Vec<u8>>>>> = Arc::default();
    let copies = Arc::clone(&sent);
    proxy.on(
        Matcher::custom(move |command| {
            if command.script() == Some("settle") {
                copies.lock().unwrap().push(command.args().to_vec());
            }
            false
        }),
        1,
        Fault::DropRequest,
    );
    submit(&server, ["a"]).await;
    let mut worker = Worker::with(builder(&proxy)).await;
    let receipt = format!("HGET T:consumers {}:last", worker.client.consumer());
    worker.added().await.retry(RetryAfter::now()).await.unwrap();
    let first = sent.lock().unwrap()[0].clone();
    let after_first = truth.cmd(&receipt).bytes();
    let again = worker.added().await;
    assert_eq!((again.failures(), truth.length()), (1, 1));

    let mut ghost = Truth::at(&server, "a");
    let answer = ghost.call(&first).array();
    assert_eq!(answer[0].text(), "ok", "the receipt, as long as it is the last");
    assert_eq!(answer[2].array()[0].text(), "ok");
    assert_eq!(
        (truth.length(), truth.pending_count()),
        (1, 1),
        "nothing was put back again"
    );
    assert_eq!(truth.cmd(&receipt).bytes(), after_first);

    again.release().await.unwrap();
    let last = sent.lock().unwrap().last().cloned().unwrap();
    assert_ne!(first, last);
    let after_last = truth.cmd(&receipt).bytes();
    assert_ne!(after_first, after_last);
    let held = worker.added().await;
    let stale = ghost.call(&first).array();
    assert_eq!(stale, [Reply::Bulk(b"stale".to_vec())]);
    assert_eq!(
        truth.cmd(&receipt).bytes(),
        after_last,
        "the successor's receipt stands"
    );
    assert_eq!(ghost.call(&last).array()[2].array()[0].text(), "ok");
    assert_eq!((truth.length(), truth.pending_count()), (1, 1));
    assert!(held.is_valid());
    held.done().await.unwrap();
    assert!(truth.is_clean());
}

/// The stream that an entry names.
fn name_of(fields: &[(String, String)]) -> String {
    let input: Value = serde_json::from_str(field(fields, "lbs-input")).unwrap();
    input["DataStreamName"].as_str().unwrap().to_owned()
}

/// What is refused for want of a connection was certainly not queued.
async fn submit_until_connected(producer: &streamherd::Producer, name: &str) {
    eventually(SOON, "the producer is connected again", || async {
        match producer.submit(name, &()).await {
            Ok(_) => Some(()),
            Err(SubmitError::NotSubmitted(_)) => None,
            Err(e) => panic!("{e:?}"),
        }
    })
    .await;
}
