//! settle.lua, with one settlement per batch.

use super::restore::MayWrite;
use super::{Body, Consumer, Drawn, Epoch, Id, Judged, Lane, Place, Redis, Token};
use crate::worker::Ending;

/// What became of a settlement.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Settled {
    /// It counts.
    Ok,
    /// The entry was not this worker's; nothing changed.
    Disowned,
    /// A batch of an earlier number, on a dead connection.
    Stale,
}

/// A batch of one settlement.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Step {
    /// Who settles.
    pub consumer: Consumer,
    /// The batch number.
    pub number: u8,
    /// The epoch that the batch was put together under.
    pub epoch: Epoch,
    /// The entry.
    pub id: Id,
    /// The lease's token; none where the entry never became a lease.
    pub token: Option<Token>,
    /// How it ends.
    pub ending: Ending,
    /// The fields of the entry and its run.
    pub body: Body,
    /// Whether they are sent: where the store may have lost the entry since it was leased.
    pub memory: bool,
    /// Whether its sender has had the answer and left: nobody in the model looks at this but the properties.
    pub answered: bool,
}

/// What the planted mistakes leave out.
#[derive(Debug, Clone, Copy)]
pub struct Settle {
    /// Failures at which an entry is given up.
    pub max_failures: u8,
    /// Whether ownership is asked for.
    pub guarded: bool,
    /// Whether receipts are kept.
    pub receipts: bool,
    /// Whether a lease finds what it has written anew itself, unanswered.
    pub finds_own_copy: bool,
    /// Whether it is noted too what was settled with memory and was there.
    pub notes_all: bool,
    /// Whether that leaves a newer owner's note alone.
    pub keeps_newer: bool,
}

enum Stands {
    Mine,
    Anew,
    Lost,
}

impl Redis {
    /// settle.lua. Also says whether it changed what became of the run.
    pub fn settle(&mut self, drawn: &mut Drawn, how: Settle, step: Step) -> (Judged<Settled>, bool) {
        if let Some((last, outcome)) = self.receipts.get(&step.consumer).copied() {
            if last == step.number {
                return (Judged::Done(outcome), false);
            }
            if last > step.number {
                return (Judged::Done(Settled::Stale), false);
            }
        }
        if self.epoch != Some(step.epoch) {
            return (Judged::Epoch, false);
        }
        let value = step.token.map(|token| (step.consumer, token));
        // A server that may lack the last writes would call a lease lost.
        if (value.is_none() || self.lock(step.id) != value) && !self.is_known_server() {
            return (Judged::Epoch, false);
        }
        let (outcome, counts) = self.end(drawn, how, step);
        if how.receipts {
            self.receipts.insert(step.consumer, (step.number, outcome));
        }
        (Judged::Done(outcome), counts)
    }

    fn end(&mut self, drawn: &mut Drawn, how: Settle, step: Step) -> (Settled, bool) {
        let ending = step.ending;
        let copy = self.own_copy(step).filter(|_| how.finds_own_copy);
        let id = copy.unwrap_or(step.id);
        let bodiless = step.memory && self.entry(id).is_none();
        let stands = if !bodiless && (!how.guarded || self.is_mine(id, step.consumer, step.token)) {
            Stands::Mine
        } else if step.memory {
            self.stand_after_loss(Step { id, ..step })
        } else {
            Stands::Lost
        };
        let anew = match stands {
            Stands::Lost => return (Settled::Disowned, false),
            Stands::Mine => false,
            Stands::Anew => true,
        };
        let Some(mut body) = (if anew {
            Some(step.body)
        } else {
            self.entry(id).map(|e| e.body)
        }) else {
            // Without a guard a `done` has nothing to acknowledge, and says that it has.
            return (Settled::Ok, false);
        };
        let counts = body.run == step.body.run;
        let failed = matches!(ending, Ending::Retry { .. });
        body.failures += u8::from(failed);
        let to = match ending {
            Ending::Done => {
                self.done |= 1 << body.stream;
                None
            }
            Ending::DeadLetter => {
                self.dead |= 1 << body.stream;
                None
            }
            Ending::Retry { .. } if body.failures >= how.max_failures => {
                self.dead |= 1 << body.stream;
                None
            }
            Ending::Retry { delayed: true } => Some(Place::Delayed(Lane::Front)),
            Ending::Retry { delayed: false } | Ending::Release => Some(Place::In(Lane::Front)),
        };
        let new = to.map(|place| self.put_again(drawn, body, place));
        let newer = self
            .noted(self.written.get(&body.stream), body.stream)
            .is_some_and(|(token, _)| Some(token) > step.token);
        if step.memory && (anew || how.notes_all && !(how.keeps_newer && newer)) {
            self.note_written(body.stream, step.token.unwrap_or(0), new);
        }
        if !anew {
            self.finish(id);
        }
        (Settled::Ok, counts)
    }

    /// Where this very lease was written anew, if its owner was never answered: with its lock, or pending for it.
    fn own_copy(&self, step: Step) -> Option<Id> {
        let stream = step.body.stream;
        let (token, to) = self
            .written
            .get(&stream)
            .filter(|_| step.memory)
            .and_then(|note| self.noted(Some(note), stream))?;
        to.filter(|id| Some(token) == step.token && self.is_mine(*id, step.consumer, step.token))
    }

    /// How an entry stands that the store may have lost since it was leased.
    fn stand_after_loss(&mut self, step: Step) -> Stands {
        let stream = step.body.stream;
        if let Some(entry) = self.entry(step.id) {
            // Without a lock it is nobody's yet, also where a reader has just been given it.
            return if entry.lock.is_some() {
                Stands::Lost
            } else {
                Stands::Mine
            };
        }
        if self.noted(self.moved.get(&step.id), stream).is_some() {
            return Stands::Lost;
        }
        match self.may_write(stream, step.token.unwrap_or(0), false) {
            MayWrite::Free => Stands::Anew,
            MayWrite::Taken(_) => Stands::Lost,
        }
    }
}
