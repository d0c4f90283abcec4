//! Tells a store that may have lost its last writes, or all of them, what this worker holds.

use std::sync::Arc;

use futures_util::StreamExt as _;
use futures_util::stream::FuturesUnordered;

use crate::clock::Moment;
use crate::entry::{Fields, size};
use crate::error::DisownedReason;
use crate::id::Epoch;
use crate::lock::{Held, Phase};
use crate::runtime::Partition;
use crate::store::{Judged, Restorable, Restored, Store, StoreError};

/// Leases per script call: about 2 ms of Redis.
const LEASES_PER_CALL: usize = 100;
/// And so many bytes of bodies.
const BYTES_PER_CALL: usize = 256 * 1024;
/// Redis works on one while the next are put together here: one after the other, 100,000 leases outlasted their deadlines.
const CALLS_AT_A_TIME: usize = 4;

/// Restores every valid lease of this worker in the partition: first what the store still has, by ids alone; then
/// what is gone, with all its fields. May be repeated: what is done is found done.
///
/// # Errors
/// Redis did not answer, or another loss came meanwhile. Some of it may be restored.
pub(crate) async fn restore(partition: &Partition, store: &Store, epoch: &Epoch, era: u64) -> Result<(), StoreError> {
    // Past its deadline a lease may be a peer's, under another id: the settler hands back what is left of it.
    let now = Moment::now();
    let mut all = partition.leases.all();
    all.retain(|held| held.deadline() > now);
    // What is closest to its deadline first, as all of it may take as long as a lock lives.
    all.sort_by_cached_key(|held| held.deadline());
    let known = all.into_iter().map(|held| {
        let fields = held.entry.fields.clone();
        (held, fields)
    });
    let target = Target {
        partition,
        store,
        epoch,
        era,
    };
    let mut gone = tell_all(target, known, false).await?;
    if !partition.core.settings.recovery.write_back {
        return Ok(());
    }
    gone.sort_by_cached_key(|held| held.deadline());
    let gone = gone.into_iter().map(|held| {
        let fields = held.entry.fields_of_old();
        (held, fields)
    });
    tell_all(target, gone, true).await.map(drop)
}

/// Who is told.
#[derive(Clone, Copy)]
struct Target<'a> {
    partition: &'a Partition,
    store: &'a Store,
    epoch: &'a Epoch,
    /// The number of that epoch.
    era: u64,
}

type Told = (Arc<Held>, Fields);

/// Returns those whose entries are gone.
async fn tell_all(
    target: Target<'_>,
    all: impl Iterator<Item = Told>,
    with_fields: bool,
) -> Result<Vec<Arc<Held>>, StoreError> {
    let mut all = all.peekable();
    let mut gone = Vec::new();
    let mut failed = None;
    let mut calls = FuturesUnordered::new();
    loop {
        while failed.is_none() && calls.len() < CALLS_AT_A_TIME {
            let some = page(&mut all);
            if some.is_empty() {
                break;
            }
            calls.push(tell(target, some, with_fields));
        }
        match calls.next().await {
            None => break,
            Some(Ok(some)) => gone.extend(some),
            // The others are heard out: what they have written has new ids.
            Some(Err(e)) => {
                failed.get_or_insert(e);
            }
        }
    }
    failed.map_or(Ok(gone), Err)
}

/// As many as go into one call. Where the server has to look at a body, that is as large as the fields here.
fn page(all: &mut std::iter::Peekable<impl Iterator<Item = Told>>) -> Vec<Told> {
    let mut some = Vec::new();
    let mut bytes = 0;
    while some.len() < LEASES_PER_CALL {
        let Some(one) = all.next_if(|(_, fields)| some.is_empty() || bytes + size(fields) <= BYTES_PER_CALL) else {
            break;
        };
        bytes += size(&one.1);
        some.push(one);
    }
    some
}

/// Returns those whose entries are gone.
async fn tell(target: Target<'_>, some: Vec<Told>, with_fields: bool) -> Result<Vec<Arc<Held>>, StoreError> {
    let Target {
        partition,
        store,
        epoch,
        era,
    } = target;
    let core = &partition.core;
    let start = Moment::now();
    let leases: Vec<_> = some
        .iter()
        .map(|(held, fields)| Restorable {
            id: held.id(),
            token: held.token,
            valid: held.deadline() > start,
            batch: held.batch(),
            fields,
        })
        .collect();
    let told = store.restore(epoch, core.settings.lock_ttl, &leases, with_fields);
    let outcomes = match told.await? {
        Judged::Ok(outcomes) => outcomes,
        Judged::EpochChanged | Judged::Quiet(_) => return Err(StoreError::epoch_changed("restore")),
    };
    let deadline = core.deadline(start);
    let mut gone = Vec::new();
    let mut written = 0;
    let mut failed = None;
    let all = leases
        .iter()
        .zip(&some)
        .map(|(lease, (held, _))| (lease.valid, held))
        .zip(outcomes);
    for ((valid, held), outcome) in all {
        core.metrics.restored(&outcome);
        match outcome {
            Restored::Kept => {
                held.known_in(era);
                if valid {
                    held.extend(start, deadline);
                }
            }
            Restored::Settled => held.known_in(era),
            Restored::Written(new) => {
                tracing::debug!(
                    stream = held.entry.name, entry = %held.id(), %new, token = %held.token,
                    "Redis had lost an entry that is held here; it was written anew"
                );
                written += 1;
                partition.leases.rename(held, new);
                held.known_in(era);
                held.extend(start, deadline);
            }
            Restored::Missing => gone.push(Arc::clone(held)),
            Restored::Lost if held.phase() == Phase::Held => {
                partition.disown(held, DisownedReason::TakenOver);
            }
            Restored::Lost => {}
            Restored::Failed(e) if e.is_transient() => failed = Some(e),
            Restored::Failed(e) => {
                tracing::error!(error = %e, stream = held.entry.name, "a lease could not be restored");
            }
        }
    }
    if written > 0 {
        tracing::warn!(
            service = %core.settings.service, partition = partition.number, entries = written,
            "Redis had lost entries that are held here; they were written anew"
        );
    }
    failed.map_or(Ok(gone), Err)
}
