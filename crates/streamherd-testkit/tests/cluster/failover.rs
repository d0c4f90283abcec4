use streamherd_testkit::{Cluster, Failover, eventually_blocking};

use crate::{SOON, timed};

#[test]
fn a_killed_master_is_replaced_by_its_replica() {
    let mut cluster = Cluster::start();
    cluster.client_for("k").cmd("SET k v").ok();
    let master = cluster.owner_of("k");
    let replica = cluster.replica_of(master);
    eventually_blocking(SOON, "the replica has the key", || {
        (cluster.client(replica).cmd("DBSIZE").int() == 1).then_some(())
    });

    cluster.kill(master);
    timed("promotion after a kill", || cluster.wait_for_promotion(replica));
    assert_eq!(cluster.owner_of("k"), replica);
    assert_eq!(cluster.client(replica).cmd("GET k").text(), "v");

    cluster.restart(master);
    timed("the old master follows after its restart", || {
        eventually_blocking(SOON, "the old master is a replica", || {
            (cluster.agreed().replicas_of(replica) == [master]).then_some(())
        });
        cluster.wait_until_whole();
    });
    assert_eq!(cluster.masters().len(), 3);
}

#[test]
fn a_frozen_master_is_replaced_and_follows_after_the_thaw() {
    let mut cluster = Cluster::start();
    let master = cluster.owner_of("k");
    let replica = cluster.replica_of(master);
    cluster.freeze(master);
    timed("promotion after a freeze", || cluster.wait_for_promotion(replica));
    cluster.thaw(master);
    eventually_blocking(SOON, "the old master is a replica", || {
        (cluster.agreed().replicas_of(replica) == [master]).then_some(())
    });
}

#[test]
fn a_graceful_failover_loses_nothing_and_swaps_the_roles() {
    let cluster = Cluster::start();
    let master = cluster.owner_of("k");
    let replica = cluster.replica_of(master);
    for n in 1..=100 {
        assert_eq!(cluster.client(master).cmd("INCR k").int(), n);
    }
    timed("graceful failover", || cluster.failover(replica, Failover::Graceful));
    assert_eq!(cluster.client_for("k").cmd("GET k").int(), 100);
    assert_eq!(cluster.replica_of(replica), master);
}

#[test]
fn a_replica_takes_over_from_a_master_that_does_not_answer() {
    let mut cluster = Cluster::start();
    for (key, how) in [("a", Failover::Force), ("b", Failover::Takeover)] {
        let master = cluster.owner_of(key);
        let replica = cluster.replica_of(master);
        cluster.freeze(master);
        timed(&format!("{how:?}"), || cluster.failover(replica, how));
        assert_eq!(cluster.owner_of(key), replica);
        cluster.thaw(master);
        cluster.wait_until_whole();
    }
}
