//! The heartbeat: renews all locks in a few scripts, from a thread and runtime of its own, so that a handler that blocks
//! the user's runtime does not lose its leases.

use std::sync::Arc;
use std::time::Duration;

use futures_util::future::join_all;
use tokio::sync::oneshot;
use tokio::task::{JoinHandle, JoinSet};
use tokio_util::sync::CancellationToken;
use tracing::Instrument as _;

use super::table::{Held, Phase};
use crate::backoff::{Backoff, jittered};
use crate::clock::Moment;
use crate::error::{ConnectError, DisownedReason};
use crate::runtime::{Partition, Partitions};
use crate::store::{Judged, Lines, Network, Renewed, Store, StoreError};

/// Locks per script call: about 2 ms of Redis.
const LOCKS_PER_CALL: usize = 400;
const CALLS_AT_A_TIME: usize = 8;
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
    pub(crate) async fn start(partitions: Partitions, network: Network) -> Result<Self, ConnectError> {
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
                runtime.block_on(beat(partitions, &network, stopped, opened));
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
    stop: CancellationToken,
    opened: oneshot::Sender<Result<(), ConnectError>>,
) {
    let Some(timeout) = partitions.first().map(|first| first.core.settings.lease_timeout) else {
        return;
    };
    // What leases wait for must fit into their time, whatever other commands may take.
    let lines = Lines::new(network, timeout);
    let first = lines.open_all().await.map_err(ConnectError::from);
    let failed = first.is_err();
    if opened.send(first).is_err() || failed {
        lines.close(Duration::ZERO).await;
        return;
    }
    // Beside each other: a master that does not answer must not keep the leases of the others from their renewal.
    let renewals = partitions
        .iter()
        .map(|partition| renewals(partition, partition.store_on(&lines, timeout)));
    tokio::select! {
        () = stop.cancelled() => {}
        // And a deadline must not wait for a renewal.
        _ = join_all(renewals) => {}
        () = deadlines(&partitions) => {}
    }
    lines.close(Duration::from_millis(200)).await;
}

/// Renews everything once per heartbeat, and what failed again and again until its deadline.
async fn renewals(partition: &Arc<Partition>, store: Store) {
    let settings = &partition.core.settings;
    let mut backoff = Backoff::new(settings.reconnect.0, settings.lease_timeout / 2);
    let mut sign: Option<JoinHandle<()>> = None;
    loop {
        let wait = jittered(settings.heartbeat.mul_f64(1.0 - JITTER), JITTER, &mut rand::rng());
        tokio::time::sleep(wait).await;
        let mut beat = Moment::now();
        backoff.reset();
        if sign.as_ref().is_none_or(JoinHandle::is_finished) {
            sign = Some(tokio::spawn(sign_of_life(Arc::clone(partition), store.clone())));
        }
        while let Err(e) = renew_all(partition, &store, beat).await {
            tracing::debug!(error = %e, "a renewal failed; trying again");
            if beat.elapsed() >= settings.heartbeat {
                // One lease that can't be renewed must not keep the others from their next beat.
                beat = Moment::now();
            }
            // A half-open connection would swallow every further try, and be noticed after the leases are lost.
            if e.is_timeout() && tokio::time::timeout(settings.lease_timeout, store.line.replace()).await == Ok(true) {
                continue;
            }
            tokio::time::sleep(backoff.draw()).await;
        }
    }
}

/// A sign of life with each heartbeat, beside the renewals: one that is not answered must not take from their time.
async fn sign_of_life(partition: Arc<Partition>, store: Store) {
    if let Err(e) = partition.register(&store).await {
        tracing::debug!(error = %e, "the sign of life was not written; the next heartbeat tries again");
    }
}

/// Renews what was not renewed since `beat`: some calls at a time, as a distant Redis would otherwise answer the last of
/// many after their deadlines. Stops at the first timeout, so that the next try begins with those that wait longest.
async fn renew_all(partition: &Arc<Partition>, store: &Store, beat: Moment) -> Result<(), StoreError> {
    let mut due: Vec<Arc<Held>> = partition.leases.all();
    due.retain(|held| held.renewed() < beat && held.is_valid(beat));
    due.sort_by_key(|held| held.deadline());
    let mut calls = JoinSet::new();
    let mut first_error = None;
    let mut chunks = due.chunks(LOCKS_PER_CALL);
    loop {
        while calls.len() < CALLS_AT_A_TIME && !first_error.as_ref().is_some_and(StoreError::is_timeout) {
            let Some(chunk) = chunks.next() else { break };
            let span = tracing::debug_span!(
                "renew", service = %partition.core.settings.service, partition = partition.number, leases = chunk.len()
            );
            let (partition, store, chunk) = (Arc::clone(partition), store.clone(), chunk.to_vec());
            calls.spawn(async move { renew_chunk(&partition, &store, &chunk).await }.instrument(span));
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

async fn renew_chunk(partition: &Arc<Partition>, store: &Store, chunk: &[Arc<Held>]) -> Result<(), StoreError> {
    let core = &partition.core;
    let settings = &core.settings;
    let (epoch, era) = partition.session.current();
    let start = Moment::now();
    // The clock is asked again: what passed its deadline since the beat began must not be locked again.
    let chunk: Vec<&Arc<Held>> = chunk.iter().filter(|held| held.is_valid(start)).collect();
    let ids: Vec<_> = chunk.iter().map(|held| (held.id(), held.token)).collect();
    if ids.is_empty() {
        return Ok(());
    }
    let outcomes = match store.renew(&epoch, settings.lock_ttl, &ids).await? {
        Judged::Ok(outcomes) => outcomes,
        Judged::EpochChanged => {
            partition.hello(store).await?;
            return Err(StoreError::epoch_changed("renew"));
        }
    };
    let deadline = core.deadline(start);
    let mut failed = None;
    for (held, outcome) in chunk.into_iter().zip(outcomes) {
        core.metrics.renewed(&outcome);
        match outcome {
            Renewed::Kept => held.extend(start, deadline),
            Renewed::Reacquired => {
                tracing::warn!(stream = %held.entry.name, token = %held.token, "a lock had expired and was set again");
                held.extend(start, deadline);
            }
            Renewed::Lost => {
                let reason = if held.era == era {
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

/// Ends every lease at its deadline or hold limit, whatever the renewals are waiting for.
///
/// On this thread, so that a handler that blocks the user's whole runtime is ended too: then the settler can't say so to
/// Redis, but nobody renews the lock any more, and a peer has the stream when it has expired.
async fn deadlines(partitions: &Partitions) {
    let Some(core) = partitions.first().map(|first| &first.core) else {
        return;
    };
    // A new lease has more than a heartbeat ahead of it, so looking this often misses none. Shorter than a heartbeat
    // because these sleeps stand still with a suspended machine and the deadlines do not.
    let most = core.settings.heartbeat / 4;
    loop {
        let now = Moment::now();
        let mut wait = most;
        for partition in partitions.iter() {
            for held in partition.leases.all() {
                if held.phase() != Phase::Held {
                    continue;
                }
                if let Some(reason) = held.overdue(now) {
                    partition.disown(&held, reason);
                } else {
                    wait = wait.min(now.until(held.end()));
                }
            }
        }
        tokio::time::sleep(wait.max(Duration::from_millis(1))).await;
    }
}
