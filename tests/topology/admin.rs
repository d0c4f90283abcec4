//! What an operator sees and does on a service with several partitions, on a cluster.

use std::collections::BTreeMap;

use streamherd::{
    Admin, DeadLetter, DeadLetterFilter, LetterId, LetterOutcome, PauseTarget, RequeueOutcome, partition_of,
};
use streamherd_testkit::{Cluster, ClusterBuilder, RawClient, eventually};
use streamherd_tests::letters::{input, list, outcomes};
use streamherd_tests::{SOON, Worker, builder, names, patiently};

pub(super) const PARTITIONS: u16 = 6;

/// Without replicas, which nothing here but doctor looks at.
pub(super) fn bare() -> ClusterBuilder {
    Cluster::builder().replicas_per_master(0)
}

/// Told nothing, so that it asks how many partitions there are.
pub(super) async fn admin(url: &str) -> Admin {
    patiently(|| builder(url).connect_admin()).await
}

pub(super) async fn worker(cluster: &Cluster, capacity: usize) -> Worker {
    let made = builder(&cluster.url()).partitions(PARTITIONS);
    Worker::with(made.max_in_flight(capacity)).await
}

async fn submit(cluster: &Cluster, names: &[String]) {
    let producer = patiently(|| builder(&cluster.url()).partitions(PARTITIONS).connect_producer()).await;
    for result in producer.submit_many(names.iter().map(|name| (name, ()))).await {
        result.unwrap();
    }
    producer.close().await;
}

pub(super) fn key(partition: u16, name: &str) -> String {
    format!("{{orders:{partition}}}:{name}")
}

/// A connection to whoever holds a partition.
pub(super) fn redis(cluster: &Cluster, partition: u16) -> RawClient {
    cluster.client_for(key(partition, "input"))
}

pub(super) fn address(cluster: &Cluster, partition: u16) -> String {
    let owner = cluster.node(cluster.owner_of(key(partition, "input")));
    format!("127.0.0.1:{}", owner.port())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn status_leases_and_pauses_are_those_of_all_partitions() {
    let cluster = bare().start();
    let all = names("s", 60);
    submit(&cluster, &all).await;
    let admin = admin(&cluster.url()).await;
    assert_eq!(admin.partitions().unwrap(), PARTITIONS);
    assert!(admin.pause(&PauseTarget::Service).await.unwrap());
    assert!(!admin.pause(&PauseTarget::Service).await.unwrap(), "once is enough");
    let mut worker = worker(&cluster, 24).await;

    let status = admin.status().await.unwrap();
    assert!(status.used && status.paused_ms.is_some());
    assert_eq!((status.queued, status.pending), (60, 0));
    assert!(status.queued_oldest_ms.is_some());
    let mut wanted: BTreeMap<u16, u64> = BTreeMap::new();
    for name in &all {
        *wanted.entry(partition_of(name, PARTITIONS)).or_default() += 1;
    }
    for (number, partition) in (0..).zip(&status.partitions) {
        assert_eq!((partition.number, partition.queued), (number, wanted[&number]));
        assert_eq!(partition.server, Some(address(&cluster, number)));
    }
    assert_eq!(status.partitions.len(), 6);

    // Taken back in one partition only, as by a resume that failed half-way.
    redis(&cluster, 4).cmd("HDEL {orders:4}:control paused").ok();
    assert!(admin.status().await.unwrap().paused_ms.is_some());
    assert!(admin.resume(&PauseTarget::Service).await.unwrap());
    assert!(!admin.resume(&PauseTarget::Service).await.unwrap());

    let leases = worker.added_many(24).await;
    let status = eventually(SOON, "its rows say what it holds", || async {
        let status = admin.status().await.unwrap();
        let held = |status: &streamherd::Status| status.consumers[0].registration.as_ref().map(|about| about.held);
        (held(&status) == Some(24)).then_some(status)
    })
    .await;
    assert_eq!(status.consumers.len(), 1, "{status:#?}");
    let consumer = &status.consumers[0];
    assert_eq!((consumer.pending, consumer.paused), (24, false));
    assert_eq!(consumer.registration.as_ref().unwrap().capacity, 24);
    assert_eq!((status.pending, status.queued), (24, 36));

    let told = admin.leases(100).await.unwrap();
    assert_eq!(told.len(), 24);
    for lease in &leases {
        let told = told.iter().find(|told| told.stream.as_deref() == Some(lease.stream()));
        let told = told.unwrap();
        assert_eq!((told.partition, told.entry), (lease.partition(), lease.id()));
        assert_eq!(told.partition, partition_of(lease.stream(), PARTITIONS));
    }
    assert_eq!(admin.leases(7).await.unwrap().len(), 7);

    assert!(admin.pause(&PauseTarget::Consumer("w".to_owned())).await.unwrap());
    let status = admin.status().await.unwrap();
    assert_eq!((status.pauses.len(), status.consumers[0].paused), (1, true));
    assert!(admin.resume(&PauseTarget::Consumer("w".to_owned())).await.unwrap());
    admin.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stream_is_put_back_from_wherever_it_is() {
    let cluster = bare().start();
    let mut worker = worker(&cluster, 10).await;
    let admin = admin(&cluster.url()).await;
    let all = names("s", 6);
    submit(&cluster, &all).await;
    let _held = worker.added_many(6).await;
    for name in &all {
        let held = admin.find_and_requeue(name, false).await.unwrap();
        assert!(matches!(held.outcome, RequeueOutcome::Held { .. }), "{held:?}");
        assert_eq!(held.partition, Some(partition_of(name, PARTITIONS)));
    }
    admin.pause(&PauseTarget::Service).await.unwrap();
    let forced = admin.requeue("s-3", true).await.unwrap();
    assert!(matches!(forced, RequeueOutcome::Requeued { .. }), "{forced:?}");

    // What another program has added where it does not belong.
    let own = partition_of("foreign", PARTITIONS);
    let elsewhere = (own + 3) % PARTITIONS;
    let words = ["XADD", &key(elsewhere, "input"), "*", "lbs-input", &input("foreign")];
    redis(&cluster, elsewhere).call(&words).ok();
    let found = admin.find_and_requeue("foreign", false).await.unwrap();
    assert!(
        matches!(found.outcome, RequeueOutcome::AlreadyQueued { .. }),
        "{found:?}"
    );
    assert_eq!(found.partition, Some(elsewhere));
    let missing = admin.find_and_requeue("nobody", true).await.unwrap();
    assert_eq!(missing.outcome, RequeueOutcome::NotFound { complete: true });
    assert_eq!(missing.partition, None);
    admin.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn dead_letters_of_all_partitions_go_by_age_and_are_told_apart() {
    let cluster = bare().start();
    let _worker = worker(&cluster, 1).await;
    let admin = admin(&cluster.url()).await;
    admin.pause(&PauseTarget::Service).await.unwrap();
    // Ten in each partition, in turn; the first of all partitions have the same id.
    for n in 0..10_u64 {
        for partition in 0..PARTITIONS {
            let id = if n == 0 {
                "1000-0".to_owned()
            } else {
                format!("{}-0", 2_000 + n * 10 + u64::from(partition))
            };
            let name = format!("s-{partition}-{n}");
            let words = [
                "XADD",
                &key(partition, "dlq"),
                &id,
                "lbs-input",
                &input(&name),
                "_sh_reason",
                "rejected",
            ];
            redis(&cluster, partition).call(&words).ok();
        }
    }
    assert_eq!(admin.status().await.unwrap().dead_letters, 60);
    let all = list(&admin, DeadLetterFilter::default()).await;
    assert_eq!(all.len(), 60);
    assert!(
        all.is_sorted_by_key(|letter| (letter.id, letter.partition)),
        "the oldest of all first"
    );
    let limited = list(&admin, DeadLetterFilter::default().limit(8)).await;
    let ids = |letters: &[DeadLetter]| letters.iter().map(LetterId::from).collect::<Vec<_>>();
    assert_eq!(ids(&limited), ids(&all[..8]));

    let id: LetterId = "4/1000-0".parse().unwrap();
    let letter = admin.dead_letter(id).await.unwrap().unwrap();
    assert_eq!((letter.partition, letter.stream.as_deref()), (4, Some("s-4-0")));
    for gone in ["4/1000-1", "6/1000-0"] {
        assert_eq!(
            admin.dead_letter(gone.parse::<LetterId>().unwrap()).await.unwrap(),
            None
        );
    }

    let chosen =
        DeadLetterFilter::default().ids(["4/1000-0", "2/1000-0", "9/1000-0"].map(|id| id.parse::<LetterId>().unwrap()));
    let told = outcomes(admin.purge(chosen)).await;
    let purged = told.iter().filter(|one| matches!(one.outcome, LetterOutcome::Purged));
    assert_eq!(purged.map(|one| one.partition).collect::<Vec<_>>(), [4, 2]);
    assert_eq!(told.len(), 3, "and one that is not there");

    let told = outcomes(admin.redrive(DeadLetterFilter::default().limit(20))).await;
    assert_eq!(told.len(), 20);
    assert!(
        told.iter().all(|one| matches!(one.outcome, LetterOutcome::Redriven(_))),
        "{told:?}"
    );
    let status = admin.status().await.unwrap();
    assert_eq!((status.dead_letters, status.requeued), (38, 20));
    // Back where it died.
    assert!(
        status.partitions.iter().all(|partition| partition.requeued >= 2),
        "{status:#?}"
    );
    let report = admin.redrive(DeadLetterFilter::default()).finish().await.unwrap();
    assert_eq!(report.redriven, 38);
    admin.close().await;
}
