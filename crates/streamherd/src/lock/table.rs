//! All leases of a partition.

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;

use super::held::{Held, HoldLimit, Phase};
use crate::clock::Moment;
use crate::error::DisownedReason;
use crate::id::{EntryId, Lane, StreamId};

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
    latest: Mutex<[StreamId; 2]>,
    shrunk: Notify,
    /// No lease has to end before this, unless one is renewed no more.
    soonest: Mutex<Soonest>,
}

/// A lower bound of when the next lease has to end.
#[derive(Debug)]
struct Soonest(Moment);

impl Default for Soonest {
    fn default() -> Self {
        Self(Moment::NEVER)
    }
}

impl Leases {
    pub(crate) fn insert(&self, held: Arc<Held>) {
        let end = held.end();
        self.met(held.id());
        self.known().insert(held.id(), Some(held));
        self.ends_by(end);
    }

    /// Sets or lifts a lease's hold limit.
    pub(crate) fn limit(&self, held: &Held, limit: Option<HoldLimit>) {
        held.limit(limit);
        if let Some(limit) = limit {
            self.ends_by(limit.until);
        }
    }

    fn ends_by(&self, end: Moment) {
        let mut soonest = self.soonest();
        soonest.0 = soonest.0.min(end);
    }

    /// The leases that have to end by now, and until when no other has to.
    ///
    /// Ends only move away, but for new leases and hold limits, which are noted: all of them are looked at only when the end
    /// that was the next one has come, not as often as is asked.
    pub(super) fn overdue(&self, now: Moment) -> (Vec<(Arc<Held>, DisownedReason)>, Moment) {
        let mut soonest = self.soonest();
        if now < soonest.0 {
            return (Vec::new(), soonest.0);
        }
        // Before the look: what is noted meanwhile counts beside what it finds.
        soonest.0 = Moment::NEVER;
        drop(soonest);
        let mut overdue = Vec::new();
        let mut next = Moment::NEVER;
        for held in self.known().values().flatten() {
            match held.fate(now) {
                Some(Err(reason)) => overdue.push((Arc::clone(held), reason)),
                Some(Ok(end)) => next = next.min(end),
                None => {}
            }
        }
        self.ends_by(next);
        (overdue, next)
    }

    /// What was not renewed since then and is still held, those that wait longest first: those of one call in the order of
    /// their tokens, as they lie in the memory of both sides.
    pub(super) fn due(&self, since: Moment) -> Vec<Arc<Held>> {
        let mut due: Vec<_> = self
            .known()
            .values()
            .flatten()
            .filter_map(|held| Some((held.due(since)?, held.token, Arc::clone(held))))
            .collect();
        due.sort_unstable_by_key(|(deadline, token, _)| (*deadline, *token));
        due.into_iter().map(|(.., held)| held).collect()
    }

    /// The entry of a lease was written anew.
    pub(crate) fn rename(&self, held: &Arc<Held>, new: EntryId) {
        self.met(new);
        let mut known = self.known();
        let old = std::mem::replace(&mut held.state().id, new);
        if known.remove(&old).is_some() {
            known.insert(new, Some(Arc::clone(held)));
        }
    }

    /// Notes an entry that is handed back without ever having been leased.
    pub(crate) fn note(&self, id: EntryId) {
        self.met(id);
        self.known().entry(id).or_insert(None);
    }

    pub(crate) fn knows(&self, id: &EntryId) -> bool {
        self.known().contains_key(id) || self.refused().contains(id)
    }

    /// The original ids of leases that the store is not known to have under this epoch.
    pub(crate) fn origins_before(&self, era: u64) -> HashSet<StreamId> {
        if era == 0 {
            return HashSet::new();
        }
        let known = self.known();
        let old = known.values().flatten().filter(|held| held.era() < era);
        old.map(|held| held.entry.origin).collect()
    }

    pub(crate) fn any_before(&self, era: u64) -> bool {
        era > 0 && self.known().values().flatten().any(|held| held.era() < era)
    }

    /// The last id of each lane that was ever known here.
    pub(crate) fn latest(&self) -> [StreamId; 2] {
        *self.latest.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn met(&self, id: EntryId) {
        let mut latest = self.latest.lock().unwrap_or_else(PoisonError::into_inner);
        for (lane, latest) in Lane::ALL.into_iter().zip(&mut *latest) {
            if lane == id.lane {
                *latest = id.id.max(*latest);
            }
        }
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

    fn soonest(&self) -> MutexGuard<'_, Soonest> {
        self.soonest.lock().unwrap_or_else(PoisonError::into_inner)
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
    use std::time::Duration;

    use proptest::prelude::*;

    use super::*;
    use crate::entry::{Entry, INPUT_FIELD, encode};
    use crate::id::Token;

    fn at(ms: u64) -> Moment {
        Moment::default() + Duration::from_millis(ms)
    }

    fn held(number: u64, renewed: u64, deadline: u64) -> Arc<Held> {
        let fields = vec![(INPUT_FIELD.into(), encode("s", &()).unwrap().into_bytes())];
        let entry = Entry::parse(format!("5-{number}").parse().unwrap(), fields).unwrap();
        Arc::new(Held::new(entry, Token(number), 0, at(renewed), at(deadline)))
    }

    #[derive(Debug, Clone)]
    enum Step {
        Take { ttl: u64 },
        Renew { which: usize, ttl: u64 },
        Limit { which: usize, span: Option<u64> },
        Settle { which: usize },
        Look { after: u64 },
    }

    fn step() -> impl Strategy<Value = Step> {
        prop_oneof![
            (1_u64..50).prop_map(|ttl| Step::Take { ttl }),
            (0_usize..8, 1_u64..50).prop_map(|(which, ttl)| Step::Renew { which, ttl }),
            (0_usize..8, proptest::option::of(0_u64..40)).prop_map(|(which, span)| Step::Limit { which, span }),
            (0_usize..8).prop_map(|which| Step::Settle { which }),
            (0_u64..20).prop_map(|after| Step::Look { after }),
        ]
    }

    proptest! {
        #[test]
        fn no_end_is_missed_however_seldom_all_leases_are_looked_at(steps in proptest::collection::vec(step(), 1..60)) {
            let leases = Leases::default();
            let mut all: Vec<Arc<Held>> = Vec::new();
            let mut now = 0;
            for step in steps {
                let known = all.len().max(1);
                match step {
                    Step::Take { ttl } => {
                        let held = held(all.len() as u64 + 1, now, now + ttl);
                        leases.insert(Arc::clone(&held));
                        all.push(held);
                    }
                    Step::Renew { which, ttl } => {
                        if let Some(held) = all.get(which % known) {
                            held.keep(0, at(now), at(now + ttl));
                        }
                    }
                    Step::Limit { which, span } => {
                        if let Some(held) = all.get(which % known) {
                            let limit = span.map(|span| HoldLimit { until: at(now + span), retry_after: Duration::ZERO });
                            leases.limit(held, limit);
                        }
                    }
                    Step::Settle { which } => {
                        if let Some(held) = all.get(which % known) {
                            let _ = held.begin_settling(at(now));
                        }
                    }
                    Step::Look { after } => {
                        now += after;
                        let (overdue, next) = leases.overdue(at(now));
                        let mut found: Vec<Token> = overdue.iter().map(|(held, _)| held.token).collect();
                        found.sort_unstable();
                        let held = all.iter().filter(|held| held.phase() == Phase::Held);
                        let (over, alive): (Vec<_>, Vec<_>) = held.partition(|held| held.overdue(at(now)).is_some());
                        let over: Vec<Token> = over.into_iter().map(|held| held.token).collect();
                        prop_assert_eq!(found, over);
                        prop_assert!(alive.iter().all(|held| next <= held.end()), "the next look would come too late");
                        for (held, reason) in overdue {
                            prop_assert!(held.disown(reason));
                        }
                    }
                }
            }
        }
    }

    #[test]
    fn those_that_wait_longest_are_renewed_first() {
        let leases = Leases::default();
        for (number, renewed) in [(1, 20), (2, 10), (3, 20), (4, 30), (5, 10)] {
            leases.insert(held(number, renewed, renewed + 100));
        }
        let order = |since| {
            leases
                .due(at(since))
                .iter()
                .map(|held| held.token.0)
                .collect::<Vec<_>>()
        };
        assert_eq!(order(31), [2, 5, 1, 3, 4]);
        assert_eq!(order(20), [2, 5], "what was renewed since then is not due");
        assert_eq!(order(115), [1, 3, 4], "what has passed its deadline is not renewed");
    }
}
