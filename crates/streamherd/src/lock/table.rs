use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

use crate::clock::Moment;
use crate::entry::Entry;
use crate::error::DisownedReason;
use crate::id::{EntryId, StreamId, Token};

/// One lease of this process, shared by its owner, the heartbeat and the settler.
#[derive(Debug)]
pub(crate) struct Held {
    pub(crate) entry: Entry,
    pub(crate) token: Token,
    pub(crate) since: Moment,
    /// Fires when the lease is lost.
    pub(crate) lost: CancellationToken,
    state: Mutex<State>,
}

#[derive(Debug, Clone, Copy)]
struct State {
    /// The last of the epochs this process has seen under which the store is known to have the lease.
    era: u64,
    /// It changes where Redis lost the entry and it was written anew.
    id: EntryId,
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
            lost: CancellationToken::new(),
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
        let state = self.state();
        state
            .limit
            .map_or(state.deadline, |limit| limit.until.min(state.deadline))
    }

    /// Sets or lifts the hold limit; the last call counts.
    pub(crate) fn limit(&self, limit: Option<HoldLimit>) {
        self.state().limit = limit;
    }

    /// What the user of a lease that was held too long has agreed to.
    pub(crate) fn retry_after(&self) -> Duration {
        self.state().limit.map_or(Duration::ZERO, |limit| limit.retry_after)
    }

    /// Why the lease has to end by now, if it has to and nobody has noticed yet.
    pub(crate) fn overdue(&self, now: Moment) -> Option<DisownedReason> {
        self.state().overdue(now)
    }

    pub(crate) fn renewed(&self) -> Moment {
        self.state().renewed
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

    /// A renewal that was sent at `renewed` succeeded.
    pub(crate) fn extend(&self, renewed: Moment, deadline: Moment) {
        let mut state = self.state();
        if !matches!(state.phase, Phase::Disowned(_)) && deadline > state.deadline {
            state.deadline = deadline;
            state.renewed = renewed;
        }
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
        self.lost.cancel();
        true
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
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

/// Every entry this process has to do with, from the acquisition until Redis has answered how it ended.
///
/// An id stays here while its hand-back is under way, so that the audit of this consumer's pending entries doesn't
/// adopt what was disowned.
#[derive(Debug, Default)]
pub(crate) struct Leases {
    known: Mutex<HashMap<EntryId, Option<Arc<Held>>>>,
    /// Entries whose settlement Redis refused for good. They are still pending here, and must not be leased again while
    /// their handler may still run: their locks expire, and a scan gives them a new id.
    refused: Mutex<HashSet<EntryId>>,
    shrunk: Notify,
}

impl Leases {
    pub(crate) fn insert(&self, held: Arc<Held>) {
        self.known().insert(held.id(), Some(held));
    }

    /// The entry of a lease was written anew.
    pub(crate) fn rename(&self, held: &Arc<Held>, new: EntryId) {
        let mut known = self.known();
        let old = std::mem::replace(&mut held.state().id, new);
        if known.remove(&old).is_some() {
            known.insert(new, Some(Arc::clone(held)));
        }
    }

    /// Notes an entry that is handed back without ever having been leased.
    pub(crate) fn note(&self, id: EntryId) {
        self.known().entry(id).or_insert(None);
    }

    pub(crate) fn knows(&self, id: &EntryId) -> bool {
        self.known().contains_key(id) || self.refused().contains(id)
    }

    /// The original ids of leases that the store is not known to have under this epoch.
    pub(crate) fn origins_before(&self, era: u64) -> HashSet<StreamId> {
        let known = self.known();
        let old = known.values().flatten().filter(|held| held.era() < era);
        old.map(|held| held.entry.origin).collect()
    }

    pub(crate) fn any_before(&self, era: u64) -> bool {
        self.known().values().flatten().any(|held| held.era() < era)
    }

    pub(crate) fn refuse(&self, id: EntryId) {
        self.refused().insert(id);
        self.remove(&id);
    }

    /// Forgets what was refused and is not pending here any more.
    pub(crate) fn still_pending(&self, pending: &HashSet<EntryId>) {
        self.refused().retain(|id| pending.contains(id));
    }

    /// Forgets a lease under whatever id it has by now: a restore may give it another one while its settlement is answered.
    pub(crate) fn remove_held(&self, held: &Held) {
        let mut known = self.known();
        known.remove(&held.id());
        drop(known);
        self.shrunk.notify_waiters();
    }

    pub(crate) fn refuse_held(&self, held: &Held) {
        self.refused().insert(held.id());
        self.remove_held(held);
    }

    pub(crate) fn remove(&self, id: &EntryId) {
        self.known().remove(id);
        self.shrunk.notify_waiters();
    }

    pub(crate) fn all(&self) -> Vec<Arc<Held>> {
        self.known().values().flatten().cloned().collect()
    }

    pub(crate) fn len(&self) -> usize {
        self.known().len()
    }

    /// Lost here, and not yet answered for by Redis.
    pub(crate) fn given_up(&self) -> usize {
        let known = self.known();
        let lost = known
            .values()
            .flatten()
            .filter(|held| matches!(held.phase(), Phase::Disowned(_)));
        lost.count()
    }

    /// Waits until nothing is held, settling or being handed back.
    pub(crate) async fn emptied(&self) {
        self.at_most(0).await;
    }

    /// Waits until no more than so many are.
    pub(crate) async fn at_most(&self, most: usize) {
        loop {
            let shrunk = self.shrunk.notified();
            tokio::pin!(shrunk);
            // Registered before the look, so that a removal between the two is not missed.
            shrunk.as_mut().enable();
            if self.len() <= most {
                return;
            }
            shrunk.await;
        }
    }

    fn refused(&self) -> MutexGuard<'_, HashSet<EntryId>> {
        self.refused.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn known(&self) -> MutexGuard<'_, HashMap<EntryId, Option<Arc<Held>>>> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::entry::{INPUT_FIELD, encode};

    fn at(ms: u64) -> Moment {
        Moment::default() + Duration::from_millis(ms)
    }

    fn held() -> Held {
        let fields = vec![(INPUT_FIELD.into(), encode("s", &()).unwrap().into_bytes())];
        let entry = Entry::parse("5-0".parse().unwrap(), fields).unwrap();
        Held::new(entry, Token(7), 0, at(0), at(1_000))
    }

    #[test]
    fn a_lease_is_invalid_from_its_deadline_on() {
        let held = held();
        assert!(held.is_valid(at(999)));
        assert!(!held.is_valid(at(1_000)));
        assert_eq!(held.begin_settling(at(1_000)), Err(DisownedReason::DeadlinePassed));
    }

    #[test]
    fn a_late_answer_does_not_shorten_a_lease() {
        let held = held();
        held.extend(at(500), at(1_500));
        held.extend(at(100), at(1_100));
        assert_eq!(held.deadline(), at(1_500));
    }

    #[test]
    fn disowned_is_final() {
        let held = held();
        assert!(held.disown(DisownedReason::TakenOver));
        assert!(!held.disown(DisownedReason::DeadlinePassed));
        assert!(held.lost.is_cancelled());
        held.extend(at(500), at(9_000));
        assert!(!held.is_valid(at(1)));
        assert_eq!(held.begin_settling(at(1)), Err(DisownedReason::TakenOver));
    }

    #[test]
    fn a_lease_is_invalid_from_its_hold_limit_on_however_often_it_is_renewed() {
        let held = held();
        let limit = |ms| {
            held.limit(Some(HoldLimit {
                until: at(ms),
                retry_after: Duration::from_secs(1),
            }));
        };
        limit(500);
        held.extend(at(400), at(1_400));
        assert!(held.is_valid(at(499)));
        assert_eq!(held.end(), at(500));
        assert!(!held.is_valid(at(500)));
        assert_eq!(held.begin_settling(at(500)), Err(DisownedReason::HeldTooLong));
        limit(600);
        assert!(held.is_valid(at(500)), "the last limit counts");
        held.limit(None);
        assert_eq!(held.end(), at(1_400));
        assert!(held.is_valid(at(1_399)));
    }

    #[test]
    fn a_settlement_may_outlast_the_hold_limit() {
        let held = held();
        held.limit(Some(HoldLimit {
            until: at(500),
            retry_after: Duration::ZERO,
        }));
        held.begin_settling(at(499)).unwrap();
        assert!(held.is_valid(at(999)), "it is renewed until Redis has answered");
        assert!(!held.is_valid(at(1_000)));
    }

    #[test]
    fn a_lease_that_is_settling_can_not_be_disowned() {
        let held = held();
        held.begin_settling(at(1)).unwrap();
        assert!(!held.disown(DisownedReason::DeadlinePassed));
        assert!(!held.lost.is_cancelled());
    }
}
