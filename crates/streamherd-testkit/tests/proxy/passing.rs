use streamherd_testkit::{Fault, Matcher, Proxy, RawClient, Reply, Server, eventually, eventually_blocking};

use crate::{SETTLE, SOON, pipeline, through};

#[tokio::test]
async fn a_pipeline_passes_through_in_order() {
    let server = Server::start();
    let proxy = Proxy::start(&server).await;
    assert_eq!(proxy.url(), format!("redis://127.0.0.1:{}", proxy.port()));
    let mut client = through(&proxy);
    for _ in 0..2_000 {
        client.send(&["INCR", "n"]).unwrap();
    }
    for n in 1..=2_000 {
        assert_eq!(client.receive().unwrap(), Reply::Int(n));
    }
    assert_eq!(proxy.seen().len(), 2_000);
}

#[tokio::test]
async fn a_large_value_passes_through_both_ways() {
    let server = Server::start();
    let proxy = Proxy::start(&server).await;
    let mut client = through(&proxy);
    let value = b"*1\r\n$4\r\n\xff".repeat(300_000);
    client.call(&[&b"SET"[..], b"k", &value]).ok();
    assert_eq!(client.cmd("GET k").bytes(), value);
    let elements: Vec<_> = (0..5_000).map(|n| n.to_string()).collect();
    client
        .call(&[&["RPUSH".to_owned(), "list".to_owned()], &elements[..]].concat())
        .ok();
    assert_eq!(client.cmd("LRANGE list 0 -1").strings(), elements);
}

#[tokio::test]
async fn a_script_is_known_by_the_name_in_its_first_line() {
    let server = Server::start();
    let proxy = Proxy::start(&server).await;
    let sha = through(&proxy).call(&["SCRIPT", "LOAD", SETTLE]).text();
    let mut client = through(&proxy);
    let fault = proxy.on(Matcher::script("settle"), 3, Fault::SwallowReply);
    assert_eq!(client.call(&["evalsha", &sha, "1", "n"]).int(), 1);
    assert_eq!(client.call(&["EVAL", SETTLE, "1", "n"]).int(), 2);
    client.call(&["EVAL", "return 1", "0"]).ok();
    assert!(client.try_call(&["EVALSHA", &sha, "1", "n"]).is_err());
    assert!(fault.fired());
    assert_eq!(server.client().cmd("GET n").int(), 3);
    assert_eq!(
        proxy.seen(),
        ["SCRIPT", "EVALSHA:settle", "EVAL:settle", "EVAL", "EVALSHA:settle"]
    );
}

#[tokio::test]
async fn a_script_loaded_past_the_proxy_can_be_taught() {
    let server = Server::start();
    let proxy = Proxy::start(&server).await;
    let sha = server.client().call(&["SCRIPT", "LOAD", SETTLE]).text();
    through(&proxy).call(&["EVALSHA", &sha, "1", "n"]).ok();
    proxy.learn_script(SETTLE.as_bytes());
    through(&proxy).call(&["EVALSHA", &sha, "1", "n"]).ok();
    assert_eq!(proxy.seen(), ["EVALSHA", "EVALSHA:settle"]);
}

#[tokio::test]
async fn a_rewrite_changes_what_the_client_reads() {
    let server = Server::start();
    let proxy = Proxy::start(&server).await;
    let (major, minor, patch) = server.version();
    let real = format!("redis_version:{major}.{minor}.{patch}");
    let fake = "redis_version:".to_owned() + &"9".repeat(real.len() - "redis_version:".len());
    proxy.rewrite_replies(real.as_bytes(), fake.as_bytes());
    let info = through(&proxy).cmd("INFO server").text();
    assert!(info.contains(&fake) && !info.contains(&real));
    assert!(server.client().cmd("INFO server").text().contains(&real));
}

#[tokio::test]
#[should_panic(expected = "a rewrite must keep the length")]
async fn a_rewrite_of_another_length_is_refused() {
    let server = Server::start();
    Proxy::start(&server).await.rewrite_replies(b"7.0.15", b"6.0");
}

#[tokio::test]
async fn severing_closes_every_connection_and_accepts_new_ones() {
    let server = Server::start();
    let proxy = Proxy::start(&server).await;
    let mut clients = [through(&proxy), through(&proxy)];
    for client in &mut clients {
        client.cmd("PING").ok();
    }
    proxy.sever_all();
    for client in &mut clients {
        assert!(client.try_call(&["PING"]).is_err());
    }
    assert_eq!(through(&proxy).cmd("PING").text(), "PONG");
    let mut redis = server.client();
    eventually_blocking(SOON, "the server has lost the severed clients", || {
        redis
            .cmd("INFO clients")
            .text()
            .contains("connected_clients:1\r\n")
            .then_some(())
    });
}

#[tokio::test]
async fn a_refusing_proxy_closes_old_and_new_connections() {
    let server = Server::start();
    let proxy = Proxy::start(&server).await;
    let mut client = through(&proxy);
    client.cmd("PING").ok();
    proxy.refuse(true);
    assert!(client.try_call(&["PING"]).is_err());
    assert!(through(&proxy).try_call(&["PING"]).is_err());
    proxy.refuse(false);
    assert_eq!(through(&proxy).cmd("PING").text(), "PONG");
}

#[tokio::test]
async fn a_subscription_passes_through_untouched() {
    let server = Server::start();
    let proxy = Proxy::start(&server).await;
    proxy.rewrite_replies(b"hello", b"HELLO");
    let mut subscriber = through(&proxy);
    assert_eq!(subscriber.cmd("ECHO hello").text(), "HELLO");
    pipeline(&mut subscriber, &["SUBSCRIBE a b", "PSUBSCRIBE x*"]);
    for (kind, count) in [("subscribe", 1), ("subscribe", 2), ("psubscribe", 3)] {
        let reply = subscriber.receive().unwrap().array();
        assert_eq!((reply[0].text().as_str(), reply[2].int()), (kind, count));
    }
    let swallow = proxy.on(Matcher::command("PING"), 1, Fault::SwallowReply);
    for _ in 0..3 {
        server.client().cmd("PUBLISH a hello").ok();
        assert_eq!(subscriber.receive().unwrap().strings(), ["message", "a", "hello"]);
    }
    assert_eq!(subscriber.cmd("PING").strings(), ["pong", ""]);
    assert!(!swallow.fired());
    assert_eq!(proxy.seen(), ["ECHO", "SUBSCRIBE", "PSUBSCRIBE", "PING"]);
}

#[tokio::test]
async fn the_proxy_follows_the_server_through_a_restart() {
    let mut server = Server::start();
    let proxy = Proxy::start(&server).await;
    let mut client = through(&proxy);
    client.cmd("PING").ok();
    server.kill();
    assert!(client.try_call(&["PING"]).is_err());
    assert!(through(&proxy).try_call(&["PING"]).is_err());
    server.restart();
    assert_eq!(through(&proxy).cmd("PING").text(), "PONG");
}

#[tokio::test]
async fn a_frozen_server_is_frozen_through_the_proxy_too() {
    let server = Server::start();
    let proxy = Proxy::start(&server).await;
    let mut client = through(&proxy);
    client.cmd("PING").ok();
    server.freeze();
    client.send(&["INCR", "n"]).unwrap();
    eventually(SOON, "the proxy has the request", || {
        let arrived = proxy.seen().contains(&"INCR".to_owned());
        async move { arrived.then_some(()) }
    })
    .await;
    server.thaw();
    assert_eq!(client.receive().unwrap(), Reply::Int(1));
}

#[tokio::test]
async fn a_dropped_proxy_closes_its_connections() {
    let server = Server::start();
    let proxy = Proxy::start(&server).await;
    let port = proxy.port();
    let mut client = through(&proxy);
    client.cmd("PING").ok();
    drop(proxy);
    assert!(client.try_call(&["PING"]).is_err());
    // Not at once: a process that another test is just starting has a copy of the socket until it executes its program.
    eventually_blocking(SOON, "nobody listens any more", || {
        RawClient::connect(("127.0.0.1", port)).is_err().then_some(())
    });
}
