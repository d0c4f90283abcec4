//! How soon the streams of a worker that is asked to leave are at another.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use streamherd_tests::{Redis, Worker, builder, hold, names, queue};

const WORKER: &str = env!("CARGO_BIN_EXE_contract-worker");
const STREAMS: usize = 100;
/// A quarter of what a lock lives; measured are a few milliseconds.
const BOUND: Duration = Duration::from_millis(500);

#[tokio::test]
async fn streams_are_elsewhere_milliseconds_after_sigterm_and_before_the_backlog() {
    let _alone = crate::ALONE.acquire().await.unwrap();
    let server = Redis::start(crate::TOPOLOGY);
    queue(&server, &names("held", STREAMS));
    let leaving = hold(WORKER, &server, STREAMS).await;
    let mut other = Worker::with(builder(&server).max_in_flight(STREAMS)).await;

    leaving.process.terminate();
    let asked = Instant::now();
    let mut leases = vec![other.added().await];
    let first = asked.elapsed();
    leases.extend(other.added_many(STREAMS - 1).await);
    let last = asked.elapsed();
    println!("the first after {first:?}, the last of {STREAMS} after {last:?}");
    assert!(last < BOUND, "the first after {first:?}, the last after {last:?}");
    let given: BTreeSet<_> = leases.iter().map(|lease| lease.stream().to_owned()).collect();
    assert_eq!(given, names("held", STREAMS).into_iter().collect());
    for lease in leases {
        assert_eq!(lease.attempt(), 0, "leaving costs nothing");
        lease.done().await.unwrap();
    }
}
