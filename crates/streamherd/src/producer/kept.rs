//! What a retaining producer keeps, and what it concludes from what the store says of it. No I/O; reads no clock.

mod part;

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use part::Part;

use crate::clock::Moment;
use crate::id::{Reference, StreamId};
use crate::store::{Accepted, Identity, Resubmitted, Stands, Submitted, When};
use crate::trace::TraceContext;

/// The number of a kept stream, in the order in which they were accepted.
pub(super) type Number = u64;

/// A stream that was submitted and accepted.
#[derive(Debug, Clone)]
pub(super) struct Kept {
    pub(super) reference: Reference,
    pub(super) answer: Answer,
    /// The name that it is coalesced by.
    pub(super) name: Option<Arc<str>>,
    pub(super) input: Arc<str>,
    pub(super) digest: Arc<str>,
    pub(super) due: Due,
    pub(super) trace: Option<TraceContext>,
    pub(super) accepted: Moment,
    /// In which [era](Shelf::era) the store was known to have it: an earlier one than the present means that nobody knows.
    pub(super) era: u64,
}

/// What a submit was answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Answer {
    /// It is a run of its own, which was given this id.
    New(StreamId),
    /// Another's run serves it.
    Served,
    /// It is wanted once more after another's run, also if that is for the same info.
    Noted,
}

/// When a stream is to be handed out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Due {
    Now,
    /// By the clock of this process, as it was asked for with a delay.
    Local(Moment),
    At(SystemTime),
}

/// What is kept in all partitions.
#[derive(Debug)]
pub(super) struct Shelf {
    parts: Vec<Part>,
    next: Number,
    duration: Duration,
    max: usize,
}

/// What has happened to a partition, where that is to be told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum News {
    Nothing,
    /// It is another store than before, or one that came back: writes may be lost.
    MaybeLost,
}

impl Due {
    pub(super) fn of(when: When, now: Moment) -> Self {
        match when {
            When::Now => Self::Now,
            When::After(delay) => Self::Local(now + delay),
            When::At(time) => Self::At(time),
        }
    }

    /// The same for a submit at this moment.
    pub(super) fn when(self, now: Moment) -> When {
        match self {
            Self::Now => When::Now,
            Self::Local(due) if due <= now => When::Now,
            Self::Local(due) => When::After(now.until(due)),
            Self::At(time) => When::At(time),
        }
    }

    /// Whether who waits for `other` is not kept waiting by this one. Times of different clocks are not compared.
    fn is_no_later_than(self, other: Self) -> bool {
        match (self, other) {
            (Self::Now, _) => true,
            (Self::Local(one), Self::Local(other)) => one <= other,
            (Self::At(one), Self::At(other)) => one <= other,
            _ => false,
        }
    }
}

impl Answer {
    pub(super) const fn of(accepted: Accepted) -> Self {
        match accepted.submitted {
            Submitted::New(reference) => Self::New(id_of(reference)),
            Submitted::Coalesced(_) if accepted.noted => Self::Noted,
            Submitted::Coalesced(_) => Self::Served,
        }
    }

    pub(super) const fn origin(self) -> Option<StreamId> {
        match self {
            Self::New(id) => Some(id),
            Self::Served | Self::Noted => None,
        }
    }
}

/// The id by which an entry's origin is told, whatever becomes of it.
const fn id_of(reference: Reference) -> StreamId {
    match reference {
        Reference::Queued(entry) => entry.id,
        Reference::Delayed(id) => id,
    }
}

impl Kept {
    /// Whether a stream that was submitted later by the same producer makes it superfluous. One for the same info that is
    /// not for a later time is as good, but where the older one is a run of its own and the newer is not: that may be held by
    /// a worker, which would write it back, and its id is what tells the two apart. One for other info is no substitute for
    /// what has yet to run.
    fn is_replaced_by(&self, newer: &Self) -> bool {
        let own_run = matches!(self.answer, Answer::New(_)) && !matches!(newer.answer, Answer::New(_));
        self.name.is_some() && self.digest == newer.digest && !own_run && newer.due.is_no_later_than(self.due)
    }
}

impl Shelf {
    pub(super) fn new(identities: impl IntoIterator<Item = Identity>, duration: Duration, max: usize) -> Self {
        Self {
            parts: identities.into_iter().map(Part::new).collect(),
            next: 1,
            duration,
            max,
        }
    }

    pub(super) fn len(&self) -> usize {
        self.parts.iter().map(Part::len).sum()
    }

    /// Which store a partition is in, as far as is known: counted up whenever writes may be lost.
    pub(super) fn era(&self, partition: usize) -> u64 {
        self.parts.get(partition).map_or(0, Part::era)
    }

    pub(super) fn identity(&self, partition: usize) -> Identity {
        self.parts
            .get(partition)
            .map(Part::identity)
            .cloned()
            .unwrap_or_default()
    }

    /// Keeps one more. Returns how many of the oldest are no longer kept for that.
    pub(super) fn keep(&mut self, partition: usize, kept: Kept) -> u64 {
        let number = self.next;
        self.next += 1;
        let Some(part) = self.parts.get_mut(partition) else {
            return 0;
        };
        part.keep(number, kept);
        let mut dropped = 0;
        while self.len() > self.max {
            let oldest = self.parts.iter_mut().filter_map(|part| Some((part.first()?, part)));
            let Some((number, part)) = oldest.min_by_key(|(number, _)| *number) else {
                break;
            };
            part.remove(number);
            dropped += 1;
        }
        dropped
    }

    /// The next ones to ask for, of so many and so many bytes at most.
    pub(super) fn page(&self, partition: usize, after: Number, most: usize, bytes: usize) -> Vec<(Number, Kept)> {
        self.parts
            .get(partition)
            .map_or_else(Vec::new, |part| part.page(after, most, bytes))
    }

    pub(super) fn hear(&mut self, partition: usize, identity: &Identity, now: Moment) -> News {
        let part = self.parts.get_mut(partition);
        part.map_or(News::Nothing, |part| part.hear(identity, now))
    }

    pub(super) fn judge(&mut self, partition: usize, number: Number, stands: Stands, now: Moment) {
        if let Some(part) = self.parts.get_mut(partition) {
            part.judge(number, stands, now);
        }
    }

    /// Lets go of what has been kept for long enough, all of it having been looked at. What may be lost stays.
    pub(super) fn expire(&mut self, partition: usize, now: Moment) {
        if let Some(part) = self.parts.get_mut(partition) {
            part.expire(now, self.duration);
        }
    }

    /// Since when streams may be lost; [`None`] if none is.
    pub(super) fn lost_since(&self, partition: usize) -> Option<Moment> {
        self.parts.get(partition)?.lost_since()
    }

    /// What may be lost, in order, each with the digest of what was submitted before it under its name.
    pub(super) fn lost(&self, partition: usize) -> Vec<(Number, Option<Arc<str>>)> {
        self.parts.get(partition).map_or_else(Vec::new, Part::lost)
    }

    pub(super) fn get(&self, partition: usize, number: Number) -> Option<&Kept> {
        self.parts.get(partition)?.get(number)
    }

    /// Takes note of what became of one that may have been lost. `era` is the one that the store was asked in.
    pub(super) fn resubmitted(&mut self, partition: usize, number: Number, era: u64, outcome: &Resubmitted) {
        if let Some(part) = self.parts.get_mut(partition) {
            part.resubmitted(number, era, outcome);
        }
    }
}

#[cfg(test)]
mod tests;
