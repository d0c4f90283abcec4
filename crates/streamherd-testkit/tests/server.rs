//! The server: start, restart, freeze, kill.

use std::collections::HashSet;
use std::time::Duration;

use streamherd_testkit::{RawClient, Server, StartError, eventually_blocking};

const SOON: Duration = Duration::from_secs(10);

#[test]
fn a_started_server_answers() {
    let server = Server::start();
    let mut redis = server.client();
    assert_eq!(redis.cmd("PING").text(), "PONG");
    assert_eq!(server.url(), format!("redis://127.0.0.1:{}", server.port()));
    let info = redis.cmd("INFO server").text();
    let (major, minor, patch) = server.version();
    assert!(info.contains(&format!("redis_version:{major}.{minor}.{patch}\r\n")));
    assert!(info.contains(&format!("process_id:{}\r\n", server.pid())));
}

#[test]
fn servers_started_side_by_side_have_ports_of_their_own() {
    let starts: Vec<_> = (0..6).map(|_| std::thread::spawn(Server::start)).collect();
    let servers: Vec<_> = starts.into_iter().map(|start| start.join().unwrap()).collect();
    let ports: HashSet<_> = servers.iter().map(Server::port).collect();
    assert_eq!(ports.len(), servers.len());
    for server in &servers {
        assert!((10_000..22_700).contains(&server.port()));
        assert_eq!(server.client().cmd("DBSIZE").int(), 0);
    }
}

#[test]
fn a_restart_keeps_the_port_and_loses_the_data() {
    let mut server = Server::start();
    let (port, pid) = (server.port(), server.pid());
    let mut redis = server.client();
    redis.cmd("SET k v").ok();
    redis.cmd("SAVE").ok();
    server.restart();
    assert_eq!(server.port(), port);
    assert_ne!(server.pid(), pid);
    assert!(server.client().cmd("GET k").is_nil());
    assert!(redis.try_call(&["PING"]).is_err(), "the old connection is gone");
}

#[test]
fn a_restart_of_a_persistent_server_keeps_the_data() {
    let mut server = Server::builder().persistent().start();
    server.client().cmd("SET k v").ok();
    server.kill();
    server.restart();
    assert_eq!(server.client().cmd("GET k").text(), "v");
    server.restart();
    assert_eq!(server.client().cmd("GET k").text(), "v");
}

#[test]
fn an_empty_restart_loses_even_persistent_data() {
    let mut server = Server::builder().persistent().start();
    let port = server.port();
    server.client().cmd("SET k v").ok();
    server.restart_empty();
    assert_eq!(server.port(), port);
    assert_eq!(server.client().cmd("DBSIZE").int(), 0);
    server.client().cmd("SET k w").ok();
    server.restart();
    assert_eq!(server.client().cmd("GET k").text(), "w");
}

#[test]
fn a_killed_server_refuses_connections() {
    let mut server = Server::start();
    server.kill();
    server.kill();
    assert!(RawClient::connect(("127.0.0.1", server.port())).is_err());
}

#[test]
fn a_frozen_server_answers_only_after_the_thaw() {
    let server = Server::start();
    let mut redis = server.client();
    redis.set_timeout(Some(Duration::from_millis(50))).unwrap();
    server.freeze();
    server.freeze();
    redis.send(&["PING"]).unwrap();
    assert!(redis.receive().is_err());
    let mut late = server.client();
    server.thaw();
    assert_eq!(late.cmd("PING").text(), "PONG");
}

#[test]
fn a_frozen_server_can_be_restarted() {
    let mut server = Server::start();
    server.freeze();
    server.restart();
    assert_eq!(server.client().cmd("PING").text(), "PONG");
}

#[test]
fn a_dropped_server_is_gone_with_its_directory() {
    let server = Server::builder().unix_socket().start();
    let port = server.port();
    let socket = server.unix_socket().unwrap().to_owned();
    assert!(socket.exists());
    drop(server);
    assert!(RawClient::connect(("127.0.0.1", port)).is_err());
    assert!(!socket.parent().unwrap().exists());
}

#[test]
fn a_unix_socket_is_served_when_asked_for() {
    let server = Server::builder().unix_socket().start();
    let mut redis = RawClient::connect_unix(server.unix_socket().unwrap()).unwrap();
    redis.cmd("SET k v").ok();
    assert_eq!(server.client().cmd("GET k").text(), "v");
    assert_eq!(Server::start().unix_socket(), None);
}

#[test]
fn an_argument_reaches_the_server() {
    let server = Server::builder()
        .arg("--maxmemory", "10mb")
        .arg("--databases", "3")
        .start();
    let mut redis = server.client();
    assert_eq!(
        redis.cmd("CONFIG GET maxmemory").pairs(),
        [("maxmemory".to_owned(), "10485760".to_owned())]
    );
    assert!(redis.cmd("SELECT 3").is_error());
}

#[test]
fn a_server_with_a_password_is_ready_too() {
    let server = Server::builder().arg("--requirepass", "secret").start();
    let mut redis = server.client();
    assert!(redis.cmd("PING").error().unwrap().starts_with("NOAUTH"));
    redis.cmd("AUTH secret").ok();
    assert_eq!(redis.cmd("PING").text(), "PONG");
}

#[test]
fn a_refused_argument_is_reported_with_the_log() {
    let error = Server::builder().arg("--no-such-option", "1").try_start().unwrap_err();
    assert!(matches!(error, StartError::Exited { .. }));
    assert!(error.to_string().contains("no-such-option"), "{error}");
}

#[test]
fn a_missing_binary_names_the_package_to_install() {
    let error = Server::builder()
        .binary("/nonexistent/redis-server")
        .try_start()
        .unwrap_err();
    assert!(matches!(error, StartError::Missing { .. }));
    let message = error.to_string();
    for part in [
        "redis-server was not found at /nonexistent/redis-server",
        "apt-get install redis-server",
        "dnf install redis",
        "brew install redis",
        "STREAMHERD_REDIS_SERVER",
    ] {
        assert!(message.contains(part), "{part:?} is not in {message:?}");
    }
}

#[test]
fn without_active_expire_a_key_expires_when_it_is_touched() {
    let server = Server::start();
    let mut redis = server.client();
    redis.cmd("CONFIG SET notify-keyspace-events Ex").ok();
    let mut events = server.client();
    events.cmd("SUBSCRIBE __keyevent@0__:expired").ok();
    events.set_timeout(Some(Duration::from_millis(300))).unwrap();

    server.stop_active_expire();
    redis.cmd("SET touched 1 PX 1").ok();
    assert!(events.receive().is_err(), "no event while nobody looks");
    assert!(redis.cmd("GET touched").is_nil());
    events.set_timeout(Some(SOON)).unwrap();
    assert_eq!(events.receive().unwrap().strings()[2], "touched");

    server.resume_active_expire();
    redis.cmd("SET untouched 1 PX 1").ok();
    assert_eq!(events.receive().unwrap().strings()[2], "untouched");
}

#[test]
fn the_log_covers_restarts() {
    let mut server = Server::start();
    server.restart();
    let starts = eventually_blocking(SOON, "both starts are logged", || {
        let starts = server.log().matches("Ready to accept connections").count();
        (starts >= 2).then_some(starts)
    });
    assert_eq!(starts, 2);
}

#[test]
fn replies_keep_their_kind() {
    let server = Server::start();
    let mut redis = server.client();
    assert!(redis.cmd("GET nothing").is_nil());
    assert!(redis.cmd("XREAD COUNT 1 STREAMS nothing 0").is_nil());
    assert!(redis.cmd("NO SUCH COMMAND").is_error());
    assert_eq!(redis.call(&[&b"SET"[..], b"bytes", b"\r\n\0\xff"]).text(), "OK");
    assert_eq!(redis.cmd("GET bytes").bytes(), b"\r\n\0\xff");
    assert_eq!(redis.cmd("INCR n").int(), 1);
    assert_eq!(redis.cmd("GET n").int(), 1);
    redis.cmd("RPUSH list a b").ok();
    assert_eq!(redis.cmd("LRANGE list 0 -1").strings(), ["a", "b"]);
}

#[test]
#[should_panic(expected = "expected an integer from redis, got Error(\"ERR unknown command")]
fn a_reply_of_another_kind_fails_the_test_and_is_shown() {
    let server = Server::start();
    let _ = server.client().cmd("NO SUCH COMMAND").int();
}
