//! What becomes of a name that exists as it is wished for, and as its run ends.

use super::{Ms, Place, Stream, Wish};

impl Stream {
    pub(super) fn waiting(now: Ms, wish: Wish) -> Self {
        let place = if wish.due > now {
            Place::Delayed(wish.due)
        } else {
            Place::Queued
        };
        Self {
            info: wish.info,
            place,
            wanted: None,
        }
    }

    /// A stream that exists is wished for.
    pub(super) fn wish(self, now: Ms, wish: Wish) -> Self {
        let earliest = self.wanted.map_or(wish.due, |wanted| wanted.due.min(wish.due));
        let after = Some(Wish { due: earliest, ..wish });
        let same = wish.info == self.info;
        match self.place {
            // Nothing of what a run has read before it began may count as seen by it.
            Place::Held => Self { wanted: after, ..self },
            // A run that has yet to begin serves all wishes for now, if the last of them has its info.
            Place::Queued | Place::Stranded if same => {
                let wished = [Some(wish.due), self.wanted.map(|wanted| wanted.due)];
                let later = wished.into_iter().flatten().filter(|due| *due > now).min();
                let wanted = later.map(|due| Wish { due, ..wish });
                Self { wanted, ..self }
            }
            Place::Queued | Place::Stranded => Self { wanted: after, ..self },
            // One that is delayed is due at the earliest of all times, and serves them all if the last has its info.
            Place::Delayed(due) => {
                let first = Wish {
                    info: self.info,
                    due: due.min(wish.due),
                };
                let wanted = if same { None } else { after };
                Self {
                    wanted,
                    ..Self::waiting(now, first)
                }
            }
            Place::Deleted => Self::waiting(now, Wish { due: earliest, ..wish }),
        }
    }

    /// Its run is over: what is wanted after it is a new one.
    pub(super) fn ended(self, now: Ms) -> Option<Self> {
        self.wanted.map(|wanted| Self::waiting(now, wanted))
    }

    /// It waits again, now or later, and what was wanted meanwhile is wished for as it waits.
    pub(super) fn again(self, now: Ms, due: Ms) -> Self {
        let waiting = Self::waiting(now, Wish { info: self.info, due });
        match self.wanted {
            Some(wanted) => waiting.wish(now, wanted),
            None => waiting,
        }
    }
}
