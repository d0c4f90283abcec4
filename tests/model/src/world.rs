//! The whole: Redis, its replica, the workers, what is on its way, and which faults may still strike.

use crate::bounds::Faults;
use crate::broken::Broken;
use crate::redis::{Body, Consumer, Drawn, Epoch, Id, Lane, Place, Redis, Step, Stream};
use crate::worker::{Ask, Ending, Worker};

/// Whether a step's reply comes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Reply {
    /// The worker hears it.
    Heard,
    /// The step is carried out, and the worker does not know.
    Lost,
}

/// A call that its sender has given up, or whose sender is dead, and that Redis has yet to carry out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Straggler {
    /// An acquisition or a renewal.
    Call {
        /// Whose.
        consumer: Consumer,
        /// What it asks.
        ask: Ask,
        /// Under which epoch.
        epoch: Epoch,
    },
    /// A batch; its sender repeats it meanwhile.
    Settle(Step),
}

impl Straggler {
    /// Who has sent it.
    #[must_use]
    pub const fn consumer(&self) -> Consumer {
        match self {
            Self::Call { consumer, .. } => *consumer,
            Self::Settle(step) => step.consumer,
        }
    }
}

/// A step of the world. Where one names a worker that is its number.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Action {
    /// Time passes for all.
    Tick,
    /// Time passes, and a worker's clock misses it.
    LaggingTick(usize),
    /// A producer submits.
    Submit(Stream),
    /// hello.lua.
    Hello(usize, Reply),
    /// register.lua.
    Register(usize),
    /// restore.lua, for all leases of a worker.
    Restore(usize, Reply),
    /// XREADGROUP.
    Read(usize, Reply),
    /// XPENDING for a worker's own entries: it takes up one that it does not know.
    Audit(usize, Id),
    /// An acquisition or a renewal, from the question to the answer.
    Ask(usize, Ask, Reply),
    /// Only the question.
    Call(usize, Ask),
    /// Redis carries it out.
    Serve(usize),
    /// The worker hears the answer.
    Answer(usize),
    /// The worker gives up waiting for it.
    GiveUp(usize),
    /// A worker notices that a lease is past its deadline, and hands it back.
    Expire(usize, Id),
    /// A handler ends its lease, which is settled at once where nothing else is outstanding.
    End(usize, Id, Ending),
    /// The settler puts a batch together of what had to wait.
    Post(usize, Id),
    /// settle.lua.
    Settle(usize, Reply),
    /// A copy of the batch stays on the way.
    Duplicate(usize),
    /// requeue.lua: by a scan, or by a claim after a notification that may be early, late, false or repeated.
    Requeue(usize, Id),
    /// The second half of a step that is planted to have two.
    SecondHalf(usize),
    /// promote.lua.
    Promote(usize, Id),
    /// SIGKILL.
    Crash(usize),
    /// A new process in its place.
    Start(usize),
    /// An orderly end begins.
    Shutdown(usize),
    /// What was read last, and is not known, is handed back.
    HandBack(usize, Id),
    /// It ends.
    Leave(usize),
    /// A call that was given up is carried out.
    Arrive(usize),
    /// From here on nothing reaches the replica.
    LagBehind,
    /// The replica takes over.
    Failover,
    /// Redis comes back empty.
    Wipe,
    /// The clock of Redis jumps ahead.
    Jump,
}

impl Action {
    /// Whether it is counted in [`Faults`].
    #[must_use]
    pub const fn is_fault(self) -> bool {
        match self {
            Self::LaggingTick(_)
            | Self::Crash(_)
            | Self::Shutdown(_)
            | Self::GiveUp(_)
            | Self::Duplicate(_)
            | Self::Hello(_, Reply::Lost)
            | Self::Restore(_, Reply::Lost)
            | Self::Read(_, Reply::Lost)
            | Self::Ask(_, _, Reply::Lost)
            | Self::Settle(_, Reply::Lost)
            | Self::LagBehind
            | Self::Failover
            | Self::Wipe
            | Self::Jump => true,
            Self::Tick
            | Self::Submit(_)
            | Self::Hello(..)
            | Self::Register(_)
            | Self::Restore(..)
            | Self::Read(..)
            | Self::Audit(..)
            | Self::Ask(..)
            | Self::Call(..)
            | Self::Serve(_)
            | Self::Answer(_)
            | Self::Expire(..)
            | Self::End(..)
            | Self::Post(..)
            | Self::Settle(..)
            | Self::Requeue(..)
            | Self::SecondHalf(_)
            | Self::Promote(..)
            | Self::Start(_)
            | Self::HandBack(..)
            | Self::Leave(_)
            | Self::Arrive(_) => false,
        }
    }
}

/// A state of the whole.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct World {
    /// The server that is asked.
    pub redis: Redis,
    /// What the replica has, once it lags behind.
    pub replica: Option<Redis>,
    /// The workers.
    pub workers: Vec<Worker>,
    /// Calls that were given up.
    pub stragglers: Vec<Straggler>,
    /// What may still go wrong.
    pub faults: Faults,
    /// What is drawn from time and chance.
    pub drawn: Drawn,
    /// The last consumer's name.
    pub consumers: Consumer,
    /// Streams that were submitted.
    pub submitted: u8,
    /// Streams that a handler has said to be done.
    pub said_done: u8,
    /// Streams that were held when writes were lost, by workers that have not crashed since.
    pub kept: u8,
    /// Whether writes were ever lost.
    pub lossy: bool,
    /// What steps have broken.
    pub broken: Broken,
}

impl World {
    /// Workers that have just been started, and a Redis that nobody has asked yet.
    #[must_use]
    pub fn new(workers: u8, faults: Faults) -> Self {
        Self {
            redis: Redis::default(),
            replica: None,
            workers: (0..workers).map(Worker::new).collect(),
            stragglers: Vec::new(),
            faults,
            drawn: Drawn::default(),
            consumers: workers - 1,
            submitted: 0,
            said_done: 0,
            kept: 0,
            lossy: false,
            broken: Broken::default(),
        }
    }

    /// submit.lua.
    pub fn submit(&mut self, stream: Stream) {
        self.submitted |= 1 << stream;
        let body = Body {
            stream,
            run: 0,
            failures: 0,
            abandonments: 0,
        };
        self.redis.put_again(&mut self.drawn, body, Place::In(Lane::Input));
    }

    /// A worker's process is replaced by none.
    pub(crate) fn kill(&mut self, worker: usize) {
        self.workers[worker] = Worker::dead(self.workers[worker].consumer);
        // Only what it held in memory and nobody else has is gone with it.
        self.kept &= self.in_redis() | self.in_memory();
    }

    /// Streams that Redis knows of.
    #[must_use]
    pub fn in_redis(&self) -> u8 {
        let redis = &self.redis;
        let entries = redis.entries.iter().fold(0, |all, e| all | 1 << e.body.stream);
        entries | redis.done | redis.dead
    }

    /// Streams that a worker remembers.
    #[must_use]
    pub fn in_memory(&self) -> u8 {
        let leases = self.workers.iter().flat_map(|w| &w.leases);
        leases
            .filter(|lease| lease.token.is_some())
            .fold(0, |all, lease| all | 1 << lease.body.stream)
    }

    /// Whether that worker has said hello to the store as it is, and has nothing left to restore.
    #[must_use]
    pub fn is_settled(&self, worker: &Worker) -> bool {
        worker.greeting.is_none() && worker.epoch == self.redis.epoch && self.redis.is_known_server()
    }

    /// Names that differ only by how they came about are made the same: the number of the last batch is nothing to anybody
    /// when none is on its way.
    pub(crate) fn normalize(&mut self) {
        for worker in &mut self.workers {
            let consumer = worker.consumer;
            let on_its_way = self
                .stragglers
                .iter()
                .any(|s| matches!(s, Straggler::Settle(step) if step.consumer == consumer));
            if worker.batch.is_none() && !on_its_way {
                worker.number = 0;
                // Also a receipt counts as a sign that somebody works here.
                self.redis.forget_receipt(consumer);
                if let Some(replica) = &mut self.replica {
                    replica.forget_receipt(consumer);
                }
            }
        }
    }
}

impl Redis {
    fn forget_receipt(&mut self, consumer: Consumer) {
        if self.receipts.remove(&consumer).is_some() {
            self.registered |= 1 << consumer;
        }
    }
}
