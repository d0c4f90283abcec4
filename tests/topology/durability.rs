//! Submits that have to be at replicas too.

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
