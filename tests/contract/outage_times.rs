//! How little is asked of a Redis that is away, and how soon work goes on when it is back.

use std::time::Duration;

use streamherd_tests::{Figures, Outage, go_through};
use tokio::task::JoinSet;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_redis_that_is_away_is_asked_less_than_twice_a_second_and_work_goes_on_within_two_seconds_of_its_return() {
    let _alone = crate::ALONE.acquire().await.unwrap();
    let mut outages = JoinSet::new();
    for outage in Outage::ALL {
        // Shorter than any lease lives, and longer.
        for (seconds, ttl) in [(1, 6), (5, if outage == Outage::Slow { 6 } else { 4 }), (30, 6)] {
            outages.spawn(async move {
                let (length, ttl) = (Duration::from_secs(seconds), Duration::from_secs(ttl));
                let figures = go_through(crate::TOPOLOGY, outage, length, ttl).await;
                println!("{outage:?} for {seconds} s: {figures:?}");
                (outage, figures)
            });
        }
    }
    for (outage, Figures { commands, back }) in outages.join_all().await {
        // One that is slow is not away.
        assert!(
            outage == Outage::Slow || commands < 2.0,
            "{outage:?}: {commands} commands a second"
        );
        assert!(back < Duration::from_secs(2), "{outage:?}: {back:?}");
    }
}
