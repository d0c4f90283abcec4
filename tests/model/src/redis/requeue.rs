//! requeue.lua: the one step of claims and scans.

use super::{Drawn, Epoch, Id, Judged, Lane, Note, Place, Redis};
use crate::bounds::Ticks;

/// What became of an orphan.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Requeued {
    /// At the front of the queue, under that id.
    Ok(Id),
    /// In the dead-letter stream.
    Dead,
    /// Its lock lives.
    Alive,
    /// A rival was first, or its owner has settled it.
    Gone,
    /// Not idle for long enough.
    Early,
}

/// The limits of a re-queue, and what the planted mistakes leave out.
#[derive(Debug, Clone, Copy)]
pub struct Requeue {
    /// Least idle time.
    pub least_idle: Ticks,
    /// Abandonments at which it is given up.
    pub max_abandonments: u8,
    /// How often the caller knows the clock to have jumped.
    pub clock: u8,
    /// Whether the guard of epoch, server and quiet time is there.
    pub asks_epoch: bool,
    /// Whether the lock is looked at.
    pub asks_lock: bool,
}

impl Redis {
    /// requeue.lua.
    pub fn requeue(&mut self, drawn: &mut Drawn, epoch: Epoch, how: Requeue, id: Id) -> Judged<Requeued> {
        let guard = self.may_requeue(epoch, how, id);
        if guard != Judged::Done(Requeued::Ok(id)) {
            return guard;
        }
        let Some(mut body) = self.entry(id).map(|e| e.body) else {
            return Judged::Done(Requeued::Gone);
        };
        body.abandonments += 1;
        let outcome = if body.abandonments >= how.max_abandonments {
            self.dead |= 1 << body.stream;
            Requeued::Dead
        } else {
            Requeued::Ok(self.put_again(drawn, body, Place::In(Lane::Front)))
        };
        let to = match outcome {
            Requeued::Ok(new) => Some(new),
            _ => None,
        };
        self.moved.insert(
            id,
            Note {
                token: 0,
                epoch: epoch.id,
                to,
            },
        );
        self.finish(id);
        Judged::Done(outcome)
    }

    /// Its guard; `Ok` with the same id if nothing stands against it.
    #[must_use]
    pub fn may_requeue(&self, epoch: Epoch, how: Requeue, id: Id) -> Judged<Requeued> {
        if let Some(against) = self.not_now(epoch).filter(|_| how.asks_epoch) {
            return against;
        }
        // A clock that has jumped ahead has let all locks expire at once.
        if self.clock != how.clock {
            return Judged::Epoch;
        }
        Judged::Done(match self.entry(id) {
            Some(entry) if entry.lock.is_some() && how.asks_lock => Requeued::Alive,
            Some(entry) => match entry.pending {
                None => Requeued::Gone,
                Some(pending) if pending.idle < how.least_idle => Requeued::Early,
                Some(_) => Requeued::Ok(id),
            },
            None => Requeued::Gone,
        })
    }
}
