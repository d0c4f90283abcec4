use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::time::Duration;

use streamherd_testkit::{RawClient, Sentinels};

use crate::timed;

#[test]
fn sentinels_boot_over_a_primary_and_a_replica() {
    let sentinels = timed("boot", Sentinels::start);
    assert_eq!((sentinels.primary(), sentinels.replica()), (0, 1));
    sentinels.client().cmd("SET k v").ok();
    assert!(sentinels.server(1).is_in_sync());
    assert!(sentinels.server(1).client().cmd("SET k w").is_error());
    let known = sentinels
        .sentinel(2)
        .client()
        .cmd("SENTINEL SENTINELS streamherd")
        .array();
    assert_eq!(known.len(), 2);
}

#[test]
fn the_url_names_every_sentinel_and_the_service() {
    let sentinels = Sentinels::builder().user("worker", "se cret", "~* &* +@all").start();
    let ports: Vec<_> = (0..3).map(|sentinel| sentinels.sentinel(sentinel).port()).collect();
    let rest = format!(
        "127.0.0.1:{}?node=127.0.0.1:{}&node=127.0.0.1:{}&sentinelServiceName={}",
        ports[0],
        ports[1],
        ports[2],
        sentinels.service()
    );
    assert_eq!(sentinels.url(), format!("redis-sentinel://{rest}"));
    assert_eq!(
        sentinels.url_as("worker"),
        format!("redis-sentinel://worker:se%20cret@{rest}")
    );
    for server in [sentinels.server(0), sentinels.server(1), sentinels.sentinel(0)] {
        assert_eq!(server.client_as("worker").cmd("ACL WHOAMI").text(), "worker");
    }
}

#[test]
fn sentinels_speak_tls_with_all() {
    let mut sentinels = timed("boot with TLS", || Sentinels::builder().tls().start());
    assert!(sentinels.url().starts_with("rediss-sentinel://"));
    let plain = RawClient::connect(("127.0.0.1", sentinels.sentinel(0).port()))
        .unwrap()
        .try_call(&["PING"]);
    assert!(plain.is_err());
    sentinels.kill_primary();
    sentinels.wait_for_promotion(1);
}

#[test]
fn a_restarted_sentinel_knows_what_it_knew() {
    let mut sentinels = Sentinels::builder().user("worker", "secret", "~* &* +@all").start();
    sentinels.failover();
    sentinels.restart_sentinel(0);
    sentinels.wait_until_whole();
    assert_eq!(sentinels.primary(), 1);
    assert_eq!(sentinels.sentinel(0).client_as("worker").cmd("PING").text(), "PONG");
}

#[test]
fn nothing_is_left_running_after_a_panic() {
    let mut pids = Vec::new();
    let panicked = catch_unwind(AssertUnwindSafe(|| {
        let mut sentinels = Sentinels::builder().down_after(Duration::from_secs(5)).start();
        pids.extend((0..2).map(|server| sentinels.server(server).pid()));
        pids.extend((0..3).map(|sentinel| sentinels.sentinel(sentinel).pid()));
        sentinels.freeze(0);
        sentinels.freeze_sentinel(1);
        panic!("this one is wanted");
    }));
    assert!(panicked.is_err());
    assert_eq!(pids.len(), 5);
    for pid in pids {
        assert!(!Path::new(&format!("/proc/{pid}")).exists(), "{pid} runs");
    }
}

#[test]
fn one_alone_knows_its_primary() {
    let started = std::time::Instant::now();
    let mut sentinels = Sentinels::builder().alone().start();
    assert!(started.elapsed() < std::time::Duration::from_secs(1));
    assert_eq!(sentinels.primary(), 0);
    sentinels.client().cmd("SET key 1").ok();
    sentinels.restart(0);
    sentinels.wait_until_whole();
    assert_eq!(sentinels.client().cmd("GET key").int(), 1);
}
