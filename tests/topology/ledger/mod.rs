//! What the workers and the submitter of a load saw, written down outside of Redis, for the checks to judge afterwards.

mod check;
#[cfg(test)]
mod check_tests;
mod loss;
#[cfg(test)]
mod loss_tests;

use std::sync::Mutex;
use std::time::{Duration, Instant};

use streamherd::{EntryId, Lease, Reference, Submitted, partition_of};

pub(crate) use loss::{Loss, Snapshot, blame};

/// A moment, as the time since the ledger was opened. All workers of a load are in one process, so there is one clock.
pub(crate) type At = Duration;

/// A lease as its worker saw it.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Held {
    pub(crate) stream: String,
    pub(crate) partition: u16,
    pub(crate) entry: EntryId,
    pub(crate) token: u64,
    pub(crate) worker: usize,
    pub(crate) handed_out: At,
    /// It was certainly valid from the first of these moments to the second: each was taken on the inner side of a call of
    /// `is_valid` that said so.
    pub(crate) valid: Option<(At, At)>,
    /// When it was first seen to be lost.
    pub(crate) lost: Option<At>,
    /// When its settlement was asked for.
    pub(crate) asked: Option<At>,
    /// When there was nothing more to come of it, and what became of it.
    pub(crate) ended: Option<(At, End)>,
}

/// What became of a lease, as Redis has confirmed it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum End {
    Done,
    DeadLettered,
    /// Back on the queue.
    Requeued,
    /// The settlement did not count.
    Refused,
    /// No settlement was tried, as the lease was lost.
    Lost,
    /// Nobody knows whether the settlement counted.
    Unknown,
}

/// One call of `submit`.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Submit {
    /// In its info, so that what is in Redis can be told apart.
    pub(crate) number: usize,
    pub(crate) stream: String,
    pub(crate) partition: u16,
    pub(crate) asked: At,
    pub(crate) answered: At,
    pub(crate) answer: Answer,
}

/// What the producer said.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Answer {
    New(Reference),
    Coalesced(Reference),
    /// It may be queued, or is, but not so that it outlives its master.
    Maybe,
    Refused,
}

impl Submit {
    pub(crate) fn acknowledged(&self) -> Option<Reference> {
        match self.answer {
            Answer::New(reference) | Answer::Coalesced(reference) => Some(reference),
            Answer::Maybe | Answer::Refused => None,
        }
    }
}

/// All that was written down.
#[derive(Debug, Clone, Default)]
pub(crate) struct Record {
    pub(crate) leases: Vec<Held>,
    pub(crate) submits: Vec<Submit>,
    /// When a worker heard of an orphan, and of which partition.
    pub(crate) expired: Vec<(At, u16)>,
    /// Why leases were lost, as the workers were told.
    pub(crate) disowned: Vec<(At, u16, &'static str)>,
    pub(crate) data_losses: usize,
    /// Why submits were refused, by their numbers.
    pub(crate) refusals: Vec<(usize, String)>,
    /// Why nobody knows whether settlements counted.
    pub(crate) unknown: Vec<String>,
}

/// Takes notes.
#[derive(Debug)]
pub(crate) struct Ledger {
    opened: Instant,
    partitions: u16,
    record: Mutex<Record>,
}

/// A lease's place in the ledger.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Line(usize);

impl Ledger {
    pub(crate) fn open(partitions: u16) -> Self {
        Self {
            opened: Instant::now(),
            partitions,
            record: Mutex::default(),
        }
    }

    pub(crate) fn now(&self) -> At {
        self.opened.elapsed()
    }

    /// What was written so far.
    pub(crate) fn read<T>(&self, look: impl FnOnce(&Record) -> T) -> T {
        look(&self.record.lock().expect("nobody panics in here"))
    }

    pub(crate) fn write<T>(&self, note: impl FnOnce(&mut Record) -> T) -> T {
        note(&mut self.record.lock().expect("nobody panics in here"))
    }

    pub(crate) fn handed_out(&self, worker: usize, lease: &Lease) -> Line {
        let handed_out = self.now();
        let valid = lease.is_valid().then(|| self.now()).map(|now| (now, now));
        let held = Held {
            stream: lease.stream().to_owned(),
            partition: lease.partition(),
            entry: lease.id(),
            token: lease.token().get(),
            worker,
            handed_out,
            valid,
            lost: None,
            asked: None,
            ended: None,
        };
        self.write(|record| {
            record.leases.push(held);
            Line(record.leases.len() - 1)
        })
    }

    /// Looks whether the lease is valid, and notes it.
    pub(crate) fn look(&self, line: Line, lease: &Lease) -> bool {
        let before = self.now();
        let valid = lease.is_valid();
        let after = self.now();
        self.write(|record| {
            let held = &mut record.leases[line.0];
            if valid {
                held.valid.get_or_insert((after, before)).1 = before;
            } else {
                held.lost.get_or_insert(after);
            }
        });
        valid
    }

    pub(crate) fn asks(&self, line: Line) {
        let now = self.now();
        self.write(|record| record.leases[line.0].asked = Some(now));
    }

    pub(crate) fn ended(&self, line: Line, end: End) {
        let now = self.now();
        self.write(|record| record.leases[line.0].ended = Some((now, end)));
    }

    pub(crate) fn submitted(&self, number: usize, stream: &str, asked: At, answer: Answer) {
        let submit = Submit {
            number,
            stream: stream.to_owned(),
            partition: partition_of(stream, self.partitions),
            asked,
            answered: self.now(),
            answer,
        };
        self.write(|record| record.submits.push(submit));
    }
}

impl From<Submitted> for Answer {
    fn from(submitted: Submitted) -> Self {
        match submitted {
            Submitted::New(reference) => Self::New(reference),
            Submitted::Coalesced(reference) => Self::Coalesced(reference),
        }
    }
}
