use std::sync::Arc;

use serde::Serialize;

use super::Admin;
use super::leases::name_in;
use crate::entry;
use crate::error::StoreError;
use crate::id::{Lane, Reference};
use crate::keys::Keys;
use crate::partition::partition_of;
use crate::store::{Migrated, Movable, Name, Place, Role, Store};

/// Things of one call: about 2 ms of Redis where they are small.
const PAGE: usize = 100;

/// Moves a service from the layout that Go workers share ([`GoCompatible`](crate::Layout::GoCompatible)) to the native one, on
/// the same Redis, while both are in use: workers of the old layout finish what they hold, and those of the native one get the
/// rest. Get one from [`Builder::connect_migration`](crate::Builder::connect_migration).
#[derive(Debug)]
pub struct Migration {
    from: Admin,
    to: Admin,
}

/// What one [walk](Migration::walk) came to.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Moved {
    /// Streams that waited for a worker, and were moved.
    pub queued: u64,
    /// Streams that wait until they are due, for a retry or by a schedule, and were moved with that time.
    pub delayed: u64,
    /// Streams whose owner was dead, which were moved and count as abandoned once more.
    pub orphans: u64,
    /// Dead letters that were moved. They have new ids.
    pub dead_letters: u64,
    /// Streams that somebody holds, or held seconds ago. They are left to be finished, or to become orphans.
    pub held: u64,
    /// Entries that were left because nobody would be given them in the old layout either: finished by a Go worker that ended
    /// before it deleted them, or accepted before a Go worker made the group, which it does at the end of the stream.
    pub finished: u64,
    /// What Redis refused to move, as what can't be moved by a script: more than about 3,990 fields.
    pub refused: u64,
}

impl Moved {
    /// Whether this walk found nothing to wait for: nobody holds anything, and nothing was moved. While others use the old queue,
    /// a stream can go from one place to another behind its back: two such walks, one after the other, are proof.
    #[must_use]
    pub const fn is_complete(&self) -> bool {
        self.held + self.moved() == 0
    }

    /// How many things were moved, dead letters among them.
    #[must_use]
    pub const fn moved(&self) -> u64 {
        self.queued + self.delayed + self.orphans + self.dead_letters
    }
}

impl Migration {
    pub(crate) const fn new(from: Admin, to: Admin) -> Self {
        Self { from, to }
    }

    /// Into how many partitions the native queue is divided.
    ///
    /// # Errors
    /// Redis did not say when this was connected.
    pub fn partitions(&self) -> Result<u16, StoreError> {
        self.to.partitions()
    }

    /// The ACL rules of a login that may migrate: those of an operator, on the keys of both layouts. As
    /// [`Admin::acl_rules`](crate::Admin::acl_rules).
    #[must_use]
    pub fn acl_rules(&self) -> Vec<String> {
        let mut rules = self.from.acl_rules(Role::Operator);
        let keys = self.to.acl_rules(Role::Operator).into_iter();
        let keys: Vec<String> = keys.filter(|rule| rule.starts_with('~')).collect();
        rules.splice(1..1, keys);
        rules
    }

    /// Moves all that waits now. Streams go to the native queue in their order, each as a run of its own
    /// ([`Parallel`](crate::Duplicates::Parallel)), at once and with all its fields and counters; pauses stay where they are.
    /// A dry run says what would be moved, and changes nothing.
    ///
    /// May be repeated, and is to be repeated until two in a row [are complete](Moved::is_complete): what is held now is finished later,
    /// or given back to the old queue. Walks of several processes at one time move each thing once.
    ///
    /// # Errors
    /// Redis did not answer, or refused. What was moved until then stays moved.
    ///
    /// # Cancel safety
    /// Dropping the future ends the walk where it is; each thing is in the one queue or in the other.
    pub async fn walk(&self, dry_run: bool) -> Result<Moved, StoreError> {
        let from = self.from.first();
        let keys: Vec<Arc<Keys>> = self.to.stores()?.iter().map(Store::keys).collect();
        if !dry_run {
            // Producers and workers of the native layout are held to the same number.
            self.to.first().join(Some(self.partitions()?)).await?;
        }
        let walk = Walk { from, keys, dry_run };
        let mut moved = Moved::default();
        for place in [Place::Delayed, Place::Lane(Lane::Input)] {
            let mut cursor = None;
            loop {
                let (found, next) = from.find(place, cursor.as_deref(), PAGE).await?;
                let mut page = Vec::new();
                for (reference, name) in found {
                    page.push((Movable::Waiting(reference), walk.name(reference, &name).await?));
                }
                let before = moved.moved();
                walk.carry(page, self.from.min_idle, &mut moved).await?;
                cursor = match next {
                    // Those that come after have moved up.
                    Some(_) if place == Place::Delayed && !dry_run && moved.moved() > before => None,
                    None => break,
                    next => next,
                };
            }
        }
        let (mut cursor, mut until) = (None, None);
        loop {
            let page = from.letters(cursor.as_deref(), until).await?;
            let letters = page.letters.into_iter();
            let letters = letters.map(|(id, fields)| (Movable::Letter(id), entry::stream_name(&fields)));
            walk.carry(letters.collect(), self.from.min_idle, &mut moved).await?;
            (cursor, until) = (page.cursor, page.until);
            if cursor.is_none() {
                return Ok(moved);
            }
        }
    }

    /// Ends the connections.
    ///
    /// # Cancel safety
    /// Once polled, dropping the future drops the connections without a goodbye.
    pub async fn close(self) {
        self.from.close().await;
        self.to.close().await;
    }
}

struct Walk<'a> {
    from: &'a Store,
    /// Of each native partition.
    keys: Vec<Arc<Keys>>,
    dry_run: bool,
}

impl Walk<'_> {
    async fn name(&self, reference: Reference, name: &Name) -> Result<Option<String>, StoreError> {
        match (reference, name) {
            (Reference::Queued(id), name) => name_in(self.from, id, name).await,
            (Reference::Delayed(_), Name::Known(name)) => Ok(Some(name.clone())),
            (Reference::Delayed(_), _) => Ok(None),
        }
    }

    /// Moves each to the partition of its name; what can't be read goes to the first one, whose readers judge it.
    async fn carry(
        &self,
        page: Vec<(Movable, Option<String>)>,
        min_idle: std::time::Duration,
        moved: &mut Moved,
    ) -> Result<(), StoreError> {
        let partitions = u16::try_from(self.keys.len()).unwrap_or(u16::MAX);
        let place = |name: &Option<String>| name.as_ref().map_or(0, |name| partition_of(name, partitions));
        for (number, keys) in (0..partitions).zip(&self.keys) {
            let mut some: Vec<Movable> = page
                .iter()
                .filter(|(_, name)| place(name) == number)
                .map(|(one, _)| *one)
                .collect();
            while !some.is_empty() {
                let chunk = some.get(..PAGE.min(some.len())).unwrap_or_default();
                let outcomes = self.from.migrate(keys, self.dry_run, min_idle, chunk).await?;
                let mut left = Vec::new();
                for (one, outcome) in chunk.iter().zip(outcomes) {
                    match outcome {
                        Migrated::Queued => moved.queued += 1,
                        Migrated::Delayed => moved.delayed += 1,
                        Migrated::Orphan => moved.orphans += 1,
                        Migrated::Letter => moved.dead_letters += 1,
                        Migrated::Held => moved.held += 1,
                        Migrated::Finished => moved.finished += 1,
                        Migrated::Gone => {}
                        Migrated::Later => left.push(*one),
                        Migrated::Failed(e) if e.is_transient() => return Err(e),
                        Migrated::Failed(e) => {
                            moved.refused += 1;
                            tracing::warn!(error = %e, what = ?one, "this could not be moved to the native layout");
                        }
                    }
                }
                left.extend(some.iter().skip(PAGE));
                some = left;
            }
        }
        Ok(())
    }
}
