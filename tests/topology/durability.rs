//! Submits that have to be at replicas, or on disks.

use std::time::Duration;

use streamherd::error::SubmitError;
use streamherd::{Durability, Submitted};
use streamherd_testkit::{Server, eventually};
use streamherd_tests::{SOON, Worker, builder, names};

fn replicas(count: u32, within: Duration) -> Durability {
    Durability::Replicas { count, within }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_durable_submit_is_accepted_once_a_replica_has_it() {
    let primary = Server::start();
    let replica = Server::builder().replica_of(&primary).start();
    eventually(SOON, "the replica is in sync", || {
        let in_sync = replica.is_in_sync();
        async move { in_sync.then_some(()) }
    })
    .await;
    let producer = builder(&primary.url()).connect_producer().await.unwrap();
    let durable = producer.clone().durability(replicas(1, SOON));
    for result in durable.submit_many(names("s", 300).iter().map(|name| (name, ()))).await {
        result.unwrap();
    }
    assert_eq!(
        replica.client().cmd("XLEN {orders:0}:input").int(),
        300,
        "what is accepted is there, at once"
    );

    replica.freeze();
    let durable = producer.clone().durability(replicas(1, Duration::from_millis(200)));
    let error = durable.submit("late", &()).await.unwrap_err();
    let SubmitError::NotDurable { submitted, source } = &error else {
        panic!("{error:?}");
    };
    assert!(matches!(submitted, Submitted::New(_)) && source.is_none(), "{error:?}");
    // Nobody else waits with it.
    producer.submit("plain", &()).await.unwrap();
    replica.thaw();
    assert!(
        matches!(durable.submit("late", &()).await, Ok(Submitted::Coalesced(_))),
        "it may be repeated"
    );
    durable.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_submit_that_no_replica_confirms_is_worked_on_all_the_same() {
    let server = Server::start();
    let mut worker = Worker::start(&server.url()).await;
    let producer = worker.client.producer();
    let alone = producer.clone().durability(replicas(1, Duration::from_millis(50)));
    assert!(matches!(
        alone.submit("a", &()).await,
        Err(SubmitError::NotDurable { source: None, .. })
    ));
    for lease in worker.added_many(1).await {
        lease.done().await.unwrap();
    }
}

/// On the disk of the server alone.
fn disk() -> Durability {
    Durability::Disk {
        replicas: 0,
        within: SOON,
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_submit_that_waits_for_the_disk_is_there_after_a_kill_or_says_that_the_server_is_too_old() {
    let mut server = Server::builder().persistent().arg("--appendfsync", "everysec").start();
    let knows = server.version() >= (7, 2, 0);
    let producer = builder(&server.url())
        .connect_producer()
        .await
        .unwrap()
        .durability(disk());
    let result = producer.submit("a", &()).await;
    if knows {
        assert!(matches!(result, Ok(Submitted::New(_))), "{result:?}");
        server.restart();
    } else {
        let Err(SubmitError::NotDurable { submitted, source }) = result else {
            panic!("{result:?}");
        };
        assert!(matches!(submitted, Submitted::New(_)));
        let advice = source.unwrap().to_string();
        assert!(advice.contains("needs Redis 7.2"), "{advice}");
    }
    assert_eq!(server.client().cmd("XLEN {orders:0}:input").int(), 1, "it is there");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_submit_that_waits_for_a_disk_that_is_not_written_to_says_what_to_set() {
    let server = Server::builder().arg("--appendonly", "no").start();
    let producer = builder(&server.url()).connect_producer().await.unwrap();
    let Err(SubmitError::NotDurable { source, .. }) = producer.durability(disk()).submit("a", &()).await else {
        panic!("a disk without a file");
    };
    let (advice, wanted) = (source.unwrap().to_string(), advice(&server, "`appendonly yes`"));
    assert!(advice.contains(wanted), "{advice}");
    assert_eq!(server.client().cmd("XLEN {orders:0}:input").int(), 1, "it is there");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_replica_that_does_not_write_to_its_disk_confirms_no_submit() {
    let primary = Server::builder().persistent().start();
    let replica = Server::builder().replica_of(&primary).arg("--appendonly", "no").start();
    eventually(SOON, "the replica is in sync", || {
        let in_sync = replica.is_in_sync();
        async move { in_sync.then_some(()) }
    })
    .await;
    let durable = Durability::Disk {
        replicas: 1,
        within: Duration::from_millis(200),
    };
    let producer = builder(&primary.url()).connect_producer().await.unwrap();
    let Err(SubmitError::NotDurable { source, .. }) = producer.durability(durable).submit("a", &()).await else {
        panic!("a disk without a file");
    };
    let said = source.map(|e| e.to_string()).unwrap_or_default();
    assert!(said.contains(advice(&primary, "")), "{said}");
    assert!(
        said.is_empty() || primary.version() < (7, 2, 0),
        "the time was over: {said}"
    );
}

/// What a server says that knows how to wait for disks, or what one is told that does not.
fn advice<'a>(server: &Server, knows: &'a str) -> &'a str {
    if server.version() >= (7, 2, 0) {
        knows
    } else {
        "needs Redis 7.2"
    }
}
