use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use streamherd_testkit::{Cluster, RawClient, Reply, eventually_blocking, slot_of};

use crate::{SOON, timed};

fn another_master(cluster: &Cluster, than: usize) -> usize {
    cluster.masters().into_iter().find(|master| *master != than).unwrap()
}

#[test]
fn a_slot_held_half_way_answers_ask() {
    let cluster = Cluster::builder().replicas_per_master(0).start();
    let (source, slot) = (cluster.owner_of("{t}"), slot_of("{t}"));
    let target = another_master(&cluster, source);
    let (mut from, mut to) = (cluster.client(source), cluster.client(target));
    from.cmd("MSET {t}1 a {t}2 b {t}3 c").ok();

    let migration = cluster.begin_migration(slot..=slot, source, target);
    assert_eq!(migration.move_keys(slot, 1), 1);
    assert_eq!(migration.keys_left(), 2);
    assert_eq!(cluster.owner_of_slot(slot), source, "it still owns the slot");

    let keys = ["{t}1", "{t}2", "{t}3"];
    let moved: Vec<_> = keys
        .into_iter()
        .filter(|key| from.call(&["GET", key]).is_error())
        .collect();
    assert_eq!(moved.len(), 1);
    let ask = format!("ASK {slot} 127.0.0.1:{}", cluster.node(target).port());
    assert_eq!(from.call(&["GET", moved[0]]).error(), Some(ask.as_str()));
    assert!(to.call(&["GET", moved[0]]).error().unwrap().starts_with("MOVED"));
    to.cmd("ASKING").ok();
    to.call(&["GET", moved[0]]).ok();
    assert!(from.cmd("MGET {t}1 {t}2 {t}3").error().unwrap().starts_with("TRYAGAIN"));

    migration.finish();
    eventually_blocking(SOON, "all agree", || {
        (cluster.owner_of_slot(slot) == target).then_some(())
    });
    assert_eq!(to.cmd("MGET {t}1 {t}2 {t}3").strings(), ["a", "b", "c"]);
    assert!(from.cmd("GET {t}1").error().unwrap().starts_with("MOVED"));
}

#[test]
fn a_migration_goes_on_after_a_restart_of_its_source() {
    let mut cluster = Cluster::start();
    let (source, slot) = (cluster.owner_of("{t}"), slot_of("{t}"));
    let target = another_master(&cluster, source);
    cluster.client(source).cmd("MSET {t}1 a {t}2 b").ok();
    let migration = cluster.begin_migration(slot..=slot, source, target);
    migration.move_keys(slot, 1);
    cluster.restart(source);
    cluster.wait_until_whole();
    migration.finish();
    eventually_blocking(SOON, "all agree", || {
        (cluster.owner_of_slot(slot) == target).then_some(())
    });
    assert_eq!(cluster.client(target).cmd("MGET {t}1 {t}2").strings(), ["a", "b"]);
}

#[test]
fn a_migration_whose_source_died_is_begun_again_from_its_replica() {
    let mut cluster = Cluster::start();
    let (source, slot) = (cluster.owner_of("{t}"), slot_of("{t}"));
    let (target, replica) = (another_master(&cluster, source), cluster.replica_of(source));
    let mut redis = cluster.client(source);
    redis.cmd("MSET {t}1 a {t}2 b").ok();
    let migration = cluster.begin_migration(slot..=slot, source, target);
    migration.move_keys(slot, 1);
    eventually_blocking(SOON, "the replica knows that the key has left", || {
        (cluster.client(replica).cmd("DBSIZE").int() == 1).then_some(())
    });
    cluster.kill(source);
    eventually_blocking(SOON, "the replica is promoted", || {
        (!cluster.view(replica).slots_of(replica).is_empty()).then_some(())
    });

    let left = ["{t}1", "{t}2"].map(|key| cluster.client(replica).call(&["GET", key]));
    assert_eq!(
        left.iter().filter(|value| value.is_nil()).count(),
        1,
        "the slot is not known to move: {left:?}"
    );
    let again = cluster.begin_migration(slot..=slot, replica, target);
    cluster.wait_until_whole();
    again.finish();
    cluster.wait_until_whole();
    assert_eq!(cluster.owner_of_slot(slot), target);
    assert_eq!(cluster.client(target).cmd("MGET {t}1 {t}2").strings(), ["a", "b"]);
}

#[test]
fn a_fourth_master_takes_its_share() {
    let mut cluster = Cluster::start();
    for n in 0..500 {
        let key = format!("key-{n}");
        cluster
            .client(cluster.view(0).owner_of(slot_of(&key)).unwrap())
            .call(&["SET", &key, "v"])
            .ok();
    }
    let fourth = timed("a fourth master", || cluster.add_master());
    assert_eq!(cluster.masters().len(), 3, "it has no slots yet");
    timed("rebalance", || cluster.rebalance());
    let view = cluster.agreed();
    assert_eq!(view.masters().len(), 4);
    for master in view.masters() {
        assert_eq!(
            view.slots_of(master).iter().map(|range| range.len()).sum::<usize>(),
            4_096
        );
    }
    assert!(cluster.client(fourth).cmd("DBSIZE").int() > 0);
    let held: i64 = view
        .masters()
        .iter()
        .map(|master| cluster.client(*master).cmd("DBSIZE").int())
        .sum();
    assert_eq!(held, 500);
}

#[test]
fn a_slot_range_moves_while_work_runs() {
    let cluster = Cluster::builder().replicas_per_master(0).start();
    let source = cluster.owner_of("{t}");
    let target = another_master(&cluster, source);
    let range = cluster.agreed().slots_of(source)[0].clone();
    let ports = [source, target].map(|node| cluster.node(node).port());
    let done = AtomicBool::new(false);
    let counted = thread::scope(|scope| {
        let work = scope.spawn(|| {
            let mut counted = 0;
            while !done.load(Ordering::Relaxed) {
                increment(ports, &format!("{{t}}{}", counted % 50));
                counted += 1;
            }
            counted
        });
        timed("a third of the slots", || cluster.migrate_slots(range, source, target));
        done.store(true, Ordering::Relaxed);
        work.join().unwrap()
    });
    let mut to = cluster.client(target);
    let sum: i64 = (0..50)
        .map(|n| to.call(&["INCRBY", &format!("{{t}}{n}"), "0"]).int())
        .sum();
    assert_eq!(sum, counted, "every increment counts once");
}

/// Does what a cluster's client does, as far as two nodes need it.
fn increment(ports: [u16; 2], key: &str) {
    let mut port = ports[0];
    let mut asking = false;
    loop {
        let mut client = RawClient::connect(("127.0.0.1", port)).unwrap();
        if asking {
            client.cmd("ASKING").ok();
        }
        match client.call(&["INCR", key]) {
            Reply::Int(_) => return,
            Reply::Error(error) if error.starts_with("TRYAGAIN") || error.starts_with("CLUSTERDOWN") => {}
            Reply::Error(error) => {
                asking = error.starts_with("ASK");
                port = error.rsplit(':').next().unwrap().parse().unwrap();
            }
            other => panic!("{other:?}"),
        }
    }
}
