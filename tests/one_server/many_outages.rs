//! What a hundred outages leave behind.

use std::collections::BTreeSet;
use std::time::Duration;

use streamherd::BreakerState;
use streamherd_testkit::eventually;
use streamherd_tests::{Proxied, Redis, SOON, Truth, Worker, WorkerProcess, builder, names, queue};

const WORKER: &str = env!("CARGO_BIN_EXE_contract-worker");
const HELD: usize = 50;
/// Long enough for every part to notice.
const AWAY: Duration = Duration::from_millis(500);

/// Redis is away, and then all connections are back.
async fn outage(proxy: &Proxied, truth: &mut Truth, connections: usize) {
    proxy.refuse(true);
    tokio::time::sleep(AWAY).await;
    proxy.refuse(false);
    eventually(SOON, "all connections are back", || {
        let back = truth.clients().len() == connections;
        async move { back.then_some(()) }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn after_many_outages_tasks_connections_and_consumers_are_as_many_as_before() {
    let redis = Redis::start(crate::TOPOLOGY);
    let mut truth = Truth::of(&redis);
    let proxy = redis.proxy().await;
    let mut worker = Worker::with(
        builder(&proxy)
            .lock_ttl(Duration::from_secs(6))
            .recovery(streamherd::Recovery::default()),
    )
    .await;
    queue(&redis, &names("held", HELD));
    let held = worker.added_many(HELD).await;
    let tasks = || tokio::runtime::Handle::current().metrics().num_alive_tasks();
    let (connections, at_rest) = (truth.clients().len(), tasks());
    for _ in 0..20 {
        outage(&proxy, &mut truth, connections).await;
    }
    eventually(SOON, "nothing more runs than before", || {
        let masters = worker.client.health().masters;
        let closed = masters.iter().all(|master| master.breaker == BreakerState::Closed);
        let same = closed && tasks() <= at_rest && truth.clients().len() == connections && truth.consumers() == 1;
        async move { same.then_some(()) }
    })
    .await;
    for lease in held {
        lease.done().await.expect("outages shorter than a lease cost none");
    }
    truth.becomes_clean().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_memory_of_a_worker_stays_flat_over_a_hundred_outages() {
    let redis = Redis::start(crate::TOPOLOGY);
    let mut truth = Truth::of(&redis);
    let proxy = redis.proxy().await;
    queue(&redis, &names("held", HELD));
    // With free slots, so that it reads, too: a lease that is lost in an outage keeps its own.
    let mut worker = WorkerProcess::start(WORKER, &proxy, &["then=hold", "slots=5000"]);
    worker.says_times("added", HELD).await;
    let connections = truth.clients().len();
    for _ in 0..20 {
        outage(&proxy, &mut truth, connections).await;
    }
    let before = footprint(&worker);
    for _ in 0..80 {
        outage(&proxy, &mut truth, connections).await;
    }
    // What was being closed when it was looked at first may be gone since.
    let what = format!("it has no more threads and files than {before:?}");
    let after = eventually(SOON, &what, || {
        let after = footprint(&worker);
        let no_more = after.threads <= before.threads && after.files <= before.files;
        async move { no_more.then_some(after) }
    })
    .await;
    println!("after 20 outages {before:?}, after 100 {after:?}");
    // What an outage leaves behind for good would be there 80 times: 2 MB are 25 kB for each.
    assert!(after.resident_kb < before.resident_kb + 2_048, "{before:?}, {after:?}");
    worker.order("done");
    truth.becomes_clean().await;
}

#[derive(Debug)]
struct Footprint {
    resident_kb: u64,
    threads: u64,
    files: usize,
}

fn footprint(worker: &WorkerProcess) -> Footprint {
    let of = format!("/proc/{}", worker.process.pid());
    let status = std::fs::read_to_string(format!("{of}/status")).expect("it lives");
    let number = |name: &str| {
        let line = status
            .lines()
            .find_map(|line| line.strip_prefix(name))
            .expect("it is told");
        let digits: String = line.chars().filter(char::is_ascii_digit).collect();
        digits.parse().expect("a number")
    };
    let files: BTreeSet<_> = std::fs::read_dir(format!("{of}/fd"))
        .expect("it lives")
        .map(|file| file.expect("it is readable").file_name())
        .collect();
    Footprint {
        resident_kb: number("VmRSS:"),
        threads: number("Threads:"),
        files: files.len(),
    }
}
