//! Each master tells of its own locks that expire, and after a failover the promoted one does.

use std::collections::BTreeSet;
use std::time::Duration;

use streamherd::{Lane, Notification, PauseTarget};
use streamherd_testkit::{Cluster, Failover, eventually};
use streamherd_tests::{SERVICE, SOON, patiently};

use super::broken::{Topology as _, key};
use super::load::{Plan, turn};

const PARTITIONS: u16 = 6;
/// Long, so that the scan, which has to wait for that, can't be who finds the orphans.
const TTL: Duration = Duration::from_secs(60);

/// Leaves an orphan in every partition: a dead consumer's, whose lock is about to expire. Returns their names.
fn abandon(cluster: &Cluster, round: usize) -> BTreeSet<String> {
    (0..PARTITIONS)
        .map(|partition| {
            let mut redis = cluster.to(partition);
            let (name, input) = (format!("orphan-{round}-{partition}"), key(partition));
            let entry = serde_json::json!({ "DataStreamName": name }).to_string();
            let id = redis.call(&["XADD", &input, "*", "lbs-input", &entry]).text();
            redis
                .cmd(&format!("XREADGROUP GROUP workers ghost COUNT 1 STREAMS {input} >"))
                .ok();
            let lock = format!("{{{SERVICE}:{partition}}}:lock:{id}");
            redis.call(&["SET", &lock, "ghost:1", "PX", "100"]).ok();
            name
        })
        .collect()
}

/// Whether the master of a partition has a subscriber, and a worker has said hello to it.
fn is_listened_to(cluster: &Cluster, partition: u16) -> bool {
    let mut redis = cluster.to(partition);
    let greeted = redis.cmd(&format!("HGET {{{SERVICE}:{partition}}}:control run_id"));
    let this = redis.cmd("INFO server").text();
    let greeted = !greeted.is_nil() && this.contains(&format!("run_id:{}", greeted.text()));
    greeted && redis.cmd("PUBSUB NUMPAT").int() > 0
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn locks_that_expire_are_heard_of_from_all_three_masters_and_again_after_failovers() {
    let _turn = turn().await;
    let mut cluster = Cluster::start();
    let homes: BTreeSet<usize> = (0..PARTITIONS).map(|partition| cluster.home(partition)).collect();
    assert_eq!(homes.len(), 3, "the partitions are at all three masters");
    let plan = Plan::with_ttl(TTL);
    let url = cluster.url();
    // Before it connects, or a read that blocks already is given the orphans before they are any.
    let admin = patiently(|| plan.builder(&url).connect_admin()).await;
    admin.pause(&PauseTarget::Service).await.unwrap();
    let (client, mut notifications) = patiently(|| plan.builder(&url).connect()).await;

    let mut hears = async |mut names: BTreeSet<String>| {
        let hearing = async {
            while !names.is_empty() {
                match notifications.recv().await {
                    Some(Notification::StreamExpired(orphan)) => {
                        assert_eq!(orphan.id().lane, Lane::Input);
                        names.remove(orphan.stream());
                    }
                    other => panic!("no orphan but {other:?}"),
                }
            }
        };
        let heard = tokio::time::timeout(SOON, hearing).await;
        assert!(heard.is_ok(), "never heard of {names:?}");
    };
    for partition in 0..PARTITIONS {
        assert!(is_listened_to(&cluster, partition), "partition {partition}");
    }
    hears(abandon(&cluster, 0)).await;

    // One is killed and one is replaced by hand, which closes no connection; the third stays.
    let replica = cluster.replica_of(0);
    cluster.kill(0);
    cluster.wait_for_promotion(replica);
    cluster.failover(cluster.replica_of(1), Failover::Graceful);
    eventually(SOON, "it knows the new masters, and listens to all", || {
        let all = (0..PARTITIONS).all(|partition| is_listened_to(&cluster, partition));
        async move { all.then_some(()) }
    })
    .await;
    hears(abandon(&cluster, 1)).await;
    drop(notifications);
    client.shutdown(Duration::ZERO).await;
}
