use serde::Serialize;

use super::cursor::{Cursor, Place};
use super::{Admin, maybe_text, text};
use crate::entry::Entry;
use crate::error::StoreError;
use crate::id::{EntryId, Lane, Token};
use crate::progress::Progress;
use crate::store::{Name, SeenLease, Store, Wanted};

/// Entries of one page, which takes about 256 KiB at most.
const PAGE: usize = 100;
/// Script calls for one page of [`Admin::lease_page`] that find something to look at, of about 2 ms of Redis each.
const CALLS: usize = 5;
/// Script calls for one page in all: where hundreds of partitions are empty, each costs a round trip.
pub(super) const ALL_CALLS: usize = 64;
/// Entries that one of those may list.
const MOST: usize = 200;

/// A stream that is pending at a consumer. Times are milliseconds by the clock of Redis.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[non_exhaustive]
pub struct LeaseStatus {
    /// The partition that holds the entry.
    pub partition: u16,
    /// The data stream's name; [`None`] where the entry is unreadable or its body was deleted.
    pub stream: Option<String>,
    /// The entry, unique in its partition.
    #[serde(rename = "id", serialize_with = "text")]
    pub entry: EntryId,
    /// Who was given it.
    pub consumer: String,
    /// Whether anybody answers for it.
    pub state: LeaseState,
    /// How long the lock lives without a further heartbeat; zero for an orphan.
    pub remaining_ms: u64,
    /// The lease's fencing token; [`None`] for an orphan, and where another program has written the lock.
    #[serde(serialize_with = "maybe_text")]
    pub token: Option<Token>,
    /// Since it was handed out.
    pub pending_ms: u64,
    /// Since it was submitted.
    pub age_ms: u64,
    /// How often it was handed out before and not finished.
    pub attempt: u32,
    /// How many of those attempts failed at their handler.
    pub failures: u32,
    /// How many of those attempts ended because their worker died or lost its lease.
    pub abandonments: u32,
    /// How far its owner says that the work has come.
    pub progress: Option<ProgressStatus>,
}

/// How far an owner says that its work has come, see [`Lease::report`](crate::Lease::report).
#[derive(Debug, Clone, PartialEq, Serialize)]
#[non_exhaustive]
pub struct ProgressStatus {
    /// The share that is done, from 0 to 1.
    pub value: Option<f64>,
    /// What was said beside it.
    pub text: Option<String>,
    /// Since Redis was told.
    pub age_ms: u64,
}

/// Which pending streams are looked for.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default)]
pub struct LeaseQuery {
    /// Only those in this state.
    pub state: Option<LeaseState>,
    /// Only those of the consumer with this id.
    pub consumer: Option<String>,
}

/// A page of pending streams.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[non_exhaustive]
pub struct LeasePage {
    /// When Redis told it, in Unix milliseconds by its clock.
    pub at_ms: u64,
    /// Partition after partition: of each those that were handed out before first, then the others, in the order of their
    /// queue.
    pub leases: Vec<LeaseStatus>,
    /// Where the next page begins; [`None`] after the last. There may be one although this page is not full, or empty:
    /// where few of many are looked for.
    pub next: Option<Cursor>,
}

/// Whether anybody answers for a pending stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum LeaseState {
    /// Its lock lives.
    Leased,
    /// It has no lock: read a moment ago, or its owner is dead and the scan will bring it back.
    Orphan,
}

impl Admin {
    /// Streams that are pending at a consumer, at most `limit`, partition after partition: of each those that were handed
    /// out before first, then the others, in the order of their queue.
    ///
    /// Redis is asked for 100 at a time, so what moves meanwhile may be missed or told twice.
    ///
    /// # Errors
    /// Redis did not answer, or refused.
    ///
    /// # Cancel safety
    /// Changes nothing.
    pub async fn leases(&self, limit: usize) -> Result<Vec<LeaseStatus>, StoreError> {
        let mut all = Vec::new();
        for (partition, store) in (0..).zip(self.stores()?) {
            for lane in Lane::ALL {
                let mut cursor = None;
                while all.len() < limit {
                    let most = PAGE.min(limit - all.len());
                    let page = store.leases(lane, Wanted::default(), cursor.as_deref(), most).await?;
                    for seen in page.entries {
                        let stream = name_in(store, seen.id, &seen.name).await?;
                        all.push(LeaseStatus::of(partition, stream, page.now_ms, seen));
                    }
                    cursor = page.cursor;
                    if cursor.is_none() {
                        break;
                    }
                }
            }
        }
        Ok(all)
    }

    /// At most `limit` (and at most 200) of the streams that are pending at a consumer, from the cursor on. Takes at most some
    /// 10 ms of Redis, however many there are and however few are meant, and 64 calls.
    ///
    /// # Errors
    /// Redis did not answer, or refused.
    ///
    /// # Cancel safety
    /// Changes nothing.
    pub async fn lease_page(
        &self,
        query: &LeaseQuery,
        after: Option<&Cursor>,
        limit: usize,
    ) -> Result<LeasePage, StoreError> {
        let limit = limit.clamp(1, MOST);
        let wanted = Wanted {
            consumer: query.consumer.as_deref(),
            locked: query.state.map(|state| state == LeaseState::Leased),
        };
        let first = match after {
            Some(cursor) => Some(cursor.clone()),
            None => self.cursor_at(0, Place::Pending(Lane::Front, None)),
        };
        let mut page = LeasePage {
            at_ms: 0,
            leases: Vec::new(),
            next: first,
        };
        let stores = self.stores()?;
        let mut worked = 0;
        for _ in 0..ALL_CALLS {
            let Some(Cursor { partition, place }) = page.next.take() else {
                break;
            };
            let (lane, at) = match place {
                Place::Pending(lane, at) => (lane, at),
                Place::Delayed(_) => (Lane::Front, None),
            };
            // A cursor may be of a time when there were more.
            let Some(store) = stores.get(usize::from(partition)) else {
                break;
            };
            let most = PAGE.min(limit - page.leases.len());
            let found = store.leases(lane, wanted, at.as_deref(), most).await?;
            page.at_ms = found.now_ms;
            worked += usize::from(!found.entries.is_empty() || found.cursor.is_some());
            for seen in found.entries {
                let stream = name_of(seen.name.clone());
                page.leases.push(LeaseStatus::of(partition, stream, found.now_ms, seen));
            }
            page.next = match (found.cursor, lane) {
                (Some(at), lane) => self.cursor_at(partition, Place::Pending(lane, Some(at))),
                (None, Lane::Front) => self.cursor_at(partition, Place::Pending(Lane::Input, None)),
                (None, Lane::Input) => {
                    let next = partition.saturating_add(1);
                    self.cursor_at(next, Place::Pending(Lane::Front, None))
                }
            };
            if page.leases.len() >= limit || worked >= CALLS {
                break;
            }
        }
        Ok(page)
    }
}

/// As far as the beginning of the entry tells: a page is not held up by those who put a name behind a large info.
pub(super) fn name_of(name: Name) -> Option<String> {
    match name {
        Name::Known(name) => Some(name),
        Name::Gone | Name::Beyond => None,
    }
}

/// An entry's name. Other producers may have put it behind a large info; only then all of the body is asked for.
pub(super) async fn name_in(store: &Store, id: EntryId, name: &Name) -> Result<Option<String>, StoreError> {
    match name {
        Name::Known(name) => Ok(Some(name.clone())),
        Name::Gone => Ok(None),
        Name::Beyond => {
            let body = store.body(id).await?;
            Ok(body.and_then(|raw| Entry::parse(id, raw.fields).ok().map(|entry| entry.name)))
        }
    }
}

impl LeaseStatus {
    fn of(partition: u16, stream: Option<String>, now_ms: u64, seen: SeenLease) -> Self {
        Self {
            partition,
            stream,
            entry: seen.id,
            consumer: seen.consumer,
            state: if seen.remaining_ms > 0 {
                LeaseState::Leased
            } else {
                LeaseState::Orphan
            },
            remaining_ms: seen.remaining_ms,
            token: seen.token,
            pending_ms: seen.idle_ms,
            age_ms: now_ms.saturating_sub(seen.first_seen_ms),
            attempt: seen.attempt,
            failures: seen.failures,
            abandonments: seen.abandonments,
            progress: seen.progress.map(|(at, said)| {
                let progress = Progress::decode(&said);
                ProgressStatus {
                    value: progress.value(),
                    text: Some(progress.text()).filter(|text| !text.is_empty()).map(str::to_owned),
                    age_ms: now_ms.saturating_sub(at),
                }
            }),
        }
    }
}
