//! Redis loses a group, its streams or everything: the fleet heals by itself, and whoever holds a stream goes on with it.

use std::time::{Duration, Instant};

use streamherd::error::{DisownedReason, SettleError};
use streamherd::{Builder, Lease, Recovery, RetryAfter, Settled};
use streamherd_testkit::eventually;
use streamherd_tests::{
    Address, Reachable as _, Redis, SOON, Truth, Worker, field, names, patient, patient_recovery, plain, recovery,
    side_by_side, submit,
};

/// Ways to lose the group, and more with it.
const LOSSES: [&str; 6] = [
    "XGROUP DESTROY T:input workers",
    "XGROUP DESTROY T:front workers",
    "DEL T:epoch",
    "DEL T:input",
    "DEL T:input T:front T:epoch T:control T:consumers",
    "FLUSHALL",
];

#[test]
fn a_fleet_heals_by_itself_when_redis_loses_its_group_and_keeps_what_it_holds() {
    let rows = LOSSES.map(|loss| (loss.to_owned(), loss));
    side_by_side(6, rows.into(), a_loss);
}

async fn a_loss(loss: &str) {
    let server = Redis::start(crate::TOPOLOGY);
    let held_names = server.together("held", 4);
    let mut truth = Truth::at(&server, &held_names[0]);
    let mut fleet = [
        Worker::with(patient(&server).max_in_flight(8)).await,
        Worker::with(patient(&server).max_in_flight(8)).await,
    ];
    submit(&server, &held_names).await;
    let mut held = Vec::new();
    let deadline = Instant::now() + SOON;
    while held.len() < 4 {
        assert!(Instant::now() < deadline, "only {} streams were given out", held.len());
        for worker in &mut fleet {
            worker.listen_for(Duration::from_millis(20)).await;
            while worker.unasked() > 0 {
                held.push(worker.added().await);
            }
        }
    }
    truth.cmd(loss).ok();
    for worker in &mut fleet {
        worker.data_loss().await;
    }
    let fresh = names("fresh", 4);
    submit(&server, &fresh).await;

    let mut finished: Vec<String> = Vec::new();
    let mut old = Vec::new();
    let deadline = Instant::now() + SOON;
    while finished.len() < fresh.len() {
        assert!(
            Instant::now() < deadline,
            "of the new streams only {finished:?} were worked on"
        );
        for worker in &mut fleet {
            worker.listen_for(Duration::from_millis(20)).await;
            while worker.unasked() > 0 {
                let lease = worker.added().await;
                if fresh.iter().any(|name| name == lease.stream()) {
                    finished.push(lease.stream().to_owned());
                    lease.done().await.unwrap();
                } else {
                    old.push(lease);
                }
            }
        }
    }
    for worker in &mut fleet {
        worker.listen_for(Duration::from_millis(1_500)).await;
        while worker.unasked() > 0 {
            old.push(worker.added().await);
        }
    }
    finished.sort();
    assert_eq!(finished, fresh);
    for again in &old {
        let rival = held.iter().find(|lease| lease.original_id() == again.original_id());
        let both = rival.is_some_and(|lease| lease.is_valid()) && again.is_valid();
        assert!(
            !both,
            "{} has two valid leases: {again:?} and {rival:?}",
            again.stream()
        );
    }
    for lease in held {
        let (valid, name) = (lease.is_valid(), lease.stream().to_owned());
        assert!(valid, "{name}");
        lease.done().await.unwrap();
    }
    for lease in old {
        lease.done().await.unwrap();
    }
    truth.becomes_clean().await;
    // Each partition that was lost is told: with everything, all of that server.
    let most = if loss == "FLUSHALL" {
        usize::from(server.address().partitions)
    } else {
        1
    };
    assert!(
        fleet
            .iter()
            .all(|worker| (1..=most).contains(&worker.losses) && worker.terminated.is_none())
    );
}

#[tokio::test]
async fn a_group_that_is_made_anew_does_not_give_a_worker_what_it_holds() {
    let server = Redis::start(crate::TOPOLOGY);
    let mut truth = Truth::at(&server, "a");
    let mut worker = Worker::with(patient(&server)).await;
    submit(&server, ["a"]).await;
    let lease = worker.added().await;
    truth.cmd("XGROUP DESTROY T:input workers").ok();
    worker.data_loss().await;
    worker.listen_for(Duration::from_millis(1_500)).await;
    assert!(lease.is_valid());
    assert_eq!(
        worker.unasked(),
        0,
        "the same stream is handed out twice, with one token"
    );
    lease.done().await.unwrap();
    assert!(truth.is_clean());
}

/// A worker, and one lease of each of these streams.
async fn holding<const N: usize>(server: &Redis, builder: Builder, names: [&str; N]) -> (Worker, [Lease; N]) {
    let mut worker = Worker::with(builder).await;
    submit(server, names).await;
    let mut held = worker.added_many(N).await;
    let of = |name: &str| {
        let at = held.iter().position(|lease| lease.stream() == name);
        held.swap_remove(at.expect("each is handed out once"))
    };
    let leases = names.map(of);
    (worker, leases)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_settled_or_held_while_redis_is_away_past_the_deadlines_is_carried_out_when_it_is_back_empty() {
    let mut server = Redis::start(crate::TOPOLOGY);
    // Long enough for a machine that stands still after the blow.
    let brief = patient(&server).lock_ttl(Duration::from_secs(3)).recovery(Recovery {
        min_idle: Some(Duration::from_millis(3_300)),
        ..recovery()
    });
    let all = ["done", "retry", "release", "dead", "held"];
    let (mut worker, [done, retry, release, dead, held]) = holding(&server, brief, all).await;
    let (lost, first) = (held.lost().clone(), held.token());
    server.kill();
    let done = tokio::spawn(done.done());
    let retry = tokio::spawn(retry.retry(RetryAfter::now().because("once more")));
    let release = tokio::spawn(release.release());
    let dead = tokio::spawn(dead.dead_letter("that is what it is for"));
    // By then the others are past their deadlines too.
    assert_eq!(worker.disowned().await.reason, DisownedReason::DeadlinePassed);
    assert!(lost.is_cancelled());
    drop(held);
    server.restart_empty();

    assert_eq!(done.await.unwrap().unwrap(), Settled::Done);
    assert_eq!(retry.await.unwrap().unwrap(), Settled::Requeued);
    assert_eq!(release.await.unwrap().unwrap(), Settled::Requeued);
    assert!(matches!(dead.await.unwrap(), Ok(Settled::DeadLettered { .. })));
    let mut again = Vec::new();
    for lease in worker.added_many(3).await {
        assert!(lease.token() > first, "{lease:?}");
        again.push((lease.stream().to_owned(), lease.failures(), lease.attempt()));
        lease.done().await.unwrap();
    }
    again.sort();
    let expected = [("held", 0, 0), ("release", 0, 0), ("retry", 1, 1)];
    assert_eq!(
        again,
        expected.map(|(name, failures, attempt)| (name.to_owned(), failures, attempt))
    );
    let mut truth = Truth::of(&server);
    let letters = truth.dead_letters();
    assert_eq!(letters.len(), 1);
    assert_eq!(field(&letters[0], "_sh_error"), "that is what it is for");
    assert!(field(&letters[0], "lbs-input").contains("\"dead\""));
    truth.becomes_clean().await;
    assert_eq!(worker.unasked(), 0, "something was run a second time");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_writes_nothing_back_loses_what_it_holds_and_is_told_why_and_what_is_done_is_done() {
    let mut server = Redis::start(crate::TOPOLOGY);
    let silent = patient(&server).recovery(Recovery {
        write_back: false,
        ..patient_recovery()
    });
    let (mut worker, [done, retry, held]) = holding(&server, silent, ["done", "retry", "held"]).await;
    server.kill();
    let done = tokio::spawn(done.done());
    let retry = tokio::spawn(retry.retry(RetryAfter::now()));
    server.restart_empty();
    assert_eq!(done.await.unwrap().unwrap(), Settled::Done);
    match retry.await.unwrap() {
        Err(SettleError::Disowned(lost)) => assert_eq!(lost.reason, DisownedReason::DataLoss),
        other => panic!("{other:?}"),
    }
    let lost = worker.disowned().await;
    assert_eq!((&*lost.stream, lost.reason), ("held", DisownedReason::DataLoss));
    assert!(held.lost().is_cancelled() && !held.is_valid());
    match held.done().await {
        Err(SettleError::Disowned(lost)) => assert_eq!(lost.reason, DisownedReason::DataLoss),
        other => panic!("{other:?}"),
    }
    let mut truth = Truth::of(&server);
    submit(&server, ["fresh"]).await;
    let fresh = worker.added().await;
    assert_eq!(fresh.stream(), "fresh");
    assert_eq!(truth.length(), 1, "something was written back");
    fresh.done().await.unwrap();
    truth.becomes_clean().await;
    assert_eq!(truth.dead_letters().len(), 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn old_workers_have_their_quiet_time_although_a_newcomer_made_the_new_epoch() {
    let server = Redis::start(crate::TOPOLOGY);
    let ttl = Duration::from_secs(8);
    let slow = |at: Address| {
        patient(&at).lock_ttl(ttl).recovery(Recovery {
            min_idle: Some(ttl + Duration::from_millis(500)),
            ..recovery()
        })
    };
    let names = server.neighbours(["first", "second", "after"]);
    let (ways, mut old, mut held) = ([server.proxy().await, server.proxy().await], Vec::new(), Vec::new());
    for (way, name) in ways.iter().zip(&names) {
        let (worker, [lease]) = holding(&server, slow(way.address()).max_in_flight(1), [name]).await;
        old.push(worker);
        held.push(lease);
    }
    let mut truth = Truth::at(&server, &names[0]);
    ways.iter().for_each(|way| way.refuse(true));
    Truth::of(&server).cmd("FLUSHALL").ok();
    let mut newcomer = Worker::with(slow(server.address())).await;
    assert!(
        truth.cmd("HGET T:control quiet_until").is_nil(),
        "it has nobody to wait for"
    );

    ways[0].refuse(false);
    eventually(SOON, "the first of the old ones sets the quiet time", || {
        let quiet = !truth.cmd("HGET T:control quiet_until").is_nil();
        async move { quiet.then_some(()) }
    })
    .await;
    // Of what the second one holds nobody knows anything yet.
    submit(&server, &names[1..]).await;
    ways[1].refuse(false);
    let given = newcomer.added().await;
    assert_eq!(plain(given.stream()), "after", "somebody else was given what is held");
    assert!(held.iter().all(Lease::is_valid));
    for lease in held.into_iter().chain([given]) {
        lease.done().await.unwrap();
    }
    // It was wanted once more.
    let again = newcomer.added().await;
    assert_eq!(plain(again.stream()), "second");
    again.done().await.unwrap();
    truth.becomes_clean().await;
    assert!(old.iter().all(|worker| worker.unasked_disowned() == 0));
}
