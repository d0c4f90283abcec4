//! A master without a replica is away for longer than a lock lives, and the others are not.

use std::time::Duration;

use streamherd_ledger::now;
use streamherd_testkit::Cluster;

use super::broken::{SHORT, Scene};
use super::load::{Plan, turn};
use super::report::{Flow, ms};

const AWAY: Duration = Duration::from_secs(6);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn while_one_master_is_down_the_other_partitions_go_on_without_a_pause() {
    let _turn = turn().await;
    let cluster = Cluster::builder()
        .replicas_per_master(0)
        // Else all nodes refuse everything as soon as they have noticed that some slots are served by nobody.
        .arg("--cluster-require-full-coverage", "no")
        .start();
    let mut scene = Scene::set(cluster, Plan::with_ttl(SHORT)).await;
    scene.hit = scene.held_by(0).await;
    scene.begins();
    let fault = scene.fault;
    scene.stage(|cluster| cluster.kill(0)).await;
    // Not a wait for anything: the fault takes that long.
    tokio::time::sleep(AWAY).await;
    let back = scene
        .stage(|cluster| {
            cluster.restart(0);
            let back = now();
            cluster.wait_until_whole();
            back
        })
        .await;
    scene.note("back_after_ms", back);
    scene.recovers().await;
    let (hit, partitions) = (scene.hit.clone(), scene.load.plan.partitions);
    let (record, lost) = scene.ends("master_down").await;
    assert_eq!(lost, 0, "what it has taken is in its append-only file");
    for partition in (0..partitions).filter(|partition| !hit.contains(partition)) {
        let flow = Flow::of(&record, partition, fault);
        let longest = flow
            .submits
            .length
            .max(flow.deliveries.length)
            .max(flow.settlements.length);
        println!("partition {partition} paused for {} ms at most", ms(longest));
        assert!(longest < AWAY / 4, "partition {partition} paused: {flow:?}");
        let lost = record.disowned.iter().filter(|(_, lost, _)| *lost == partition);
        assert_eq!(lost.count(), 0, "partition {partition} lost leases");
    }
}
