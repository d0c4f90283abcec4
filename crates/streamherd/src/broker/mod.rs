//! Hears of expired locks through keyspace notifications, and tells the user which streams are orphaned.
//!
//! # Why a scanner when there are notifications?
//!
//! They are fire and forget, and Redis sends one when it deletes the key, not when its time is over: with 10,000 other
//! keys that have a time to live in the instance, a median 14 s late. So this room only makes recovery sooner; without
//! it nothing is lost.

pub(crate) mod event;

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::oneshot;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::backoff::{Backoff, jittered};
use crate::config::KeyspaceEvents;
use crate::entry::Entry;
use crate::id::EntryId;
use crate::notification::Orphan;
use crate::runtime::Core;
use crate::store::{Endpoint, Heard, Judged, LockExpired, Looked, StoreError, Subscription};

/// Entries looked at per call, and the time between two calls: ten thousand orphans and fifty workers must not become
/// half a million reads. What is beyond the backlog is left to the scan.
const LOOK_BATCH: usize = 100;
const LOOK_EVERY: Duration = Duration::from_millis(200);
const LOOK_BACKLOG: usize = 10_000;

pub(crate) struct Broker {
    core: Arc<Core>,
    endpoint: Endpoint,
    stop: CancellationToken,
    /// Told when the first subscription stands, or can't be had.
    confirmed: Option<oneshot::Sender<()>>,
    warned: bool,
}

impl Broker {
    pub(crate) const fn new(
        core: Arc<Core>,
        endpoint: Endpoint,
        stop: CancellationToken,
        confirmed: oneshot::Sender<()>,
    ) -> Self {
        Self {
            core,
            endpoint,
            stop,
            confirmed: Some(confirmed),
            warned: false,
        }
    }

    /// Listens until stopped, over as many connections as it takes.
    pub(crate) async fn run(mut self) {
        let stop = self.stop.clone();
        let (first, longest) = self.core.settings.reconnect;
        let mut backoff = Backoff::new(first, longest);
        loop {
            let listened = tokio::select! {
                () = stop.cancelled() => return,
                listened = self.endpoint.open_for_events() => listened,
            };
            match listened {
                Ok(connection) => {
                    backoff.reset();
                    let subscription = Subscription::new(
                        connection.clone(),
                        self.core.keys(),
                        self.endpoint.database(),
                        self.core.settings.command_timeout,
                    );
                    tokio::select! {
                        () = stop.cancelled() => {}
                        e = self.listen(subscription) => {
                            tracing::debug!(error = %e, "the subscription broke; subscribing anew");
                        }
                    }
                    self.core.health.listening(false);
                    connection.close(Duration::ZERO).await;
                }
                Err(e) => {
                    tracing::debug!(error = %e, "no connection for notifications; trying again")
                }
            }
            tokio::select! {
                () = stop.cancelled() => return,
                () = tokio::time::sleep(backoff.draw()) => {}
            }
        }
    }

    /// Listens on one connection until it has to be replaced.
    async fn listen(&mut self, mut subscription: Subscription) -> StoreError {
        let mut reconnects = subscription.reconnects();
        if let Err(e) = self.subscribe(&subscription).await {
            return e;
        }
        // An idle subscriber does not notice a frozen server, so it asks.
        let mut pulse = tokio::time::interval(self.core.settings.lock_ttl / 3);
        let mut expired = BTreeSet::new();
        let mut look_at: Option<Instant> = None;
        loop {
            let due = async {
                match look_at {
                    Some(at) => tokio::time::sleep_until(at).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                heard = subscription.next() => match heard {
                    Heard::Expired(LockExpired(id)) => {
                        self.core.metrics.lock_expired();
                        if expired.len() < LOOK_BACKLOG {
                            expired.insert(id);
                        }
                        if look_at.is_none() {
                            look_at = Some(Instant::now() + jittered(LOOK_EVERY / 4, 1.0, &mut rand::rng()));
                        }
                    }
                    Heard::Missed(missed) => {
                        self.core.metrics.hints_missed(missed);
                        self.core.scan_now.notify_one();
                    }
                    Heard::Closed => return StoreError::interrupted("subscribe"),
                },
                () = due => {
                    self.look(&mut expired).await;
                    look_at = (!expired.is_empty())
                        .then(|| Instant::now() + jittered(LOOK_EVERY, 0.5, &mut rand::rng()));
                }
                again = reconnects.next() => {
                    if again.is_none() {
                        return StoreError::interrupted("subscribe");
                    }
                    if let Err(e) = self.subscribe(&subscription).await {
                        return e;
                    }
                }
                _ = pulse.tick() => match subscription.is_alive().await {
                    Ok(true) => {}
                    Ok(false) => {
                        if let Err(e) = self.subscribe(&subscription).await {
                            return e;
                        }
                    }
                    Err(e) if e.is_timeout() => return e,
                    Err(_) => {}
                },
            }
        }
    }

    /// Sets the flags where that is wanted, subscribes, and has a scan look for what expired while nobody listened.
    async fn subscribe(&mut self, subscription: &Subscription) -> Result<(), StoreError> {
        if self.core.settings.keyspace_events == KeyspaceEvents::Ensure {
            self.ensure_flags().await?;
        }
        let standing = subscription.confirm().await;
        if let Some(confirmed) = self.confirmed.take() {
            let _ = confirmed.send(());
        }
        match standing {
            Ok(true) => {
                self.core.health.listening(true);
                self.core.scan_now.notify_one();
            }
            Ok(false) => self.warn("Redis did not confirm the subscription to keyspace notifications"),
            Err(e) if e.is_denied() => self.warn(&e.to_string()),
            Err(e) => return Err(e),
        }
        Ok(())
    }

    /// # Errors
    /// It may succeed later: the connection for commands can come back after the one for notifications.
    async fn ensure_flags(&mut self) -> Result<(), StoreError> {
        let store = &self.core.store;
        let set = match store.keyspace_flags().await {
            Ok(flags) => match event::with_expired(&flags) {
                Some(wanted) => store.set_keyspace_flags(&wanted).await,
                None => Ok(()),
            },
            Err(e) => Err(e),
        };
        match set {
            Err(e) if e.is_transient() => return Err(e),
            Err(e) => self.warn(&format!("notify-keyspace-events could not be ensured: {e}")),
            Ok(()) => {}
        }
        Ok(())
    }

    fn warn(&mut self, what: &str) {
        if !std::mem::replace(&mut self.warned, true) {
            tracing::warn!(
                service = %self.core.settings.service,
                what,
                "expired locks are found by the scan alone, which is correct and a little slower"
            );
        }
    }

    /// Reads one batch of orphans and tells of them. What fails is left to the scan.
    async fn look(&self, expired: &mut BTreeSet<EntryId>) {
        let mut ids = Vec::with_capacity(LOOK_BATCH);
        while ids.len() < LOOK_BATCH {
            let Some(id) = expired.pop_first() else { break };
            // One's own expired lock is the heartbeat's and the settler's affair.
            if !self.core.leases.knows(&id) {
                ids.push(id);
            }
        }
        if ids.is_empty() {
            return;
        }
        let (epoch, _) = self.core.session.current();
        let looked = match self.core.store.look(&epoch, &ids).await {
            Ok(Judged::Ok(looked)) => looked,
            Ok(Judged::EpochChanged) => {
                let _ = self.core.hello(&self.core.store).await;
                return;
            }
            Err(e) => {
                tracing::debug!(error = %e, "orphans could not be looked at; the scan finds them");
                return;
            }
        };
        for found in looked {
            let Looked::Orphan { entry, owner, idle } = found else {
                continue;
            };
            // Poison has no name to tell; the scan re-queues it, and a reader sends it to the dead letters.
            if let Ok(entry) = Entry::parse(entry.id, &entry.fields) {
                self.core.outbox.hint(Orphan::new(entry, owner, idle));
            }
        }
    }
}
