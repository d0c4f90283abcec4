//! Going through the dead letters, from the oldest to the one that was the newest at the start.

use std::collections::VecDeque;

use futures_util::future::join_all;

use super::{DeadLetter, DeadLetterFilter, LetterId};
use crate::error::StoreError;
use crate::id::StreamId;
use crate::store::Store;

/// A walk that is to look at so many letters only looks at no more of them than this, either: letters can be large.
const MOST_BYTES: usize = 16 * 1024 * 1024;

/// What a walk comes across.
#[derive(Debug)]
pub(super) enum Seen {
    /// Boxed, as the other is small.
    Letter(Box<DeadLetter>),
    /// It was asked for by its id and is not there.
    Gone(LetterId),
}

#[derive(Debug)]
pub(super) struct Walk {
    parts: Result<Vec<Part>, StoreError>,
    filter: DeadLetterFilter,
    /// The letters that were asked for by their ids; [`None`] to go through all.
    ids: Option<VecDeque<LetterId>>,
    /// How many more letters may be seen.
    left: u64,
    /// How many more may be read to find them.
    looks: u64,
    /// How many bytes of them.
    bytes: usize,
    /// The last that was looked at.
    position: Option<LetterId>,
}

/// The walk through one partition.
#[derive(Debug)]
struct Part {
    number: u16,
    store: Store,
    /// The time at its start, by the clock of Redis.
    now_ms: Option<u64>,
    cursor: Option<String>,
    until: Option<StreamId>,
    at_end: bool,
    /// What was read and not looked at yet.
    read: VecDeque<DeadLetter>,
}

impl Walk {
    pub(super) fn new(stores: Result<&[Store], StoreError>, mut filter: DeadLetterFilter) -> Self {
        let after = filter.after;
        let part = |(number, store): (u16, &Store)| Part {
            number,
            store: store.clone(),
            now_ms: None,
            cursor: after.map(|after| after.cursor_in(number)),
            until: None,
            at_end: false,
            read: VecDeque::new(),
        };
        Self {
            parts: stores.map(|stores| (0..).zip(stores).map(part).collect()),
            ids: filter.ids.take().map(VecDeque::from),
            left: filter.limit.unwrap_or(u64::MAX),
            looks: filter.looks.unwrap_or(u64::MAX),
            bytes: filter.looks.map_or(usize::MAX, |_| MOST_BYTES),
            position: after,
            filter,
        }
    }

    /// The last letter that was looked at, behind which there may be more; [`None`] at the end.
    pub(super) fn position(&self) -> Option<LetterId> {
        let ended = |part: &Part| part.at_end && part.read.is_empty();
        match (&self.ids, &self.parts) {
            (None, Ok(parts)) if !parts.iter().all(ended) => self.position,
            _ => None,
        }
    }

    /// The time as the walk began, by the clock of Redis; the latest of all partitions.
    pub(super) fn now_ms(&self) -> Option<u64> {
        let parts = self.parts.as_ref().ok()?;
        parts.iter().filter_map(|part| part.now_ms).max()
    }

    /// The next letter that is meant, the oldest of all partitions first; [`None`] at the end.
    ///
    /// # Cancel safety
    /// Cancel safe: nothing is passed over that was not looked at.
    pub(super) async fn next(&mut self) -> Result<Option<Seen>, StoreError> {
        let parts = match &mut self.parts {
            Ok(parts) => parts,
            Err(e) => return Err(e.again()),
        };
        if self.left == 0 {
            return Ok(None);
        }
        let letter = match &mut self.ids {
            Some(ids) => loop {
                let Some(&id) = ids.front() else { return Ok(None) };
                let letter = match parts.get_mut(usize::from(id.partition)) {
                    Some(part) => part.letter(id.id).await?,
                    None => None,
                };
                ids.pop_front();
                match letter {
                    None => return Ok(Some(Seen::Gone(id))),
                    Some(letter) if self.filter.accepts(&letter) => break letter,
                    Some(_) => {}
                }
            },
            None => loop {
                if self.looks == 0 || self.bytes == 0 {
                    return Ok(None);
                }
                let filled = join_all(parts.iter_mut().map(Part::fill)).await;
                filled.into_iter().collect::<Result<(), StoreError>>()?;
                let oldest = parts.iter_mut().filter(|part| !part.read.is_empty());
                let oldest = oldest.min_by_key(|part| part.read.front().map(|letter| letter.id));
                let Some(letter) = oldest.and_then(|part| part.read.pop_front()) else {
                    return Ok(None);
                };
                self.looks -= 1;
                self.bytes = self.bytes.saturating_sub(letter.bytes);
                self.position = Some(LetterId::from(&letter));
                if self.filter.accepts(&letter) {
                    break letter;
                }
            },
        };
        self.left -= 1;
        Ok(Some(Seen::Letter(Box::new(letter))))
    }
}

impl Walk {
    /// [`next`](Self::next) without those that are gone.
    pub(super) async fn next_letter(&mut self) -> Result<Option<DeadLetter>, StoreError> {
        loop {
            match self.next().await? {
                Some(Seen::Letter(letter)) => return Ok(Some(*letter)),
                Some(Seen::Gone(_)) => {}
                None => return Ok(None),
            }
        }
    }
}

impl Part {
    async fn letter(&mut self, id: StreamId) -> Result<Option<DeadLetter>, StoreError> {
        let page = self.store.letter(id).await?;
        let now_ms = *self.now_ms.get_or_insert(page.now_ms);
        let mut letters = page.letters.into_iter();
        Ok(letters
            .next()
            .map(|(id, fields)| DeadLetter::read(self.number, id, fields, now_ms)))
    }

    /// Reads until there is a letter to look at, or to the end.
    async fn fill(&mut self) -> Result<(), StoreError> {
        while self.read.is_empty() && !self.at_end {
            let page = self.store.letters(self.cursor.as_deref(), self.until).await?;
            let now_ms = *self.now_ms.get_or_insert(page.now_ms);
            (self.cursor, self.until) = (page.cursor, page.until);
            self.at_end = self.cursor.is_none();
            let letters = page.letters.into_iter();
            let letters = letters.map(|(id, fields)| DeadLetter::read(self.number, id, fields, now_ms));
            self.read.extend(letters);
        }
        Ok(())
    }
}

/// Dead letters, the oldest first, read from Redis page by page as they are asked for.
#[derive(Debug)]
#[must_use = "letters are read as they are asked for"]
pub struct DeadLetters(Walk);

impl DeadLetters {
    pub(super) const fn new(walk: Walk) -> Self {
        Self(walk)
    }

    /// The next letter, or [`None`] after the last. What dies after the first call is not among them.
    ///
    /// # Errors
    /// Redis did not answer, or refused. The next call goes on at the same place.
    ///
    /// # Cancel safety
    /// Cancel safe: no letter is lost.
    pub async fn next(&mut self) -> Result<Option<DeadLetter>, StoreError> {
        self.0.next_letter().await
    }
}
