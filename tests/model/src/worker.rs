//! What a worker remembers: its session, what it has read, its leases, the settlement that is on its way.

use crate::bounds::Ticks;
use crate::redis::{Acquired, Body, Consumer, Epoch, Id, Judged, Lane, Step, Token};

/// How a lease ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Ending {
    /// The work is finished.
    Done,
    /// It failed.
    Retry {
        /// Whether it waits before it is tried again.
        delayed: bool,
    },
    /// It is given up.
    DeadLetter,
    /// It is handed back.
    Release,
}

/// What a store that may have lost its last writes has said of a lease.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Told {
    /// Nothing yet, or that it is lost.
    Nothing,
    /// It has it.
    Known,
    /// The entry is gone.
    Missing,
}

/// What was read, or taken up by an audit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Taken {
    /// The entry.
    pub id: Id,
    /// Its fields.
    pub body: Body,
    /// Its lane.
    pub lane: Lane,
    /// The epoch of that moment, under which it is to be acquired.
    pub epoch: Epoch,
}

/// How far a lease is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Phase {
    /// A handler works on it.
    Held,
    /// Its handler has ended it; Redis has not answered yet.
    Settling(Ending),
    /// It is lost, and what is left of it is handed back.
    Disowned(Ending),
}

/// What a process knows of an entry, from its acquisition until Redis has said how it ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Lease {
    /// The entry, as it is called now.
    pub id: Id,
    /// Its fields as they were read.
    pub body: Body,
    /// The lane it came from.
    pub lane: Lane,
    /// None for an entry that is handed back without ever having been leased.
    pub token: Option<Token>,
    /// For how long it is valid here.
    pub left: Ticks,
    /// How far it is.
    pub phase: Phase,
    /// Whether the store is known to have had it under the session's epoch: `Held::era`.
    pub known: bool,
    /// What the store has said of it under the epoch that is about to be adopted.
    pub told: Told,
    /// Whether it was held when writes were lost: nobody in the model looks at this but the properties.
    pub survived: bool,
}

impl Lease {
    /// `Lease::is_valid`.
    #[must_use]
    pub const fn is_valid(&self) -> bool {
        self.token.is_some() && self.left > 0 && !matches!(self.phase, Phase::Disowned(_))
    }

    /// Whether a handler works on it and may go on.
    #[must_use]
    pub const fn is_in_work(&self) -> bool {
        self.is_valid() && matches!(self.phase, Phase::Held)
    }
}

/// The settlement that is outstanding.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Batch {
    /// What is sent, again and again until Redis answers.
    pub step: Step,
    /// What Redis has made of it: nobody in the model looks at this but the properties.
    pub counts: bool,
}

/// A hello whose answer is not adopted yet, as what is held is restored first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Greeting {
    /// The new epoch.
    pub epoch: Epoch,
    /// How often the clock of Redis had jumped then.
    pub clock: u8,
    /// Whether the fields of what is gone are sent: the second call.
    pub with_fields: bool,
}

/// What a call asks of Redis.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Ask {
    /// The lease on what was read.
    Acquire(Id),
    /// More time for one.
    Renew(Id, Token),
}

/// An acquisition or renewal that takes its time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Call {
    /// What it asks.
    pub ask: Ask,
    /// Under which epoch.
    pub epoch: Epoch,
    /// For how long the lease would be valid: counted from the start of the call.
    pub left: Ticks,
    /// What Redis has said, if it was carried out.
    pub answer: Option<Answer>,
}

/// What Redis said to a [`Call`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Answer {
    /// To an acquisition.
    Acquired(Judged<Acquired>),
    /// To a renewal.
    Renewed(Judged<bool>),
}

/// Whether a process runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Life {
    /// It runs.
    Running,
    /// It takes no more work and hands over what it has.
    Leaving,
    /// It is no more.
    Dead,
}

/// One worker.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Worker {
    /// Its name in Redis.
    pub consumer: Consumer,
    /// Whether it runs.
    pub life: Life,
    /// Whether it has written its row, without which it does not start.
    pub started: bool,
    /// The epoch that it works under.
    pub epoch: Option<Epoch>,
    /// How often the clock of Redis had jumped at its last hello.
    pub clock: u8,
    /// A hello that is heard and not adopted.
    pub greeting: Option<Greeting>,
    /// What was read and is not leased yet.
    pub in_hand: Option<Taken>,
    /// What it knows.
    pub leases: Vec<Lease>,
    /// The last batch number.
    pub number: u8,
    /// The settlement that is outstanding.
    pub batch: Option<Batch>,
    /// The call that is outstanding.
    pub call: Option<Call>,
    /// The entry of which only the first half of a step is done: with planted mistakes only.
    pub half_done: Option<Id>,
}

impl Worker {
    /// A process that has just been started.
    #[must_use]
    pub const fn new(consumer: Consumer) -> Self {
        Self {
            consumer,
            life: Life::Running,
            started: false,
            epoch: None,
            clock: 0,
            greeting: None,
            in_hand: None,
            leases: Vec::new(),
            number: 0,
            batch: None,
            call: None,
            half_done: None,
        }
    }

    /// What is left of a process that was killed: nothing.
    #[must_use]
    pub const fn dead(consumer: Consumer) -> Self {
        let mut dead = Self::new(consumer);
        dead.life = Life::Dead;
        dead
    }

    /// Whether the process is there.
    #[must_use]
    pub fn lives(&self) -> bool {
        self.life != Life::Dead
    }

    /// `Leases::knows`.
    #[must_use]
    pub fn knows(&self, id: Id) -> bool {
        self.leases.iter().any(|lease| lease.id == id)
    }

    /// The lease of that entry.
    #[must_use]
    pub fn lease(&self, id: Id) -> Option<&Lease> {
        self.leases.iter().find(|lease| lease.id == id)
    }

    pub(crate) fn lease_mut(&mut self, id: Id) -> Option<&mut Lease> {
        self.leases.iter_mut().find(|lease| lease.id == id)
    }

    pub(crate) fn forget(&mut self, id: Id) {
        self.leases.retain(|lease| lease.id != id);
    }

    /// One tick of its clock, which runs on while the process stands still.
    pub fn tick(&mut self) {
        for lease in &mut self.leases {
            lease.left = lease.left.saturating_sub(1);
        }
        if let Some(call) = &mut self.call {
            call.left = call.left.saturating_sub(1);
        }
    }
}
