//! Random faults, from a seed, over everything at once: workers, networks, servers. What the workers and producers wrote down
//! is judged afterwards.
//!
//! `cargo xtask soak` runs it for longer. `STREAMHERD_CHAOS_SECONDS` and `STREAMHERD_CHAOS_SEED` set how long faults happen,
//! and which: the same seed draws the same faults at the same moments.

#[path = "chaos/fleet.rs"]
mod fleet;
#[path = "chaos/machine.rs"]
mod machine;
#[path = "chaos/roles.rs"]
mod roles;
#[path = "chaos/run.rs"]
mod run;
#[path = "chaos/schedule.rs"]
mod schedule;
#[path = "chaos/stage/mod.rs"]
mod stage;

use schedule::Topology;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_is_lost_on_a_standalone_server() {
    run::chaos(Topology::Standalone).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_is_lost_under_sentinels() {
    run::chaos(Topology::Sentinel).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_is_lost_on_a_cluster() {
    run::chaos(Topology::Cluster).await;
}
