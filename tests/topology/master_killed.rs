//! A master dies, and its replica takes over.

use streamherd_testkit::Cluster;

use super::broken::{LONG, SHORT, blocking, held_by, homes, recover};
use super::ledger::Record;
use super::load::{Load, Plan, alone};
use super::report::Report;
use super::verdict::holds;

async fn kill_a_master(test: &str, plan: Plan) -> Record {
    let _alone = alone().await;
    let partitions = plan.partitions;
    let cluster = Cluster::start();
    let load = Load::start(&cluster.url(), plan).await;
    load.under_way(25).await;
    let hit = held_by(&cluster, 0, partitions);
    assert!(!hit.is_empty(), "the first master holds something");
    let replica = cluster.replica_of(0);

    let fault = load.ledger.now();
    let (cluster, ()) = blocking(cluster, move |cluster| {
        cluster.kill(0);
        cluster.wait_for_promotion(replica);
    })
    .await;
    let promoted = load.ledger.now();
    recover(&load, &hit).await;

    let record = load.finish(homes(&cluster, partitions)).await;
    let mut report = Report::of(test, &record, fault, partitions, &hit);
    report.set("promotion_seen_after_ms", super::report::ms(promoted - fault));
    report.publish();
    holds(&record, &[]);
    record
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_failover_shorter_than_a_lock_costs_no_stream_and_no_lease() {
    let record = kill_a_master("master_killed_long_locks", Plan::with_ttl(LONG)).await;
    assert_eq!(record.disowned, []);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_failover_longer_than_a_lock_costs_no_stream() {
    kill_a_master("master_killed_short_locks", Plan::with_ttl(SHORT)).await;
}
