//! restore.lua, and the notes that keep a run from being written anew twice.

use super::{Body, Consumer, Drawn, Entry, Epoch, Id, Judged, Lane, Lock, Note, Pending, Place, Redis, Stream, Token};
use crate::bounds::Ticks;

/// What became of a lease that a worker told of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Restored {
    /// It goes on.
    Kept,
    /// The entry was gone and has a new id.
    Written(Id),
    /// Its settlement was carried out before the answer was lost.
    Settled,
    /// The entry is gone, and its fields were not sent.
    Missing,
    /// It is somebody else's.
    Lost,
}

/// What a worker says of a lease.
#[derive(Debug, Clone, Copy)]
pub struct Restorable {
    /// The entry.
    pub id: Id,
    /// The lease's token.
    pub token: Token,
    /// Whether it is valid at the worker.
    pub valid: bool,
    /// The settlement batch that it was sent in; zero if in none.
    pub batch: u8,
    /// The fields of the entry.
    pub body: Body,
    /// The lane it was read from.
    pub lane: Lane,
    /// Whether the fields are sent.
    pub with_fields: bool,
    /// Whether a repeated write-back extends its lock; that it doesn't is one of the planted mistakes.
    pub extends: bool,
}

/// Whether a run may be written anew.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum MayWrite {
    Free,
    Taken(Option<Id>),
}

impl Redis {
    /// restore.lua, for one lease.
    pub fn restore(
        &mut self,
        drawn: &mut Drawn,
        epoch: Epoch,
        consumer: Consumer,
        lease: Restorable,
        ttl: Ticks,
    ) -> Judged<Restored> {
        if self.epoch != Some(epoch) {
            return Judged::Epoch;
        }
        let settled = self.receipts.get(&consumer).map_or(0, |receipt| receipt.0);
        if lease.batch > 0 && settled >= lease.batch {
            return Judged::Done(Restored::Settled);
        }
        let value = (consumer, lease.token);
        let held = Lock {
            value,
            left: ttl,
            given: true,
        };
        let pending = Pending { consumer, idle: 0 };
        if let Some(entry) = self.entry_mut(lease.id).filter(|e| e.body.stream == lease.body.stream) {
            let still = entry.pending.is_some_and(|p| p.consumer == consumer);
            let said = entry.lock.map(|l| l.value);
            let mine = said == Some(value);
            return Judged::Done(if said.is_some() && !mine || !lease.valid && !mine && !still {
                Restored::Lost
            } else {
                if lease.valid {
                    entry.lock = Some(held);
                    if !still {
                        entry.pending = Some(pending);
                    }
                }
                Restored::Kept
            });
        }
        if !lease.with_fields || !lease.valid {
            return Judged::Done(Restored::Missing);
        }
        if let MayWrite::Taken(to) = self.may_write(lease.body.stream, lease.token, true) {
            // By this very lease, where the answer was lost, or by a newer owner.
            let Some(id) = to.filter(|id| self.lock(*id) == Some(value)) else {
                return Judged::Done(Restored::Lost);
            };
            if let Some(entry) = self.entry_mut(id).filter(|_| lease.extends) {
                entry.lock = Some(held);
            }
            return Judged::Done(Restored::Written(id));
        }
        let id = self.put(drawn, lease.body, Place::In(lease.lane));
        if let Some(entry) = self.entry_mut(id) {
            entry.pending = Some(pending);
            entry.lock = Some(held);
        }
        self.note_written(lease.body.stream, lease.token, Some(id));
        Judged::Done(Restored::Written(id))
    }

    pub(super) fn note_written(&mut self, stream: Stream, token: Token, to: Option<Id>) {
        let epoch = self.epoch.map_or(0, |epoch| epoch.id);
        self.written.insert(stream, Note { token, epoch, to });
    }

    /// What a note is worth: nothing where what it tells of was lost too, with a later epoch; else its token, and the reference
    /// unless the run has gone on from there.
    pub(super) fn noted(&self, note: Option<&Note>, stream: Stream) -> Option<(Token, Option<Id>)> {
        let note = note?;
        let Some(to) = note.to else {
            return Some((note.token, None));
        };
        let there = self.anywhere(to).is_some_and(|e| e.body.stream == stream);
        if there {
            return Some((note.token, Some(to)));
        }
        (Some(note.epoch) == self.epoch.map(|epoch| epoch.id)).then_some((note.token, None))
    }

    /// Whether a run that this store has lost may be written anew by an owner with this token; what an earlier owner had queued
    /// is taken away then. Who `holds` it goes on, whatever an earlier owner has made of it.
    pub(super) fn may_write(&mut self, stream: Stream, token: Token, holds: bool) -> MayWrite {
        match self.noted(self.written.get(&stream), stream) {
            None => MayWrite::Free,
            Some((other, to)) if other >= token => MayWrite::Taken(to),
            Some((_, None)) if holds => MayWrite::Free,
            Some((_, None)) => MayWrite::Taken(None),
            Some((_, Some(to))) if self.lock(to).is_some() => MayWrite::Taken(Some(to)),
            Some((_, Some(to))) => {
                self.finish(to);
                MayWrite::Free
            }
        }
    }

    /// An entry, delayed ones too.
    fn anywhere(&self, id: Id) -> Option<&Entry> {
        self.entries.iter().find(|e| e.id == id)
    }
}
