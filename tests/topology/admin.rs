//! What an operator sees and does on a service with several partitions, on a cluster and behind Sentinel.

use std::collections::BTreeMap;

use streamherd::{
    Admin, Check, DeadLetter, DeadLetterFilter, Diagnosis, LetterId, LetterOutcome, PauseTarget, RequeueOutcome, Role,
    Verdict, partition_of,
};
use streamherd_testkit::{Cluster, ClusterBuilder, RawClient, Sentinels, eventually, slot_of};
use streamherd_tests::letters::{input, list, outcomes};
use streamherd_tests::{SERVICE, SOON, Worker, builder, names, patiently, shell};

const PARTITIONS: u16 = 6;

/// Without replicas, which nothing here but doctor looks at.
fn bare() -> ClusterBuilder {
    Cluster::builder().replicas_per_master(0)
}

/// Told nothing, so that it asks how many partitions there are.
async fn admin(url: &str) -> Admin {
    patiently(|| builder(url).connect_admin()).await
}

async fn worker(cluster: &Cluster, capacity: usize) -> Worker {
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

fn key(partition: u16, name: &str) -> String {
    format!("{{orders:{partition}}}:{name}")
}

/// A connection to whoever holds a partition.
fn redis(cluster: &Cluster, partition: u16) -> RawClient {
    cluster.client_for(key(partition, "input"))
}

fn address(cluster: &Cluster, partition: u16) -> String {
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

async fn examine(url: &str) -> Diagnosis {
    let admin = admin(url).await;
    let diagnosis = admin.doctor().await.unwrap();
    admin.close().await;
    diagnosis
}

#[track_caller]
fn check<'a>(diagnosis: &'a Diagnosis, name: &str) -> &'a Check {
    let check = diagnosis.check(name);
    check.unwrap_or_else(|| panic!("no check {name} in {diagnosis:#?}"))
}

#[track_caller]
fn assert_healthy(diagnosis: &Diagnosis) {
    // By chance the slots of one service may lie on one master.
    let wrong = |check: &&Check| check.verdict != Verdict::Ok && check.name != "partitions";
    let wrong: Vec<&Check> = diagnosis.checks.iter().filter(wrong).collect();
    assert!(wrong.is_empty(), "{wrong:#?}");
}

/// A cluster in which nothing is wrong.
fn healthy() -> ClusterBuilder {
    let cluster = Cluster::builder().arg("--appendfsync", "everysec");
    cluster.arg("--notify-keyspace-events", "Kx")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn doctor_examines_every_master_and_what_it_says_mends_each() {
    let cluster = healthy().start();
    assert_healthy(&examine(&cluster.url()).await);
    let told = examine(&cluster.url()).await;
    assert!(
        check(&told, "partitions").found.starts_with("1 partition, on "),
        "{told:#?}"
    );
    assert!(
        check(&told, "partitions")
            .found
            .ends_with("one master of 3 does all the work"),
        "{told:#?}"
    );

    let _worker = worker(&cluster, 8).await;
    let diagnosis = examine(&cluster.url()).await;
    assert_healthy(&diagnosis);
    assert_eq!(diagnosis.partitions, PARTITIONS);
    let places = &check(&diagnosis, "partitions").found;
    for partition in 0..PARTITIONS {
        assert!(places.contains(&address(&cluster, partition)), "{places}");
    }
    let masters = diagnosis.servers.len();
    assert_eq!(check(&diagnosis, "eviction").servers.len(), masters, "told once");
    assert_eq!(check(&diagnosis, "group").partitions.len(), 6, "told once");

    for node in cluster.masters() {
        cluster.client(node).cmd("CONFIG SET maxmemory-policy allkeys-lru").ok();
    }
    let owner = cluster.owner_of(key(0, "input"));
    cluster.client(owner).cmd("CONFIG SET timeout 30").ok();
    let diagnosis = examine(&cluster.url()).await;
    let everywhere = check(&diagnosis, "eviction");
    assert_eq!(
        (everywhere.verdict, everywhere.servers.len()),
        (Verdict::Failure, masters)
    );
    let one = check(&diagnosis, "idle_timeout");
    assert_eq!(
        (one.verdict, &one.servers[..]),
        (Verdict::Warning, &[address(&cluster, 0)][..])
    );
    for check in [everywhere, one] {
        shell(check.mend.as_deref().unwrap());
    }
    redis(&cluster, 3).cmd("SET {orders:3}:dlq mine").ok();
    let diagnosis = examine(&cluster.url()).await;
    let wrong = check(&diagnosis, "keys");
    assert_eq!(
        (wrong.verdict, &wrong.partitions[..]),
        (Verdict::Failure, &[3][..]),
        "{wrong:#?}"
    );
    shell(wrong.mend.as_deref().unwrap());
    assert_healthy(&examine(&cluster.url()).await);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_slot_that_nobody_serves_is_told_and_the_rest_is_seen() {
    let cluster = bare().arg("--cluster-require-full-coverage", "no").start();
    let worker = worker(&cluster, 8).await;
    worker.client.shutdown(std::time::Duration::ZERO).await;
    let slot = slot_of(key(5, "input"));
    for node in 0..cluster.len() {
        cluster.client(node).cmd(&format!("CLUSTER DELSLOTS {slot}")).ok();
    }
    let admin = admin(&cluster.url()).await;
    let diagnosis = eventually(SOON, "all nodes say so", || async {
        let diagnosis = admin.doctor().await.unwrap();
        (check(&diagnosis, "partitions").verdict == Verdict::Failure).then_some(diagnosis)
    })
    .await;
    let wrong = check(&diagnosis, "partitions");
    assert_eq!(wrong.found, format!("no server holds slot {slot}"));
    assert_eq!(wrong.partitions, [5]);
    let status = admin.status().await.unwrap();
    let unserved: Vec<u16> = status
        .partitions
        .iter()
        .filter(|one| one.server.is_none())
        .map(|one| one.number)
        .collect();
    assert_eq!((status.used, unserved), (true, vec![5]));
    // A pause of the others alone would pass for one of all.
    let error = admin.pause(&PauseTarget::Service).await.unwrap_err();
    assert!(error.is_not_ready(), "{error}");
    assert!(
        admin.status().await.unwrap().paused_ms.is_some(),
        "those that could be are paused"
    );
    admin.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_by_a_standalone_url_is_a_failure_that_names_the_url_to_use() {
    let cluster = bare().start();
    let port = cluster.node(0).port();
    let diagnosis = examine(&format!("redis://127.0.0.1:{port}")).await;
    let wrong = check(&diagnosis, "topology");
    assert_eq!(wrong.verdict, Verdict::Failure);
    let mend = wrong.mend.as_deref().unwrap();
    assert!(
        mend.contains(&format!("--url redis-cluster://127.0.0.1:{port} ")),
        "{mend}"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn doctor_examines_the_master_that_the_sentinels_name() {
    let sentinels = Sentinels::start();
    let diagnosis = examine(&sentinels.url()).await;
    let topology = check(&diagnosis, "topology");
    assert_eq!(topology.verdict, Verdict::Ok, "{topology:#?}");
    assert_eq!(topology.found, "the master that the Sentinels name with 1 replica");
    for name in ["rights", "writes", "scripts", "eviction", "keys"] {
        assert_eq!(check(&diagnosis, name).verdict, Verdict::Ok, "{diagnosis:#?}");
    }
    let made = builder(&sentinels.url()).partitions(3);
    let _worker = Worker::with(made).await;
    let diagnosis = examine(&sentinels.url()).await;
    let places = check(&diagnosis, "partitions");
    assert_eq!(
        (places.verdict, diagnosis.servers.len()),
        (Verdict::Ok, 1),
        "{places:#?}"
    );
    assert!(places.found.starts_with("3 partitions: 0, 1, 2 on "), "{places:#?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_master_that_is_dead_is_told_and_the_others_are_examined() {
    let mut cluster = bare().arg("--cluster-require-full-coverage", "no").start();
    let _worker = worker(&cluster, 8).await;
    let dead = (1..PARTITIONS).find(|partition| address(&cluster, *partition) != address(&cluster, 0));
    let dead = dead.unwrap_or_else(|| panic!("{SERVICE}'s slots are on several masters"));
    let address = address(&cluster, dead);
    cluster.kill(cluster.owner_of(key(dead, "input")));
    // Also for one who comes now.
    let diagnosis = examine(&cluster.url()).await;
    let wrong = check(&diagnosis, "topology");
    assert_eq!(
        (wrong.verdict, &wrong.servers[..]),
        (Verdict::Failure, &[address][..]),
        "{wrong:#?}"
    );
    assert!(
        wrong.partitions.contains(&dead) && !wrong.partitions.contains(&0),
        "{wrong:#?}"
    );
    shell(wrong.mend.as_deref().unwrap());
    let written = check(&diagnosis, "writes");
    assert_eq!(
        (written.verdict, written.servers.len()),
        (Verdict::Ok, diagnosis.servers.len() - 1)
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_login_lacks_on_a_cluster_is_told_once_and_given_back_on_each_master() {
    let cluster = healthy().start();
    let _worker = worker(&cluster, 8).await;
    let admin = admin(&cluster.url()).await;
    for role in Role::ALL {
        let log_in = |rules: &[String]| {
            let words = ["ACL", "SETUSER", "app", "reset", "on", ">secret"].map(str::to_owned);
            for node in 0..cluster.len() {
                cluster.client(node).call(&[&words[..], rules].concat()).ok();
            }
        };
        let all = admin.acl_rules(role);
        let url = cluster.url().replace("://", "://app:secret@");
        let look = || async {
            let admin = patiently(|| builder(&url).connect_admin()).await;
            let diagnosis = admin.doctor_of(role).await.unwrap();
            admin.close().await;
            diagnosis
        };
        log_in(&all);
        let diagnosis = look().await;
        for name in ["rights", "optional_rights", "scripts"] {
            assert_eq!(check(&diagnosis, name).verdict, Verdict::Ok, "{role}: {diagnosis:#?}");
        }
        let less: Vec<String> = all.iter().filter(|rule| *rule != "+xadd").cloned().collect();
        log_in(&less);
        let diagnosis = look().await;
        let wrong = check(&diagnosis, "rights");
        assert_eq!(wrong.found, "user app lacks XADD", "{role}");
        assert_eq!(wrong.servers, diagnosis.servers);
        shell(wrong.mend.as_deref().unwrap());
        assert_eq!(check(&look().await, "rights").verdict, Verdict::Ok, "{role}");
    }
    admin.close().await;
}
