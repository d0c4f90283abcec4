use serde::Serialize;

use super::leases::name_in;
use super::{Admin, text};
use crate::error::StoreError;
use crate::id::{EntryId, Lane, Reference};
use crate::partition::partition_of;
use crate::store::{Kicked, Name, Place, Store};

/// Entries of one page, which takes about 256 KiB at most.
const PAGE: usize = 100;
/// Pages that are looked at for one name in each of the three places.
const MOST_PAGES: usize = 500;

/// What became of a stream that an operator wants on the queue.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(tag = "outcome", rename_all = "snake_case")]
#[non_exhaustive]
pub enum RequeueOutcome {
    /// It waits for a worker already, as this; nothing was changed.
    AlreadyQueued {
        /// Where.
        #[serde(rename = "id", serialize_with = "text")]
        entry: EntryId,
    },
    /// It was delayed, and is on the queue now, as this.
    MadeDue {
        /// Where.
        #[serde(rename = "id", serialize_with = "text")]
        entry: EntryId,
    },
    /// It was an orphan, or was taken from its owner, and is at the front of the queue now, as this.
    Requeued {
        /// Where.
        #[serde(rename = "id", serialize_with = "text")]
        entry: EntryId,
    },
    /// Its owner holds it, and it was not to be taken from it; nothing was changed.
    Held {
        /// The owner; empty where another program has made that unknown.
        consumer: String,
        /// How long its lock lives without a further heartbeat, in milliseconds.
        remaining_ms: u64,
    },
    /// It was handed out, and is too large to be queued again; the scan will put it to the dead letters. Nothing was changed.
    TooLarge {
        /// Where it is.
        #[serde(rename = "id", serialize_with = "text")]
        entry: EntryId,
    },
    /// There is no such stream.
    NotFound {
        /// False where there were too many entries to look at all of them.
        complete: bool,
    },
}

/// What became of a stream that an operator wants on the queue, and where it was found.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct FoundStream {
    /// The partition in which the entry is unique that the outcome names; [`None`] where there is no such stream.
    pub partition: Option<u16>,
    /// What became of it.
    #[serde(flatten)]
    pub outcome: RequeueOutcome,
}

impl Admin {
    /// Puts a stream at the front of the queue, counting nothing: an orphan without waiting for the scan, a delayed one
    /// without waiting until it is due, and with `force` also one that is held. Its owner's lease is lost then, as if a peer
    /// had taken it: its next renewal or settlement says so, and it works on for up to a heartbeat; only the fencing token
    /// keeps its side effects out.
    ///
    /// A stream whose submits are coalesced is found at once. Otherwise, for runs that were submitted as
    /// [`Parallel`](crate::Duplicates::Parallel) or by another program, up to 50,000 entries of each lane and as many
    /// delayed ones of each partition are looked at (fewer where they are large: 250 MiB), a hundred at a time, and the
    /// first one is put back that can be. The [partition of the name](crate::partition_of) comes first; other programs may
    /// have added it to any.
    ///
    /// Repeating it without `force` is harmless; with `force` it takes the stream from its next owner as well.
    ///
    /// # Errors
    /// Redis did not answer, or refused; it may have been carried out in the first case.
    ///
    /// # Cancel safety
    /// Dropping the future may or may not keep the stream from being put back.
    pub async fn requeue(&self, stream: &str, force: bool) -> Result<RequeueOutcome, StoreError> {
        Ok(self.find_and_requeue(stream, force).await?.outcome)
    }

    /// [`requeue`](Self::requeue), which also says in which partition the stream was.
    ///
    /// # Errors
    /// As [`requeue`](Self::requeue).
    ///
    /// # Cancel safety
    /// As [`requeue`](Self::requeue).
    pub async fn find_and_requeue(&self, stream: &str, force: bool) -> Result<FoundStream, StoreError> {
        let stores = self.stores()?;
        let partitions = u16::try_from(stores.len()).unwrap_or(u16::MAX);
        let order = search_order(partition_of(stream, partitions), partitions);
        let search: Vec<(u16, &Store)> = order
            .filter_map(|partition| Some((partition, stores.get(usize::from(partition))?)))
            .collect();
        for (partition, store) in &search {
            if let Some(outcome) = outcome(store.kick(stream, None, force).await?) {
                return Ok(FoundStream {
                    partition: Some(*partition),
                    outcome,
                });
            }
        }
        let mut refused: Option<FoundStream> = None;
        let mut complete = true;
        for (partition, store) in search {
            match requeue_run(store, stream, force).await? {
                RequeueOutcome::NotFound { complete: all } => complete &= all,
                outcome => {
                    let done = outcome.is_done();
                    // Of several runs, one that waits says more than one that is held.
                    let waits = matches!(outcome, RequeueOutcome::AlreadyQueued { .. });
                    let found = FoundStream {
                        partition: Some(partition),
                        outcome,
                    };
                    if done {
                        return Ok(found);
                    }
                    if waits || refused.is_none() {
                        refused = Some(found);
                    }
                }
            }
        }
        Ok(refused.unwrap_or(FoundStream {
            partition: None,
            outcome: RequeueOutcome::NotFound { complete },
        }))
    }

    /// [`requeue`](Self::requeue) of one entry, whatever it is called, which is found at once: an id is
    /// [`NotFound`](RequeueOutcome::NotFound) once its entry has been put back under another.
    ///
    /// # Errors
    /// As [`requeue`](Self::requeue).
    ///
    /// # Cancel safety
    /// As [`requeue`](Self::requeue).
    pub async fn requeue_entry(
        &self,
        partition: u16,
        entry: Reference,
        force: bool,
    ) -> Result<RequeueOutcome, StoreError> {
        let gone = RequeueOutcome::NotFound { complete: true };
        let Some(store) = self.stores()?.get(usize::from(partition)) else {
            return Ok(gone);
        };
        let kicked = store.kick("", Some(entry), force).await?;
        Ok(outcome(kicked).unwrap_or(gone))
    }
}

impl RequeueOutcome {
    /// Whether something was put back.
    const fn is_done(&self) -> bool {
        matches!(self, Self::Requeued { .. } | Self::MadeDue { .. })
    }
}

/// The partition where a name belongs, then the others.
fn search_order(own: u16, partitions: u16) -> impl Iterator<Item = u16> {
    std::iter::once(own).chain((0..partitions).filter(move |other| *other != own))
}

/// Puts back a run that is not coalesced, if the partition has one.
async fn requeue_run(store: &Store, stream: &str, force: bool) -> Result<RequeueOutcome, StoreError> {
    let mut refused: Option<RequeueOutcome> = None;
    let mut complete = true;
    for place in [Place::Lane(Lane::Front), Place::Delayed, Place::Lane(Lane::Input)] {
        let mut cursor = None;
        for page in 1..=MOST_PAGES {
            let (found, next) = store.find(place, cursor.as_deref(), PAGE).await?;
            for (reference, name) in found {
                match is_called(store, stream, reference, &name).await? {
                    Some(true) => {}
                    Some(false) => continue,
                    None => {
                        complete = false;
                        continue;
                    }
                }
                match outcome(store.kick(stream, Some(reference), force).await?) {
                    Some(done) if done.is_done() => return Ok(done),
                    // Of several runs, one that waits says more than one that is held.
                    Some(queued @ RequeueOutcome::AlreadyQueued { .. }) => refused = Some(queued),
                    Some(other) => drop(refused.get_or_insert(other)),
                    None => {}
                }
            }
            cursor = next;
            if cursor.is_none() {
                break;
            }
            complete &= page < MOST_PAGES;
        }
    }
    Ok(refused.unwrap_or(RequeueOutcome::NotFound { complete }))
}

/// [`None`] where the beginning of a delayed entry doesn't say.
async fn is_called(store: &Store, stream: &str, reference: Reference, name: &Name) -> Result<Option<bool>, StoreError> {
    match reference {
        Reference::Queued(id) => {
            let name = name_in(store, id, name).await?;
            Ok(Some(name.is_some_and(|name| name == stream)))
        }
        Reference::Delayed(_) => Ok(match name {
            Name::Known(name) => Some(name == stream),
            Name::Beyond => None,
            Name::Gone => Some(false),
        }),
    }
}

/// [`None`] where there is nothing to put back.
fn outcome(kicked: Kicked) -> Option<RequeueOutcome> {
    Some(match kicked {
        Kicked::Queued(entry) => RequeueOutcome::AlreadyQueued { entry },
        Kicked::Due(entry) => RequeueOutcome::MadeDue { entry },
        Kicked::Requeued(entry) => RequeueOutcome::Requeued { entry },
        Kicked::TooLarge(entry) => RequeueOutcome::TooLarge { entry },
        Kicked::Held { consumer, remaining_ms } => RequeueOutcome::Held { consumer, remaining_ms },
        Kicked::Absent => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_partition_is_searched_once_and_a_name_s_own_first() {
        assert_eq!(search_order(2, 4).collect::<Vec<_>>(), [2, 0, 1, 3]);
        assert_eq!(search_order(0, 1).collect::<Vec<_>>(), [0]);
    }
}
