//! hello.lua, register.lua and deregister.lua.

use super::{Consumer, Drawn, Epoch, Place, Redis};
use crate::bounds::Ticks;

/// The quiet time, and what the planted mistakes leave out.
#[derive(Debug, Clone, Copy)]
pub struct Hello {
    /// How long the quiet time is.
    pub quiet: Ticks,
    /// Whether a newcomer waits where work is queued and nobody is registered.
    pub newcomers_wait: bool,
    /// Whether it is asked first if the server is another one, and only then if the epoch is.
    pub failover_first: bool,
}

impl Redis {
    /// Makes group and epoch where either is missing, and finds out whether writes may be missing. A quiet time follows where
    /// somebody may hold what this server does not know of.
    pub fn hello(&mut self, drawn: &mut Drawn, known: Option<Epoch>, jumped: bool, how: Hello) -> Epoch {
        let created = !self.group;
        self.group = true;
        let is_lost = |id: u8| self.lost & (1 << id) != 0;
        let follows_a_loss = |epoch: Epoch| known.is_some_and(|known| known.id != epoch.id && !is_lost(known.id));
        let unsettled;
        let epoch = match self.epoch.filter(|_| !created) {
            None => {
                // A service that begins has nobody to wait for.
                unsettled = known.is_some();
                drawn.salt += 1;
                Epoch {
                    id: drawn.salt,
                    generation: 0,
                    salt: drawn.salt,
                }
            }
            Some(epoch) if !how.failover_first && follows_a_loss(epoch) => {
                unsettled = true;
                epoch
            }
            Some(epoch)
                if !self.is_known_server()
                    || jumped && known == Some(epoch)
                    || known.is_some_and(|known| is_behind(epoch, known)) =>
            {
                unsettled = true;
                drawn.salt += 1;
                let seen = known.map_or(0, |known| known.generation);
                Epoch {
                    id: epoch.id,
                    generation: epoch.generation.max(seen) + 1,
                    salt: drawn.salt,
                }
            }
            // A newcomer made the epoch: this is the first of the old ones.
            Some(epoch) => {
                unsettled = follows_a_loss(epoch);
                epoch
            }
        };
        self.epoch = Some(epoch);
        if let Some(known) = known.filter(|known| known.id != epoch.id) {
            self.lost |= 1 << known.id;
        }
        self.noted_run_id = Some(self.run_id);
        // Of those that have no row it can't be told whether they live.
        let others = self.registered != 0 || !self.receipts.is_empty();
        let waiting = self.entries.iter().any(|e| matches!(e.place, Place::In(_)));
        if unsettled && (known.is_some() || others || waiting && how.newcomers_wait) {
            self.quiet = how.quiet;
        }
        epoch
    }

    /// The worker's row.
    pub const fn register(&mut self, consumer: Consumer) {
        self.registered |= 1 << consumer;
    }

    /// Takes the consumer out of group and registry, unless something is pending under its name.
    pub fn deregister(&mut self, consumer: Consumer) {
        let is_pending = |p: super::Pending| p.consumer == consumer;
        if !self.entries.iter().filter_map(|e| e.pending).any(is_pending) {
            self.registered &= !(1 << consumer);
            self.receipts.remove(&consumer);
        }
    }
}

/// Whether a worker has seen a later generation of the same id.
fn is_behind(epoch: Epoch, known: Epoch) -> bool {
    epoch.id == known.id && epoch != known && known.generation >= epoch.generation
}
