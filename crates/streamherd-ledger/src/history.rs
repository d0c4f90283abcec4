//! What all notes together say.

use std::collections::HashMap;

use streamherd::{EntryId, Reference};

use crate::clock::At;
use crate::line::{Answer, End, Event, How, Line, Target};

/// The kind of a fault that ends a worker's process on the spot.
pub const KILL: &str = "kill";

/// All notes, put together. Notes of one writer are in the order in which it took them; those of several in any order.
#[derive(Debug, Clone, Default)]
pub struct History {
    /// Leases, in the order in which they were read.
    pub leases: Vec<Held>,
    /// Submits that were answered, one per answer, and those that never were, as `Maybe`.
    pub submits: Vec<Submit>,
    /// What was done to everybody.
    pub faults: Vec<Fault>,
    /// When a worker heard of an orphan, and of which partition.
    pub expired: Vec<(At, u16)>,
    /// Why leases were lost, as the workers were told.
    pub disowned: Vec<(At, u16, String)>,
    /// How often each consumer was told that Redis lost its data.
    pub data_losses: HashMap<String, usize>,
    /// Why submits were refused, by their numbers.
    pub refusals: Vec<(u64, String)>,
    /// Why nobody knows whether settlements counted.
    pub unknown: Vec<String>,
    /// Notes that make no sense: of a lease that nobody was handed, or with an id that is none.
    pub nonsense: Vec<Line>,
    at_lease: HashMap<(String, u64), usize>,
    open_submits: HashMap<(String, u64), usize>,
}

/// A lease as its worker saw it.
#[derive(Debug, Clone, PartialEq)]
pub struct Held {
    /// The data stream's name.
    pub stream: String,
    /// Its partition.
    pub partition: u16,
    /// The entry when it was handed out.
    pub entry: EntryId,
    /// The id of the entry's first life.
    pub origin: String,
    /// Its fencing token.
    pub token: u64,
    /// Who held it: name, dot and incarnation.
    pub worker: String,
    /// When its worker had it.
    pub handed_out: At,
    /// It was certainly valid from the first of these moments to the second: each was taken on the inner side of a call of
    /// `is_valid` that said so, and a lease that was lost never comes back.
    pub valid: Option<(At, At)>,
    /// When it was first seen to be lost.
    pub lost: Option<At>,
    /// When its settlement was asked for, and which.
    pub asked: Option<(At, How)>,
    /// When there was nothing more to come of it, and what became of it.
    pub ended: Option<(At, End)>,
}

impl Held {
    /// The worker's name, without its incarnation.
    #[must_use]
    pub fn name(&self) -> &str {
        self.worker.rsplit_once('.').map_or(&*self.worker, |(name, _)| name)
    }

    /// The last moment of which there is a note.
    #[must_use]
    pub fn last_seen(&self) -> At {
        let valid = self.valid.map(|(_, until)| until);
        let asked = self.asked.map(|(at, _)| at);
        let ended = self.ended.map(|(at, _)| at);
        let seen = [valid, self.lost, asked, ended];
        seen.into_iter().flatten().fold(self.handed_out, At::max)
    }

    /// Whether both were certainly valid at one moment.
    #[must_use]
    pub fn overlaps(&self, other: &Self) -> bool {
        match (self.valid, other.valid) {
            (Some((from, until)), Some((other_from, other_until))) => from <= other_until && other_from <= until,
            _ => false,
        }
    }
}

/// One call of `submit`.
#[derive(Debug, Clone, PartialEq)]
pub struct Submit {
    /// Who called it.
    pub producer: String,
    /// In its info, so that what is in Redis can be told apart; the same for a repeated one. Each producer has numbers of its
    /// own.
    pub number: u64,
    /// The data stream's name.
    pub stream: String,
    /// Where it belongs.
    pub partition: u16,
    /// When it was called.
    pub asked: At,
    /// When it returned.
    pub answered: At,
    /// What it said.
    pub answer: Answer,
}

impl Submit {
    /// What it is queued as, if that was said.
    #[must_use]
    pub fn acknowledged(&self) -> Option<Reference> {
        match &self.answer {
            Answer::New(reference) | Answer::Coalesced(reference) => reference.parse().ok(),
            Answer::Maybe | Answer::Refused => None,
        }
    }
}

/// What was done to somebody.
#[derive(Debug, Clone, PartialEq)]
pub struct Fault {
    /// In a word or two.
    pub kind: String,
    /// To whom.
    pub target: Target,
    /// From when.
    pub since: At,
    /// Until when.
    pub until: At,
    /// Whether writes that Redis had acknowledged may be gone with it, or nobody can tell.
    pub forgets: bool,
}

impl Fault {
    /// Whether it ended a worker's process, which then could write down nothing more.
    #[must_use]
    pub fn is_fatal(&self) -> bool {
        self.kind == KILL && matches!(self.target, Target::Worker(_))
    }

    /// Whether it may have hit a lease.
    #[must_use]
    pub fn hits(&self, held: &Held) -> bool {
        match &self.target {
            Target::Worker(name) => name == held.name(),
            Target::Partitions(partitions) => partitions.contains(&held.partition),
            Target::All => true,
        }
    }

    /// Whether some of it was between these moments.
    #[must_use]
    pub fn was_between(&self, since: At, until: At) -> bool {
        self.since <= until && since <= self.until
    }
}

impl History {
    /// Adds a note.
    pub fn apply(&mut self, line: Line) {
        if let Err(line) = self.try_apply(line) {
            self.nonsense.push(*line);
        }
    }

    fn try_apply(&mut self, line: Line) -> Result<(), Box<Line>> {
        let at = line.at();
        match &line.event {
            Event::Submitting {
                submit,
                stream,
                partition,
            } => {
                let number = self.submits.len();
                self.open_submits.insert((line.by.clone(), *submit), number);
                self.submits.push(Submit {
                    producer: line.by.clone(),
                    number: *submit,
                    stream: stream.clone(),
                    partition: *partition,
                    asked: at,
                    answered: at,
                    answer: Answer::Maybe,
                });
            }
            Event::Submitted { submit, answer, why } => {
                let Some(open) = self.open_submits.remove(&(line.by.clone(), *submit)) else {
                    return Err(Box::new(line));
                };
                let open = &mut self.submits[open];
                open.answered = at;
                open.answer = answer.clone();
                let why = why.clone().map(|why| (*submit, why));
                self.refusals.extend(why);
                if matches!(answer, Answer::New(_) | Answer::Coalesced(_)) && open.acknowledged().is_none() {
                    return Err(Box::new(line));
                }
            }
            Event::Added {
                lease,
                stream,
                partition,
                entry,
                origin,
                token,
                ..
            } => {
                let (Ok(entry), Ok(token)) = (entry.parse(), token.parse()) else {
                    return Err(Box::new(line));
                };
                let held = Held {
                    stream: stream.clone(),
                    partition: *partition,
                    entry,
                    origin: origin.clone(),
                    token,
                    worker: line.by.clone(),
                    handed_out: at,
                    valid: None,
                    lost: None,
                    asked: None,
                    ended: None,
                };
                self.at_lease.insert((line.by.clone(), *lease), self.leases.len());
                self.leases.push(held);
            }
            Event::Valid { lease, since_us } => {
                let since = At::from_micros(*since_us);
                match self.lease(&line.by, *lease) {
                    Some(held) => held.valid.get_or_insert((at, since)).1 = since,
                    None => return Err(Box::new(line)),
                }
            }
            Event::Invalid { lease } => match self.lease(&line.by, *lease) {
                Some(held) => _ = held.lost.get_or_insert(at),
                None => return Err(Box::new(line)),
            },
            Event::Settling { lease, how } => match self.lease(&line.by, *lease) {
                Some(held) => held.asked = Some((at, *how)),
                None => return Err(Box::new(line)),
            },
            Event::Ended { lease, end, why } => {
                match self.lease(&line.by, *lease) {
                    Some(held) => held.ended = Some((at, *end)),
                    None => return Err(Box::new(line)),
                }
                self.unknown.extend(why.clone());
            }
            Event::Disowned { partition, reason } => self.disowned.push((at, *partition, reason.clone())),
            Event::Expired { partition } => self.expired.push((at, *partition)),
            Event::DataLoss => *self.data_losses.entry(line.by.clone()).or_default() += 1,
            Event::Fault {
                kind,
                target,
                since_us,
                forgets,
            } => self.faults.push(Fault {
                kind: kind.clone(),
                target: target.clone(),
                since: At::from_micros(*since_us),
                until: at,
                forgets: *forgets,
            }),
        }
        Ok(())
    }

    fn lease(&mut self, by: &str, lease: u64) -> Option<&mut Held> {
        let at = *self.at_lease.get(&(by.to_owned(), lease))?;
        self.leases.get_mut(at)
    }
}
