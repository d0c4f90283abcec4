//! Going through the dead letters, from the oldest to the one that was the newest at the start.

use std::collections::VecDeque;

use super::{DeadLetter, DeadLetterFilter};
use crate::error::StoreError;
use crate::id::StreamId;
use crate::store::Store;

/// What a walk comes across.
#[derive(Debug)]
pub(super) enum Seen {
    /// Boxed, as the other is small.
    Letter(Box<DeadLetter>),
    /// It was asked for by its id and is not there.
    Gone(StreamId),
}

#[derive(Debug, Clone)]
pub(super) struct Walk {
    store: Store,
    filter: DeadLetterFilter,
    /// The time at its start, by the clock of Redis.
    now_ms: Option<u64>,
    /// How many more letters may be seen.
    left: u64,
    place: Place,
}

#[derive(Debug, Clone)]
enum Place {
    Ids(VecDeque<StreamId>),
    Page {
        cursor: Option<String>,
        until: Option<StreamId>,
    },
    End,
}

impl Walk {
    pub(super) fn new(store: Store, mut filter: DeadLetterFilter) -> Self {
        let place = filter.ids.take().map_or(
            Place::Page {
                cursor: None,
                until: None,
            },
            |ids| Place::Ids(ids.into()),
        );
        Self {
            store,
            now_ms: None,
            left: filter.limit.unwrap_or(u64::MAX),
            filter,
            place,
        }
    }

    /// The next letters that are meant, perhaps none; [`None`] at the end.
    ///
    /// # Cancel safety
    /// Cancel safe: nothing is passed over that was not returned.
    pub(super) async fn page(&mut self) -> Result<Option<Vec<Seen>>, StoreError> {
        if self.left == 0 {
            self.place = Place::End;
        }
        let (page, next, gone) = match &mut self.place {
            Place::End => return Ok(None),
            Place::Ids(ids) => {
                let Some(&id) = ids.front() else {
                    self.place = Place::End;
                    return Ok(None);
                };
                let page = self.store.letter(id).await?;
                ids.pop_front();
                let gone = page.letters.is_empty().then_some(id);
                (page, None, gone)
            }
            Place::Page { cursor, until } => {
                let page = self.store.letters(cursor.as_deref(), *until).await?;
                let next = page.cursor.clone().map_or(Place::End, |cursor| Place::Page {
                    cursor: Some(cursor),
                    until: page.until,
                });
                (page, Some(next), None)
            }
        };
        if let Some(next) = next {
            self.place = next;
        }
        let now_ms = *self.now_ms.get_or_insert(page.now_ms);
        let mut seen: Vec<Seen> = gone.into_iter().map(Seen::Gone).collect();
        for (id, fields) in page.letters {
            let letter = DeadLetter::read(id, fields, now_ms);
            if self.left > 0 && self.filter.accepts(&letter) {
                self.left -= 1;
                seen.push(Seen::Letter(Box::new(letter)));
            }
        }
        Ok(Some(seen))
    }
}

/// Dead letters, the oldest first, read from Redis page by page as they are asked for.
#[derive(Debug)]
#[must_use = "letters are read as they are asked for"]
pub struct DeadLetters {
    walk: Walk,
    read: VecDeque<DeadLetter>,
}

impl DeadLetters {
    pub(super) const fn new(walk: Walk) -> Self {
        Self {
            walk,
            read: VecDeque::new(),
        }
    }

    /// The next letter, or [`None`] after the last. What dies after the first call is not among them.
    ///
    /// # Errors
    /// Redis did not answer, or refused. The next call goes on at the same place.
    ///
    /// # Cancel safety
    /// Cancel safe: no letter is lost.
    pub async fn next(&mut self) -> Result<Option<DeadLetter>, StoreError> {
        loop {
            if let Some(letter) = self.read.pop_front() {
                return Ok(Some(letter));
            }
            let Some(page) = self.walk.page().await? else {
                return Ok(None);
            };
            self.read.extend(page.into_iter().filter_map(|seen| match seen {
                Seen::Letter(letter) => Some(*letter),
                Seen::Gone(_) => None,
            }));
        }
    }
}
