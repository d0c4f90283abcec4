//! The rights that docs/OPERATIONS.md names are enough, and a worker without them does not start.

use std::collections::BTreeSet;
use std::time::Duration;

use streamherd::error::ConnectError;
use streamherd::{DeadLetterFilter, Need, PauseTarget, Recovery, RequeueOutcome, RetryAfter, Right, Role};
use streamherd_tests::{Address, MIN_IDLE, Redis, SCAN, Truth, Worker, builder, recovery, submit};

/// A user with what the table has for a role.
async fn login(server: &Redis, role: Role, wanted: impl Fn(&Right) -> bool) -> Address {
    let admin = builder(server).connect_admin().await.unwrap();
    let mut rules = admin.acl_rules(role);
    admin.close().await;
    for right in role.rights().filter(|right| !wanted(right)) {
        rules.retain(|rule| *rule != right.rule());
        if right.command == "PSUBSCRIBE" {
            rules.retain(|rule| !rule.starts_with('&'));
        }
    }
    server.user(role.as_str(), &rules)
}

/// Everything that a worker, a producer and an operator do, over these logins.
async fn main_path(server: &Redis, worker: &Address, producer: &Address, operator: &Address, hears: bool) {
    let truth = &mut Truth::of(server);
    if hears {
        claim_on_a_notification(server, worker, producer).await;
    }
    submit(producer, ["a", "b", "c", "d", "e"]).await;
    // Coalesced while they still wait.
    submit(producer, ["a", "b"]).await;
    let mut work = Worker::with(builder(worker).recovery(Recovery {
        sweep_interval: SCAN,
        ..recovery()
    }))
    .await;
    for lease in work.added_many(5).await {
        match lease.stream() {
            "a" => drop(lease.done().await.unwrap()),
            "b" => drop(lease.retry(RetryAfter::now()).await.unwrap()),
            "c" => drop(lease.dead_letter("no").await.unwrap()),
            "d" => drop(lease.release().await.unwrap()),
            _ => drop(lease),
        }
    }
    for lease in work.added_many(3).await {
        lease.done().await.unwrap();
    }

    // Delays, runs that are wanted again, a pause, and what a sweep finds.
    let outside = builder(producer).connect_producer().await.unwrap();
    for producer in [&outside, &work.client.producer()] {
        producer.submit("again", &1).await.unwrap();
        let first = work.added().await;
        producer.submit("again", &2).await.unwrap();
        first.done().await.unwrap();
        producer
            .schedule_after("again", &3, Duration::from_millis(50))
            .await
            .unwrap();
        work.added()
            .await
            .retry(RetryAfter::after(Duration::from_millis(50)))
            .await
            .unwrap();
        while !truth.is_clean() || truth.cmd("ZCARD T:delayed").int() > 0 {
            work.added().await.done().await.unwrap();
        }
    }
    outside.close().await;
    assert!(work.client.pause().await.unwrap());
    assert!(work.client.resume().await.unwrap());
    submit(producer, ["stranded"]).await;
    let stranded = work.added().await;
    truth.cmd(&format!("XACK T:input workers {}", stranded.id())).ok();
    truth.cmd(&format!("DEL T:lock:{}", stranded.id())).ok();
    drop(stranded);
    work.added().await.done().await.unwrap();

    // Two orphans for the scan: one that was read only, and one whose lock expires.
    submit(producer, (0..64).map(|n| format!("busy-{n}"))).await;
    let busy = work.added_many(64).await;
    let orphans = server.together("orphan", 2);
    submit(producer, &orphans).await;
    let mut there = Truth::at(server, &orphans[0]);
    let id = there.abandon();
    there.cmd(&format!("SET T:lock:{id} ghost:1 PX 300")).ok();
    there.abandon();
    work.listen_for(MIN_IDLE).await;
    for lease in busy {
        lease.done().await.unwrap();
    }
    for orphan in work.added_many(2).await {
        assert_eq!((&orphan.stream()[..6], orphan.abandonments()), ("orphan", 1));
        orphan.done().await.unwrap();
    }
    // One that its holder doesn't finish.
    submit(producer, ["late"]).await;
    let late = work.added().await;
    let report = work.client.shutdown(Duration::ZERO).await;
    assert_eq!(report.abandoned, 0);
    // Who may not unblock its read may be given it once more by that, and hands it back again.
    assert!(report.released == 1 || !hears, "{report:?}");
    drop(late);

    let admin = builder(operator).connect_admin().await.unwrap();
    let status = admin.status().await.unwrap();
    assert_eq!((status.dead_letters, status.requeued, status.pending), (1, 1, 0));
    submit(producer, ["left"]).await;
    truth
        .cmd("XREADGROUP GROUP workers ghost STREAMS T:front T:input > >")
        .ok();
    assert_eq!(admin.leases(10).await.unwrap().len(), 2);
    let requeued = admin.requeue("left", false).await.unwrap();
    assert!(matches!(requeued, RequeueOutcome::Requeued { .. }), "{requeued:?}");
    let missing = admin.requeue("missing", false).await.unwrap();
    assert_eq!(missing, RequeueOutcome::NotFound { complete: true });
    let all = DeadLetterFilter::default;
    let redriven = admin.redrive(all()).finish().await.unwrap();
    assert_eq!((redriven.redriven, truth.dead_letters().len()), (1, 0));
    Truth::at(server, "any").cmd("XADD T:dlq * lbs-input {}").ok();
    assert_eq!(admin.purge(all()).finish().await.unwrap().purged, 1);
    assert!(admin.pause(&PauseTarget::Service).await.unwrap());
    assert!(admin.resume(&PauseTarget::Service).await.unwrap());
    admin.close().await;
}

/// Without a scan, so that nothing but the notification can tell of the orphan.
async fn claim_on_a_notification(server: &Redis, worker: &Address, producer: &Address) {
    let truth = &mut Truth::at(server, "orphan");
    truth.make_groups();
    submit(producer, ["orphan"]).await;
    let id = truth.abandon();
    truth.cmd(&format!("SET T:lock:{id} ghost:1")).ok();
    let mut work = Worker::with(builder(worker).recovery(Recovery {
        scan_interval: Duration::ZERO,
        ..recovery()
    }))
    .await;
    truth.expire(&id);
    let orphan = work.expired().await;
    work.client.claim(&orphan).await.unwrap();
    work.added().await.done().await.unwrap();
    work.client.shutdown(MIN_IDLE).await;
    assert!(truth.is_clean());
}

/// What the server refused to these users: commands by name, keys and channels by what they are.
fn refused(truth: &mut Truth) -> BTreeSet<(String, String)> {
    let log = truth.cmd("ACL LOG 128").array();
    let value = |row: &[(String, String)], name: &str| row.iter().find(|(key, _)| key == name).unwrap().1.clone();
    log.iter()
        .map(|row| row.pairs())
        .map(|row| (value(&row, "username"), value(&row, "object")))
        .collect()
}

#[tokio::test]
async fn nothing_is_refused_to_logins_with_the_rights_in_the_documentation() {
    let server = Redis::with(crate::TOPOLOGY, &[("--notify-keyspace-events", "Kx")]);
    let mut truth = Truth::of(&server);
    let all = |_: &Right| true;
    let worker = login(&server, Role::Worker, all).await;
    let producer = login(&server, Role::Producer, all).await;
    let operator = login(&server, Role::Operator, all).await;
    main_path(&server, &worker, &producer, &operator, true).await;
    assert_eq!(
        refused(&mut truth),
        BTreeSet::new(),
        "the table of store/rights.rs lacks these"
    );
}

#[tokio::test]
async fn the_required_rights_in_the_documentation_are_enough_to_work_recover_and_leave() {
    let server = Redis::start(crate::TOPOLOGY);
    let mut truth = Truth::of(&server);
    let required = |right: &Right| right.need == Need::Required;
    let worker = login(&server, Role::Worker, required).await;
    let producer = login(&server, Role::Producer, required).await;
    let operator = login(&server, Role::Operator, required).await;
    main_path(&server, &worker, &producer, &operator, false).await;
    let refused = refused(&mut truth);
    assert!(!refused.is_empty(), "what is only useful is asked for all the same");
    for (user, object) in refused {
        let role = Role::ALL.into_iter().find(|role| role.as_str() == user).unwrap();
        // Redis 6.2 logs a subcommand's command only.
        let known = role.rights().filter(|right| right.need != Need::Required).any(|right| {
            let command = right.command.to_lowercase();
            command == object || command.split('|').next() == Some(object.as_str())
        });
        assert!(
            known,
            "{user} asked for {object}, which is not in the table of store/rights.rs"
        );
    }
}

#[tokio::test]
async fn an_operator_who_may_add_and_not_take_away_doubles_nothing() {
    let server = Redis::start(crate::TOPOLOGY);
    let mut truth = Truth::of(&server);
    truth.make_groups();
    submit(&server, ["a"]).await;
    Truth::at(&server, "a").abandon();
    for command in ["XACK", "XDEL", "DEL", "ZREM", "HDEL"] {
        let others = |right: &Right| right.command != command;
        let url = login(&server, Role::Operator, others).await;
        let admin = builder(&url).connect_admin().await.unwrap();
        let refused = admin.requeue("a", false).await.unwrap_err();
        assert!(refused.is_denied(), "{command}: {refused}");
        assert_eq!((truth.length(), truth.pending_count()), (1, 1), "{command}");
    }
}

#[tokio::test]
async fn a_worker_without_a_right_that_recovery_needs_does_not_start() {
    let server = Redis::start(crate::TOPOLOGY);
    for command in [
        "XREADGROUP",
        "XPENDING",
        "XRANGE",
        "XACK",
        "XDEL",
        "XADD",
        "SET",
        "DEL",
        "PEXPIRE",
        "PTTL",
    ] {
        let url = login(&server, Role::Worker, |right| right.command != command).await;
        match builder(&url).connect().await {
            Err(ConnectError::Store(e)) => assert!(e.is_denied(), "{command}: {e}"),
            other => panic!("{command}: {other:?}"),
        }
    }
}
