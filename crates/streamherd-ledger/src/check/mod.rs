//! What is wrong with a history.

mod duplicates;
mod leases;
mod submits;
mod tokens;

#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::fmt;

use crate::history::{Held, History, Submit};

pub use duplicates::{Cause, Duplicate};

/// What a history says about the guarantees.
#[derive(Debug, Clone, Default)]
pub struct Verdict {
    /// What must not have happened.
    pub violations: Vec<Violation>,
    /// Work that was finished more than once, each time with what explains it.
    pub duplicates: Vec<Duplicate>,
    /// Submits whose last run was finished by a worker that died before it wrote down whether Redis took that: done, where
    /// Redis has nothing left.
    pub died_settling: usize,
}

/// Something that must not have happened. The guarantees' numbers are those of docs/GUARANTEES.md.
#[derive(Debug, Clone, PartialEq)]
pub enum Violation {
    /// Guarantee 1: it was acknowledged, and no run that was handed out after it was asked for ended in done or in the
    /// dead-letter stream.
    Lost(Submit),
    /// It was certainly refused, and was queued all the same.
    WronglyRefused(Submit, Vec<String>),
    /// Guarantee 2: two leases of one stream were valid at one moment. All submits of a history coalesce.
    TwoOwners(Held, Held),
    /// The later of two leases has not the larger token.
    TokensOutOfOrder(Held, Held),
    /// Guarantee 3: a settlement counted although the stream had been handed to another before it was asked for.
    SettledTooLate(Held, Held),
    /// One entry was done twice, and Redis had forgotten nothing.
    DoneTwice(Held, Held),
    /// Work was done twice without a fault that explains it.
    Unexplained(Held, Held),
    /// Guarantee 9: a lease never ended, though its worker lived.
    NeverEnded(Held),
    /// Nobody knows whether a settlement counted, and no fault says why.
    Unknown(Held),
    /// A note that makes no sense.
    Nonsense(crate::Line),
}

impl Verdict {
    /// Judges a history.
    #[must_use]
    pub fn on(history: &History) -> Self {
        let runs = Runs::of(history);
        let (lost, died_settling) = submits::unfinished(history, &runs);
        let (duplicates, unexplained) = duplicates::find(history, &runs);
        let mut violations: Vec<Violation> = lost.into_iter().cloned().map(Violation::Lost).collect();
        violations.extend(pairs(leases::overlapping(history, &runs), Violation::TwoOwners));
        violations.extend(pairs(tokens::out_of_order(history, &runs), Violation::TokensOutOfOrder));
        violations.extend(pairs(leases::settled_too_late(&runs), Violation::SettledTooLate));
        violations.extend(unexplained);
        violations.extend(leases::never_ended(history).cloned().map(Violation::NeverEnded));
        violations.extend(submits::wrongly_refused(history));
        violations.extend(leases::unknown(history).cloned().map(Violation::Unknown));
        violations.extend(history.nonsense.iter().cloned().map(Violation::Nonsense));
        Self {
            violations,
            duplicates,
            died_settling,
        }
    }

    /// How many of each kind, with a few examples each; empty if nothing is wrong.
    #[must_use]
    pub fn summary(&self) -> String {
        let mut kinds: BTreeMap<&str, Vec<&Violation>> = BTreeMap::new();
        for violation in &self.violations {
            kinds.entry(violation.kind()).or_default().push(violation);
        }
        let mut text = String::new();
        for (kind, found) in kinds {
            text += &format!("{} x {kind}:\n", found.len());
            for one in found.iter().take(EXAMPLES) {
                text += &format!("  {one:?}\n");
            }
        }
        text
    }
}

impl Violation {
    /// What kind it is, in words.
    #[must_use]
    pub const fn kind(&self) -> &'static str {
        match self {
            Self::Lost(_) => "acknowledged, and neither done nor dead-lettered",
            Self::WronglyRefused(..) => "certainly refused, and queued",
            Self::TwoOwners(..) => "two valid leases of one stream at one time",
            Self::TokensOutOfOrder(..) => "tokens that don't tell the order",
            Self::SettledTooLate(..) => "settled after another had it",
            Self::DoneTwice(..) => "an entry that was done twice",
            Self::Unexplained(..) => "work done twice without a reason",
            Self::NeverEnded(_) => "a lease that never ended",
            Self::Unknown(_) => "a settlement without an outcome",
            Self::Nonsense(_) => "a note without sense",
        }
    }
}

impl Violation {
    pub(crate) const fn is_loss(&self) -> bool {
        matches!(self, Self::Lost(_))
    }
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.kind())
    }
}

fn pairs(pairs: Vec<(&Held, &Held)>, what: fn(Held, Held) -> Violation) -> Vec<Violation> {
    let violation = |(one, other): (&Held, &Held)| what(one.clone(), other.clone());
    pairs.into_iter().map(violation).collect()
}

/// Leases by what they have in common, each in the order in which they were handed out.
struct Runs<'a> {
    of_stream: BTreeMap<&'a str, Vec<&'a Held>>,
    of_partition: BTreeMap<u16, Vec<&'a Held>>,
}

impl<'a> Runs<'a> {
    fn of(history: &'a History) -> Self {
        let mut runs = Self {
            of_stream: BTreeMap::new(),
            of_partition: BTreeMap::new(),
        };
        let mut leases: Vec<&Held> = history.leases.iter().collect();
        leases.sort_by_key(|held| held.handed_out);
        for held in leases {
            runs.of_stream.entry(&held.stream).or_default().push(held);
            runs.of_partition.entry(held.partition).or_default().push(held);
        }
        runs
    }
}

const EXAMPLES: usize = 5;
