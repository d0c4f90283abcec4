//! TLS, ACL users, unix sockets and replicas: all the ways a server is reached.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::time::Duration;

use streamherd_testkit::{Certificates, RawClient, Reply, Server, StartError, eventually_blocking};

const SOON: Duration = Duration::from_secs(10);

#[test]
fn a_server_with_tls_answers_over_tls_only() {
    let mut server = Server::builder().tls().start();
    let addr = ("127.0.0.1", server.port());
    assert_eq!(server.url(), format!("rediss://127.0.0.1:{}", server.port()));
    assert_eq!(server.client().cmd("PING").text(), "PONG");
    let anonymous = RawClient::connect_tls_anonymous(addr, server.certificates().unwrap());
    assert_eq!(anonymous.unwrap().cmd("PING").text(), "PONG");
    assert!(RawClient::connect(addr).unwrap().try_call(&["PING"]).is_err());
    server.restart();
    assert_eq!(server.client().cmd("PING").text(), "PONG");
}

#[test]
fn replies_larger_than_a_tls_record_arrive_whole() {
    let server = Server::builder().tls().start();
    let mut redis = server.client();
    let value = vec![b'x'; 1 << 20];
    redis.call(&[&b"SET"[..], b"large", &value]).ok();
    assert_eq!(redis.cmd("GET large").bytes(), value);
}

#[test]
fn a_server_of_another_authority_is_not_trusted() {
    let server = Server::builder().tls().start();
    let others = Certificates::make().unwrap();
    let error = RawClient::connect_tls(("127.0.0.1", server.port()), &others).unwrap_err();
    assert!(error.to_string().contains("certificate"), "{error}");
}

#[test]
fn a_client_without_a_certificate_is_refused() {
    let server = Server::builder().require_client_certificate().start();
    assert_eq!(server.client().cmd("PING").text(), "PONG");
    let addr = ("127.0.0.1", server.port());
    let refused = RawClient::connect_tls_anonymous(addr, server.certificates().unwrap())
        .and_then(|mut client| client.try_call(&["PING"]));
    assert!(refused.is_err(), "{refused:?}");
}

#[test]
fn the_certificates_are_files_as_long_as_somebody_holds_them() {
    let certificates = Certificates::make().unwrap();
    let server = Server::builder().tls_with(&certificates).start();
    let files = [
        certificates.authority(),
        certificates.server_certificate(),
        certificates.server_key(),
        certificates.client_certificate(),
        certificates.client_key(),
    ];
    for file in &files {
        assert!(fs::read_to_string(file).unwrap().starts_with("-----BEGIN "));
    }
    drop(certificates);
    assert!(files[0].exists(), "the server holds them");
    drop(server);
    assert!(!files[0].exists());
}

#[test]
fn a_binary_without_tls_is_named_with_what_to_do() {
    let dir = tempfile::tempdir().unwrap();
    let binary = dir.path().join("redis-server");
    let script = "#!/bin/sh\n\
        if [ \"$1\" = --version ]; then echo 'Redis server v=7.0.15 sha=0'; exit; fi\n\
        echo \">>> 'tls-port \\\"1\\\"'\"; echo 'Bad directive or wrong number of arguments'; exit 1\n";
    fs::write(&binary, script).unwrap();
    fs::set_permissions(&binary, fs::Permissions::from_mode(0o755)).unwrap();
    let error = Server::builder().binary(&binary).tls().try_start().unwrap_err();
    assert!(matches!(error, StartError::NoTls { .. }), "{error}");
    assert!(error.to_string().contains("BUILD_TLS=yes"), "{error}");
}

#[test]
fn a_user_may_do_what_its_rules_allow() {
    let server = Server::builder()
        .user("worker", "s e/cret", "~orders:* +@all -@dangerous")
        .start();
    let mut worker = server.client_as("worker");
    worker.cmd("SET orders:1 teapot").ok();
    assert!(worker.cmd("GET bills:1").error().unwrap().starts_with("NOPERM"));
    assert!(worker.cmd("FLUSHALL").error().unwrap().starts_with("NOPERM"));
    assert_eq!(server.client().cmd("GET orders:1").text(), "teapot");
    let url = format!("redis://worker:s%20e%2Fcret@127.0.0.1:{}", server.port());
    assert_eq!(server.url_as("worker"), url);
}

#[test]
fn a_server_whose_default_user_may_do_nothing_is_ready_too() {
    let server = Server::builder().user("default", "secret", "-@all").start();
    assert!(
        server
            .client_as("default")
            .cmd("PING")
            .error()
            .unwrap()
            .starts_with("NOPERM")
    );
}

#[test]
#[should_panic(expected = "was given no user \"nobody\"")]
fn a_user_that_was_not_given_is_named() {
    let _ = Server::start().client_as("nobody");
}

#[test]
fn a_unix_socket_has_a_url() {
    let server = Server::builder().unix_socket().start();
    let url = server.unix_url().unwrap();
    let path = url.strip_prefix("redis+unix://").unwrap();
    assert_eq!(RawClient::connect_unix(path).unwrap().cmd("PING").text(), "PONG");
    assert_eq!(Server::start().unix_url(), None);
}

#[test]
fn a_started_replica_has_its_primarys_data_and_follows_it() {
    for builder in [Server::builder(), Server::builder().require_client_certificate()] {
        let primary = builder.start();
        primary.client().cmd("SET k before").ok();
        let mut replica = Server::builder().replica_of(&primary).start();
        assert!(replica.is_in_sync() && !primary.is_in_sync());
        assert_eq!(replica.client().cmd("GET k").text(), "before");
        let mut redis = primary.client();
        redis.cmd("SET k after").ok();
        assert_eq!(redis.cmd("WAIT 1 5000").int(), 1);
        assert_eq!(replica.client().cmd("GET k").text(), "after");
        replica.restart();
        eventually_blocking(SOON, "the replica follows after its restart", || {
            (replica.client().cmd("GET k") == Reply::Bulk(b"after".to_vec())).then_some(())
        });
        assert!(replica.client().cmd("SET k v").error().unwrap().starts_with("READONLY"));
    }
}
