use serde::Serialize;

use super::{Admin, text};
use crate::entry::Entry;
use crate::error::StoreError;
use crate::id::{EntryId, Lane, Token};
use crate::store::{Name, SeenLease, Store};

/// Entries of one page, which takes about 256 KiB at most.
const PAGE: usize = 100;

/// A stream that is pending at a consumer. Times are milliseconds by the clock of Redis.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
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
}

/// Whether anybody answers for a pending stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
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
                    let page = store.leases(lane, cursor.as_deref(), most).await?;
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
        }
    }
}

fn maybe_text<S: serde::Serializer>(token: &Option<Token>, serializer: S) -> Result<S::Ok, S::Error> {
    match token {
        Some(token) => text(token, serializer),
        None => serializer.serialize_none(),
    }
}
