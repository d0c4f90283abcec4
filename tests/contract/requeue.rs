//! What an operator's requeue does, wherever the stream is.

use std::time::Duration;

use serde_json::json;
use streamherd::error::SettleError;
use streamherd::{
    Admin, Builder, Duplicates, KeyspaceEvents, Lane, PauseTarget, Recovery, Reference, RequeueOutcome, RetryAfter,
};
use streamherd_testkit::Matcher;
use streamherd_tests::letters::input;
use streamherd_tests::{
    Lost, Reachable, Redis, Truth, Worker, builder, field, names, queue, recovery, side_by_side, submit,
};

/// A worker that leaves orphans alone.
fn quiet(at: &(impl Reachable + ?Sized)) -> Builder {
    let recovery = Recovery {
        scan_interval: Duration::ZERO,
        ..recovery()
    };
    builder(at).keyspace_events(KeyspaceEvents::Off).recovery(recovery)
}

async fn admin(at: &(impl Reachable + ?Sized)) -> Admin {
    builder(at).connect_admin().await.unwrap()
}

const MISSING: RequeueOutcome = RequeueOutcome::NotFound { complete: true };

#[tokio::test]
async fn a_requeue_puts_a_stream_at_the_front_wherever_it_is_and_counts_nothing() {
    let server = Redis::start(crate::TOPOLOGY);
    let mut truth = Truth::at(&server, "a");
    let admin = admin(&server).await;
    let producer = builder(&server).connect_producer().await.unwrap();
    assert_eq!(admin.requeue("a", false).await.unwrap(), MISSING);

    // Before any worker, so without a group.
    let Reference::Queued(queued) = producer.submit("a", &1).await.unwrap().reference() else {
        panic!("it is queued")
    };
    let already = RequeueOutcome::AlreadyQueued { entry: queued };
    assert_eq!(admin.requeue("a", true).await.unwrap(), already);

    truth.make_groups();
    truth.abandon();
    let RequeueOutcome::Requeued { entry } = admin.requeue("a", false).await.unwrap() else {
        panic!("it is an orphan")
    };
    assert_eq!((entry.lane, truth.pending_count(), truth.length()), (Lane::Front, 0, 1));
    let already = RequeueOutcome::AlreadyQueued { entry };
    assert_eq!(admin.requeue("a", false).await.unwrap(), already);

    let mut worker = Worker::with(quiet(&server)).await;
    let lease = worker.added().await;
    assert_eq!(
        (lease.id(), lease.attempt(), lease.original_id()),
        (entry, 0, queued.id)
    );
    let RequeueOutcome::Held { consumer, remaining_ms } = admin.requeue("a", false).await.unwrap() else {
        panic!("it is held")
    };
    assert_eq!(consumer, worker.client.consumer().as_str());
    assert!(remaining_ms > 0 && lease.is_valid());

    lease.retry(RetryAfter::after(Duration::from_secs(600))).await.unwrap();
    let RequeueOutcome::MadeDue { entry } = admin.requeue("a", false).await.unwrap() else {
        panic!("it is delayed")
    };
    let lease = worker.added().await;
    assert_eq!((lease.id(), lease.failures(), lease.attempt()), (entry, 1, 1));
    lease.done().await.unwrap();
    assert_eq!(admin.requeue("a", true).await.unwrap(), MISSING);
    assert!(truth.is_clean());
}

#[tokio::test]
async fn a_forced_requeue_takes_a_stream_from_its_owner_who_learns_so() {
    let server = Redis::start(crate::TOPOLOGY);
    let mut truth = Truth::of(&server);
    let admin = admin(&server).await;
    let mut owner = Worker::with(quiet(&server)).await;
    submit(&server, ["settles", "renews"]).await;
    let mut leases = owner.added_many(2).await;
    leases.sort_by_key(|lease| lease.stream().to_owned());
    let tokens: Vec<_> = leases.iter().map(streamherd::Lease::token).collect();
    // With what was submitted meanwhile.
    let producer = builder(&server).connect_producer().await.unwrap();
    producer.submit("settles", &json!("later")).await.unwrap();
    admin.pause(&PauseTarget::Service).await.unwrap();
    for name in ["settles", "renews"] {
        let outcome = admin.requeue(name, true).await.unwrap();
        assert!(matches!(outcome, RequeueOutcome::Requeued { .. }), "{outcome:?}");
    }
    assert!(truth.locks().is_empty());
    let settled = leases.remove(1).done().await;
    assert!(matches!(settled, Err(SettleError::Disowned(_))), "{settled:?}");
    // A heartbeat may have learnt of both before.
    let lost = loop {
        let lost = owner.disowned().await;
        if lost.stream != "settles" {
            break lost;
        }
    };
    assert_eq!((lost.stream.as_str(), lost.token), ("renews", tokens[0]));
    assert!(!leases[0].is_valid());

    admin.resume(&PauseTarget::Service).await.unwrap();
    let mut heirs = owner.added_many(2).await;
    heirs.sort_by_key(|lease| lease.stream().to_owned());
    for (heir, token) in heirs.into_iter().zip(tokens) {
        assert!(heir.token() > token && heir.attempt() == 0, "{heir:?}");
        assert_eq!(heir.info::<serde_json::Value>().unwrap(), json!({"of": heir.stream()}));
        heir.done().await.unwrap();
    }
    let last = owner.added().await;
    assert_eq!(
        (last.stream(), last.info::<String>().unwrap()),
        ("settles", "later".to_owned())
    );
    last.done().await.unwrap();
    truth.becomes_clean().await;
}

#[tokio::test]
async fn runs_that_are_not_coalesced_are_found_by_their_names() {
    let server = Redis::start(crate::TOPOLOGY);
    let mut truth = Truth::of(&server);
    let admin = admin(&server).await;
    let producer = builder(&server).connect_producer().await.unwrap();
    let producer = producer.duplicates(Duplicates::Parallel);
    truth.make_groups();
    // More than a page of others, and names that JSON can write in several ways.
    queue(&server, &names("s", 230));
    let foreign = r#"{"Info":{"DataStreamName":"inner"},"DataStreamName":"\u00fcber \"1\""}"#;
    Truth::at(&server, "über \"1\"")
        .call(&["XADD", "T:input", "*", "lbs-input", foreign, "trace", "t1"])
        .ok();
    truth.cmd("XREADGROUP GROUP workers ghost STREAMS T:input >").ok();
    let RequeueOutcome::Requeued { entry } = admin.requeue("über \"1\"", false).await.unwrap() else {
        panic!("it is an orphan")
    };
    let (id, fields) = truth.entries("front").remove(0);
    assert_eq!((id, field(&fields, "trace")), (entry.id.to_string(), "t1"));
    assert_eq!(field(&fields, "_retry_count"), "0");
    assert_eq!(admin.requeue("inner", false).await.unwrap(), MISSING);

    // Of several runs, first one that can be put back; and then none is left to be.
    for _ in 0..3 {
        producer.submit("p", &1).await.unwrap();
    }
    producer
        .schedule_after("p", &1, Duration::from_secs(600))
        .await
        .unwrap();
    let mut there = Truth::at(&server, "p");
    let ids: Vec<_> = (0..2).map(|_| there.abandon()).collect();
    there.cmd(&format!("SET T:lock:{} ghost:7 PX 60000", ids[0])).ok();
    let made_due = admin.requeue("p", false).await.unwrap();
    assert!(matches!(made_due, RequeueOutcome::MadeDue { .. }), "{made_due:?}");
    let orphan = admin.requeue("p", false).await.unwrap();
    assert!(matches!(orphan, RequeueOutcome::Requeued { .. }), "{orphan:?}");
    let queued = admin.requeue("p", false).await.unwrap();
    assert!(matches!(queued, RequeueOutcome::AlreadyQueued { .. }), "{queued:?}");
    let forced = admin.requeue("p", true).await.unwrap();
    assert!(matches!(forced, RequeueOutcome::Requeued { .. }), "{forced:?}");
    assert!(truth.locks().is_empty());
    let left = truth.entries("front").len();
    // The foreign one, and what were delayed, the orphan and the held one.
    assert_eq!((left, truth.pending_count()), (4, 230));
}

#[tokio::test]
async fn what_another_program_has_stranded_spoilt_or_made_too_large_is_told_as_it_is() {
    let server = Redis::start(crate::TOPOLOGY);
    let mut truth = Truth::at(&server, "stranded");
    let admin = admin(&server).await;
    truth.make_groups();
    let names = server.neighbours(["stranded", "deleted", "hash", "large"]);
    let [stranded, deleted, hash, large] = names.as_slice() else {
        unreachable!()
    };
    submit(&server, &names[..3]).await;
    let ids: Vec<_> = (0..3).map(|_| truth.abandon()).collect();
    truth.cmd(&format!("XACK T:input workers {}", ids[0])).ok();
    truth.cmd(&format!("XDEL T:input {}", ids[1])).ok();
    truth.cmd(&format!("HSET T:lock:{} a b", ids[2])).ok();
    truth.cmd(&format!("PEXPIRE T:lock:{} 60000", ids[2])).ok();
    let found = admin.requeue(stranded, false).await.unwrap();
    assert!(matches!(found, RequeueOutcome::Requeued { .. }), "{found:?}");
    assert_eq!(admin.requeue(deleted, true).await.unwrap(), MISSING);
    let held = admin.requeue(hash, false).await.unwrap();
    assert!(
        matches!(&held, RequeueOutcome::Held { consumer, .. } if consumer == "ghost"),
        "{held:?}"
    );
    let forced = admin.requeue(hash, true).await.unwrap();
    assert!(matches!(forced, RequeueOutcome::Requeued { .. }), "{forced:?}");

    truth.cmd("ZADD T:delayed 1 1-1 2 no-id 3 1-3").ok();
    truth.cmd("HSET T:delayed:body 1-1 garbage no-id garbage").ok();
    let mut words = vec!["XADD".to_owned(), "T:input".to_owned(), "*".to_owned()];
    words.extend(["lbs-input".to_owned(), input(large)]);
    words.extend((0..5_000).flat_map(|n| [n.to_string(), "x".to_owned()]));
    truth.call(&words.iter().map(String::as_str).collect::<Vec<_>>()).ok();
    let queued = admin.requeue(large, false).await.unwrap();
    assert!(matches!(queued, RequeueOutcome::AlreadyQueued { .. }), "{queued:?}");
    let id = truth.abandon();
    let entry = id.parse().unwrap();
    assert_eq!(
        admin.requeue(large, true).await.unwrap(),
        RequeueOutcome::TooLarge { entry }
    );
    assert_eq!(admin.leases(10).await.unwrap().len(), 2, "that, and the deleted one");
}

#[tokio::test]
async fn a_search_has_an_end_and_says_whether_it_saw_everything() {
    let server = Redis::start(crate::TOPOLOGY);
    let in_time = "in time".to_owned();
    let admin = admin(&server).await;
    Truth::of(&server).make_groups();
    let mut all = server.beside(&in_time, names("s", 51_000));
    let too_late = server.beside(&in_time, ["too late"]).remove(0);
    all.insert(49_900, in_time);
    all.push(too_late.clone());
    queue(&server, &all);
    let seen = admin.requeue("in time", false).await.unwrap();
    assert!(matches!(seen, RequeueOutcome::AlreadyQueued { .. }), "{seen:?}");
    let unseen = admin.requeue(&too_late, false).await.unwrap();
    assert_eq!(unseen, RequeueOutcome::NotFound { complete: false });

    // Where a name stands behind a large info, which takes a look at the whole body.
    let late = format!(r#"{{"Info":"{}","DataStreamName":"late"}}"#, "x".repeat(20_000));
    Truth::at(&server, "late")
        .call(&["XADD", "T:front", "*", "lbs-input", &late])
        .ok();
    let seen = admin.requeue("late", false).await.unwrap();
    assert!(matches!(seen, RequeueOutcome::AlreadyQueued { .. }), "{seen:?}");
}

#[tokio::test]
async fn of_rivals_that_force_a_requeue_one_moves_the_stream() {
    let server = Redis::start(crate::TOPOLOGY);
    let mut truth = Truth::of(&server);
    // Full, it reads nothing; a pause would let a read that blocks already take what the rivals move, and put it back.
    let mut owner = Worker::with(quiet(&server).max_in_flight(1)).await;
    submit(&server, ["a"]).await;
    let lease = owner.added().await;
    let mut rivals = tokio::task::JoinSet::new();
    for _ in 0..8 {
        let admin = admin(&server).await;
        rivals.spawn(async move { admin.requeue("a", true).await.unwrap() });
    }
    let outcomes = rivals.join_all().await;
    let moved = |outcome: &&RequeueOutcome| matches!(outcome, RequeueOutcome::Requeued { .. });
    assert_eq!(outcomes.iter().filter(moved).count(), 1, "{outcomes:?}");
    let already = |outcome: &&RequeueOutcome| matches!(outcome, RequeueOutcome::AlreadyQueued { .. });
    assert_eq!(outcomes.iter().filter(already).count(), 7, "{outcomes:?}");
    assert_eq!((truth.length(), truth.pending_count()), (1, 0));
    assert!(matches!(lease.done().await, Err(SettleError::Disowned(_))));
}

#[test]
fn a_requeue_without_an_answer_can_be_repeated() {
    let rows = Lost::BOTH
        .into_iter()
        .flat_map(|lost| [false, true].map(|parallel| (format!("{lost:?}, parallel: {parallel}"), (lost, parallel))));
    side_by_side(crate::TOPOLOGY.at_a_time(4), rows.collect(), a_lost_answer);
}

async fn a_lost_answer((lost, parallel): (Lost, bool)) {
    let server = Redis::start(crate::TOPOLOGY);
    let mut truth = Truth::at(&server, "a");
    truth.make_groups();
    if parallel {
        queue(&server, &["a".to_owned()]);
    } else {
        submit(&server, ["a"]).await;
    }
    truth.abandon();
    let proxy = server.proxy().await;
    let admin = admin(&proxy).await;
    // The first one of a name without a coalesced run finds nothing.
    let kick = server.at_home("a", Matcher::script("kick"));
    let loss = proxy.on(kick, if parallel { 2 } else { 1 }, lost.fault());
    assert!(admin.requeue("a", false).await.is_err());
    assert!(loss.fired());
    let again = admin.requeue("a", false).await.unwrap();
    match lost {
        Lost::Reply => assert!(matches!(again, RequeueOutcome::AlreadyQueued { .. }), "{again:?}"),
        Lost::Request => assert!(matches!(again, RequeueOutcome::Requeued { .. }), "{again:?}"),
    }
    assert_eq!((truth.length(), truth.pending_count()), (1, 0));
    let mut worker = Worker::start(&server).await;
    worker.added().await.done().await.unwrap();
    assert!(truth.is_clean());
}
