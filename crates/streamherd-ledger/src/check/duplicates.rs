//! Work that was finished more than once, and why.

use std::collections::BTreeMap;
use std::time::Duration;

use super::{Runs, Violation};
use crate::clock::At;
use crate::history::{Fault, Held, History};
use crate::line::{End, Target};

/// What was acknowledged so long before Redis lost its last writes is known elsewhere: at a replica, or to the producer that
/// keeps it and looks every two seconds.
const REMEMBERED: Duration = Duration::from_secs(10);
/// Until such a producer has looked at what is left: what is finished before that may be lost for all it knows. It looks every
/// two seconds, and on a busy machine not at once after an outage of its own.
const NOTICED: Duration = Duration::from_secs(10);

/// Work that was finished a second time.
#[derive(Debug, Clone, PartialEq)]
pub struct Duplicate {
    /// The data stream's name.
    pub stream: String,
    /// Why its first run did not count.
    pub cause: Cause,
    /// The kind of the fault that explains it.
    pub fault: String,
}

/// Why a run that was finished was not the last.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Cause {
    /// Redis had confirmed its end, and forgot it.
    Forgotten,
    /// The lease was lost before its end counted, and the worker was told so.
    Disowned,
    /// The worker died before Redis had heard of the end.
    Died,
}

/// Runs of one submit that were finished although an earlier one was, and those among them that no fault explains.
pub(super) fn find(history: &History, runs: &Runs<'_>) -> (Vec<Duplicate>, Vec<Violation>) {
    let (mut duplicates, mut unexplained) = (Vec::new(), Vec::new());
    for leases in runs.of_stream.values() {
        let mut of_origin: BTreeMap<&str, Vec<&Held>> = BTreeMap::new();
        for held in leases {
            if held.asked.is_some_and(|(_, how)| how.is_final()) {
                of_origin.entry(&held.origin).or_default().push(held);
            }
        }
        for finished in of_origin.into_values() {
            for pair in finished.windows(2) {
                let (first, again) = (pair[0], pair[1]);
                let (cause, fault) = explain(history, first, again);
                match fault {
                    Some(fault) => duplicates.push(Duplicate {
                        stream: first.stream.clone(),
                        cause,
                        fault: fault.kind.clone(),
                    }),
                    None if is_done(first) && is_done(again) && first.entry == again.entry => {
                        unexplained.push(Violation::DoneTwice(first.clone(), again.clone()));
                    }
                    None => unexplained.push(Violation::Unexplained(first.clone(), again.clone())),
                }
            }
        }
    }
    (duplicates, unexplained)
}

fn is_done(held: &Held) -> bool {
    held.ended.is_some_and(|(_, end)| end.is_final())
}

/// From when on a fault may have been unknown to whoever submitted a stream when it ended.
fn unnoticed_since(history: &History, held: &Held, ended: At) -> At {
    let by = |name: &str| {
        let mut submits = history.submits.iter();
        submits.any(|submit| submit.stream == held.stream && submit.producer == name)
    };
    let since = ended.saturating_sub(NOTICED);
    let blind = history.faults.iter().filter(|fault| match &fault.target {
        Target::Worker(name) => fault.was_between(since, ended) && by(name),
        _ => false,
    });
    let blind_since = blind.map(|fault| fault.since.saturating_sub(NOTICED));
    blind_since.min().unwrap_or(since)
}

/// Why the first of two runs was not the last, and the fault that is behind that, the latest of several.
fn explain<'a>(history: &'a History, first: &Held, again: &Held) -> (Cause, Option<&'a Fault>) {
    let latest = |explains: &dyn Fn(&Fault) -> bool| {
        let faults = history
            .faults
            .iter()
            .filter(|fault| fault.hits(first) && explains(fault));
        faults.max_by_key(|fault| fault.since)
    };
    let last_seen = first.last_seen();
    match first.ended {
        // Taken over before its end counted: Redis was told twice, or had forgotten the other by then.
        Some((ended, _)) if again.handed_out < ended => {
            let hit = |fault: &Fault| fault.was_between(first.handed_out, again.handed_out);
            (Cause::Disowned, latest(&hit))
        }
        Some((ended, end)) if end.is_final() => {
            let until = (ended + REMEMBERED).min(again.handed_out);
            // Redis may have carried it out at any time since.
            let asked = first.asked.map_or(ended, |(asked, _)| asked);
            let since = unnoticed_since(history, first, asked);
            let forgets = |fault: &Fault| fault.forgets && fault.was_between(since, until);
            (Cause::Forgotten, latest(&forgets))
        }
        Some((ended, End::Refused | End::Lost | End::Requeued | End::Unknown)) => {
            let hit = |fault: &Fault| fault.was_between(first.handed_out, ended);
            (Cause::Disowned, latest(&hit))
        }
        _ => {
            let killed = |fault: &Fault| fault.is_fatal() && fault.until >= last_seen;
            (Cause::Died, latest(&killed))
        }
    }
}
