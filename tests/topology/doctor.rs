//! What `doctor` finds on a cluster and behind Sentinel, and what is seen where a part is away.

use std::time::Duration;

use streamherd::{Check, DeadLetterFilter, Diagnosis, PauseTarget, Role, Verdict};
use streamherd_testkit::{Cluster, ClusterBuilder, Sentinels, eventually, slot_of};
use streamherd_tests::{SERVICE, SOON, Worker, builder, patiently, shell};

use super::admin::{PARTITIONS, address, admin, bare, key, redis, worker};

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
    worker.client.shutdown(Duration::ZERO).await;
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
    let seen: Vec<bool> = status.partitions.iter().map(|one| one.answered).collect();
    assert_eq!(seen, [true, true, true, true, true, false]);
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
    let lost = address(&cluster, dead);
    cluster.kill(cluster.owner_of(key(dead, "input")));
    // Also for one who comes now.
    let diagnosis = examine(&cluster.url()).await;
    let wrong = check(&diagnosis, "topology");
    assert_eq!(
        (wrong.verdict, &wrong.servers[..]),
        (Verdict::Failure, &[lost.clone()][..]),
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
    let admin = admin(&cluster.url()).await;
    let status = admin.status().await.unwrap();
    for partition in &status.partitions {
        let server = partition.server.as_deref().unwrap();
        assert_eq!(partition.answered, server != lost, "{partition:?}");
    }
    admin.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_cluster_that_is_down_is_a_failure_and_no_part_passes_for_the_whole() {
    let mut cluster = bare().start();
    let _worker = worker(&cluster, 8).await;
    let dead = (1..PARTITIONS).find(|partition| address(&cluster, *partition) != address(&cluster, 0));
    cluster.kill(cluster.owner_of(key(dead.unwrap(), "input")));
    // Whoever is not told how many partitions there are can't ask then, and must not take the first for all.
    let down = eventually(
        SOON,
        "the others have noticed, and nobody knows how many parts there are",
        || async {
            let diagnosis = examine(&cluster.url()).await;
            let unsure = check(&diagnosis, "partitions")
                .found
                .starts_with("not known how many there are");
            let mut checks = diagnosis.checks.iter();
            let down = checks.find(|check| check.found == "cluster_state:fail").cloned();
            down.filter(|_| unsure)
        },
    )
    .await;
    assert_eq!((down.name, down.verdict), ("topology", Verdict::Failure));
    let admin = admin(&cluster.url()).await;
    for refused in [
        admin.pause(&PauseTarget::Service).await.map(drop),
        admin.status().await.map(drop),
        admin.leases(1).await.map(drop),
        admin.purge(DeadLetterFilter::default()).finish().await.map(drop),
    ] {
        assert!(refused.unwrap_err().is_not_ready());
    }
    admin.close().await;
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
