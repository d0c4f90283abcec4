//! Managed services, which refuse CONFIG, INFO or subscriptions, on some masters or on all: told once, and correct without.

use std::collections::BTreeSet;
use std::time::Duration;

use streamherd_testkit::{Cluster, eventually};
use streamherd_tests::{Log, SOON, Worker, builder, names};
use tracing_subscriber::filter::LevelFilter;

const PARTITIONS: u16 = 6;
const STREAMS: usize = 24;
/// The rights of a login that are taken away, and whether notifications suffer.
const REFUSALS: [(&[&str], bool); 5] = [
    (&["-config"], true),
    (&["-psubscribe"], true),
    (&["resetchannels"], true),
    (&["-info"], false),
    (&["-config", "-info", "-psubscribe"], true),
];

/// A cluster of three masters; `worker` lacks these rights on those that `at` names.
fn limit(cluster: &Cluster, at: &[usize], rights: &[&str]) {
    for master in 0..cluster.len() {
        let mut redis = cluster.client(master);
        redis.cmd("FLUSHALL").ok();
        redis.call(&["CONFIG", "SET", "notify-keyspace-events", ""]).ok();
        let all = [
            "ACL", "SETUSER", "worker", "reset", "on", ">secret", "~*", "&*", "+@all",
        ];
        redis.call(&all).ok();
        if at.contains(&master) {
            redis.call(&[&["ACL", "SETUSER", "worker"], rights].concat()).ok();
        }
    }
}

/// Queues streams and has a consumer that is none of ours read them all and die.
async fn abandon(cluster: &Cluster) -> BTreeSet<String> {
    let producer = builder(&cluster.url())
        .partitions(PARTITIONS)
        .connect_producer()
        .await
        .unwrap();
    let all = names("s", STREAMS);
    for result in producer.submit_many(all.iter().map(|name| (name, ()))).await {
        result.unwrap();
    }
    producer.close().await;
    for partition in 0..PARTITIONS {
        let input = format!("{{orders:{partition}}}:input");
        let mut redis = cluster.client_for(&input);
        for lane in ["input", "front"] {
            let key = format!("{{orders:{partition}}}:{lane}");
            redis.call(&["XGROUP", "CREATE", &key, "workers", "0", "MKSTREAM"]).ok();
        }
        redis.call(&[
            "XREADGROUP",
            "GROUP",
            "workers",
            "ghost",
            "COUNT",
            "100",
            "STREAMS",
            &input,
            ">",
        ]);
    }
    all.into_iter().collect()
}

async fn works_where(cluster: &Cluster, at: &[usize], rights: &[&str], is_told: bool) {
    limit(cluster, at, rights);
    let mut missing = abandon(cluster).await;
    let log = Log::of_this_thread(LevelFilter::WARN);
    let made = || builder(&cluster.url_as("worker")).partitions(PARTITIONS);
    let mut worker = Worker::with(made()).await;
    while !missing.is_empty() {
        let lease = worker.added().await;
        assert_eq!(lease.attempt(), 1, "{}", lease.stream());
        assert!(
            missing.remove(lease.stream()),
            "{} was handed out twice",
            lease.stream()
        );
        lease.done().await.unwrap();
    }
    let hears = !rights
        .iter()
        .any(|right| matches!(*right, "-psubscribe" | "resetchannels"));
    eventually(SOON, "it listens where it may", || {
        let listens = worker.client.health().listening;
        async move { (listens == hears).then_some(()) }
    })
    .await;
    // New work takes the same way, and a shutdown hands over.
    let producer = made().connect_producer().await.unwrap();
    producer.submit("new", &()).await.unwrap();
    let lease = worker.added().await;
    let report = worker.client.shutdown(Duration::ZERO).await;
    drop((lease, producer));
    let text = log.take();
    let told = text.matches("expired locks are found by the scan alone").count();
    assert_eq!(told, usize::from(is_told), "{rights:?} at {at:?}: {text} {report:?}");
    let refuses_info = rights.contains(&"-info");
    let version = text.matches("does not tell its version").count();
    assert_eq!(version, usize::from(refuses_info), "{rights:?} at {at:?}: {text}");
    assert_eq!(text.lines().count(), told + version, "{rights:?} at {at:?}: {text}");
}

fn cluster() -> Cluster {
    Cluster::builder()
        .replicas_per_master(0)
        .user("worker", "secret", "~* &* +@all")
        .start()
}

#[tokio::test]
async fn what_one_master_refuses_is_told_once_and_orphans_are_recovered() {
    let cluster = cluster();
    for (rights, is_told) in REFUSALS {
        works_where(&cluster, &[1], rights, is_told).await;
    }
}

#[tokio::test]
async fn what_all_masters_refuse_is_told_once_and_orphans_are_recovered() {
    let cluster = cluster();
    for (rights, is_told) in REFUSALS {
        works_where(&cluster, &[0, 1, 2], rights, is_told).await;
    }
}
