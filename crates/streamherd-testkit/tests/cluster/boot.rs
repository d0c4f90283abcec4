use std::collections::{HashMap, HashSet};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;

use streamherd_testkit::{Cluster, RawClient, slot_of};

use crate::timed;

#[test]
fn a_cluster_boots_and_answers_for_every_slot() {
    let cluster = timed("boot", Cluster::start);
    let (masters, replicas) = (cluster.masters(), cluster.replicas());
    assert_eq!((masters.len(), replicas.len(), cluster.len()), (3, 3, 6));
    let followed: HashSet<_> = masters.iter().map(|master| cluster.replica_of(*master)).collect();
    assert_eq!(followed, replicas.iter().copied().collect());

    let mut keys = HashMap::new();
    for key in (0..).map(|n| format!("key-{n}")) {
        keys.entry(slot_of(&key)).or_insert(key);
        if keys.len() == 16_384 {
            break;
        }
    }
    let view = cluster.agreed();
    let mut clients: Vec<_> = (0..cluster.len()).map(|node| cluster.client(node)).collect();
    for (slot, key) in keys {
        clients[view.owner_of(slot).unwrap()].call(&["SET", &key, "v"]).ok();
    }
    let held: i64 = masters.iter().map(|master| clients[*master].cmd("DBSIZE").int()).sum();
    assert_eq!(held, 16_384);
    let key = "key-0";
    let stranger = masters.iter().find(|master| **master != cluster.owner_of(key)).unwrap();
    let moved = format!(
        "MOVED {} 127.0.0.1:{}",
        slot_of(key),
        cluster.node(cluster.owner_of(key)).port()
    );
    assert_eq!(clients[*stranger].call(&["GET", key]).error(), Some(moved.as_str()));
}

#[test]
fn the_url_names_every_node() {
    let cluster = Cluster::builder()
        .replicas_per_master(0)
        .user("worker", "secret", "~* +@all")
        .start();
    let ports: Vec<_> = (0..3).map(|node| cluster.node(node).port()).collect();
    let rest = format!(
        "127.0.0.1:{}?node=127.0.0.1:{}&node=127.0.0.1:{}",
        ports[0], ports[1], ports[2]
    );
    assert_eq!(cluster.url(), format!("redis-cluster://{rest}"));
    assert_eq!(
        cluster.url_as("worker"),
        format!("redis-cluster://worker:secret@{rest}")
    );
    assert_eq!(cluster.node(0).client_as("worker").cmd("ACL WHOAMI").text(), "worker");
}

#[test]
fn a_cluster_speaks_tls_among_its_nodes_and_with_clients() {
    let cluster = timed("boot with TLS", || Cluster::builder().tls().start());
    assert!(cluster.url().starts_with("rediss-cluster://"));
    cluster.client_for("k").cmd("SET k v").ok();
    let owner = cluster.owner_of("k");
    let plain = RawClient::connect(("127.0.0.1", cluster.node(owner).port()))
        .unwrap()
        .try_call(&["PING"]);
    assert!(plain.is_err());

    let target = cluster.masters().into_iter().find(|master| *master != owner).unwrap();
    cluster.migrate_slots(slot_of("k")..=slot_of("k"), owner, target);
    assert_eq!(cluster.client(target).cmd("GET k").text(), "v");
}

#[test]
fn clusters_boot_side_by_side() {
    let boots: Vec<_> = (0..2).map(|_| std::thread::spawn(Cluster::start)).collect();
    let clusters: Vec<_> = boots.into_iter().map(|boot| boot.join().unwrap()).collect();
    let all = |cluster: &Cluster| {
        (0..cluster.len())
            .map(|node| cluster.node(node).port())
            .collect::<HashSet<_>>()
    };
    assert!(all(&clusters[0]).is_disjoint(&all(&clusters[1])));
}

#[test]
fn a_restarted_node_has_its_data_and_its_slots() {
    let mut cluster = Cluster::start();
    cluster.client_for("k").cmd("SET k v").ok();
    let (owner, before) = (cluster.owner_of("k"), cluster.agreed());
    let port = cluster.node(owner).port();
    cluster.restart(owner);
    timed("whole after a restart", || cluster.wait_until_whole());
    assert_eq!(cluster.node(owner).port(), port);
    assert_eq!(cluster.agreed(), before);
    assert_eq!(cluster.client(owner).cmd("GET k").text(), "v");
}

#[test]
fn a_master_that_is_back_empty_before_it_is_missed_takes_its_replicas_data_too() {
    let mut cluster = Cluster::start();
    let (owner, before) = (cluster.owner_of("k"), cluster.agreed());
    let replica = cluster.replica_of(owner);
    let mut redis = cluster.client(owner);
    redis.cmd("SET k v").ok();
    assert_eq!(redis.cmd("WAIT 1 5000").int(), 1);
    cluster.restart_empty(owner);
    cluster.wait_until_whole();
    assert_eq!(cluster.agreed(), before);
    for node in [owner, replica] {
        assert_eq!(cluster.client(node).cmd("DBSIZE").int(), 0);
    }
}

#[test]
fn nothing_is_left_running_after_a_panic() {
    let mut left = Vec::new();
    let panicked = catch_unwind(AssertUnwindSafe(|| {
        let mut cluster = Cluster::start();
        for node in 0..cluster.len() {
            let dir = cluster.client(node).cmd("CONFIG GET dir").strings()[1].clone();
            left.push((cluster.node(node).pid(), dir));
        }
        cluster.freeze(0);
        cluster.kill(1);
        panic!("this one is wanted");
    }));
    assert!(panicked.is_err());
    assert_eq!(left.len(), 6);
    for (pid, dir) in left {
        assert!(!Path::new(&format!("/proc/{pid}")).exists(), "{pid} runs");
        assert!(!Path::new(&dir).exists(), "{dir} is there");
    }
}

#[test]
fn a_cluster_that_cannot_form_says_what_is_missing() {
    let error = Cluster::builder().arg("--no-such-option", "1").try_start().unwrap_err();
    assert!(error.to_string().contains("no-such-option"), "{error}");
}
