//! What a client refuses to start with, how it says so, and that nothing was started then.

use std::time::{Duration, Instant};

use streamherd::error::ConnectError;
use streamherd::{Builder, Recovery};
use streamherd_testkit::eventually;
use streamherd_tests::{Redis, SOON, TTL, Truth, Worker, builder, names, queue, refused, shown};

/// A builder with one setting that is wrong.
type Change = fn(Builder) -> Builder;

#[tokio::test]
async fn guarantee_8_a_setting_that_breaks_a_rule_is_named_and_nothing_starts() {
    let server = Redis::start(crate::TOPOLOGY);
    let cases: [(&str, Change); 14] = [
        ("consumer", |b| b.consumer("")),
        ("consumer", |b| b.consumer("a\nb")),
        ("lock_ttl", |b| b.lock_ttl(Duration::from_millis(599))),
        ("heartbeat", |b| b.heartbeat(TTL / 2)),
        ("recovery.min_idle", |b| {
            b.recovery(with(|r| r.min_idle = Some(TTL + Duration::from_millis(249))))
        }),
        ("recovery.scan_interval", |b| {
            b.recovery(with(|r| r.scan_interval = Duration::from_millis(1)))
        }),
        ("recovery.jitter", |b| b.recovery(with(|r| r.jitter = 0.6))),
        ("recovery.batch", |b| b.recovery(with(|r| r.batch = 0))),
        ("max_in_flight", |b| b.max_in_flight(0)),
        ("read_batch", |b| b.read_batch(1_001)),
        ("read_block", |b| b.read_block(Duration::ZERO)),
        ("command_timeout", |b| b.command_timeout(Duration::ZERO)),
        ("health_interval", |b| b.health_interval(Duration::from_millis(1))),
        ("reconnect", |b| {
            b.reconnect(Duration::from_secs(2), Duration::from_secs(1))
        }),
    ];
    for (setting, change) in cases {
        let error = refused(&server, change(builder(&server))).await;
        let ConnectError::Setting(error) = error else {
            panic!("{setting}: {error:?}");
        };
        assert_eq!(error.setting, setting);
        let text = error.to_string();
        for part in [setting, &error.value, &error.rule, &error.suggestion] {
            assert!(!part.is_empty() && text.contains(part), "{text:?} lacks {part:?}");
        }
    }
    assert_eq!(Truth::of(&server).cmd("DBSIZE").int(), 0, "nothing was written");
}

fn with(change: fn(&mut Recovery)) -> Recovery {
    let mut recovery = Recovery::default();
    change(&mut recovery);
    recovery
}

#[tokio::test]
async fn guarantee_8_a_service_name_with_spaces_or_braces_is_refused() {
    let server = Redis::start(crate::TOPOLOGY);
    for name in ["", "my orders", "{orders}", "or}ders", "a\tb", &"x".repeat(129)] {
        let error = refused(&server, server.service(name)).await;
        assert!(
            matches!(&error, ConnectError::Setting(e) if e.setting == "service"),
            "{name:?}: {error:?}"
        );
        assert!(server.service(name).connect_producer().await.is_err());
        assert!(server.service(name).connect_admin().await.is_err());
    }
}

#[tokio::test]
async fn a_refused_login_is_told_without_the_password() {
    let server = Redis::start(crate::TOPOLOGY);
    let mut truth = Truth::of(&server);
    let all = ["~*", "&*", "+@all"].map(str::to_owned);
    let users = [server.user("app", &all), server.user("default", &all)];
    let anonymous = server.address();
    let at = |login: &str| anonymous.logged_in(login);
    let refused = [at(":wrong-1"), at("app:wrong-2"), at("nobody:wrong-3")];
    for at in [&anonymous].into_iter().chain(&refused) {
        let url = &at.url;
        let configured = builder(at);
        let shown_before = format!("{configured:?}");
        let began = Instant::now();
        let Err(error) = configured.connect().await else {
            panic!("{url} started");
        };
        assert!(began.elapsed() < SOON);
        assert!(
            matches!(&error, ConnectError::Login { address, .. } if address.starts_with("127.0.0.1:")),
            "{url}: {error:?}"
        );
        let text = shown_before + &shown(&error);
        assert!(!text.contains("wrong-"), "{url}: {text}");
        eventually(SOON, "no connection is left", || {
            let alone = truth.clients().is_empty();
            async move { alone.then_some(()) }
        })
        .await;
    }
    for user in &users {
        let worker = Worker::start(user).await;
        let text = format!("{worker:?} {:?}", worker.client);
        assert!(!text.contains("secret"), "{text}");
    }
}

#[tokio::test]
async fn a_redis_before_6_2_is_refused_with_its_version() {
    let server = Redis::start(crate::TOPOLOGY);
    let proxy = server.proxy().await;
    let info = server.client_for("any").cmd("INFO server").text();
    let line = info.lines().find(|line| line.starts_with("redis_version:")).unwrap();
    let old = "redis_version:6.0.16";
    // A rewrite keeps the length; the version is the beginning of the next line's text otherwise.
    let old = format!("{old:0<width$}", width = line.len());
    proxy.rewrite_replies(line.as_bytes(), &old.as_bytes()[..line.len()]);
    let error = refused(&server, builder(&proxy)).await;
    let ConnectError::TooOld { found } = &error else {
        panic!("{error:?}");
    };
    assert!(found.starts_with("6.0."), "{found}");
    assert!(
        error.to_string().contains(found.as_str()) && error.to_string().contains("6.2"),
        "{error}"
    );
    assert_eq!(Truth::of(&server).cmd("DBSIZE").int(), 0, "nothing was written");
}

#[tokio::test]
async fn guarantee_8_a_key_of_another_type_is_named_and_left_alone() {
    let expected = [
        ("input", "stream"),
        ("front", "stream"),
        ("dlq", "stream"),
        ("epoch", "string"),
        ("control", "hash"),
        ("consumers", "hash"),
        ("scan", "string"),
    ];
    let server = Redis::start(crate::TOPOLOGY);
    let mut truth = Truth::at(&server, "any");
    for (name, kind) in expected {
        let at_key = format!("T:{name}");
        truth.call(&["RPUSH", &at_key, "mine"]).ok();
        match refused(&server, builder(&server)).await {
            ConnectError::WrongType {
                key: at,
                found,
                expected,
            } => {
                assert_eq!(at, truth.key(name));
                assert_eq!((found.as_str(), expected.as_str()), ("list", kind));
            }
            other => panic!("{name}: {other:?}"),
        }
        assert_eq!(truth.call(&["LRANGE", &at_key, "0", "-1"]).strings(), ["mine"]);
        assert_eq!(truth.cmd("DBSIZE").int(), 1, "{name}: nothing else was written");
        truth.call(&["DEL", &at_key]).ok();
    }
}

#[tokio::test]
async fn guarantee_2_a_worker_that_would_requeue_before_the_fleet_s_locks_expire_is_refused() {
    let server = Redis::start(crate::TOPOLOGY);
    let slow = builder(&server)
        .lock_ttl(Duration::from_secs(6))
        .recovery(Recovery::default());
    let slow = Worker::with(slow).await;
    let hasty = builder(&server);
    let mut truth = Truth::of(&server);
    let before = truth.clients().len();
    let error = hasty.connect().await.expect_err("it is refused");
    let ConnectError::FleetTtl { largest, min_idle } = &error else {
        panic!("{error:?}");
    };
    assert_eq!(
        (*largest, *min_idle),
        (Duration::from_secs(6), streamherd_tests::MIN_IDLE)
    );
    assert!(error.to_string().contains("6s"), "{error}");
    eventually(SOON, "its connection is gone", || {
        let connections = truth.clients().len();
        async move { (connections <= before).then_some(()) }
    })
    .await;
    assert!(truth.cmd("XINFO CONSUMERS T:input workers").array().len() <= 1);
    slow.client.shutdown(Duration::ZERO).await;
}

#[tokio::test]
async fn workers_at_work_go_on_when_one_with_longer_locks_joins() {
    let server = Redis::start(crate::TOPOLOGY);
    let mut hasty = Worker::start(&server).await;
    let slow = builder(&server)
        .lock_ttl(Duration::from_secs(6))
        .recovery(Recovery::default());
    let slow = Worker::with(slow).await;
    slow.client.shutdown(Duration::ZERO).await;
    // Longer than its health interval, so it has said hello since.
    hasty.listen_for(Duration::from_millis(1_500)).await;
    queue(&server, &names("s", 1));
    hasty.added().await.done().await.unwrap();
}
