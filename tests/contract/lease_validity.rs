//! When a lease ends, and what a lost one can't do: guarantee 3.

use std::time::{Duration, Instant};

use streamherd::error::{DisownedReason, SettleError};
use streamherd::{Lease, RetryAfter};
use streamherd_tests::{Redis, TTL, Truth, Worker, builder, field, names, queue};

const MARGIN: Duration = Duration::from_nanos(TTL.as_nanos() as u64 / 12);

#[tokio::test]
async fn guarantee_3_a_lease_ends_here_a_margin_before_its_lock_ends_there() {
    let server = Redis::start(crate::TOPOLOGY);
    let mut truth = Truth::at(&server, "s-0");
    queue(&server, &names("s", 1));
    let mut worker = Worker::start(&server).await;
    let lease = worker.added().await;
    let lock = format!("T:lock:{}", lease.id());
    let mut compared = 0;
    let end = Instant::now() + TTL;
    while Instant::now() < end {
        worker.listen_for(Duration::from_millis(20)).await;
        let before = lease.remaining();
        let there = truth.call(&["PTTL", &lock]).int();
        let here = lease.remaining();
        // A renewal in between would compare two different locks.
        if here <= before {
            let there = Duration::from_millis(u64::try_from(there).unwrap() + 1);
            assert!(here + MARGIN <= there, "{here:?} here, {there:?} there");
            compared += 1;
        }
    }
    assert!(compared > 5);
    lease.done().await.unwrap();
}

#[tokio::test]
async fn guarantee_3_a_lease_is_invalid_within_its_ttl_when_redis_stands_still() {
    let mut server = Redis::start(crate::TOPOLOGY);
    let mut truth = Truth::of(&server);
    queue(&server, &names("s", 2));
    let mut worker = Worker::start(&server).await;
    let leases = worker.added_many(2).await;
    assert!(leases.iter().all(Lease::is_valid));

    // No renewal can begin after this and succeed, so the last one began before.
    server.freeze();
    let frozen = Instant::now();
    loop {
        // Before the lease is asked: the machine may stand still between the two.
        let since = frozen.elapsed();
        let Some(remaining) = leases.iter().map(Lease::remaining).filter(|r| !r.is_zero()).min() else {
            break;
        };
        assert!(since < TTL, "still {remaining:?} after {since:?}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    for lease in &leases {
        assert!(!lease.is_valid());
        let lost = lease.ensure_valid().unwrap_err();
        assert_eq!(lost.reason, DisownedReason::DeadlinePassed);
        lease.lost().cancelled().await;
    }
    for _ in &leases {
        assert_eq!(worker.disowned().await.reason, DisownedReason::DeadlinePassed);
    }
    for lease in leases {
        let outcome = lease.done().await;
        assert!(matches!(outcome, Err(SettleError::Disowned(_))), "{outcome:?}");
    }

    server.thaw();
    let mut again = worker.added_many(2).await;
    again.sort_by_key(|lease| lease.stream().to_owned());
    for (lease, name) in again.into_iter().zip(names("s", 2)) {
        assert_eq!((lease.stream(), lease.failures()), (name.as_str(), 0));
        assert!(lease.is_valid());
        lease.done().await.unwrap();
    }
    truth.becomes_clean().await;
}

#[tokio::test]
async fn guarantee_3_no_settlement_changes_anything_once_a_peer_has_requeued_the_entry() {
    let server = Redis::start(crate::TOPOLOGY);
    let all = server.together("s", 4);
    let mut truth = Truth::at(&server, &all[0]);
    queue(&server, &all);
    let mut worker = Worker::with(builder(&server).max_in_flight(4)).await;
    for lease in worker.added_many(4).await {
        let turn = all.iter().position(|name| name == lease.stream()).unwrap().to_string();
        let (id, body) = (lease.id().id.to_string(), truth.entries("input").remove(0).1);
        assert_eq!(body.len(), 1);
        // A peer's re-queue, step by step; the owner has not heard of it.
        let lock = format!("T:lock:{id}");
        truth.cmd("MULTI").ok();
        truth.call(&["DEL", &lock]).ok();
        truth
            .call(&[
                "XADD",
                "T:front",
                "*",
                "lbs-input",
                &body[0].1,
                "_retry_count",
                "1",
                "of",
                &turn,
            ])
            .ok();
        truth.call(&["XACK", "T:input", "workers", &id]).ok();
        truth.call(&["XDEL", "T:input", &id]).ok();
        truth.cmd("EXEC").ok();

        let outcome = match turn.as_str() {
            "0" => lease.done().await,
            "1" => lease.retry(RetryAfter::now()).await,
            "2" => lease.dead_letter("no").await,
            _ => lease.release().await,
        };
        assert!(matches!(&outcome, Err(SettleError::Disowned(_))), "{turn}: {outcome:?}");
    }
    assert!(truth.entries("input").is_empty());
    assert!(truth.entries("dlq").is_empty());
    let front = truth.entries("front");
    let left: Vec<_> = front
        .iter()
        .map(|(_, fields)| (field(fields, "of"), field(fields, "_retry_count")))
        .collect();
    assert_eq!(left, ["0", "1", "2", "3"].map(|turn| (turn, "1")));
    for lease in worker.added_many(4).await {
        assert_eq!(lease.attempt(), 1);
        lease.done().await.unwrap();
    }
    assert!(truth.is_clean());
}

#[tokio::test]
async fn a_lease_ends_at_the_limit_that_its_holder_set_last() {
    const LIMIT: Duration = Duration::from_secs(3);
    let server = Redis::start(crate::TOPOLOGY);
    let mut truth = Truth::of(&server);
    queue(&server, &names("s", 1));
    let mut worker = Worker::start(&server).await;
    let lease = worker.added().await;
    // Half as long again as the first call allows, and much of each left when the next one comes.
    for _ in 0..9 {
        lease.hold_at_most(LIMIT);
        assert!(lease.is_valid() && lease.remaining() <= LIMIT);
        worker.listen_for(LIMIT / 6).await;
    }
    assert!(lease.is_valid());
    lease.hold_at_most(Duration::ZERO);
    assert!(!lease.is_valid() && lease.remaining().is_zero(), "at the call");
    let lost = lease.ensure_valid().unwrap_err();
    assert_eq!(lost.reason, DisownedReason::HeldTooLong);
    assert!(lease.lost().is_cancelled());
    assert_eq!(worker.disowned().await.reason, DisownedReason::HeldTooLong);
    lease.hold_at_most(LIMIT);
    assert!(!lease.is_valid(), "disowned is final");
    let outcome = lease.done().await;
    assert!(
        matches!(&outcome, Err(SettleError::Disowned(lost)) if lost.reason == DisownedReason::HeldTooLong),
        "{outcome:?}"
    );
    let again = worker.added().await;
    assert_eq!((again.failures(), again.abandonments()), (1, 0), "a counted failure");
    again.done().await.unwrap();
    assert!(truth.is_clean());
}
