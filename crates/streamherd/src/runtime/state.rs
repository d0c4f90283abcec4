//! What the tasks tell each other and the outside: trouble, pauses, due times, signs of life.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::watch;

use crate::clock::Moment;
use crate::store::StoreError;

/// Tells of trouble once per kind, and of its end. That Redis is away is told by its breaker, once for all.
#[derive(Debug)]
pub(crate) struct Complaints(Option<&'static str>);

impl Complaints {
    pub(crate) const fn new() -> Self {
        Self(None)
    }

    pub(crate) fn about(&mut self, error: &StoreError, what: &'static str) {
        if error.is_away() {
            tracing::debug!(error = %error, "{what}");
        } else if self.0.replace(error.kind_name()) != Some(error.kind_name()) {
            tracing::warn!(error = %error, "{what}");
        }
    }

    pub(crate) fn settled(&mut self, what: &'static str) {
        if self.0.take().is_some() {
            // As loud as the trouble, or that would stand as the last word.
            tracing::warn!("{what}");
        }
    }
}

/// Whether this worker is to take no new work: what Redis said last. The scripts that hand out work look for themselves;
/// this only keeps a paused worker from asking all the time.
#[derive(Debug, Default)]
pub(crate) struct Pause(watch::Sender<bool>);

impl Pause {
    /// True if that is new.
    pub(crate) fn set(&self, paused: bool) -> bool {
        self.0.send_if_modified(|now| std::mem::replace(now, paused) != paused)
    }

    pub(crate) fn is_set(&self) -> bool {
        *self.0.borrow()
    }

    /// Waits until work may be taken again.
    pub(crate) async fn over(&self) {
        let _ = self.0.subscribe().wait_for(|paused| !*paused).await;
    }
}

/// When the next delayed entry is due, as far as this process knows.
#[derive(Debug, Default)]
pub(crate) struct Due {
    at: watch::Sender<Option<Moment>>,
    told: Mutex<Option<Moment>>,
}

impl Due {
    /// Something is due after this time.
    pub(crate) fn within(&self, delay: Duration) {
        let due = Moment::now() + delay;
        self.at.send_if_modified(|at| {
            let sooner = at.is_none_or(|at| due < at);
            if sooner {
                *at = Some(due);
            }
            sooner
        });
    }

    /// What Redis said of all that waits, to whoever asked it for something else.
    pub(crate) fn told(&self, delay: Option<Duration>) {
        *self.told.lock().unwrap_or_else(PoisonError::into_inner) = Some(Moment::now());
        if let Some(delay) = delay {
            self.within(delay);
        }
    }

    /// For how long nobody has been told.
    pub(crate) fn untold_for(&self) -> Option<Duration> {
        self.told
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .map(Moment::elapsed)
    }

    /// Forgets it: Redis is asked now, and says what else there is. What is settled from here on may be due earlier than
    /// what Redis answers, and a time that has come is no reason to ask a server that fails again and again.
    pub(crate) fn asked(&self) {
        self.at.send_if_modified(|at| {
            *at = None;
            false
        });
    }

    /// Resolves when it is due.
    pub(crate) async fn arrives(&self) {
        let mut at = self.at.subscribe();
        loop {
            let due = *at.borrow_and_update();
            let wait = async {
                match due {
                    Some(due) => tokio::time::sleep(Moment::now().until(due)).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                () = wait => return,
                changed = at.changed() => if changed.is_err() { return },
            }
        }
    }
}

/// When each part last got through to Redis.
#[derive(Debug, Default)]
pub(crate) struct Vitals(Mutex<Marks>);

#[derive(Debug, Default, Clone, Copy)]
pub(crate) struct Marks {
    pub(crate) read: Option<Moment>,
    pub(crate) renewed: Option<Moment>,
    pub(crate) scanned: Option<Moment>,
    pub(crate) listening: bool,
    /// Since when a read waits for an answer, or has been tried in vain.
    pub(crate) asked: Option<Moment>,
}

impl Vitals {
    /// Redis has answered. Where that was not the last of a read, the next answer is waited for from now on.
    pub(crate) fn read(&self) {
        let now = Moment::now();
        self.mark(|m| {
            m.read = Some(now);
            m.asked = m.asked.map(|_| now);
        });
    }

    /// A read begins. Those that fail are one with the next.
    pub(crate) fn asking(&self) {
        self.mark(|m| {
            m.asked.get_or_insert_with(Moment::now);
        });
    }

    /// None is under way: the last has ended well, or the next has something else to wait for first.
    pub(crate) fn answered(&self) {
        self.mark(|m| m.asked = None);
    }

    pub(crate) fn renewed(&self, well: bool) {
        if well {
            self.mark(|m| m.renewed = Some(Moment::now()));
        }
    }

    pub(crate) fn scanned(&self) {
        self.mark(|m| m.scanned = Some(Moment::now()));
    }

    pub(crate) fn listening(&self, listening: bool) {
        self.mark(|m| m.listening = listening);
    }

    pub(crate) fn marks(&self) -> Marks {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn mark(&self, change: impl FnOnce(&mut Marks)) {
        change(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn what_is_settled_while_redis_is_asked_what_is_due_is_not_forgotten() {
        let due = Due::default();
        due.within(Duration::ZERO);
        due.asked();
        // Settled before the answer, which knows of a later one only.
        due.within(Duration::from_millis(1));
        due.within(Duration::from_secs(600));
        tokio::time::timeout(Duration::from_secs(60), due.arrives())
            .await
            .unwrap();
        due.asked();
        let again = tokio::time::timeout(Duration::from_millis(50), due.arrives()).await;
        assert!(again.is_err(), "once is enough");
    }

    #[test]
    fn a_read_is_unanswered_from_its_first_try_until_one_is_answered() {
        let vitals = Vitals::default();
        assert_eq!(vitals.marks().asked, None);
        vitals.asking();
        let first = vitals.marks().asked;
        assert!(first.is_some());
        vitals.asking();
        assert_eq!(vitals.marks().asked, first, "a second try is no new beginning");
        std::thread::sleep(Duration::from_millis(1));
        vitals.read();
        assert!(vitals.marks().asked > first, "the wait for work begins anew");
        vitals.answered();
        assert_eq!(vitals.marks().asked, None);
    }

    #[tokio::test]
    async fn what_a_scan_was_told_is_known_also_where_nothing_waits() {
        let due = Due::default();
        assert_eq!(due.untold_for(), None);
        due.told(None);
        assert!(due.untold_for().is_some());
        let nothing = tokio::time::timeout(Duration::from_millis(20), due.arrives()).await;
        assert!(nothing.is_err());
        due.told(Some(Duration::ZERO));
        tokio::time::timeout(Duration::from_secs(60), due.arrives())
            .await
            .unwrap();
    }
}
