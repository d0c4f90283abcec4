//! Going through the dead letters, from the oldest to the one that was the newest at the start.

use std::collections::VecDeque;

use futures_util::future::join_all;

use super::{DeadLetter, DeadLetterFilter, LetterId};
use crate::error::StoreError;
use crate::id::StreamId;
use crate::store::Store;

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
    /// What was read and is not seen yet.
    read: VecDeque<DeadLetter>,
}

impl Walk {
    pub(super) fn new(stores: Result<&[Store], StoreError>, mut filter: DeadLetterFilter) -> Self {
        let part = |(number, store): (u16, &Store)| Part {
            number,
            store: store.clone(),
            now_ms: None,
            cursor: None,
            until: None,
            at_end: false,
            read: VecDeque::new(),
        };
        Self {
            parts: stores.map(|stores| (0..).zip(stores).map(part).collect()),
            ids: filter.ids.take().map(VecDeque::from),
            left: filter.limit.unwrap_or(u64::MAX),
            filter,
        }
    }

    /// The next letter that is meant, the oldest of all partitions first; [`None`] at the end.
    ///
    /// # Cancel safety
    /// Cancel safe: nothing is passed over that was not returned.
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
            None => {
                let filled = join_all(parts.iter_mut().map(|part| part.fill(&self.filter))).await;
                filled.into_iter().collect::<Result<(), StoreError>>()?;
                let oldest = parts.iter_mut().filter(|part| !part.read.is_empty());
                let oldest = oldest.min_by_key(|part| part.read.front().map(|letter| letter.id));
                let Some(letter) = oldest.and_then(|part| part.read.pop_front()) else {
                    return Ok(None);
                };
                letter
            }
        };
        self.left -= 1;
        Ok(Some(Seen::Letter(Box::new(letter))))
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

    /// Reads until there is a letter that is meant, or to the end.
    async fn fill(&mut self, filter: &DeadLetterFilter) -> Result<(), StoreError> {
        while self.read.is_empty() && !self.at_end {
            let page = self.store.letters(self.cursor.as_deref(), self.until).await?;
            let now_ms = *self.now_ms.get_or_insert(page.now_ms);
            (self.cursor, self.until) = (page.cursor, page.until);
            self.at_end = self.cursor.is_none();
            let letters = page.letters.into_iter();
            let letters = letters.map(|(id, fields)| DeadLetter::read(self.number, id, fields, now_ms));
            self.read.extend(letters.filter(|letter| filter.accepts(letter)));
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
        loop {
            match self.0.next().await? {
                Some(Seen::Letter(letter)) => return Ok(Some(*letter)),
                Some(Seen::Gone(_)) => {}
                None => return Ok(None),
            }
        }
    }
}
