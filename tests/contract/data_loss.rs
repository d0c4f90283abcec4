//! Redis loses a group, its streams or everything: the fleet heals by itself, and whoever holds a stream goes on with it.

use std::time::{Duration, Instant};

use streamherd_tests::{Redis, SOON, Truth, Worker, names, patient, side_by_side, submit};

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
