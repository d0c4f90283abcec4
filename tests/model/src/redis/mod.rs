//! One partition as Redis keeps it. Each script of the library is one method of [`Redis`] and one step of the model.

mod hello;
mod lease;
mod queue;
mod requeue;
mod restore;
mod settle;

use std::collections::BTreeMap;

pub use hello::Hello;
pub use lease::Acquired;
pub use requeue::{Requeue, Requeued};
pub use restore::{Restorable, Restored};
pub use settle::{Settle, Settled, Step};

use crate::bounds::Ticks;

/// An entry's id. They are drawn in order and never twice: Redis makes them of its time.
pub type Id = u8;
/// A data stream. Each is submitted once, so it stands for `_sh_origin` too.
pub type Stream = u8;
/// One life of a stream in the queue: a re-queue begins another, a write-back goes on with the same.
pub type Run = u8;
/// A fencing token.
pub type Token = u8;
/// A consumer's name; a restarted worker has another one.
pub type Consumer = u8;

/// What is taken from time and chance, so that no loss takes it back.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Drawn {
    /// The last entry id.
    pub id: Id,
    /// The last token. A script takes the server's time, which is larger than at any earlier acquisition.
    pub token: Token,
    /// The last epoch's random text.
    pub salt: u8,
}

impl Drawn {
    /// A new entry id.
    pub const fn id(&mut self) -> Id {
        self.id += 1;
        self.id
    }
}

/// `T:epoch`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Epoch {
    /// Which data this is.
    pub id: u8,
    /// How often its last writes may have been lost.
    pub generation: u8,
    /// Tells generations of the same number apart.
    pub salt: u8,
}

/// Where an entry is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Place {
    /// In a Redis stream.
    In(Lane),
    /// Waiting for its time, and for that lane.
    Delayed(Lane),
}

/// One of the two streams of a partition.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Lane {
    /// Work handed out before.
    Front = 0,
    /// New work.
    Input = 1,
}

/// Whose an entry is in the group's pending entries list.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Pending {
    /// It was given to.
    pub consumer: Consumer,
    /// For how long; counted up to the `lock_ttl`.
    pub idle: Ticks,
}

/// What a lock holds: its consumer and the token.
pub type Value = (Consumer, Token);

/// A lock that lives.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Lock {
    /// Whose it is.
    pub value: Value,
    /// For how many ticks more, at least one.
    pub left: Ticks,
    /// Whether its worker has been told of it: nobody in the model looks at this but the properties.
    pub given: bool,
}

/// A body, with its record in the pending entries list and its lock.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Entry {
    /// Its id, which orders the lanes.
    pub id: Id,
    /// What travels with it.
    pub body: Body,
    /// Where it is.
    pub place: Place,
    /// Whose it is.
    pub pending: Option<Pending>,
    /// Its lock, if that lives.
    pub lock: Option<Lock>,
}

/// The fields of an entry.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Body {
    /// Of which stream.
    pub stream: Stream,
    /// Which of its lives.
    pub run: Run,
    /// How often its handler failed.
    pub failures: u8,
    /// How often its owner died or lost it.
    pub abandonments: u8,
}

/// `T:written:<original id>` and `T:moved:<entry>`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Note {
    /// By whom; zero in `moved`.
    pub token: Token,
    /// Under which epoch's id.
    pub epoch: u8,
    /// Where it went; nowhere if it is finished.
    pub to: Option<Id>,
}

/// The answer of a script that begins with a guard against handing out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Judged<T> {
    /// It was carried out.
    Done(T),
    /// Another epoch, or another server: hello is to be said first.
    Epoch,
    /// The quiet time.
    Quiet,
}

/// The keys of a partition.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Redis {
    /// All bodies, by id.
    pub entries: Vec<Entry>,
    /// The group's last-delivered id per lane.
    pub delivered: [Id; 2],
    /// Whether the groups are there.
    pub group: bool,
    /// `T:epoch`.
    pub epoch: Option<Epoch>,
    /// Which process this is.
    pub run_id: u8,
    /// The process that hello was said to.
    pub noted_run_id: Option<u8>,
    /// What is left of the quiet time.
    pub quiet: Ticks,
    /// How often the clock has jumped.
    pub clock: u8,
    /// Rows of `T:consumers`, by consumer.
    pub registered: u32,
    /// The last settlement receipts: batch number and outcome.
    pub receipts: BTreeMap<Consumer, (u8, Settled)>,
    /// Where entries went that were taken from a dead owner.
    pub moved: BTreeMap<Id, Note>,
    /// What was written anew, by stream.
    pub written: BTreeMap<Stream, Note>,
    /// Ids of epochs that are lost, and that a worker was told so.
    pub lost: u32,
    /// Streams that a `done` has ended, as long as this server knows.
    pub done: u8,
    /// Streams in the dead-letter stream.
    pub dead: u8,
}

impl Redis {
    /// The entry of that id in a lane.
    #[must_use]
    pub fn entry(&self, id: Id) -> Option<&Entry> {
        self.entries
            .iter()
            .find(|e| e.id == id && matches!(e.place, Place::In(_)))
    }

    pub(crate) fn entry_mut(&mut self, id: Id) -> Option<&mut Entry> {
        self.entries
            .iter_mut()
            .find(|e| e.id == id && matches!(e.place, Place::In(_)))
    }

    /// The lock of that entry, if it lives.
    #[must_use]
    pub fn lock(&self, id: Id) -> Option<Value> {
        self.entry(id)?.lock.map(|lock| lock.value)
    }

    /// Whether a lock lives that holds this.
    #[must_use]
    pub fn is_locked_by(&self, value: Value) -> bool {
        let mut locks = self.entries.iter().filter_map(|e| e.lock);
        locks.any(|lock| lock.value == value)
    }

    /// To whom it is pending.
    #[must_use]
    pub fn pending(&self, id: Id) -> Option<Pending> {
        self.entry(id)?.pending
    }

    /// The one rule: the lock holds my value, or it is absent and the entry is pending under my name. Without a token any
    /// lock of this consumer is mine.
    #[must_use]
    pub fn is_mine(&self, id: Id, consumer: Consumer, token: Option<Token>) -> bool {
        match (self.lock(id), token) {
            (Some(held), Some(token)) => held == (consumer, token),
            (Some(held), None) if held.0 != consumer => false,
            _ => self.pending(id).is_some_and(|p| p.consumer == consumer),
        }
    }

    pub(crate) fn give(&mut self, id: Id, value: Value) {
        let lock = self.entry_mut(id).and_then(|e| e.lock.as_mut());
        if let Some(lock) = lock.filter(|lock| lock.value == value) {
            lock.given = true;
        }
    }

    /// Whether hello was said to this very server.
    #[must_use]
    pub fn is_known_server(&self) -> bool {
        self.noted_run_id.is_none_or(|noted| noted == self.run_id)
    }

    /// What stands against handing out work.
    pub(crate) fn not_now<T>(&self, epoch: Epoch) -> Option<Judged<T>> {
        if self.epoch != Some(epoch) || !self.is_known_server() {
            Some(Judged::Epoch)
        } else if self.quiet > 0 {
            Some(Judged::Quiet)
        } else {
            None
        }
    }

    /// One tick of its clock.
    pub fn tick(&mut self, ttl: Ticks) {
        self.quiet = self.quiet.saturating_sub(1);
        for entry in &mut self.entries {
            if let Some(pending) = &mut entry.pending {
                pending.idle = (pending.idle + 1).min(ttl);
            }
            entry.lock = entry.lock.and_then(|lock| {
                let left = lock.left - 1;
                (left > 0).then_some(Lock { left, ..lock })
            });
        }
    }

    /// XACK, XDEL, DEL lock.
    pub(crate) fn finish(&mut self, id: Id) {
        self.entries.retain(|e| e.id != id);
    }
}
