//! What is known of each master: whether it is asked, since when, and what it said last.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::{Notify, watch};

use super::breaker::{Breaker, BreakerState};
use crate::clock::Moment;
use crate::keys::Service;
use crate::metrics::Metrics;
use crate::store::{Node, Placement, StoreError};

/// The masters that hold partitions of a service, or have held some.
#[derive(Debug)]
pub(crate) struct Masters {
    service: Service,
    lock_ttl: Duration,
    metrics: Metrics,
    all: Mutex<BTreeMap<Node, Arc<Master>>>,
    /// One of them is not asked any more.
    pub(super) opened: Notify,
}

#[derive(Debug)]
pub(crate) struct Master {
    breaker: Mutex<Breaker>,
    state: watch::Sender<BreakerState>,
    last_error: Mutex<Option<String>>,
}

impl Masters {
    pub(crate) fn new(service: Service, lock_ttl: Duration, metrics: Metrics) -> Self {
        Self {
            service,
            lock_ttl,
            metrics,
            all: Mutex::default(),
            opened: Notify::new(),
        }
    }

    pub(crate) fn of(&self, node: &Node) -> Arc<Master> {
        let mut all = lock(&self.all);
        if let Some(master) = all.get(node) {
            return Arc::clone(master);
        }
        let master = Arc::new(Master {
            breaker: Mutex::new(Breaker::new(Moment::now())),
            state: watch::Sender::new(BreakerState::Closed),
            last_error: Mutex::default(),
        });
        all.insert(node.clone(), Arc::clone(&master));
        master
    }

    /// Those that are not asked.
    pub(super) fn away(&self) -> Vec<Node> {
        let all = lock(&self.all);
        let away = all.iter().filter(|(_, master)| !master.is_asked());
        away.map(|(node, _)| node.clone()).collect()
    }

    /// Forgets those that hold nothing any more.
    pub(super) fn keep(&self, placement: &Placement) {
        let gone: Vec<Node> = lock(&self.all)
            .keys()
            .filter(|node| !placement.holds(node))
            .cloned()
            .collect();
        gone.iter().for_each(|node| self.forget(node));
    }

    /// It holds nothing any more.
    pub(super) fn forget(&self, node: &Node) {
        if let Some(master) = lock(&self.all).remove(node) {
            // Whoever waits for it looks where to ask now.
            master.state.send_replace(BreakerState::Closed);
        }
        self.tell_how_many();
    }

    /// It answered, whatever it was asked.
    pub(crate) fn answered(&self, node: &Node) {
        let master = self.of(node);
        let mut breaker = lock(&master.breaker);
        if breaker.answered(Moment::now()) {
            master.tell(&breaker);
            drop(breaker);
            tracing::debug!(service = %self.service, master = %node, "Redis answers again; what is held there is restored first");
            self.changed(&master);
        }
    }

    /// It did not answer, or can't serve anybody at present.
    pub(crate) fn failed(&self, node: &Node, error: &StoreError) {
        let master = self.of(node);
        master.note(error);
        let mut breaker = lock(&master.breaker);
        let before = breaker.state();
        if !breaker.failed(Moment::now()) {
            return;
        }
        master.tell(&breaker);
        drop(breaker);
        if before == BreakerState::Closed {
            tracing::warn!(
                service = %self.service, master = %node, %error,
                "Redis is away: work, scans and settlements wait until it is back; what is held is kept"
            );
        }
        self.changed(&master);
        self.opened.notify_one();
    }

    /// It refused something that waiting does not mend.
    pub(crate) fn refused(&self, node: &Node, error: &StoreError) {
        self.of(node).note(error);
        self.answered(node);
    }

    /// What is held there is restored: from now on everything may be asked.
    pub(super) fn greeted(&self, node: &Node) {
        let master = self.of(node);
        let now = Moment::now();
        let mut breaker = lock(&master.breaker);
        let away = breaker.away(now);
        if !breaker.greeted(now, self.lock_ttl) {
            return;
        }
        master.tell(&breaker);
        drop(breaker);
        // As loud as the trouble, or that would stand as the last word.
        tracing::warn!(service = %self.service, master = %node, ?away, "Redis is back");
        self.changed(&master);
    }

    fn changed(&self, master: &Master) {
        self.metrics.breaker(master.state());
        self.tell_how_many();
    }

    fn tell_how_many(&self) {
        self.metrics.masters_away(self.away().len());
    }
}

impl Master {
    pub(crate) fn state(&self) -> BreakerState {
        *self.state.borrow()
    }

    pub(crate) fn is_asked(&self) -> bool {
        self.state() == BreakerState::Closed
    }

    /// Since when it has been in its state, and what it refused last.
    pub(crate) fn since(&self) -> (Duration, Option<String>) {
        let since = lock(&self.breaker).since().elapsed();
        (since, lock(&self.last_error).clone())
    }

    /// For how long orphans are left to their owners, who may have kept settlements.
    pub(crate) fn owners_first(&self) -> Duration {
        Moment::now().until(lock(&self.breaker).owners_first())
    }

    /// Waits for a state.
    pub(crate) async fn becomes(&self, wanted: impl Fn(BreakerState) -> bool) {
        let _ = self.state.subscribe().wait_for(|state| wanted(*state)).await;
    }

    /// While the breaker is locked, or of two changes the earlier might be told last.
    fn tell(&self, breaker: &Breaker) {
        self.state.send_replace(breaker.state());
    }

    fn note(&self, error: &StoreError) {
        let mut text = error.to_string();
        if let Some(cause) = std::error::Error::source(error) {
            text = format!("{text}: {cause}");
        }
        *lock(&self.last_error) = Some(text);
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
