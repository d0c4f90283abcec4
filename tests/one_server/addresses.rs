//! Addresses that only one server can have, or that are to be told as they were given.

use std::error::Error as _;
use std::net::TcpListener;
use std::time::{Duration, Instant};

use streamherd::error::ConnectError;
use streamherd_testkit::{Proxy, Server};
use streamherd_tests::{Address, Redis, SOON, Worker, builder, refused, shown, submit};

#[tokio::test]
async fn guarantee_8_a_url_that_can_not_be_used_is_refused_without_showing_its_password() {
    let server = Redis::start(crate::TOPOLOGY);
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
        let configured = builder(&Address::of(url));
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
async fn an_address_where_nothing_answers_is_named_soon() {
    let server = Redis::start(crate::TOPOLOGY);
    let proxied = Server::start();
    let closed = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let proxy = Proxy::start(&proxied).await;
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
        let error = refused(&server, builder(&Address::of(&url))).await;
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
        let server = Redis::with(crate::TOPOLOGY, &[("--maxclients", connections)]);
        let began = Instant::now();
        let error = refused(&server, builder(&server)).await;
        assert!(began.elapsed() < SOON, "{error}");
        assert!(shown(&error).contains("max number of clients"), "{error:?}");
    }
}

#[tokio::test]
async fn a_unix_socket_is_an_address() {
    let server = Server::builder().unix_socket().start();
    let path = server.unix_socket().unwrap().display().to_string();
    let at = Address::of(&format!("redis+unix://{path}"));
    let mut worker = Worker::start(&at).await;
    submit(&at, ["s"]).await;
    worker.added().await.done().await.unwrap();
}
