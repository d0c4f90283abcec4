use super::walk::Walk;
use super::{DeadLetter, DeadLetterFilter, LetterId};
use crate::admin::Admin;
use crate::error::StoreError;

/// How many letters are looked at for one page, unless the filter says.
const LOOKS: u64 = 1_000;

/// Some of the dead letters that a filter means.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct DeadLetterPage {
    /// Unix milliseconds by the clock of Redis.
    pub at_ms: u64,
    /// The oldest first.
    pub dead_letters: Vec<DeadLetter>,
    /// Where to go on: [`after`](DeadLetterFilter::after) this letter, also where the page is empty. [`None`] at the end.
    pub next: Option<LetterId>,
}

impl Admin {
    /// At most `limit` of the dead letters that a filter means, from the oldest or [`after`](DeadLetterFilter::after) a
    /// letter on. However few are meant, no more than 1,000 letters are looked at, or as many as the filter
    /// [says](DeadLetterFilter::look_at).
    ///
    /// # Errors
    /// Redis did not answer, or refused.
    ///
    /// # Cancel safety
    /// Cancel safe: it only reads.
    pub async fn dead_letter_page(&self, filter: DeadLetterFilter, limit: usize) -> Result<DeadLetterPage, StoreError> {
        let looks = filter.looks.unwrap_or(LOOKS);
        let most = filter.limit.unwrap_or(u64::MAX).min(limit as u64);
        let mut walk = Walk::new(self.stores(), filter.look_at(looks).limit(most));
        let mut dead_letters = Vec::new();
        while let Some(letter) = walk.next_letter().await? {
            dead_letters.push(letter);
        }
        Ok(DeadLetterPage {
            at_ms: walk.now_ms().unwrap_or_default(),
            dead_letters,
            next: walk.position(),
        })
    }
}
