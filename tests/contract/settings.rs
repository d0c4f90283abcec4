//! What a client refuses to start with, how it says so, and that nothing was started then.

use std::error::Error as _;
use std::net::TcpListener;
use std::time::{Duration, Instant};

use streamherd::error::ConnectError;
use streamherd::{Builder, Client, Recovery};
use streamherd_testkit::{Proxy, Server, eventually};
use streamherd_tests::{SOON, TTL, Truth, Worker, builder, names, queue};

/// A builder with one setting that is wrong.
type Change = fn(Builder) -> Builder;

/// Why this client does not start, made sure that nothing was.
async fn refused(server: &Server, builder: Builder) -> ConnectError {
    let mut truth = Truth::of(server);
    let before = truth.cmd("CLIENT LIST").text().lines().count();
    let error = match builder.connect().await {
        Ok((client, _)) => panic!("{client:?} started"),
        Err(error) => error,
    };
    eventually(SOON, "no connection and no task is left", || {
        let connections = truth.cmd("CLIENT LIST").text().lines().count();
        let tasks = tokio::runtime::Handle::current().metrics().num_alive_tasks();
        async move { (connections <= before && tasks == 0).then_some(()) }
    })
    .await;
    error
}

/// Everything that a log could show of an error.
fn shown(error: &ConnectError) -> String {
    let mut text = format!("{error} {error:?} {error:#?}");
    let mut cause = error.source();
    while let Some(error) = cause {
        text.push_str(&format!(" {error} {error:?}"));
        cause = error.source();
    }
    text
}

#[tokio::test]
async fn guarantee_8_a_setting_that_breaks_a_rule_is_named_and_nothing_starts() {
    let server = Server::start();
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
        let error = refused(&server, change(builder(&server.url()))).await;
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
    let server = Server::start();
    for name in ["", "my orders", "{orders}", "or}ders", "a\tb", &"x".repeat(129)] {
        let error = refused(&server, Client::builder(name).url(server.url())).await;
        assert!(
            matches!(&error, ConnectError::Setting(e) if e.setting == "service"),
            "{name:?}: {error:?}"
        );
        assert!(
            Client::builder(name)
                .url(server.url())
                .connect_producer()
                .await
                .is_err()
        );
        assert!(Client::builder(name).url(server.url()).connect_admin().await.is_err());
    }
}

#[tokio::test]
async fn guarantee_8_a_url_that_can_not_be_used_is_refused_without_showing_its_password() {
    let server = Server::start();
    let urls = [
        "",
        "127.0.0.1:6379",
        "http://127.0.0.1:6379",
        "redis://:hunter2@127.0.0.1:notaport",
        "redis://:hunter2@127.0.0.1:6379/notadatabase",
        "redis-sentinel://:hunter2@127.0.0.1:6379",
        "redis://hunter2:1/hunter2@127.0.0.1:6379",
        "redis-cluster://hunter2:1#hunter2@127.0.0.1:6379",
        "redis-cluster://hunter2:1?hunter2@127.0.0.1:6379",
        "rediss+unix://:hunter2@/no/such/socket",
        "postgres://:hunter2@127.0.0.1:6379",
    ];
    for url in urls {
        let configured = builder(url);
        assert!(!format!("{configured:?}").contains("hunter2"));
        let error = refused(&server, configured).await;
        assert!(
            matches!(&error, ConnectError::Url { reason } if !reason.is_empty()),
            "{url}: {error:?}"
        );
        assert!(!shown(&error).contains("hunter2"), "{url}: {error:?}");
        assert!(
            error.to_string().contains("redis://"),
            "it says what is expected: {error}"
        );
    }
}

#[tokio::test]
async fn a_refused_login_is_told_without_the_password() {
    let server = Server::builder().arg("--requirepass", "hunter2").start();
    let mut truth = Truth::of(&server);
    truth.cmd("AUTH hunter2").ok();
    truth.cmd("ACL SETUSER app on >hunter3 ~* &* +@all").ok();
    let at = |login: &str| format!("redis://{login}127.0.0.1:{}", server.port());
    for url in [
        at(""),
        at(":wrongpass1@"),
        at("app:wrongpass2@"),
        at("nobody:wrongpass3@"),
    ] {
        let configured = builder(&url);
        let shown_before = format!("{configured:?}");
        let began = Instant::now();
        let Err(error) = configured.connect().await else {
            panic!("{url} started");
        };
        assert!(began.elapsed() < SOON);
        assert!(
            matches!(&error, ConnectError::Login { address, .. } if address.ends_with(&server.port().to_string())),
            "{url}: {error:?}"
        );
        let text = shown_before + &shown(&error);
        for secret in ["wrongpass", "hunter"] {
            assert!(!text.contains(secret), "{url}: {text}");
        }
        eventually(SOON, "no connection is left", || {
            let connections = truth.cmd("CLIENT LIST").text().lines().count();
            async move { (connections == 1).then_some(()) }
        })
        .await;
    }
    for url in [at(":hunter2@"), at("app:hunter3@")] {
        let worker = Worker::start(&url).await;
        let text = format!("{worker:?} {:?}", worker.client);
        assert!(!text.contains("hunter"), "{text}");
    }
}

#[tokio::test]
async fn an_address_where_nothing_answers_is_named_soon() {
    let server = Server::start();
    let closed = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let proxy = Proxy::start(&server).await;
    proxy.refuse(true);
    let silent = Server::start();
    silent.freeze();
    let urls = [
        format!("redis://{closed}"),
        proxy.url(),
        silent.url(),
        "redis://no-such-host.invalid:6379".to_owned(),
        "redis+unix:///no/such/socket".to_owned(),
    ];
    for url in urls {
        let began = Instant::now();
        let error = refused(&server, builder(&url)).await;
        let took = began.elapsed();
        assert!(took < Duration::from_secs(10), "{url}: {took:?}");
        let ConnectError::Unreachable { address, .. } = &error else {
            panic!("{url}: {error:?}");
        };
        assert!(url.ends_with(address.as_str()), "{url} is told as {address}");
        assert!(error.source().is_some());
    }
    silent.thaw();
}

#[tokio::test]
async fn guarantee_8_a_client_that_does_not_get_all_its_connections_keeps_none() {
    // One is the test's own; a client needs three, and a fourth to listen.
    for connections in ["2", "3"] {
        let server = Server::builder().arg("--maxclients", connections).start();
        let began = Instant::now();
        let error = refused(&server, builder(&server.url())).await;
        assert!(began.elapsed() < SOON, "{error}");
        assert!(shown(&error).contains("max number of clients"), "{error:?}");
    }
}

#[tokio::test]
async fn a_unix_socket_is_an_address() {
    let server = Server::builder().unix_socket().start();
    let path = server.unix_socket().unwrap().display().to_string();
    let mut worker = Worker::start(&format!("redis+unix://{path}")).await;
    queue(&server, &names("s", 1));
    worker.added().await.done().await.unwrap();
}

#[tokio::test]
async fn a_redis_before_6_2_is_refused_with_its_version() {
    let server = Server::start();
    let proxy = Proxy::start(&server).await;
    let info = server.client().cmd("INFO server").text();
    let line = info.lines().find(|line| line.starts_with("redis_version:")).unwrap();
    let old = "redis_version:6.0.16";
    // A rewrite keeps the length; the version is the beginning of the next line's text otherwise.
    let old = format!("{old:0<width$}", width = line.len());
    proxy.rewrite_replies(line.as_bytes(), &old.as_bytes()[..line.len()]);
    let error = refused(&server, builder(&proxy.url())).await;
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
    let server = Server::start();
    let mut truth = Truth::of(&server);
    for (name, kind) in expected {
        let key = Truth::key(name);
        truth.call(&["RPUSH", &key, "mine"]).ok();
        match refused(&server, builder(&server.url())).await {
            ConnectError::WrongType {
                key: at,
                found,
                expected,
            } => {
                assert_eq!((at, found.as_str(), expected.as_str()), (key.clone(), "list", kind));
            }
            other => panic!("{name}: {other:?}"),
        }
        assert_eq!(truth.call(&["LRANGE", &key, "0", "-1"]).strings(), ["mine"]);
        assert_eq!(truth.cmd("DBSIZE").int(), 1, "{name}: nothing else was written");
        truth.call(&["DEL", &key]).ok();
    }
}

#[tokio::test]
async fn guarantee_2_a_worker_that_would_requeue_before_the_fleet_s_locks_expire_is_refused() {
    let server = Server::start();
    let slow = builder(&server.url())
        .lock_ttl(Duration::from_secs(6))
        .recovery(Recovery::default());
    let slow = Worker::with(slow).await;
    let hasty = builder(&server.url());
    let mut truth = Truth::of(&server);
    let before = truth.cmd("CLIENT LIST").text().lines().count();
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
        let connections = truth.cmd("CLIENT LIST").text().lines().count();
        async move { (connections <= before).then_some(()) }
    })
    .await;
    assert!(truth.cmd("XINFO CONSUMERS T:input workers").array().len() <= 1);
    slow.client.shutdown(Duration::ZERO).await;
}

#[tokio::test]
async fn workers_at_work_go_on_when_one_with_longer_locks_joins() {
    let server = Server::start();
    let mut hasty = Worker::start(&server.url()).await;
    let slow = builder(&server.url())
        .lock_ttl(Duration::from_secs(6))
        .recovery(Recovery::default());
    let slow = Worker::with(slow).await;
    slow.client.shutdown(Duration::ZERO).await;
    // Longer than its health interval, so it has said hello since.
    hasty.listen_for(Duration::from_millis(1_500)).await;
    queue(&server, &names("s", 1));
    hasty.added().await.done().await.unwrap();
}
