//! Who is a master, and whether that changed though nobody ordered it: on a machine that is too busy, servers take each other
//! for dead, and what the next one lacks is lost like in any failover.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use streamherd_ledger::{At, Ledger, Target, now};
use streamherd_testkit::RawClient;
use tokio::task::{AbortHandle, spawn_blocking};

const LOOK: Duration = Duration::from_millis(200);
const ANSWER: Duration = Duration::from_millis(500);

/// How many strikes at the servers have begun and ended: odd while there is one.
pub(crate) type Strikes = Arc<AtomicU64>;

/// Writes down failovers that nobody ordered. Ends when it is dropped.
#[derive(Debug)]
pub(crate) struct Roles(AbortHandle);

impl Roles {
    pub(crate) fn watch(ports: Vec<u16>, strikes: Strikes, ledger: Arc<Ledger>) -> Self {
        let watching = tokio::spawn(async move {
            let (mut before, mut last, mut counted) = (None, now(), 0);
            loop {
                let (at, count) = (now(), strikes.load(Ordering::SeqCst));
                let asked = ports.clone();
                let masters = spawn_blocking(move || masters(&asked)).await.unwrap_or_default();
                let ordered = count % 2 == 1 || count != counted || strikes.load(Ordering::SeqCst) != count;
                note(&ledger, &masters, before.as_ref(), ordered, last);
                // One that stands still for a moment is what it was.
                if !masters.is_empty() {
                    before = Some(masters);
                }
                (last, counted) = (at, count);
                tokio::time::sleep(LOOK).await;
            }
        });
        Self(watching.abort_handle())
    }
}

impl Drop for Roles {
    fn drop(&mut self) {
        self.0.abort();
    }
}

fn note(ledger: &Ledger, masters: &BTreeSet<u16>, before: Option<&BTreeSet<u16>>, ordered: bool, since: At) {
    let Some(before) = before.filter(|_| !ordered) else {
        return;
    };
    if !masters.is_subset(before) {
        ledger.fault("machine", "failover of its own", Target::All, since, true);
    }
}

fn masters(ports: &[u16]) -> BTreeSet<u16> {
    let is_master = |port: &u16| {
        let mut redis = RawClient::connect(("127.0.0.1", *port)).ok()?;
        redis.set_timeout(Some(ANSWER)).ok()?;
        let role = redis.try_call(&["ROLE"]).ok()?;
        let is_master = matches!(&role, streamherd_testkit::Reply::Array(words) if words.first()?.text() == "master");
        is_master.then_some(*port)
    };
    ports.iter().filter_map(is_master).collect()
}
