//! The rights that docs/OPERATIONS.md names are enough, and a worker without them does not start.

use streamherd::error::ConnectError;
use streamherd::{PauseTarget, RequeueOutcome, RetryAfter};
use streamherd_testkit::Server;
use streamherd_tests::{MIN_IDLE, Truth, Worker, builder, submit};

const WORKER: &str = "EVALSHA EVAL SCRIPT|LOAD XREADGROUP XPENDING XRANGE XACK XDEL XADD XLEN XGROUP GET SET DEL PEXPIRE \
                      PTTL HGET HMGET HSET HDEL HKEYS HSCAN ZADD ZREM ZSCORE ZRANGEBYSCORE XINFO TYPE TIME PING";

const PRODUCER: &str = "EVALSHA EVAL SCRIPT|LOAD XADD XRANGE XPENDING HGET HSET HDEL ZADD ZREM ZSCORE TIME";

const OPERATOR: &str = "EVALSHA EVAL XADD XRANGE XPENDING XACK XDEL XLEN XINFO GET DEL PTTL TYPE HGET HKEYS HSET HDEL \
                        ZREM ZSCORE ZCARD ZRANGEBYSCORE ZREVRANGE TIME";

/// A user of the service's keys with these commands, and the URL to log in with.
fn user(server: &Server, truth: &mut Truth, name: &str, commands: &str) -> String {
    let mut words = vec!["ACL".to_owned(), "SETUSER".to_owned(), name.to_owned()];
    words.extend(["reset", "on", ">secret", "~{orders:0}:*"].map(str::to_owned));
    words.extend(
        commands
            .split_whitespace()
            .map(|command| format!("+{}", command.to_lowercase())),
    );
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    truth.call(&words).ok();
    format!("redis://{name}:secret@127.0.0.1:{}", server.port())
}

#[tokio::test]
async fn the_rights_in_the_documentation_are_enough_to_work_recover_and_leave() {
    let server = Server::start();
    let mut truth = Truth::of(&server);
    let url = user(&server, &mut truth, "worker", WORKER);
    let mut worker = Worker::start(&url).await;
    submit(&user(&server, &mut truth, "producer", PRODUCER), ["a", "b", "c"]).await;
    for lease in worker.added_many(3).await {
        match lease.stream() {
            "a" => lease.done().await.map(drop).unwrap(),
            "b" => lease.retry(RetryAfter::now()).await.map(drop).unwrap(),
            _ => lease.dead_letter("no").await.map(drop).unwrap(),
        }
    }
    worker.added().await.done().await.unwrap();

    // An orphan, for the scan.
    let slots: Vec<_> = (0..64).map(|n| format!("busy-{n}")).collect();
    submit(&server.url(), &slots).await;
    let busy = worker.added_many(64).await;
    submit(&server.url(), ["orphan"]).await;
    truth.cmd("XREADGROUP GROUP workers ghost STREAMS T:input >").ok();
    worker.listen_for(MIN_IDLE).await;
    for lease in busy {
        lease.done().await.unwrap();
    }
    let orphan = worker.added().await;
    assert_eq!((orphan.stream(), orphan.abandonments()), ("orphan", 1));
    orphan.done().await.unwrap();
    assert_eq!(worker.client.shutdown(MIN_IDLE).await.abandoned, 0);
    assert!(truth.is_clean());

    let admin = user(&server, &mut truth, "admin", OPERATOR);
    let admin = builder(&admin).connect_admin().await.unwrap();
    assert_eq!(admin.status().await.unwrap().dead_letters, 1);
    submit(&server.url(), ["left"]).await;
    truth.abandon();
    assert_eq!(admin.leases(10).await.unwrap().len(), 1);
    let requeued = admin.requeue("left", false).await.unwrap();
    assert!(matches!(requeued, RequeueOutcome::Requeued { .. }), "{requeued:?}");
    let missing = admin.requeue("missing", false).await.unwrap();
    assert_eq!(missing, RequeueOutcome::NotFound { complete: true });
    assert!(admin.pause(&PauseTarget::Service).await.unwrap());
    assert!(admin.resume(&PauseTarget::Service).await.unwrap());
    admin.close().await;
}

#[tokio::test]
async fn an_operator_who_may_add_and_not_take_away_doubles_nothing() {
    let server = Server::start();
    let mut truth = Truth::of(&server);
    truth.make_groups();
    submit(&server.url(), ["a"]).await;
    truth.abandon();
    for command in ["XACK", "XDEL", "DEL", "ZREM", "HDEL"] {
        let others: Vec<&str> = OPERATOR.split_whitespace().filter(|c| *c != command).collect();
        let url = user(&server, &mut truth, "admin", &others.join(" "));
        let admin = builder(&url).connect_admin().await.unwrap();
        let refused = admin.requeue("a", false).await.unwrap_err();
        assert!(refused.is_denied(), "{command}: {refused}");
        assert_eq!((truth.length(), truth.pending_count()), (1, 1), "{command}");
    }
}

#[tokio::test]
async fn a_worker_without_a_right_that_recovery_needs_does_not_start() {
    let server = Server::start();
    let mut truth = Truth::of(&server);
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
        let others: Vec<&str> = WORKER.split_whitespace().filter(|c| *c != command).collect();
        let url = user(&server, &mut truth, "worker", &others.join(" "));
        match builder(&url).connect().await {
            Err(ConnectError::Store(e)) => assert!(e.is_denied(), "{command}: {e}"),
            other => panic!("{command}: {other:?}"),
        }
    }
}
