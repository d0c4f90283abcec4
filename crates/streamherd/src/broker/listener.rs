//! One server's notifications.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use tokio::sync::mpsc;
use tokio::time::{Instant, interval_at};
use tokio_util::sync::CancellationToken;

use super::{event, warn};
use crate::backoff::{Backoff, jittered};
use crate::config::KeyspaceEvents;
use crate::entry::Entry;
use crate::id::EntryId;
use crate::notification::Orphan;
use crate::recovery::BreakerState;
use crate::runtime::{Core, Partition, Partitions};
use crate::store::{Heard, Judged, LockExpired, Looked, Network, Node, StoreError, Subscription};

/// Entries looked at per call, and the time between two calls: ten thousand orphans and fifty workers must not become
/// half a million reads. What is beyond the backlog is left to the scan.
const LOOK_BATCH: usize = 100;
const LOOK_EVERY: Duration = Duration::from_millis(200);
const LOOK_BACKLOG: usize = 10_000;

pub(super) struct Listener {
    pub(super) node: Node,
    pub(super) partitions: Partitions,
    pub(super) network: Network,
    pub(super) stop: CancellationToken,
    /// Dropped when the first subscription stands, or can't be had.
    pub(super) unconfirmed: Option<mpsc::Sender<()>>,
    pub(super) warned: Arc<AtomicBool>,
    /// Whether Redis lets this worker see to its flags.
    pub(super) ensures: bool,
}

impl Listener {
    /// Listens until stopped, over as many connections as it takes. A server that can't be subscribed to is tried again
    /// and again; meanwhile the scan finds its orphans.
    pub(super) async fn run(mut self) {
        let core = Arc::clone(self.core());
        let stop = self.stop.clone();
        let (first, longest) = core.settings.reconnect;
        let mut backoff = Backoff::new(first, longest);
        let endpoint = self.network.endpoint().at(&self.node);
        let keys: Vec<_> = self.partitions.iter().map(|one| Arc::clone(&one.keys)).collect();
        loop {
            let master = core.masters.of(&self.node);
            tokio::select! {
                () = stop.cancelled() => return,
                () = master.becomes(|state| state == BreakerState::Closed) => {}
            }
            let opened = tokio::select! {
                () = stop.cancelled() => return,
                opened = endpoint.open_for_events() => opened,
            };
            match opened {
                Ok(connection) => {
                    backoff.reset();
                    let timeout = core.settings.command_timeout;
                    let subscription =
                        Subscription::new(connection.clone(), keys.clone(), endpoint.database(), timeout);
                    tokio::select! {
                        () = stop.cancelled() => {}
                        () = master.becomes(|state| state == BreakerState::Open) => {}
                        e = self.listen(subscription) => {
                            core.metrics.subscribed("failed");
                            tracing::debug!(error = %e, server = %self.node, "the subscription broke; subscribing anew");
                        }
                    }
                    self.listening(false);
                    connection.close(Duration::ZERO).await;
                }
                Err(e) => {
                    core.metrics.subscribed("failed");
                    self.unconfirmed = None;
                    tracing::debug!(error = %e, server = %self.node, "no connection for notifications; trying again");
                }
            }
            tokio::select! {
                () = stop.cancelled() => return,
                () = tokio::time::sleep(backoff.draw()) => {}
            }
        }
    }

    fn core(&self) -> &Arc<Core> {
        &self.partitions.core
    }

    /// The partitions that this server holds now.
    fn held(&self) -> impl Iterator<Item = &Arc<Partition>> {
        let placement = self.network.placement();
        let here = move |one: &&Arc<Partition>| placement.of(one.number) == Some(&self.node);
        self.partitions.iter().filter(here)
    }

    fn listening(&self, listening: bool) {
        for partition in self.held() {
            partition.health.listening(listening);
            if listening {
                partition.scan_now.notify_one();
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
        let mut pulse = tokio::time::interval(self.core().settings.lock_ttl / 3);
        let mut expired = BTreeSet::new();
        let mut look_at: Option<Instant> = None;
        // Somebody may set the flags back without closing any connection.
        let every = self.core().settings.health_interval;
        let mut care = (!every.is_zero()).then(|| interval_at(Instant::now() + every, every));
        loop {
            let care = async {
                match &mut care {
                    Some(care) => {
                        care.tick().await;
                    }
                    None => std::future::pending().await,
                }
            };
            let due = async {
                match look_at {
                    Some(at) => tokio::time::sleep_until(at).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                heard = subscription.next() => match heard {
                    Heard::Expired(lock) => {
                        self.core().metrics.lock_expired();
                        if expired.len() < LOOK_BACKLOG {
                            expired.insert(lock);
                        }
                        if look_at.is_none() {
                            look_at = Some(Instant::now() + jittered(LOOK_EVERY / 4, 1.0, &mut rand::rng()));
                        }
                    }
                    Heard::Missed(missed) => {
                        self.core().metrics.hints_missed(missed);
                        self.held().for_each(|partition| partition.scan_now.notify_one());
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
                () = care, if self.ensures => {
                    // Where it is not answered, the next time.
                    if let Ok(ensures) = self.ensure_flags().await {
                        self.ensures = ensures;
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
        if self.core().settings.keyspace_events == KeyspaceEvents::Ensure {
            self.ensures = self.ensure_flags().await?;
        }
        let standing = subscription.confirm().await;
        self.unconfirmed = None;
        let refused = match standing {
            Ok(true) => {
                self.core().metrics.subscribed("ok");
                self.listening(true);
                return Ok(());
            }
            Ok(false) => "Redis did not confirm the subscription to keyspace notifications".to_owned(),
            Err(e) if e.is_denied() => e.to_string(),
            Err(e) => return Err(e),
        };
        self.core().metrics.subscribed("refused");
        self.warn(&refused);
        Ok(())
    }

    /// False where Redis refuses it.
    ///
    /// # Errors
    /// It may succeed later: the connection for commands can come back after the one for notifications.
    async fn ensure_flags(&self) -> Result<bool, StoreError> {
        // The flags are the server's, whichever partition of it is asked.
        let Some(store) = self.held().next().map(|partition| partition.store.clone()) else {
            return Ok(true);
        };
        let set = match store.keyspace_flags().await {
            Ok(flags) => match event::with_expired(&flags) {
                Some(wanted) => store.set_keyspace_flags(&wanted).await,
                None => Ok(()),
            },
            Err(e) => Err(e),
        };
        match set {
            Err(e) if e.is_transient() => Err(e),
            Err(e) => {
                self.warn(&format!("notify-keyspace-events could not be ensured: {e}"));
                Ok(false)
            }
            Ok(()) => Ok(true),
        }
    }

    fn warn(&self, what: &str) {
        warn(&self.warned, &self.core().settings.service, what);
    }

    /// Reads one batch of one partition's orphans and tells of them. What fails is left to the scan.
    async fn look(&self, expired: &mut BTreeSet<LockExpired>) {
        let first = expired.first().map(|lock| lock.partition);
        let Some((number, partition)) = first.and_then(|number| Some((number, self.partitions.of(number)?))) else {
            return expired.clear();
        };
        let mut ids: Vec<EntryId> = Vec::with_capacity(LOOK_BATCH);
        while ids.len() < LOOK_BATCH && expired.first().is_some_and(|lock| lock.partition == number) {
            let Some(LockExpired { id, .. }) = expired.pop_first() else {
                break;
            };
            // One's own expired lock is the heartbeat's and the settler's affair.
            if !partition.leases.knows(&id) {
                ids.push(id);
            }
        }
        if ids.is_empty() {
            return;
        }
        let (epoch, _) = partition.session.current();
        let looked = match partition.store.look(&epoch, &ids).await {
            Ok(Judged::Ok(looked)) => looked,
            Ok(Judged::EpochChanged | Judged::Quiet(_)) => {
                let _ = partition.hello().await;
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
            if let Ok(entry) = Entry::parse(entry.id, entry.fields) {
                partition.core.outbox.hint(Orphan::new(number, entry, owner, idle));
            }
        }
    }
}
