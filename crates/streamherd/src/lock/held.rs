//! One lease: until when it is held, and how far it has come to its end.

use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Duration;

use tokio_util::sync::CancellationToken;

use crate::clock::Moment;
use crate::entry::Entry;
use crate::error::DisownedReason;
use crate::id::{EntryId, Token};

/// One lease of this process, shared by its owner, the heartbeat and the settler.
#[derive(Debug)]
pub(crate) struct Held {
    pub(crate) entry: Entry,
    pub(crate) token: Token,
    pub(crate) since: Moment,
    /// Fires when the lease is lost. Made when somebody asks for it: it is as large as half of the rest.
    lost: OnceLock<CancellationToken>,
    state: Mutex<State>,
}

#[derive(Debug, Clone, Copy)]
pub(super) struct State {
    /// The last of the epochs this process has seen under which the store is known to have the lease.
    era: u64,
    /// It changes where Redis lost the entry and it was written anew.
    pub(super) id: EntryId,
    phase: Phase,
    /// The settlement batch that it was sent in last; zero if in none.
    batch: u64,
    /// Past this the lease is invalid here, a margin before any peer may act.
    deadline: Moment,
    renewed: Moment,
    /// Whether the user has received it.
    delivered: bool,
    limit: Option<HoldLimit>,
}

/// When a lease ends although its heartbeats get through: a handler that hangs must not keep its stream for ever.
#[derive(Debug, Clone, Copy)]
pub(crate) struct HoldLimit {
    pub(crate) until: Moment,
    /// How long the stream waits then before it is handed out again.
    pub(crate) retry_after: Duration,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Phase {
    Held,
    /// Its owner has finished with it; Redis has not answered yet. What the heartbeat hears of it no longer counts.
    Settling,
    /// Final: never renewed, acquired or adopted again.
    Disowned(DisownedReason),
}

impl Held {
    /// `renewed` is when the acquisition was *sent*, from which Redis counts at the earliest.
    pub(crate) fn new(entry: Entry, token: Token, era: u64, renewed: Moment, deadline: Moment) -> Self {
        let id = entry.id;
        Self {
            entry,
            token,
            since: renewed,
            lost: OnceLock::new(),
            state: Mutex::new(State {
                era,
                id,
                phase: Phase::Held,
                batch: 0,
                deadline,
                renewed,
                delivered: false,
                limit: None,
            }),
        }
    }

    pub(crate) fn id(&self) -> EntryId {
        self.state().id
    }

    /// Fires when the lease is lost, also where it is lost already.
    pub(crate) fn lost(&self) -> &CancellationToken {
        let lost = self.lost.get_or_init(CancellationToken::new);
        // Whoever disowns the lease changes its phase first: a token that was made too late for it is fired here.
        if matches!(self.phase(), Phase::Disowned(_)) {
            lost.cancel();
        }
        lost
    }

    pub(crate) fn era(&self) -> u64 {
        self.state().era
    }

    /// The store has the lease under this epoch.
    pub(crate) fn known_in(&self, era: u64) {
        let mut state = self.state();
        state.era = state.era.max(era);
    }

    pub(crate) fn batch(&self) -> u64 {
        self.state().batch
    }

    pub(crate) fn sent_in(&self, batch: u64) {
        self.state().batch = batch;
    }

    pub(crate) fn phase(&self) -> Phase {
        self.state().phase
    }

    pub(crate) fn deadline(&self) -> Moment {
        self.state().deadline
    }

    /// When the lease ends if nothing happens: at its deadline, or at its hold limit if that is sooner.
    pub(crate) fn end(&self) -> Moment {
        self.state().end()
    }

    /// Sets or lifts the hold limit; the last call counts.
    pub(super) fn limit(&self, limit: Option<HoldLimit>) {
        self.state().limit = limit;
    }

    /// What the user of a lease that was held too long has agreed to.
    pub(crate) fn retry_after(&self) -> Duration {
        self.state().limit.map_or(Duration::ZERO, |limit| limit.retry_after)
    }

    /// Why the lease has to end by now, or when it will have to; nothing where its end has begun.
    pub(super) fn fate(&self, now: Moment) -> Option<Result<Moment, DisownedReason>> {
        self.state().fate(now)
    }

    /// Why the lease has to end by now, if it has to and nobody has noticed yet.
    pub(crate) fn overdue(&self, now: Moment) -> Option<DisownedReason> {
        self.state().overdue(now)
    }

    /// Until when the lease holds, if it does and has not been renewed since then.
    pub(super) fn due(&self, since: Moment) -> Option<Moment> {
        let state = self.state();
        (state.renewed < since && state.is_valid(since)).then_some(state.deadline)
    }

    /// Its entry, while it is valid.
    pub(super) fn valid_id(&self, now: Moment) -> Option<EntryId> {
        let state = self.state();
        state.is_valid(now).then_some(state.id)
    }

    pub(crate) fn is_valid(&self, now: Moment) -> bool {
        self.state().is_valid(now)
    }

    pub(crate) fn remaining(&self) -> Duration {
        let now = Moment::now();
        if self.is_valid(now) {
            now.until(self.end())
        } else {
            Duration::ZERO
        }
    }

    /// Gives a valid lease to the user.
    pub(crate) fn deliver(&self, now: Moment) -> bool {
        let mut state = self.state();
        state.delivered = state.is_valid(now);
        state.delivered
    }

    pub(crate) fn is_delivered(&self) -> bool {
        self.state().delivered
    }

    /// A renewal that was sent at `renewed` under this epoch succeeded.
    pub(super) fn keep(&self, era: u64, renewed: Moment, deadline: Moment) {
        let mut state = self.state();
        state.era = state.era.max(era);
        state.extend(renewed, deadline);
    }

    /// A renewal that was sent at `renewed` succeeded.
    pub(crate) fn extend(&self, renewed: Moment, deadline: Moment) {
        self.state().extend(renewed, deadline);
    }

    /// From here on only Redis decides what became of the lease.
    ///
    /// # Errors
    /// The lease is lost; also when its deadline or its hold limit has passed and nobody has noticed yet.
    pub(crate) fn begin_settling(&self, now: Moment) -> Result<(), DisownedReason> {
        let mut state = self.state();
        if let Phase::Disowned(reason) = state.phase {
            return Err(reason);
        }
        if let Some(reason) = state.overdue(now) {
            return Err(reason);
        }
        state.phase = Phase::Settling;
        Ok(())
    }

    /// Ends the lease from outside; true for the one call that did it.
    pub(crate) fn disown(&self, reason: DisownedReason) -> bool {
        let mut state = self.state();
        if state.phase != Phase::Held {
            return false;
        }
        state.phase = Phase::Disowned(reason);
        drop(state);
        if let Some(lost) = self.lost.get() {
            lost.cancel();
        }
        true
    }

    pub(super) fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn extend(&mut self, renewed: Moment, deadline: Moment) {
        if !matches!(self.phase, Phase::Disowned(_)) && deadline > self.deadline {
            self.deadline = deadline;
            self.renewed = renewed;
        }
    }

    /// Why it has to end by now, or when it will have to; nothing where it has come to its end.
    fn fate(&self, now: Moment) -> Option<Result<Moment, DisownedReason>> {
        if self.phase != Phase::Held {
            return None;
        }
        Some(match self.overdue(now) {
            Some(reason) => Err(reason),
            None => Ok(self.end()),
        })
    }

    fn end(&self) -> Moment {
        self.limit.map_or(self.deadline, |limit| limit.until.min(self.deadline))
    }

    fn is_valid(&self, now: Moment) -> bool {
        !matches!(self.phase, Phase::Disowned(_)) && self.overdue(now).is_none()
    }

    /// The hold limit is the handler's: once that has ended, its settlement may take as long as Redis does.
    fn overdue(&self, now: Moment) -> Option<DisownedReason> {
        if now >= self.deadline {
            return Some(DisownedReason::DeadlinePassed);
        }
        let held_too_long = self.phase == Phase::Held && self.limit.is_some_and(|limit| now >= limit.until);
        held_too_long.then_some(DisownedReason::HeldTooLong)
    }
}

#[cfg(test)]
mod tests;
