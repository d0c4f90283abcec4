//! What can go wrong, in types that keep their source and say what to do.

use std::error::Error as StdError;
use std::fmt;
use std::time::Duration;

pub use crate::entry::InvalidEntry;
use crate::id::EntryId;
pub use crate::store::StoreError;
use crate::store::Submitted;
pub use crate::worker::RunError;

/// A setting that breaks a rule. Nothing was started.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct SettingError {
    /// The builder's name for it.
    pub setting: &'static str,
    /// What it was set to.
    pub value: String,
    /// The rule that this breaks.
    pub rule: String,
    /// A value that would do.
    pub suggestion: String,
}

impl SettingError {
    pub(crate) fn new(
        setting: &'static str,
        value: impl Into<String>,
        rule: impl Into<String>,
        suggestion: impl Into<String>,
    ) -> Self {
        Self {
            setting,
            value: value.into(),
            rule: rule.into(),
            suggestion: suggestion.into(),
        }
    }

    pub(crate) fn because(mut self, rule: &str) -> Self {
        self.rule = format!("{}: {rule}", self.rule);
        self
    }
}

impl fmt::Display for SettingError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "setting `{}` is {}, but {}; try {}",
            self.setting, self.value, self.rule, self.suggestion
        )
    }
}

impl StdError for SettingError {}

/// Why a client or producer did not start. No task is running and no connection is open.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ConnectError {
    /// A setting breaks a rule.
    #[error(transparent)]
    Setting(#[from] SettingError),
    /// The URL can't be used. It is not repeated here, as it may hold a password.
    #[error(
        "the Redis URL can't be used: {reason}; expected a form like redis://[user:password@]host:6379[/db], redis-cluster://host:6379, redis-sentinel://host:26379?sentinelServiceName=name or redis+unix:///path/to/socket, or rediss… for TLS"
    )]
    Url {
        /// What is wrong with it.
        reason: String,
    },
    /// Nothing answered at the address within the time for a connection.
    #[error(
        "Redis at {address} could not be reached; check that it runs, that the address is right, and that it speaks TLS there if the URL begins with rediss, and only then"
    )]
    Unreachable {
        /// Host and port, or the socket's path.
        address: String,
        /// What the connection said.
        #[source]
        source: StoreError,
    },
    /// The server refused the user or the password.
    #[error("Redis at {address} refused the login; check user and password")]
    Login {
        /// Host and port, or the socket's path.
        address: String,
        /// What the server said.
        #[source]
        source: StoreError,
    },
    /// The TLS handshake failed.
    #[error("Redis at {address} and this client did not agree on TLS: {advice}")]
    Tls {
        /// Host and port.
        address: String,
        /// What is wrong and what to do.
        advice: &'static str,
        /// What the handshake said.
        #[source]
        source: StoreError,
    },
    /// The server lacks what streamherd is built on.
    #[error("Redis {found} is too old; streamherd needs Redis 6.2 or Valkey 7.2, or newer")]
    TooOld {
        /// The version the server reports.
        found: String,
    },
    /// A key of the service holds something else.
    #[error(
        "the key `{key}` holds a {found}, but streamherd keeps a {expected} there; choose another service name, or look at the key and delete it if nobody needs it"
    )]
    WrongType {
        /// The key.
        key: String,
        /// The type found there.
        found: String,
        /// The type that belongs there.
        expected: String,
    },
    /// Another worker of the service holds its locks longer than this one waits before it re-queues.
    #[error(
        "a worker of this service uses lock_ttl {largest:?}, but recovery.min_idle is {min_idle:?} here; set recovery.min_idle to at least {largest:?} + 250ms, or use the same lock_ttl everywhere; a ttl is forgotten ten minutes (or ten times itself) after the last worker that used it has gone"
    )]
    FleetTtl {
        /// The fleet's largest `lock_ttl`.
        largest: Duration,
        /// This client's `recovery.min_idle`.
        min_idle: Duration,
    },
    /// The service is divided into another number of partitions.
    #[error(
        "this service has {stored} partitions, but partitions is {wanted} here; set partitions to {stored} (changing the number takes an empty queue: stop all producers and workers, and delete the field `partitions` of the key {control} when nothing waits any more)"
    )]
    Partitions {
        /// The number that Redis keeps for the service.
        stored: u16,
        /// This client's `partitions`.
        wanted: u16,
        /// The key that keeps it.
        control: String,
    },
    /// The server that answers is part of something else than the URL says.
    #[error("Redis at {address} is {found}; use a URL of the form {scheme}://…, or its cluster_mode")]
    OtherMode {
        /// Host and port, or the socket's path.
        address: String,
        /// What it is.
        found: &'static str,
        /// What URLs to such begin with.
        scheme: &'static str,
    },
    /// The server refused or failed a command that start-up needs.
    #[error("start-up failed at the server")]
    Store(#[from] StoreError),
    /// The operating system refused a thread.
    #[error("the heartbeat thread could not be started; the process may have reached its limit of threads")]
    Thread(#[source] std::io::Error),
}

/// Why a lease is no longer this worker's.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum DisownedReason {
    /// No renewal succeeded in time: Redis was away, or this process stood still.
    DeadlinePassed,
    /// A peer re-queued or took the entry, or another program removed it.
    TakenOver,
    /// The store lost its data or its group.
    DataLoss,
    /// This client was shut down before the lease was finished.
    Shutdown,
    /// It was held for longer than [`Worker::max_hold`](crate::Worker::max_hold) or
    /// [`Lease::hold_at_most`](crate::Lease::hold_at_most) allow. Counted as a failure.
    HeldTooLong,
}

impl DisownedReason {
    /// All of them.
    pub const ALL: &'static [Self] = &[
        Self::DeadlinePassed,
        Self::TakenOver,
        Self::DataLoss,
        Self::Shutdown,
        Self::HeldTooLong,
    ];

    /// The reason as one word, as metrics and the command line print it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::DeadlinePassed => "deadline_passed",
            Self::TakenOver => "taken_over",
            Self::DataLoss => "data_loss",
            Self::Shutdown => "shutdown",
            Self::HeldTooLong => "held_too_long",
        }
    }
}

impl fmt::Display for DisownedReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::DeadlinePassed => "its deadline passed without a successful renewal",
            Self::TakenOver => "another worker has taken it over",
            Self::DataLoss => "Redis lost the data that proves it",
            Self::Shutdown => "this client was shut down",
            Self::HeldTooLong => "it was held longer than allowed",
        })
    }
}

/// The lease is not this worker's any more. Stop working on the stream: someone else has it or will have it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the lease on entry {id} is lost, so nothing was changed: {reason}")]
#[non_exhaustive]
pub struct LeaseLost {
    /// The entry.
    pub id: EntryId,
    /// Why.
    pub reason: DisownedReason,
}

/// Why a settlement (`done`, `retry`, `dead_letter`, `release`) did not count.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SettleError {
    /// Nothing was changed: the entry belongs to someone else, and will be worked on there.
    #[error(transparent)]
    Disowned(#[from] LeaseLost),
    /// The entry's body was removed from Redis by someone else, so there was nothing to put back.
    #[error(
        "entry {id} was removed from Redis by someone else, so it could not be put back; submit it again if it is still needed"
    )]
    Vanished {
        /// The entry.
        id: EntryId,
    },
    /// Redis refused the settlement for a reason that waiting does not mend. The entry is untouched and will be recovered
    /// when its lock has expired.
    #[error("Redis refused the settlement, so the stream will be handed out again")]
    Store(#[source] StoreError),
    /// The client ended before Redis answered. Whether the settlement counted is unknown; if it did not, the entry is
    /// recovered by another worker.
    #[error("the client ended before Redis answered the settlement of entry {id}")]
    Unknown {
        /// The entry.
        id: EntryId,
    },
}

/// Why an orphan could not be claimed. Nothing was changed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ClaimError {
    /// Its owner still holds the lock.
    #[error("the owner of entry {0} is alive")]
    StillAlive(EntryId),
    /// A rival was first, or the owner finished it.
    #[error("entry {0} was already claimed")]
    AlreadyClaimed(EntryId),
    /// It was handed out too recently; try again after this time, or leave it to the scan.
    #[error("entry {id} may be claimed in {wait:?}")]
    TooEarly {
        /// The entry.
        id: EntryId,
        /// How long to wait.
        wait: Duration,
    },
    /// Redis did not answer, or refused.
    #[error("the claim could not be carried out; the scan will try again")]
    Store(#[from] StoreError),
}

/// Why a submit failed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SubmitError {
    /// It was accepted, but is not known to be as [durable](crate::Producer::durability) as was asked for: it will be worked
    /// on, unless the master is lost now. It may be repeated: with
    /// [`Coalesce`](crate::Duplicates::Coalesce) without harm.
    #[error(
        "the stream was submitted, but not confirmed by enough servers or disks in time; a failover or a crash now could lose it"
    )]
    NotDurable {
        /// What became of it at the master.
        submitted: Submitted,
        /// Why nobody knows, where that is not the time, and what to do about it.
        #[source]
        source: Option<StoreError>,
    },
    /// The entry breaks a limit. Nothing was sent.
    #[error(transparent)]
    Invalid(#[from] InvalidEntry),
    /// Duplicates are to be coalesced, which the layout [`GoCompatible`](crate::Layout::GoCompatible) has no keys for. Nothing was
    /// sent.
    #[error(
        "duplicates can't be coalesced in the layout that is shared with Go workers; submit with Duplicates::Parallel, or move to the native layout"
    )]
    NoCoalescing,
    /// The submit was sent, but no answer came: it may be queued or not. With
    /// [`Duplicates::Coalesce`](crate::Duplicates::Coalesce) it may be sent again, and runs a second time at most if the
    /// first submit's run has begun; with `Parallel`, sending it again may queue it twice.
    #[error(
        "the submit was sent but not answered, so it may or may not be queued; submitting it again is harmless where duplicates are coalesced, and may run it twice where they are parallel"
    )]
    MaybeSubmitted(#[source] StoreError),
    /// It was certainly not queued.
    #[error("the submit was not carried out")]
    NotSubmitted(#[source] StoreError),
}
