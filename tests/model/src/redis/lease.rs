//! acquire.lua and renew.lua.

use super::{Consumer, Drawn, Epoch, Id, Judged, Lock, Redis, Token};
use crate::bounds::Ticks;

/// What became of an acquisition.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Acquired {
    /// The lease is there.
    Ok(Token),
    /// The same, of a lease that was there already.
    Again(Token),
    /// A peer has taken the entry meanwhile.
    Gone,
    /// Its owner lives.
    Held,
}

impl Redis {
    /// acquire.lua. With `anew` each acquisition draws a token of its own; that it doesn't is one of the planted mistakes.
    pub fn acquire(
        &mut self,
        drawn: &mut Drawn,
        epoch: Epoch,
        consumer: Consumer,
        id: Id,
        ttl: Ticks,
        anew: bool,
    ) -> Judged<Acquired> {
        if let Some(against) = self.not_now(epoch) {
            return against;
        }
        if self.pending(id).is_none_or(|p| p.consumer != consumer) {
            return Judged::Done(Acquired::Gone);
        }
        let Some(entry) = self.entry_mut(id) else {
            return Judged::Done(Acquired::Gone);
        };
        match &mut entry.lock {
            // What makes a call repeatable whose reply was lost.
            Some(lock) if lock.value.0 == consumer => {
                lock.left = ttl;
                Judged::Done(Acquired::Again(lock.value.1))
            }
            Some(_) => Judged::Done(Acquired::Held),
            none @ None => {
                if anew || drawn.token == 0 {
                    drawn.token += 1;
                }
                let value = (consumer, drawn.token);
                *none = Some(Lock {
                    value,
                    left: ttl,
                    given: false,
                });
                Judged::Done(Acquired::Ok(drawn.token))
            }
        }
    }

    /// renew.lua: true if the lease goes on.
    pub fn renew(&mut self, epoch: Epoch, consumer: Consumer, id: Id, token: Token, ttl: Ticks) -> Judged<bool> {
        if self.epoch != Some(epoch) {
            return Judged::Epoch;
        }
        let value = (consumer, token);
        let is_known_server = self.is_known_server();
        let entry = self.entry_mut(id).filter(|e| {
            e.lock
                .map_or(e.pending.is_some_and(|p| p.consumer == consumer), |l| l.value == value)
        });
        match entry {
            Some(entry) => {
                entry.lock = Some(Lock {
                    value,
                    left: ttl,
                    given: true,
                });
                Judged::Done(true)
            }
            None if !is_known_server => Judged::Epoch,
            None => Judged::Done(false),
        }
    }
}
