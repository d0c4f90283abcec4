//! What a consumer says of itself, and who is dead: decisions without I/O.

use std::collections::BTreeSet;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::store::Registry;

/// A consumer's row, written with each heartbeat. Fields of later versions are ignored, and missing ones are empty.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct Row {
    pub(crate) host: String,
    pub(crate) pid: u32,
    pub(crate) version: String,
    /// Unix time by the consumer's own clock.
    pub(crate) started_ms: u64,
    pub(crate) capacity: usize,
    pub(crate) held: usize,
    pub(crate) lock_ttl_ms: u64,
    pub(crate) totals: Totals,
}

/// How the leases of one worker have ended since it started, in all partitions, as far as Redis has confirmed it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
#[non_exhaustive]
pub struct Totals {
    /// Finished.
    pub done: u64,
    /// Given back as failed attempts, at once or after a delay.
    pub retried: u64,
    /// Sent to the dead-letter stream.
    pub dead_lettered: u64,
    /// Handed back unfinished, counting nothing.
    pub released: u64,
    /// Lost, so that they ended elsewhere.
    pub lost: u64,
}

/// One that never registered is another program's; it may be blocked in a read for long.
pub(crate) const UNREGISTERED_IDLE: Duration = Duration::from_secs(3600);

/// Consumers that seem to be dead. The script that removes them judges again.
pub(crate) fn dead(registry: &Registry, reap_after: Duration) -> Vec<String> {
    let reap_after = u64::try_from(reap_after.as_millis()).unwrap_or(u64::MAX);
    let unregistered_idle = u64::try_from(UNREGISTERED_IDLE.as_millis()).unwrap_or(u64::MAX);
    let rows: BTreeSet<&str> = registry.rows.iter().map(|(name, _, _)| name.as_str()).collect();
    let known: BTreeSet<&str> = registry.groups.iter().flatten().map(|c| c.name.as_str()).collect();
    let silent = registry
        .rows
        .iter()
        .filter(|(_, seen, _)| registry.now_ms.saturating_sub(*seen) >= reap_after)
        .map(|(name, _, _)| name.as_str());
    let unregistered = registry
        .groups
        .iter()
        .flatten()
        .filter(|c| !rows.contains(c.name.as_str()) && c.idle_ms >= unregistered_idle)
        .map(|c| c.name.as_str());
    let receipts = registry
        .receipts
        .iter()
        .map(String::as_str)
        .filter(|name| !rows.contains(name) && !known.contains(name));
    let all: BTreeSet<&str> = silent.chain(unregistered).chain(receipts).collect();
    // Another program's whose name is no text; it is not known here.
    let named = |name: &&str| !name.contains(char::REPLACEMENT_CHARACTER);
    all.into_iter().filter(named).map(str::to_owned).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::ConsumerInfo;

    #[test]
    fn the_silent_the_strange_and_the_forgotten_are_dead_and_nobody_else() {
        let hour = 3_600_000;
        let row = |name: &str, seen| (name.to_owned(), seen, String::new());
        let consumer = |name: &str, idle_ms| ConsumerInfo {
            name: name.to_owned(),
            pending: 0,
            idle_ms,
        };
        let registry = Registry {
            now_ms: 10 * hour,
            rows: vec![
                row("silent", 10 * hour - 60_000),
                row("alive", 10 * hour - 59_999),
                row("of-the-future", 11 * hour),
            ],
            receipts: vec!["alive".into(), "forgotten".into(), "blocked".into()],
            groups: [
                vec![consumer("alive", 2 * hour), consumer("strange", hour)],
                vec![consumer("blocked", hour - 1)],
            ],
        };
        assert_eq!(
            dead(&registry, Duration::from_secs(60)),
            ["forgotten", "silent", "strange"]
        );
    }

    #[test]
    fn a_row_of_another_version_reads_as_far_as_it_goes() {
        let row: Row = serde_json::from_str(r#"{"host": "h", "mood": "good"}"#).unwrap();
        assert_eq!((row.host.as_str(), row.capacity), ("h", 0));
    }
}
