//! The heartbeat: renews all locks in a few scripts, from a thread and runtime of its own, so that a handler that blocks
//! the user's runtime does not lose its leases.

use std::sync::Arc;
use std::time::Duration;

use futures_util::future::join_all;
use tokio::sync::{mpsc, oneshot};
use tokio::task::{JoinHandle, JoinSet};
use tokio::time::{Instant, sleep_until};
use tokio_util::sync::CancellationToken;
use tracing::Instrument as _;

use super::held::Held;
use crate::backoff::{Backoff, jittered};
use crate::clock::Moment;
use crate::error::{ConnectError, DisownedReason};
use crate::runtime::{Asked, Partition, Partitions};
use crate::store::{Judged, Lines, Network, Renewed, Store, StoreError};

/// Locks per script call: about 2 ms of Redis.
const LOCKS_PER_CALL: usize = 400;
const CALLS_AT_A_TIME: usize = 8;
/// Locks extended at a time where each takes a call of its own.
const ONE_BY_ONE: usize = 64;
const JITTER: f64 = 0.1;

/// The running heartbeat. Dropping it stops the renewals at once: also when the user's runtime is torn down without a
/// shutdown, as leases that nobody works on must not be kept alive.
pub(crate) struct Heartbeat {
    stop: CancellationToken,
    ended: Option<oneshot::Receiver<()>>,
}

impl Heartbeat {
    /// Starts the thread and opens its connections, one to each server that holds a partition.
    ///
    /// # Errors
    /// The thread or a connection could not be had; then nothing runs.
    pub(crate) async fn start(
        partitions: Partitions,
        network: Network,
        hellos: Vec<mpsc::UnboundedReceiver<Asked>>,
    ) -> Result<Self, ConnectError> {
        let stop = CancellationToken::new();
        let (opened, is_open) = oneshot::channel();
        let (end, ended) = oneshot::channel();
        let stopped = stop.clone();
        std::thread::Builder::new()
            .name("streamherd-heartbeat".to_owned())
            .spawn(move || {
                let runtime = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
                    Ok(runtime) => runtime,
                    Err(e) => {
                        let _ = opened.send(Err(ConnectError::Thread(e)));
                        return;
                    }
                };
                runtime.block_on(beat(partitions, &network, hellos, stopped, opened));
                let _ = end.send(());
            })
            .map_err(ConnectError::Thread)?;
        is_open
            .await
            .map_err(|_| ConnectError::Thread(std::io::Error::other("the heartbeat thread ended")))??;
        Ok(Self {
            stop,
            ended: Some(ended),
        })
    }

    /// Resolves when the thread is over, which is only after [`Heartbeat::stop`] or a panic in it.
    ///
    /// # Cancel safety
    /// Cancel safe.
    pub(crate) async fn ended(&mut self) {
        if let Some(ended) = &mut self.ended {
            let _ = ended.await;
            self.ended = None;
        }
    }

    pub(crate) async fn stop(mut self) {
        self.stop.cancel();
        self.ended().await;
    }
}

impl Drop for Heartbeat {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

async fn beat(
    partitions: Partitions,
    network: &Network,
    hellos: Vec<mpsc::UnboundedReceiver<Asked>>,
    stop: CancellationToken,
    opened: oneshot::Sender<Result<(), ConnectError>>,
) {
    let timeout = partitions.core.settings.lease_timeout;
    // What leases wait for must fit into their time, whatever other commands may take.
    let lines = Lines::vital(network, timeout);
    let first = lines.open_all().await;
    let failed = first.is_err();
    if opened.send(first).is_err() || failed {
        lines.close(Duration::ZERO).await;
        return;
    }
    // Beside each other: a master that does not answer must not keep the leases of the others from their renewal.
    let renewals = partitions
        .iter()
        .zip(hellos)
        .map(|(partition, hellos)| keep(partition, partition.store_on(&lines, timeout), hellos));
    tokio::select! {
        () = stop.cancelled() => {}
        // And a deadline must not wait for a renewal.
        _ = join_all(renewals) => {}
        () = deadlines(&partitions) => {}
    }
    lines.close(Duration::from_millis(200)).await;
}

/// Keeps what is held in one partition: renews everything once per heartbeat, and what failed again and again until its
/// deadline; and says hello whenever somebody asks for it or the partition is held by another server.
async fn keep(partition: &Arc<Partition>, store: Store, mut hellos: mpsc::UnboundedReceiver<Asked>) {
    let settings = &partition.core.settings;
    let mut backoff = Backoff::new(settings.reconnect.0, settings.lease_timeout / 2);
    let mut sign: Option<JoinHandle<()>> = None;
    let mut changes = store.line.network().changes();
    let mut server = store.line.node();
    let after_a_beat = || Instant::now() + jittered(settings.heartbeat.mul_f64(1.0 - JITTER), JITTER, &mut rand::rng());
    let mut next = after_a_beat();
    // A beat of which something is left.
    let mut unfinished: Option<Moment> = None;
    loop {
        tokio::select! {
            biased;
            // A hello that is not answered must not keep a renewal waiting that is due.
            () = sleep_until(next) => {}
            Some(first) = hellos.recv() => {
                let mut asked = vec![first];
                while let Ok(one) = hellos.try_recv() {
                    asked.push(one);
                }
                let said = partition.say_hello(&store).await;
                for one in asked {
                    let _ = one.send(said.as_ref().copied().map_err(StoreError::again));
                }
                continue;
            }
            Ok(()) = changes.changed() => {
                let now = store.line.node();
                if now.is_none() || now == server {
                    continue;
                }
                // Its first answer decides what every lease is worth, so it is asked at once.
                server = now;
                if let Err(e) = partition.say_hello(&store).await {
                    tracing::debug!(error = %e, partition = partition.number, "the new server does not answer yet");
                }
            }
        }
        // One lease that can't be renewed must not keep the others from their next beat.
        let begun = unfinished.filter(|begun| begun.elapsed() < settings.heartbeat);
        let beat = begun.unwrap_or_else(Moment::now);
        if begun.is_none() {
            backoff.reset();
            let asked = partition.master().is_none_or(|master| master.is_asked());
            if asked && sign.as_ref().is_none_or(JoinHandle::is_finished) {
                sign = Some(tokio::spawn(sign_of_life(Arc::clone(partition), store.clone())));
            }
        }
        let mut renewed = renew_all(partition, &store, beat).await;
        if matches!(&renewed, Err(e) if e.is_epoch_changed()) {
            renewed = match partition.say_hello(&store).await {
                Ok(()) => renew_all(partition, &store, beat).await,
                Err(e) => Err(e),
            };
        }
        match renewed {
            Ok(()) => {
                unfinished = None;
                next = after_a_beat();
            }
            Err(e) => {
                tracing::debug!(error = %e, partition = partition.number, "a renewal failed; trying again");
                unfinished = Some(beat);
                // A half-open connection would swallow every further try, and be noticed after the leases are lost.
                let fresh = e.is_timeout()
                    && tokio::time::timeout(settings.lease_timeout, store.line.replace()).await == Ok(true);
                let wait = if fresh { Duration::ZERO } else { backoff.draw() };
                next = Instant::now() + wait;
            }
        }
    }
}

/// A sign of life with each heartbeat, beside the renewals: one that is not answered must not take from their time.
async fn sign_of_life(partition: Arc<Partition>, store: Store) {
    if let Err(e) = partition.register(&store).await {
        tracing::debug!(error = %e, "the sign of life was not written; the next heartbeat tries again");
        return;
    }
    if let Err(e) = partition.reports.tell(&store, partition.core.settings.lock_ttl).await {
        tracing::debug!(error = %e, "how far the work has come was not told; the next heartbeat tries again");
    }
}

/// Renews what was not renewed since `beat`: some calls at a time, as a distant Redis would otherwise answer the last of
/// many after their deadlines. Stops at the first timeout, so that the next try begins with those that wait longest.
async fn renew_all(partition: &Arc<Partition>, store: &Store, beat: Moment) -> Result<(), StoreError> {
    let mut due = partition.leases.due(beat).into_iter();
    let mut calls = JoinSet::new();
    let mut first_error = None;
    loop {
        while calls.len() < CALLS_AT_A_TIME && !first_error.as_ref().is_some_and(StoreError::is_timeout) {
            let chunk: Vec<_> = due.by_ref().take(LOCKS_PER_CALL).collect();
            if chunk.is_empty() {
                break;
            }
            let span = tracing::debug_span!(
                "renew", service = %partition.core.settings.service, partition = partition.number, leases = chunk.len()
            );
            let (partition, store) = (Arc::clone(partition), store.clone());
            calls.spawn(async move { renew_chunk(&partition, &store, chunk).await }.instrument(span));
        }
        match calls.join_next().await {
            None => break,
            Some(Ok(Ok(()))) => {}
            Some(Ok(Err(e))) => {
                first_error.get_or_insert(e);
            }
            Some(Err(panicked)) => std::panic::resume_unwind(panicked.into_panic()),
        }
    }
    partition.health.renewed(first_error.is_none());
    first_error.map_or(Ok(()), Err)
}

async fn renew_chunk(partition: &Arc<Partition>, store: &Store, mut chunk: Vec<Arc<Held>>) -> Result<(), StoreError> {
    let core = &partition.core;
    let settings = &core.settings;
    let (epoch, era) = partition.session.current();
    let start = Moment::now();
    // The clock is asked again: what passed its deadline since the beat began must not be locked again.
    let mut ids = Vec::with_capacity(chunk.len());
    chunk.retain(|held| {
        let id = held.valid_id(start);
        ids.extend(id.map(|id| (id, held.token)));
        id.is_some()
    });
    if ids.is_empty() {
        return Ok(());
    }
    let renewed = store.renew(&epoch, settings.lock_ttl, &ids).await;
    partition.heard(&renewed);
    let others = match renewed {
        Ok(Judged::Ok(others)) => others,
        Ok(Judged::EpochChanged | Judged::Quiet(_)) => return Err(StoreError::epoch_changed("renew")),
        Err(e) if e.is_migrating() => return renew_each(partition, store, &chunk).await,
        Err(e) => return Err(e),
    };
    let deadline = core.deadline(start);
    let mut failed = None;
    core.metrics.kept(chunk.len().saturating_sub(others.len()));
    let mut others = others.into_iter().peekable();
    for (at, held) in chunk.iter().enumerate() {
        let Some((_, outcome)) = others.next_if(|(other, _)| *other == at) else {
            held.keep(era, start, deadline);
            continue;
        };
        core.metrics.renewed(&outcome);
        match outcome {
            Renewed::Kept => held.keep(era, start, deadline),
            Renewed::Reacquired => {
                tracing::warn!(stream = held.entry.name, token = %held.token, "a lock had expired and was set again");
                held.keep(era, start, deadline);
            }
            Renewed::Lost => {
                let reason = if held.era() == era {
                    DisownedReason::TakenOver
                } else {
                    DisownedReason::DataLoss
                };
                partition.disown(held, reason);
            }
            Renewed::Failed(e) => failed = Some(e),
        }
    }
    failed.map_or(Ok(()), Err)
}

/// While a slot migrates, a script on several keys is refused from the first moment on, and everything but renewals waits
/// until it is over. Locks are extended one by one, each wherever it is: a migration may last longer than a lock lives.
async fn renew_each(partition: &Arc<Partition>, store: &Store, chunk: &[Arc<Held>]) -> Result<(), StoreError> {
    let core = &partition.core;
    let ttl = core.settings.lock_ttl;
    let mut failed = None;
    for some in chunk.chunks(ONE_BY_ONE) {
        let renewed = some.iter().map(|held| async move {
            let start = Moment::now();
            (held, start, store.renew_one(ttl, held.id(), held.token).await)
        });
        for (held, start, renewed) in join_all(renewed).await {
            match renewed {
                Ok(Some(Renewed::Kept)) => {
                    core.metrics.renewed(&Renewed::Kept);
                    held.extend(start, core.deadline(start));
                }
                // Neither here nor there just now, or not mine any more: that is judged when the script can be.
                Ok(_) => failed = Some(StoreError::epoch_changed("renew")),
                Err(e) => failed = Some(e),
            }
        }
    }
    failed.map_or(Ok(()), Err)
}

/// Ends every lease at its deadline or hold limit, whatever the renewals are waiting for.
///
/// On this thread, so that a handler that blocks the user's whole runtime is ended too: then the settler can't say so to
/// Redis, but nobody renews the lock any more, and a peer has the stream when it has expired.
async fn deadlines(partitions: &Partitions) {
    let core = &partitions.core;
    // A new lease has more than a heartbeat ahead of it, so looking this often misses none. Shorter than a heartbeat
    // because these sleeps stand still with a suspended machine and the deadlines do not.
    let most = core.settings.heartbeat / 4;
    loop {
        let now = Moment::now();
        let mut wait = most;
        for partition in partitions.iter() {
            let (overdue, next) = partition.leases.overdue(now);
            for (held, reason) in overdue {
                partition.disown(&held, reason);
            }
            wait = wait.min(now.until(next));
        }
        tokio::time::sleep(wait.max(Duration::from_millis(1))).await;
    }
}
