//! What there is at one moment at which nothing happens.

use std::alloc::System;
use std::collections::BTreeMap;
use std::fs;
use std::time::Duration;

use cap::Cap;
use streamherd_tests::Truth;

#[global_allocator]
static HEAP: Cap<System> = Cap::new(System, usize::MAX);

/// Of twenty million live bytes: buffers, maps and queues have the size of their fullest moment, which may come late (measured:
/// half a million less to as much more). It is five bytes for each lease, and nothing that is kept for one is that small.
const HEAP_MAY_GROW: usize = 512 * 1024;
/// The allocator keeps pages that it may need again.
const RSS_MAY_GROW: usize = 24 * 1024 * 1024;
/// A hash or a stream may be in another encoding, or have another node.
const REDIS_MAY_GROW: i64 = 4 * 1024;

/// What moves by itself is looked at for so long, and the least counts: heartbeats, scans, connections that are closed, what
/// a producer keeps until it has looked, and the threads for name look-ups, which end when they had nothing to do for ten
/// seconds.
const LOOKING: Duration = Duration::from_secs(12);
const BETWEEN_LOOKS: Duration = Duration::from_millis(100);

#[derive(Debug)]
pub(crate) struct Census {
    heap: usize,
    rss: usize,
    tasks: usize,
    threads: usize,
    files: usize,
    connections: usize,
    /// Keys by kind, without those that are there for ten minutes.
    keys: BTreeMap<String, usize>,
    consumers: usize,
    rows: i64,
    /// Bytes of what is there for ever, in Redis.
    bytes: BTreeMap<String, i64>,
}

impl Census {
    pub(crate) async fn take(truth: &mut Truth) -> Self {
        Self::take_until(truth, |_| false).await
    }

    /// Ends early where nothing has grown since that one.
    pub(crate) async fn take_after(before: &Self, truth: &mut Truth) -> Self {
        Self::take_until(truth, |now| before.growth(now).is_empty()).await
    }

    async fn take_until(truth: &mut Truth, enough: impl Fn(&Self) -> bool) -> Self {
        let end = tokio::time::Instant::now() + LOOKING;
        let mut census = Self::look(truth);
        while tokio::time::Instant::now() < end && !enough(&census) {
            tokio::time::sleep(BETWEEN_LOOKS).await;
            let now = Self::look(truth);
            census.heap = census.heap.min(now.heap);
            census.rss = census.rss.min(now.rss);
            census.tasks = census.tasks.min(now.tasks);
            census.threads = census.threads.min(now.threads);
            census.files = census.files.min(now.files);
            census.connections = census.connections.min(now.connections);
            census.consumers = census.consumers.min(now.consumers);
            census.rows = census.rows.min(now.rows);
            // The scan's gate comes and goes.
            census.keys.retain(|kind, _| now.keys.contains_key(kind));
            census.bytes = now.bytes;
        }
        census
    }

    fn look(truth: &mut Truth) -> Self {
        let mut keys = BTreeMap::new();
        for key in truth.cmd("KEYS *").strings() {
            let kind = kind_of(&key);
            if !NOTES.contains(&kind) {
                *keys.entry(kind.to_owned()).or_default() += 1;
            }
        }
        let lasting = ["input", "front", "control", "live", "consumers"];
        let bytes = lasting.map(|name| {
            let bytes = truth.cmd(&format!("MEMORY USAGE T:{name} SAMPLES 0"));
            (name.to_owned(), if bytes.is_nil() { 0 } else { bytes.int() })
        });
        Self {
            heap: HEAP.allocated(),
            rss: resident_bytes(),
            tasks: tokio::runtime::Handle::current().metrics().num_alive_tasks(),
            threads: entries_of("/proc/self/task"),
            files: entries_of("/proc/self/fd"),
            connections: truth.clients().len(),
            keys,
            consumers: truth.consumers(),
            rows: truth.cmd("HLEN T:consumers").int(),
            bytes: bytes.into(),
        }
    }

    /// All that has grown since.
    pub(crate) fn growth(&self, after: &Self) -> Vec<String> {
        let mut grown = Vec::new();
        let mut compare = |what: &str, before: usize, after: usize, may_grow: usize| {
            if after > before + may_grow {
                grown.push(format!("{what} from {before} to {after}"));
            }
        };
        compare("live bytes of the heap", self.heap, after.heap, HEAP_MAY_GROW);
        compare("resident bytes", self.rss, after.rss, RSS_MAY_GROW);
        compare("tasks", self.tasks, after.tasks, 0);
        compare("threads", self.threads, after.threads, 0);
        compare("open files", self.files, after.files, 0);
        compare("connections", self.connections, after.connections, 0);
        compare("consumers", self.consumers, after.consumers, 0);
        for (kind, count) in &after.keys {
            compare(
                &format!("keys {kind}"),
                self.keys.get(kind).copied().unwrap_or(0),
                *count,
                0,
            );
        }
        if after.rows > self.rows {
            grown.push(format!("rows of consumers from {} to {}", self.rows, after.rows));
        }
        for (name, bytes) in &after.bytes {
            let before = self.bytes.get(name).copied().unwrap_or(0);
            if *bytes > before + REDIS_MAY_GROW {
                grown.push(format!("bytes of T:{name} from {before} to {bytes}"));
            }
        }
        grown
    }
}

/// They are kept for ten minutes, one per orphan and one per stream that was written back or submitted again.
const NOTES: [&str; 3] = ["moved", "written", "lost"];
const KEPT_FOR_MS: i64 = 600_000;

/// # Panics
/// If there are more of these keys than they have reasons, or one of them has no end.
pub(crate) fn notes_are_few_and_end(truth: &mut Truth, abandoned: usize, written_back: usize) {
    let mut counts = BTreeMap::<String, usize>::new();
    for key in truth.cmd("KEYS *").strings() {
        let kind = kind_of(&key);
        if NOTES.contains(&kind) {
            *counts.entry(kind.to_owned()).or_default() += 1;
            let left = truth.call(&["PTTL", &key]).int();
            // One that ends meanwhile has ended.
            assert!(
                left == -2 || (1..=KEPT_FOR_MS).contains(&left),
                "{key} has {left} ms left"
            );
        }
    }
    println!("notes {counts:?}");
    let count = |kind: &str| counts.get(kind).copied().unwrap_or(0);
    assert!(count("moved") <= abandoned, "{counts:?} of {abandoned} abandonments");
    assert!(
        count("written") <= written_back,
        "{counts:?} of {written_back} written back"
    );
    assert!(count("lost") <= 1, "{counts:?}");
}

/// `moved` of `{orders:0}:moved:1-2`.
fn kind_of(key: &str) -> &str {
    key.split(':').nth(2).unwrap_or(key)
}

fn entries_of(folder: &str) -> usize {
    fs::read_dir(folder).map_or(0, Iterator::count)
}

fn resident_bytes() -> usize {
    let sizes = fs::read_to_string("/proc/self/statm").expect("the kernel tells");
    let pages = sizes.split(' ').nth(1).and_then(|pages| pages.parse::<usize>().ok());
    pages.expect("a number") * 4096
}
