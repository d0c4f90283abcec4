use serde::Serialize;

use super::{Admin, text};
use crate::error::StoreError;
use crate::id::{EntryId, Lane, Reference};
use crate::store::{Kicked, Name, Place};

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

impl Admin {
    /// Puts a stream at the front of the queue, counting nothing: an orphan without waiting for the scan, a delayed one
    /// without waiting until it is due, and with `force` also one that is held. Its owner's lease is lost then, as if a peer
    /// had taken it: its next renewal or settlement says so, and it works on for up to a heartbeat; only the fencing token
    /// keeps its side effects out.
    ///
    /// A stream whose submits are coalesced is found at once. Otherwise, for runs that were submitted as
    /// [`Parallel`](crate::Duplicates::Parallel) or by another program, up to 50,000 entries of each lane and as many
    /// delayed ones are looked at (fewer where they are large: 250 MiB), a hundred at a time, and the first one is put back
    /// that can be.
    ///
    /// Repeating it without `force` is harmless; with `force` it takes the stream from its next owner as well.
    ///
    /// # Errors
    /// Redis did not answer, or refused; it may have been carried out in the first case.
    ///
    /// # Cancel safety
    /// Dropping the future may or may not keep the stream from being put back.
    pub async fn requeue(&self, stream: &str, force: bool) -> Result<RequeueOutcome, StoreError> {
        if let Some(outcome) = outcome(self.store().kick(stream, None, force).await?) {
            return Ok(outcome);
        }
        let mut refused: Option<RequeueOutcome> = None;
        let mut complete = true;
        let places = [Place::Lane(Lane::Front), Place::Delayed, Place::Lane(Lane::Input)];
        for place in places {
            let mut cursor = None;
            for page in 1..=MOST_PAGES {
                let (found, next) = self.store().find(place, cursor.as_deref(), PAGE).await?;
                for (reference, name) in found {
                    match self.is_called(stream, reference, &name).await? {
                        Some(true) => {}
                        Some(false) => continue,
                        None => {
                            complete = false;
                            continue;
                        }
                    }
                    match outcome(self.store().kick(stream, Some(reference), force).await?) {
                        Some(done @ (RequeueOutcome::Requeued { .. } | RequeueOutcome::MadeDue { .. })) => {
                            return Ok(done);
                        }
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
    async fn is_called(&self, stream: &str, reference: Reference, name: &Name) -> Result<Option<bool>, StoreError> {
        match reference {
            Reference::Queued(id) => {
                let name = self.name(id, name).await?;
                Ok(Some(name.is_some_and(|name| name == stream)))
            }
            Reference::Delayed(_) => Ok(match name {
                Name::Known(name) => Some(name == stream),
                Name::Beyond => None,
                Name::Gone => Some(false),
            }),
        }
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
