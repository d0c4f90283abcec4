//! What was read becomes leases: looked at, locked, told.

use std::sync::Arc;

use super::{Reader, Reserved};
use crate::clock::Moment;
use crate::dead_letter::DeadLetterReason;
use crate::entry::{Entry, Fields, Poison};
use crate::id::{EntryId, Epoch};
use crate::keys::Layout;
use crate::lease::Lease;
use crate::lock::Held;
use crate::notification::Notification;
use crate::runtime::Slot;
use crate::store::{Acquired, Judged, Locked, Operation, StoreError, TakenEntry};

/// What was read and may become a lease.
struct Admitted {
    entry: Entry,
    slot: Slot,
    /// What became of its lock, and when the call was sent that says so. [`None`] where nobody has tried yet.
    acquired: Option<(Acquired, Moment)>,
}

impl Reader {
    /// Makes leases of what was read, under the epoch and the era that it was read in; locks that it has got count from
    /// `start`. What fails stays pending under this name, and the next audit looks again.
    pub(super) async fn admit(
        &mut self,
        entries: Vec<TakenEntry>,
        slots: &mut Reserved,
        (epoch, era): (Epoch, u64),
        start: Moment,
    ) -> Result<(), StoreError> {
        let partition = Arc::clone(&self.partition);
        let core = &partition.core;
        slots.truncate(entries.len());
        core.metrics.read(entries.iter().map(|entry| entry.id.lane));
        let mut leases = Vec::with_capacity(entries.len());
        for TakenEntry { id, fields, locked } in entries {
            let Some((entry, slot)) = self.readable(id, fields, slots) else {
                continue;
            };
            let acquired = match locked {
                Locked::Mine(token) => Some((Acquired::Ok(token), start)),
                Locked::Held => Some((Acquired::Held, start)),
                Locked::Open => None,
            };
            leases.push(Admitted { entry, slot, acquired });
        }
        // What a lease of another era is told of is left to its settlement. Interleaving: that lease was written back, as an entry
        // with an id of its own, and nobody heard of it before its deadline. Its lock is ours, so acquiring it would make a
        // second lease with the same token, which the settlement would end under its handler.
        let later_life = |one: &Admitted| one.acquired.is_none() && one.entry.is_later_life();
        if leases.iter().any(later_life) {
            let unsettled = partition.leases.origins_before(era);
            let all = leases.len();
            leases.retain(|one| !(later_life(one) && unsettled.contains(&one.entry.origin)));
            self.audit_due |= leases.len() < all;
        }
        // What could be acquired is handed out whatever becomes of the rest, and in the order it was read in; and it is in the
        // table before hello is said, which has all that is there restored.
        let acquired = self.acquire(&epoch, &mut leases).await;
        let adopted = self.adopt(leases, era);
        if matches!(&acquired, Err(e) if e.is_epoch_changed()) {
            return partition.hello().await;
        }
        adopted.and(acquired)
    }

    /// Acquires what was read and not locked by that.
    async fn acquire(&mut self, epoch: &Epoch, leases: &mut [Admitted]) -> Result<(), StoreError> {
        let open = leases.iter_mut().filter(|one| one.acquired.is_none());
        let ids: Vec<_> = open.map(|one| one.entry.id).collect();
        if ids.is_empty() {
            return Ok(());
        }
        let partition = &self.partition;
        let start = Moment::now();
        let ttl = partition.core.settings.lock_ttl;
        match partition.leasing.acquire(epoch, ttl, &ids).await {
            Ok(Judged::Ok(outcomes)) => {
                let open = leases.iter_mut().filter(|one| one.acquired.is_none());
                for (one, outcome) in open.zip(outcomes) {
                    one.acquired = Some((outcome, start));
                }
                Ok(())
            }
            // Whoever holds what was read takes it back meanwhile; what is left here then, the next audit takes up.
            Ok(Judged::Quiet(left)) => {
                self.audit_due = true;
                partition.session.quiet_for(left);
                Ok(())
            }
            Ok(Judged::EpochChanged) => {
                self.audit_due = true;
                Err(StoreError::epoch_changed("acquire"))
            }
            Err(e) => {
                self.audit_due = true;
                Err(e)
            }
        }
    }

    /// What was read as an entry with a slot. [`None`] where it can't be a lease: it is handed back, or left alone.
    fn readable(&self, id: EntryId, fields: Result<Fields, Poison>, slots: &mut Reserved) -> Option<(Entry, Slot)> {
        let partition = &self.partition;
        let core = &partition.core;
        if partition.leases.knows(&id) {
            // The group was reset, and this worker was given again what it holds. A second lease on it would have the
            // same token, and nobody would renew the first.
            return None;
        }
        let leaving = core.closing.is_cancelled() || core.outbox.is_closed();
        // A slot may be reserved that is not there any more.
        let slot = slots.pop_front().filter(|_| !leaving && !core.slots.exceeded());
        let Some(slot) = slot else {
            partition.hand_back(id, None, Operation::Release, None);
            return None;
        };
        let parse = match partition.keys.layout() {
            Layout::Native => Entry::parse,
            Layout::GoCompatible => Entry::parse_beside_go,
        };
        match fields.and_then(|fields| parse(id, fields)) {
            Ok(entry) => Some((entry, slot)),
            Err(poison) => {
                let (reason, error) = match poison {
                    Poison::Unparseable(error) => (DeadLetterReason::Unparseable, error),
                    Poison::TooLarge(error) => (DeadLetterReason::TooLarge, error),
                };
                tracing::warn!(
                    service = %core.settings.service, entry = %id, %reason, error,
                    "an entry can't be read and goes to the dead letters"
                );
                // With its slot: where dead letters can't be written, poison must not be read without end.
                partition.hand_back(id, None, Operation::DeadLetter { reason, error }, Some(slot));
                None
            }
        }
    }

    /// Makes leases of what was acquired, and tells of them.
    fn adopt(&mut self, admitted: Vec<Admitted>, era: u64) -> Result<(), StoreError> {
        let partition = &self.partition;
        let core = &partition.core;
        let mut failed = None;
        let outcomes = admitted.iter().filter_map(|one| one.acquired.as_ref());
        core.metrics.acquired(outcomes.map(|(outcome, _)| outcome));
        for Admitted { entry, slot, acquired } in admitted {
            let Some((outcome, start)) = acquired else { continue };
            let deadline = core.deadline(start);
            match outcome {
                Acquired::Ok(token) => {
                    let Some(alive) = self.alive.upgrade() else {
                        partition.hand_back(entry.id, Some(token), Operation::Release, None);
                        continue;
                    };
                    // Into the table first: from there the heartbeat keeps it alive however long it waits to be received.
                    let held = Arc::new(Held::new(entry, token, era, start, deadline));
                    partition.leases.insert(Arc::clone(&held));
                    let lease = Lease::new(held, Arc::clone(partition), slot, alive);
                    lease.span().in_scope(|| tracing::debug!("stream added"));
                    core.outbox.send(Notification::StreamAdded(lease));
                }
                // Re-queued while this worker stood still between its read and its lock: somebody else's now.
                Acquired::Gone => {}
                Acquired::Paused => {
                    partition.paused(true);
                    partition.hand_back(entry.id, None, Operation::Release, None);
                }
                // Its owner lives. If it dies, its lock expires and the scan finds the entry.
                Acquired::Held => {}
                Acquired::Failed(e) => {
                    tracing::debug!(error = %e, entry = %entry.id, "an entry could not be acquired; trying again");
                    self.audit_due = true;
                    failed = Some(e);
                }
            }
        }
        failed.map_or(Ok(()), Err)
    }
}
