//! Tells a store that may have lost its last writes, or all of them, what this worker holds.

use std::sync::Arc;

use crate::clock::Moment;
use crate::entry::Fields;
use crate::error::DisownedReason;
use crate::id::Epoch;
use crate::lock::{Held, Phase};
use crate::runtime::Partition;
use crate::store::{Judged, Restorable, Restored, Store, StoreError};

/// Leases per script call: about 2 ms of Redis.
const LEASES_PER_CALL: usize = 100;
/// And so many bytes of what is written anew.
const BYTES_PER_CALL: usize = 256 * 1024;

/// Restores everything that this worker has to do with in the partition: first what the store still has, by ids alone; then
/// what is gone, with all its fields. May be repeated: what is done is found done.
///
/// # Errors
/// Redis did not answer, or another loss came meanwhile. Some of it may be restored.
pub(crate) async fn restore(partition: &Partition, store: &Store, epoch: &Epoch) -> Result<(), StoreError> {
    let mut gone = Vec::new();
    for some in partition.leases.all().chunks(LEASES_PER_CALL) {
        let some: Vec<_> = some
            .iter()
            .map(|held| (Arc::clone(held), held.entry.fields.clone()))
            .collect();
        gone.extend(tell(partition, store, epoch, some, false).await?);
    }
    let mut some = Vec::new();
    let mut bytes = 0;
    for held in gone {
        let fields = held.entry.fields_of_old();
        bytes += fields
            .iter()
            .map(|(name, value)| name.len() + value.len())
            .sum::<usize>();
        some.push((held, fields));
        if bytes >= BYTES_PER_CALL || some.len() >= LEASES_PER_CALL {
            tell(partition, store, epoch, std::mem::take(&mut some), true).await?;
            bytes = 0;
        }
    }
    if !some.is_empty() {
        tell(partition, store, epoch, some, true).await?;
    }
    Ok(())
}

/// Returns those whose entries are gone.
async fn tell(
    partition: &Partition,
    store: &Store,
    epoch: &Epoch,
    some: Vec<(Arc<Held>, Fields)>,
    with_fields: bool,
) -> Result<Vec<Arc<Held>>, StoreError> {
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
    let mut failed = None;
    let all = leases
        .iter()
        .zip(&some)
        .map(|(lease, (held, _))| (lease.valid, held))
        .zip(outcomes);
    for ((valid, held), outcome) in all {
        core.metrics.restored(&outcome);
        match outcome {
            Restored::Kept if valid => held.extend(start, deadline),
            Restored::Kept | Restored::Settled => {}
            Restored::Written(new) => {
                tracing::warn!(
                    stream = %held.entry.name, entry = %held.id(), %new, token = %held.token,
                    "Redis had lost an entry that is held here; it was written anew"
                );
                partition.leases.rename(held, new);
                if valid {
                    held.extend(start, deadline);
                }
            }
            Restored::Missing => gone.push(Arc::clone(held)),
            Restored::Lost if held.phase() == Phase::Held => {
                partition.disown(held, DisownedReason::TakenOver);
            }
            Restored::Lost => {}
            Restored::Failed(e) if e.is_transient() => failed = Some(e),
            Restored::Failed(e) => {
                tracing::error!(error = %e, stream = %held.entry.name, "a lease could not be restored");
            }
        }
    }
    failed.map_or(Ok(gone), Err)
}
