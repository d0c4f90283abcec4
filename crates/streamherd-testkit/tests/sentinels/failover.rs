use std::time::Duration;

use streamherd_testkit::{Reply, Sentinels, eventually_blocking};

use crate::timed;

#[test]
fn sentinels_agree_on_the_new_primary() {
    let mut sentinels = Sentinels::start();
    let mut redis = sentinels.client();
    redis.cmd("SET k v").ok();
    assert_eq!(redis.cmd("WAIT 1 5000").int(), 1);
    let old = sentinels.kill_primary();
    let new = 1 - old;
    timed("promotion after a kill", || sentinels.wait_for_promotion(new));
    assert_eq!((sentinels.primary(), sentinels.replica()), (new, old));
    assert_eq!(sentinels.client().cmd("GET k").text(), "v");

    sentinels.restart(old);
    timed("the old primary follows after its restart", || {
        sentinels.wait_until_whole()
    });
    assert!(sentinels.server(old).is_in_sync());

    // And back again.
    assert_eq!(sentinels.kill_primary(), new);
    sentinels.wait_for_promotion(old);
    sentinels.restart(new);
    sentinels.wait_until_whole();
    assert_eq!(sentinels.client().cmd("GET k").text(), "v");
}

#[test]
fn a_frozen_primary_is_replaced_and_follows_after_the_thaw() {
    let mut sentinels = Sentinels::start();
    sentinels.freeze(0);
    timed("promotion after a freeze", || sentinels.wait_for_promotion(1));
    sentinels.thaw(0);
    timed("the old primary follows after the thaw", || {
        sentinels.wait_until_whole()
    });
    assert_eq!(sentinels.primary(), 1);
}

#[test]
fn an_operators_failover_swaps_the_roles_and_can_be_repeated() {
    let sentinels = Sentinels::start();
    let mut redis = sentinels.client();
    redis.cmd("SET k v").ok();
    assert_eq!(redis.cmd("WAIT 1 5000").int(), 1);
    for new in [1, 0, 1] {
        timed("operator's failover", || assert_eq!(sentinels.failover(), new));
    }
    assert_eq!(sentinels.client().cmd("GET k").text(), "v");
}

#[test]
fn two_sentinels_of_three_suffice() {
    let mut sentinels = Sentinels::start();
    sentinels.kill_sentinel(0);
    sentinels.kill_primary();
    timed("promotion by two Sentinels", || sentinels.wait_for_promotion(1));
    sentinels.restart_sentinel(0);
    sentinels.restart(0);
    sentinels.wait_until_whole();
    assert_eq!(sentinels.primary(), 1);
}

#[test]
fn a_primary_that_is_back_empty_before_it_is_missed_takes_its_replicas_data_too() {
    let mut sentinels = Sentinels::builder().down_after(Duration::from_secs(5)).start();
    let mut redis = sentinels.client();
    redis.cmd("SET k v").ok();
    assert_eq!(redis.cmd("WAIT 1 5000").int(), 1);
    sentinels.restart_empty(0);
    sentinels.wait_until_whole();
    assert_eq!(sentinels.primary(), 0);
    eventually_blocking(Duration::from_secs(10), "the replica has lost it too", || {
        (sentinels.server(1).client().cmd("DBSIZE") == Reply::Int(0)).then_some(())
    });
}
