//! How much of what there was in a history.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::Serialize;

use crate::check::{Cause, Verdict};
use crate::clock::At;
use crate::history::{Held, History};
use crate::line::{Answer, End};

/// What is told of a run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Figures {
    /// Submits that were acknowledged, those that coalesced included.
    pub submitted: usize,
    /// Submits whose answer was lost, or that were refused; each was repeated.
    pub repeated: usize,
    /// Leases that were handed out.
    pub leases: usize,
    /// Leases by what became of them.
    pub ends: BTreeMap<&'static str, usize>,
    /// Acknowledged, and neither done nor dead-lettered.
    pub lost: usize,
    /// Work that was finished more than once, by why that was and by the fault behind it.
    pub duplicates: BTreeMap<String, usize>,
    /// What was done, by its kind.
    pub faults: BTreeMap<String, usize>,
    /// The longest time from when a worker last had a lease that it did not settle until the stream was handed out again.
    pub longest_recovery_ms: u64,
    /// What must not have happened.
    pub violations: usize,
}

impl Figures {
    /// Of a history and what is said of it.
    #[must_use]
    pub fn of(history: &History, verdict: &Verdict) -> Self {
        let acknowledged = |answer: &Answer| matches!(answer, Answer::New(_) | Answer::Coalesced(_));
        let submitted = history
            .submits
            .iter()
            .filter(|submit| acknowledged(&submit.answer))
            .count();
        let mut ends = BTreeMap::new();
        for held in &history.leases {
            let end = match held.ended.map(|(_, end)| end) {
                Some(End::Done) => "done",
                Some(End::DeadLettered) => "dead_lettered",
                Some(End::Requeued) => "requeued",
                Some(End::Refused) => "refused",
                Some(End::Lost) => "lost",
                Some(End::Unknown) => "unknown",
                None => "died_with_its_worker",
            };
            *ends.entry(end).or_default() += 1;
        }
        let mut faults = BTreeMap::new();
        for fault in &history.faults {
            *faults.entry(fault.kind.clone()).or_default() += 1;
        }
        let mut duplicates = BTreeMap::new();
        for duplicate in &verdict.duplicates {
            let cause = match duplicate.cause {
                Cause::Forgotten => "forgotten by Redis",
                Cause::Disowned => "lease lost",
                Cause::Died => "worker killed",
            };
            *duplicates.entry(format!("{cause} ({})", duplicate.fault)).or_default() += 1;
        }
        let longest = recoveries(history).into_iter().max().unwrap_or_default();
        Self {
            submitted,
            repeated: history.submits.len() - submitted,
            leases: history.leases.len(),
            ends,
            lost: verdict.violations.iter().filter(|one| one.is_loss()).count(),
            duplicates,
            faults,
            longest_recovery_ms: u64::try_from(longest.as_millis()).unwrap_or(u64::MAX),
            violations: verdict.violations.len(),
        }
    }
}

/// For each lease that was given up or died, the time from when it was last seen until its stream was handed out again.
fn recoveries(history: &History) -> Vec<Duration> {
    let mut of_stream: BTreeMap<&str, Vec<&Held>> = BTreeMap::new();
    for held in &history.leases {
        of_stream.entry(&held.stream).or_default().push(held);
    }
    let mut found = Vec::new();
    for mut leases in of_stream.into_values() {
        leases.sort_by_key(|held| held.handed_out);
        for pair in leases.windows(2) {
            let unsettled = !matches!(pair[0].ended, Some((_, End::Done | End::DeadLettered | End::Requeued)));
            if unsettled {
                found.push(pair[1].handed_out.saturating_sub(last_valid(pair[0])));
            }
        }
    }
    found
}

fn last_valid(held: &Held) -> At {
    held.valid
        .map_or(held.handed_out, |(_, until)| until.max(held.handed_out))
}
