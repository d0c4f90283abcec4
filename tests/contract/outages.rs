//! Redis is away for a while and comes back as it was.

use std::time::Duration;

use streamherd_tests::{Outage, go_through};
use tokio::task::JoinSet;

/// Not used up by an outage of a second on a machine that stands still for another.
const TTL: Duration = Duration::from_secs(6);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_outage_of_a_second_costs_no_lease_however_redis_is_away() {
    let mut outages = JoinSet::new();
    for outage in Outage::ALL {
        outages.spawn(go_through(crate::TOPOLOGY, outage, Duration::from_secs(1), TTL));
    }
    outages.join_all().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_outage_that_outlasts_the_leases_hands_them_back_and_keeps_what_was_finished() {
    let mut outages = JoinSet::new();
    for outage in [Outage::Refused, Outage::BlackHole] {
        outages.spawn(go_through(
            crate::TOPOLOGY,
            outage,
            Duration::from_secs(7),
            Duration::from_secs(3),
        ));
    }
    outages.join_all().await;
}
