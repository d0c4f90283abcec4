//! One queue for Go and Rust workers, in the layout of the Go library. A cluster has none.

mod dropping;
mod fleet;
mod migrating;
mod recovering;
mod refusing;
mod sharing;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use streamherd::{Builder, Layout};
use streamherd_testkit::{RawClient, Reply, eventually};
use streamherd_tests::{Reachable, Redis, SOON, builder};

/// A worker, producer or operator for a test in that layout.
fn beside_go(at: &(impl Reachable + ?Sized)) -> Builder {
    builder(at).layout(Layout::GoCompatible)
}

/// What the Go library sends, command by command, and what Redis says then.
struct Go(RawClient);

/// How long a Go worker's lock lives.
const GO_TTL: Duration = Duration::from_secs(2);

impl Go {
    fn at(redis: &Redis) -> Self {
        Self(redis.client_for("orders-input"))
    }

    fn cmd(&mut self, line: &str) -> Reply {
        self.0.cmd(line)
    }

    /// As Go producers write it.
    fn submit(&mut self, name: &str) -> String {
        let input = format!("{{\"DataStreamName\":\"{name}\",\"Info\":{{\"of\":\"{name}\"}}}}");
        self.0.call(&["XADD", "orders-input", "*", "lbs-input", &input]).text()
    }

    /// As Go makes it.
    fn make_group(&mut self) {
        self.cmd("XGROUP CREATE orders-input orders-group $ MKSTREAM");
    }

    /// All that waits, read by a Go consumer: the ids.
    fn read(&mut self, consumer: &str) -> Vec<String> {
        let line = format!("XREADGROUP GROUP orders-group {consumer} STREAMS orders-input >");
        match self.cmd(&line) {
            Reply::Nil => Vec::new(),
            found => {
                let entries = found.array()[0].array()[1].array();
                entries.iter().map(|entry| entry.array()[0].text()).collect()
            }
        }
    }

    /// redsync's lock, which is the consumer's name.
    fn lock(&mut self, consumer: &str, name: &str, id: &str) -> bool {
        let ttl = GO_TTL.as_millis().to_string();
        self.0.call(&["SET", &lock(name, id), consumer, "PX", &ttl, "NX"]) != Reply::Nil
    }

    fn unlock(&mut self, name: &str, id: &str) {
        self.0.call(&["DEL", &lock(name, id)]);
    }

    /// What holds the entry, as Go sees it.
    fn holder(&mut self, name: &str, id: &str) -> Option<String> {
        match self.0.call(&["GET", &lock(name, id)]) {
            Reply::Nil => None,
            other => Some(other.text()),
        }
    }

    /// Entries, entries that are pending, and Go locks.
    fn left(&mut self) -> (i64, usize, usize) {
        let length = self.cmd("XLEN orders-input").int();
        let pending = self.cmd("XPENDING orders-input orders-group - + 1000").array();
        let locks = self.0.call(&["KEYS", "*<MUTEX_KEY_SEP>*"]).array();
        (length, pending.len(), locks.len())
    }

    /// Waits until a Rust worker has seen that its Go owner lives.
    async fn is_seen_alive(&mut self, id: &str) {
        eventually(SOON, "it is seen alive", || {
            let said = self.cmd(&format!("GET orders-sh:absent:{id}"));
            async move { (said == Reply::Bulk(b"alive".to_vec())).then_some(()) }
        })
        .await;
    }

    /// The consumer that an entry is pending for, and for how long.
    fn owner(&mut self, id: &str) -> Option<(String, Duration)> {
        let found = self
            .cmd(&format!("XPENDING orders-input orders-group {id} {id} 1"))
            .array();
        let record = found.first()?.array();
        let idle = u64::try_from(record[2].int()).unwrap();
        Some((record[1].text(), Duration::from_millis(idle)))
    }
}

/// Keeps a Go worker's lock alive, until it is dropped: twice in half its time, and anew where it has lapsed.
struct Beat {
    goes_on: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Beat {
    fn of(redis: &Redis, consumer: &str, name: &str, id: &str) -> Self {
        let goes_on = Arc::new(AtomicBool::new(true));
        let (beats, mut go) = (Arc::clone(&goes_on), Go::at(redis));
        let key = lock(name, id);
        let consumer = consumer.to_owned();
        assert!(go.lock(&consumer, name, id));
        let beating = move || {
            while beats.load(Ordering::SeqCst) {
                let extend =
                    "if redis.call('GET', KEYS[1]) == ARGV[1] then return redis.call('PEXPIRE', KEYS[1], ARGV[2]) end
                    return redis.call('SET', KEYS[1], ARGV[1], 'PX', ARGV[2], 'NX')";
                go.0.call(&["EVAL", extend, "1", &key, &consumer, "2000"]);
                thread::park_timeout(GO_TTL / 4);
            }
        };
        Self {
            goes_on,
            thread: Some(thread::spawn(beating)),
        }
    }
}

impl Drop for Beat {
    /// Nothing is sent any more after this.
    fn drop(&mut self) {
        self.goes_on.store(false, Ordering::SeqCst);
        if let Some(thread) = self.thread.take() {
            thread.thread().unpark();
            let _ = thread.join();
        }
    }
}

fn lock(name: &str, id: &str) -> String {
    format!("{name}<MUTEX_KEY_SEP>{id}")
}
