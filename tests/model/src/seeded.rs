//! Mistakes that can be planted in the protocol, to show that the properties would notice them.

/// A planted mistake.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Seeded {
    /// A re-queue acknowledges in one step and adds in another: who dies in between has lost the entry.
    XackThenXadd,
    /// A re-queue adds in one step and acknowledges in another: rivals add twice.
    XaddThenXack,
    /// `done` deletes the lock in one step and acknowledges in another.
    UnlockBeforeXack,
    /// A re-queue looks at the idle time alone.
    ClaimWithoutLock,
    /// A re-queue asks neither epoch nor server nor quiet time.
    ClaimWithoutEpoch,
    /// An acquisition takes the last token again.
    TokenNotDrawn,
    /// A lease is valid until its lock expires.
    NoMargin,
    /// A lease's time counts from the answer of a renewal.
    DeadlineFromReply,
    /// No quiet time follows a new generation.
    NoQuietTime,
    /// A settlement asks nobody whose the entry is.
    SettleWithoutGuard,
    /// A settlement whose reply was lost is carried out once more.
    NoReceipts,
    /// A new epoch is adopted before what is held is restored, and nothing is restored.
    NoRestore,
    /// What is suspended or settling is not told from memory.
    NoMemory,
    /// A shutdown acknowledges what it has left.
    ShutdownAcknowledges,
    /// The audit takes up what was disowned and not yet handed back.
    AuditTakesDisowned,
    /// Nobody scans; orphans wait for a notification.
    NoScan,
    /// A jump of the clock is not looked for.
    ClockBelieved,
    /// What a hello was told of a lease before it broke off still counts at the next.
    EraNotDrawn,
    /// The epoch of an acquisition is looked up after it was looked up whether the entry is known.
    EpochTakenLate,
    /// A settlement from memory takes what its own lease has written anew for somebody else's.
    OwnCopyNotFound,
    /// After a failover a newcomer does not wait where nobody is registered, though work is queued.
    NewcomerDoesNotWait,
    /// What was settled from memory and was still there is not noted.
    SettledUnnoted,
    /// A hello under a lost epoch hides that the server is another one.
    LossHidesFailover,
    /// A repeated write-back does not extend its lock, and its owner counts from the answer.
    RepeatNotExtended,
    /// What a lease has written anew, unanswered, is leased once more before it is settled.
    CopyLeasedAgain,
    /// A settlement of what was still there overwrites the note of a newer owner.
    NewerNoteLost,
}

impl Seeded {
    /// All of them.
    pub const ALL: [Self; 26] = [
        Self::XackThenXadd,
        Self::XaddThenXack,
        Self::UnlockBeforeXack,
        Self::ClaimWithoutLock,
        Self::ClaimWithoutEpoch,
        Self::TokenNotDrawn,
        Self::NoMargin,
        Self::DeadlineFromReply,
        Self::NoQuietTime,
        Self::SettleWithoutGuard,
        Self::NoReceipts,
        Self::NoRestore,
        Self::NoMemory,
        Self::ShutdownAcknowledges,
        Self::AuditTakesDisowned,
        Self::NoScan,
        Self::ClockBelieved,
        Self::EraNotDrawn,
        Self::EpochTakenLate,
        Self::OwnCopyNotFound,
        Self::NewcomerDoesNotWait,
        Self::SettledUnnoted,
        Self::LossHidesFailover,
        Self::RepeatNotExtended,
        Self::CopyLeasedAgain,
        Self::NewerNoteLost,
    ];
}
