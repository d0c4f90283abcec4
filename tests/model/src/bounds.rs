//! How large a world is explored, and what may go wrong in it.

/// Ticks of the clock. One is longer than a call may take, and as long as the margin.
pub type Ticks = u8;

/// The size of a world and how often each fault may strike in it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Bounds {
    /// Workers; one that has crashed may come back under another consumer's name.
    pub workers: u8,
    /// Data streams, each submitted once.
    pub streams: u8,
    /// How many entries may ever be made: submits, re-queues, write-backs. States beyond are not explored.
    pub entries: u8,
    /// `lock_ttl`, which is the quiet time too. A lease is valid for one tick less: the margin.
    pub ttl: Ticks,
    /// Whether it begins with all workers running and all streams queued, instead of with nothing.
    pub begun: bool,
    /// Which ends of a lease a handler may choose besides `done`.
    pub endings: Endings,
    /// Abandonments at which an entry goes to the dead letters.
    pub max_abandonments: u8,
    /// Failures at which it does.
    pub max_failures: u8,
    /// Acquisitions and renewals take their time: asked, carried out and answered in three steps.
    pub slow_calls: bool,
    /// What may go wrong.
    pub faults: Faults,
}

/// How a handler may end its lease, besides `done`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Endings {
    /// `retry`, at once.
    pub retry: bool,
    /// `retry`, with a delay.
    pub delay: bool,
    /// `dead_letter`.
    pub dead_letter: bool,
    /// `release`.
    pub release: bool,
}

/// How often each fault may still strike. Not counted are those that need nobody's doing: any worker may stand still
/// between any two of its steps for any time, and be told of any expiry early, late, twice or never.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Faults {
    /// SIGKILL of a worker.
    pub crashes: u8,
    /// A new process where one has ended.
    pub starts: u8,
    /// An orderly end of a worker.
    pub shutdowns: u8,
    /// A step that is carried out and whose reply is lost.
    pub lost_replies: u8,
    /// A call that its sender gives up and that is carried out later, at any time.
    pub stragglers: u8,
    /// A tick that a worker's clock misses.
    pub lags: u8,
    /// A replica that lacks any number of the last writes takes over.
    pub failovers: u8,
    /// Redis comes back empty.
    pub wipes: u8,
    /// The clock of Redis jumps ahead by a `lock_ttl`.
    pub jumps: u8,
}

impl Bounds {
    /// Two workers that run, two streams that are queued, and nothing goes wrong.
    #[must_use]
    pub const fn small() -> Self {
        Self {
            workers: 2,
            streams: 2,
            entries: 4,
            ttl: 2,
            begun: true,
            endings: Endings {
                retry: false,
                delay: false,
                dead_letter: false,
                release: false,
            },
            max_abandonments: 2,
            max_failures: 2,
            slow_calls: false,
            faults: Faults::NONE,
        }
    }

    /// The same with other faults.
    #[must_use]
    pub const fn with(mut self, faults: Faults) -> Self {
        self.faults = faults;
        self
    }

    /// How long a lease is valid from the start of the call that renewed it.
    #[must_use]
    pub const fn validity(&self, margin: Ticks) -> Ticks {
        self.ttl - margin
    }
}

impl Faults {
    /// Nothing goes wrong.
    pub const NONE: Self = Self {
        crashes: 0,
        starts: 0,
        shutdowns: 0,
        lost_replies: 0,
        stragglers: 0,
        lags: 0,
        failovers: 0,
        wipes: 0,
        jumps: 0,
    };
}
