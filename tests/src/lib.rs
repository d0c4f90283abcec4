//! What the contract tests share: a service on a real server, workers on it, and a view of the truth in Redis.

mod address;
mod cut;
pub mod go_peer;
mod handling;
pub mod letters;
pub mod load;
mod log;
mod outage;
mod partition;
mod process;
mod producing;
mod redis;
mod refusal;
mod stopwatch;
#[cfg(feature = "opentelemetry")]
pub mod traces;
mod truth;
mod worker;

use std::time::Duration;

pub use address::{Address, Reachable};
pub use cut::{Cut, Place, drop_at_each_poll, drop_everywhere, drop_in_strides, dropped_after, dropped_as_woken};
pub use handling::{Census, Counted, Diary, Handling, Note, Reading};
pub use log::Log;
pub use outage::{Figures, Outage, go_through};
pub use partition::plain;
pub use process::{WorkerProcess, hold};
pub use producing::{by_name, has_looked};
pub use redis::{Proxied, Redis, Topology};
pub use refusal::{refused, shown};
pub use stopwatch::Stopwatch;
pub use truth::{KEYS, Pending, Truth, field};
pub use worker::Worker;

use serde_json::Value;
use streamherd::error::ConnectError;
use streamherd::{Builder, Recovery};
use streamherd_testkit::{Fault, Server};

/// Short enough for tests that wait for its end, long enough for a machine that stands still for two seconds now and then.
pub const TTL: Duration = Duration::from_secs(3);
/// How often leases are renewed: a machine that stands still finds them young.
pub const BEAT: Duration = Duration::from_millis(250);
/// `recovery.min_idle` of the tests.
pub const MIN_IDLE: Duration = Duration::from_millis(3_300);
/// How long a command of the tests may go without an answer: longer than such a machine stands still, which is no lost answer.
pub const ANSWER: Duration = Duration::from_secs(3);
/// `recovery.scan_interval` of the tests.
pub const SCAN: Duration = Duration::from_millis(200);
/// Longer than anything here should take.
pub const SOON: Duration = Duration::from_secs(20);

/// The service that all tests use; each has a Redis of its own.
pub const SERVICE: &str = "orders";

/// A worker or producer for a test, not connected yet.
pub fn builder(at: &(impl Reachable + ?Sized)) -> Builder {
    at.address()
        .service(SERVICE)
        .consumer("w")
        .lock_ttl(TTL)
        .heartbeat(BEAT)
        .command_timeout(ANSWER)
        .read_block(Duration::from_secs(1))
        .health_interval(Duration::from_secs(1))
        .recovery(recovery())
}

/// Connects, again where that took too long: a machine that stood still for a moment as a test began is not what the test
/// is about.
///
/// # Panics
/// If there is another obstacle.
pub async fn patiently<T, F>(connect: impl Fn() -> F) -> T
where
    F: Future<Output = Result<T, ConnectError>>,
{
    for _ in 0..10 {
        match connect().await {
            Err(ConnectError::Store(e) | ConnectError::Unreachable { source: e, .. })
                if e.is_timeout() || e.is_disconnected() => {}
            other => return other.unwrap_or_else(|e| panic!("it does not connect: {e:?}")),
        }
    }
    panic!("ten times it took too long to connect");
}

/// The recovery settings of the tests.
#[must_use]
pub fn recovery() -> Recovery {
    Recovery {
        min_idle: Some(MIN_IDLE),
        scan_interval: SCAN,
        ..Recovery::default()
    }
}

/// Submits streams with the names and an info that repeats the name.
pub async fn submit<N: AsRef<str>>(at: &(impl Reachable + ?Sized), names: impl IntoIterator<Item = N>) {
    // Hundreds at once, for a server that shares its processor with other tests.
    let producer = patiently(|| builder(at).command_timeout(SOON).connect_producer()).await;
    let items: Vec<(String, Value)> = names
        .into_iter()
        .map(|name| (name.as_ref().to_owned(), serde_json::json!({ "of": name.as_ref() })))
        .collect();
    for result in producer.submit_many(items).await {
        result.expect("a submit is accepted");
    }
    producer.close().await;
}

/// `prefix-0`, `prefix-1`, …
#[must_use]
pub fn names(prefix: &str, count: usize) -> Vec<String> {
    (0..count).map(|n| format!("{prefix}-{n}")).collect()
}

/// Queues streams in one step and over a raw connection, as a producer in another language does: thousands at once, and
/// without any code under test.
pub fn queue(redis: &Redis, names: &[String]) {
    let add = "for i = 1, #ARGV do redis.call('XADD', KEYS[1], '*', 'lbs-input', ARGV[i]) end";
    for partition in by_partition(redis, names) {
        let mut truth = Truth::at(redis, partition[0]);
        for names in partition.chunks(1_000) {
            let inputs = names
                .iter()
                .map(|name| serde_json::json!({ "DataStreamName": name, "Info": { "of": name } }).to_string());
            let words = ["EVAL", add, "1", "T:input"].map(str::to_owned).into_iter();
            truth.call(&words.chain(inputs).collect::<Vec<_>>()).ok();
        }
    }
}

/// Names that share a partition, for each partition that any of them is in; in their order.
pub(crate) fn by_partition<'a>(redis: &Redis, names: &'a [String]) -> impl Iterator<Item = Vec<&'a str>> {
    let mut partitions = std::collections::BTreeMap::<u16, Vec<&str>>::new();
    for name in names {
        partitions.entry(redis.partition_of(name)).or_default().push(name);
    }
    partitions.into_values()
}

/// Runs the rows of a table, so many at a time, each on a thread and a runtime of its own. Fails with the names of all
/// rows that failed.
pub fn side_by_side<R, F>(width: usize, rows: Vec<(String, R)>, run: impl Fn(R) -> F + Sync)
where
    R: Send,
    F: Future<Output = ()>,
{
    let queue = std::sync::Mutex::new(rows.into_iter());
    let failed = std::sync::Mutex::new(Vec::new());
    let work = || {
        loop {
            let next = queue.lock().expect("no row panics here").next();
            let Some((name, row)) = next else { return };
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build()
                .expect("a runtime");
            let outcome = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| runtime.block_on(run(row))));
            if outcome.is_err() {
                failed.lock().expect("no row panics here").push(name);
            }
        }
    };
    std::thread::scope(|scope| {
        for _ in 0..width {
            scope.spawn(work);
        }
    });
    let failed = failed.into_inner().expect("no row panics here");
    assert!(failed.is_empty(), "{} rows failed: {failed:#?}", failed.len());
}

/// Runs a command as it would be pasted into a shell, with the tools that came with the redis-server of the tests.
///
/// # Panics
/// If it fails, or Redis answers it with an error.
pub fn shell(command: &str) {
    let binary = Server::find_binary().expect("a redis-server");
    let tools = binary.parent().map(|dir| dir.display().to_string()).unwrap_or_default();
    let path = std::env::var("PATH").unwrap_or_default();
    let output = std::process::Command::new("sh")
        .args(["-ec", command])
        .env("PATH", format!("{tools}:{path}"))
        .output()
        .expect("a shell");
    let said = String::from_utf8_lossy(&output.stdout);
    let refused = ["ERR", "NOPERM", "WRONGPASS", "0\n"]
        .iter()
        .any(|word| said.starts_with(word));
    assert!(output.status.success() && !refused, "{command}: {output:?}");
}

/// A worker whose leases outlive a slow restart, and a machine that stands still for a while.
pub fn patient(at: &(impl Reachable + ?Sized)) -> Builder {
    builder(at)
        .lock_ttl(Duration::from_secs(6))
        .heartbeat(Duration::from_millis(300))
        .recovery(patient_recovery())
}

/// The recovery settings of a patient worker.
#[must_use]
pub fn patient_recovery() -> Recovery {
    Recovery {
        min_idle: Some(Duration::from_millis(6_500)),
        ..recovery()
    }
}

/// What a client can't tell apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Lost {
    /// The command was carried out.
    Reply,
    /// It was not.
    Request,
}

impl Lost {
    /// One after the other.
    pub const BOTH: [Self; 2] = [Self::Reply, Self::Request];

    /// What a proxy does for it.
    #[must_use]
    pub fn fault(self) -> Fault {
        match self {
            Self::Reply => Fault::SwallowReply,
            Self::Request => Fault::DropRequest,
        }
    }
}
