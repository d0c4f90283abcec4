use serde::Serialize;

use super::Admin;
use super::cursor::{Cursor, Place};
use super::leases::{ALL_CALLS, name_of};
use crate::error::StoreError;
use crate::id::DELAYED_PREFIX;

/// Entries that one call may list.
const PAGE: usize = 200;

/// A stream that waits for a retry's delay or a schedule. Times are milliseconds by the clock of Redis.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct DelayedStatus {
    /// The partition that holds it.
    pub partition: u16,
    /// The data stream's name; [`None`] where it is unreadable, or too far behind in a large entry.
    pub stream: Option<String>,
    /// Its id, unique in its partition: the text form of a [`Reference`](crate::Reference), unless it is another program's.
    pub id: String,
    /// In how long it is due; zero if it is.
    pub due_ms: u64,
    /// How often it was handed out before and not finished.
    pub attempt: u32,
    /// How many of those attempts failed at their handler.
    pub failures: u32,
    /// How many of those attempts ended because their worker died or lost its lease.
    pub abandonments: u32,
}

/// A page of what is delayed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct DelayedPage {
    /// When Redis told it, in Unix milliseconds by its clock.
    pub at_ms: u64,
    /// Partition after partition, of each the next one due first.
    pub delayed: Vec<DelayedStatus>,
    /// Where the next page begins; [`None`] after the last.
    pub next: Option<Cursor>,
}

impl Admin {
    /// At most `limit` (and at most 200) of the streams that wait for a retry's delay or a schedule, from the cursor on.
    ///
    /// Takes at most 64 calls, so that there may be a next page although this one is not full.
    ///
    /// What becomes due between two pages moves the others, so some may be told twice or missed.
    ///
    /// # Errors
    /// Redis did not answer, or refused.
    ///
    /// # Cancel safety
    /// Changes nothing.
    pub async fn delayed_page(&self, after: Option<&Cursor>, limit: usize) -> Result<DelayedPage, StoreError> {
        let limit = limit.clamp(1, PAGE);
        let (first, mut skip) = match after {
            Some(Cursor {
                partition,
                place: Place::Delayed(skip),
            }) => (*partition, *skip),
            Some(Cursor { partition, .. }) => (*partition, 0),
            None => (0, 0),
        };
        let mut page = DelayedPage {
            at_ms: 0,
            delayed: Vec::new(),
            next: None,
        };
        for (calls, (partition, store)) in (1..).zip((0..).zip(self.stores()?).skip(usize::from(first))) {
            let found = store.delayed(skip, limit - page.delayed.len()).await?;
            page.at_ms = found.now_ms;
            page.delayed.extend(found.entries.into_iter().map(|seen| DelayedStatus {
                partition,
                stream: name_of(seen.name),
                due_ms: seen.due_ms.saturating_sub(found.now_ms),
                id: format!("{DELAYED_PREFIX}{}", seen.id),
                attempt: seen.attempt,
                failures: seen.failures,
                abandonments: seen.abandonments,
            }));
            if let Some(skip) = found.next {
                page.next = Some(Cursor {
                    partition,
                    place: Place::Delayed(skip),
                });
                break;
            }
            skip = 0;
            if page.delayed.len() >= limit || calls == ALL_CALLS {
                page.next = self.cursor_at(partition.saturating_add(1), Place::Delayed(0));
                break;
            }
        }
        Ok(page)
    }

    /// The beginning of a partition, if there is one.
    pub(super) fn cursor_at(&self, partition: u16, place: Place) -> Option<Cursor> {
        (usize::from(partition) < self.stores.len()).then_some(Cursor { partition, place })
    }
}
