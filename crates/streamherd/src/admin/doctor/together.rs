//! What is the same on several servers, or in several partitions, is told once.

use super::Check;

/// Keeps the order of the names, and of those with one name that of their first places.
pub(super) fn once(told: Vec<Check>) -> Vec<Check> {
    let rank = |check: &Check| ORDER.iter().position(|name| *name == check.name).unwrap_or(ORDER.len());
    let mut checks: Vec<Check> = Vec::new();
    for check in told {
        match checks.iter_mut().find(|known| is_same(known, &check)) {
            Some(known) => join(known, check),
            None => checks.push(check),
        }
    }
    checks.sort_by_key(rank);
    checks
}

/// In which the checks are told.
pub(super) const ORDER: [&str; 17] = [
    "server_version",
    "topology",
    "partitions",
    "rights",
    "optional_rights",
    "scripts",
    "writes",
    "eviction",
    "memory",
    "persistence",
    "notifications",
    "idle_timeout",
    "clock",
    "keys",
    "stream_ids",
    "group",
    "lock_ttl",
];

fn is_same(one: &Check, other: &Check) -> bool {
    (one.name, one.verdict, &one.found, &one.meaning) == (other.name, other.verdict, &other.found, &other.meaning)
}

fn join(known: &mut Check, other: Check) {
    for server in other.servers {
        if !known.servers.contains(&server) {
            known.servers.push(server);
        }
    }
    for partition in other.partitions {
        if !known.partitions.contains(&partition) {
            known.partitions.push(partition);
        }
    }
    known.partitions.sort_unstable();
    // Each server needs its own.
    known.mend = match (known.mend.take(), other.mend) {
        (Some(known), Some(other)) if !known.split(" && ").any(|one| one == other) => {
            Some(format!("{known} && {other}"))
        }
        (known, other) => known.or(other),
    };
}
