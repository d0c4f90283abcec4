//! Who held what, and when.

use std::collections::BTreeMap;

use super::Runs;
use crate::history::{Fault, Held, History};
use crate::line::End;

/// Pairs of leases that were both certainly valid at one moment, of one entry or of one stream.
pub(super) fn overlapping<'a>(history: &'a History, runs: &Runs<'a>) -> Vec<(&'a Held, &'a Held)> {
    let mut of_entry: BTreeMap<_, Vec<&Held>> = BTreeMap::new();
    for held in &history.leases {
        of_entry.entry((held.partition, held.entry)).or_default().push(held);
    }
    let mut pairs: Vec<(&Held, &Held)> = Vec::new();
    for leases in of_entry.values().chain(runs.of_stream.values()) {
        for (n, one) in leases.iter().enumerate() {
            for other in &leases[n + 1..] {
                let known = |pair: &(&Held, &Held)| *pair == (*one, *other) || *pair == (*other, *one);
                if one.overlaps(other) && !pairs.iter().any(known) {
                    pairs.push((one, other));
                }
            }
        }
    }
    pairs
}

/// Settlements that Redis let count although the stream had been handed to another before they were asked for: the one
/// that counted, and the other lease. That one is the later by its token: who stood still in between may write down what he
/// was handed long after it was taken from him.
pub(super) fn settled_too_late<'a>(runs: &Runs<'a>) -> Vec<(&'a Held, &'a Held)> {
    let mut pairs = Vec::new();
    for leases in runs.of_stream.values() {
        for held in leases {
            let counted = matches!(held.ended, Some((_, End::Done | End::DeadLettered | End::Requeued)));
            let Some((asked, _)) = held.asked.filter(|_| counted) else {
                continue;
            };
            let taken = leases
                .iter()
                .find(|other| other.token > held.token && other.handed_out < asked);
            pairs.extend(taken.map(|other| (*held, *other)));
        }
    }
    pairs
}

/// Settlements without an outcome, though nothing kept Redis from answering.
pub(super) fn unknown(history: &History) -> impl Iterator<Item = &Held> {
    history.leases.iter().filter(|held| match held.ended {
        Some((ended, End::Unknown)) => {
            let hit = |fault: &Fault| fault.hits(held) && fault.was_between(held.handed_out, ended);
            !history.faults.iter().any(hit)
        }
        _ => false,
    })
}

/// Leases of whose end nothing is known, though their worker was not killed.
pub(super) fn never_ended(history: &History) -> impl Iterator<Item = &Held> {
    history.leases.iter().filter(|held| {
        let killed = |held: &Held| {
            let mut faults = history.faults.iter();
            faults.any(|fault| fault.is_fatal() && fault.hits(held) && fault.until >= held.last_seen())
        };
        held.ended.is_none() && !killed(held)
    })
}
