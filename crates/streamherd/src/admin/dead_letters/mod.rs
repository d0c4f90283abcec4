//! Queueing dead letters again, and deleting them.

mod filter;
mod id;
mod letter;
mod outcome;
mod page;
mod walk;

use std::collections::VecDeque;
use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

pub use self::filter::DeadLetterFilter;
pub use self::id::LetterId;
pub use self::letter::DeadLetter;
pub use self::outcome::{DeadLetterReport, HandledLetter, LetterOutcome};
pub use self::page::DeadLetterPage;
pub use self::walk::DeadLetters;
use self::walk::{Seen, Walk};
use super::Admin;
use crate::error::StoreError;
use crate::id::StreamId;
use crate::metrics::Metrics;
use crate::store::Store;

/// Letters per script call: about 2 ms of Redis.
const MOST_PER_CALL: u32 = 100;

impl Admin {
    /// The dead letters that a filter means, the oldest of all partitions first.
    pub fn dead_letters(&self, filter: DeadLetterFilter) -> DeadLetters {
        DeadLetters::new(Walk::new(self.stores(), filter))
    }

    /// One dead letter, if it is there.
    ///
    /// # Errors
    /// Redis did not answer, or refused.
    ///
    /// # Cancel safety
    /// Cancel safe: it only reads.
    pub async fn dead_letter(&self, id: impl Into<LetterId>) -> Result<Option<DeadLetter>, StoreError> {
        let LetterId { partition, id } = id.into();
        let Some(store) = self.stores()?.get(usize::from(partition)) else {
            return Ok(None);
        };
        let page = store.letter(id).await?;
        let mut letters = page.letters.into_iter();
        Ok(letters
            .next()
            .map(|(id, fields)| DeadLetter::read(partition, id, fields, page.now_ms)))
    }

    /// Queues dead letters again: at the front of the queue, with counters at zero, and all else they say kept. Nothing
    /// happens until the run is asked for its outcomes.
    ///
    /// A letter takes part in coalescing if its entry did. While its data stream is queued, delayed or held, the letter is
    /// one more wish for it, as a submit would be; where a newer wish waits already it stays a dead letter
    /// ([`LetterOutcome::Superseded`]).
    ///
    /// Each letter goes in one step, once among any number of rivals: a run that is killed or loses an answer has neither
    /// lost nor doubled anything, and another one goes on where it stopped. What dies after its start is not part of it.
    pub fn redrive(&self, filter: DeadLetterFilter) -> DeadLetterRun {
        self.run(Action::Redrive, filter)
    }

    /// Deletes dead letters for good. Nothing happens until the run is asked for its outcomes.
    pub fn purge(&self, filter: DeadLetterFilter) -> DeadLetterRun {
        self.run(Action::Purge, filter)
    }

    fn run(&self, action: Action, filter: DeadLetterFilter) -> DeadLetterRun {
        DeadLetterRun {
            walk: Walk::new(self.stores(), filter),
            stores: Arc::clone(&self.stores),
            metrics: self.metrics.clone(),
            action,
            dry_run: false,
            pace: Pace::default(),
            waiting: VecDeque::new(),
            handled: VecDeque::new(),
            report: DeadLetterReport::default(),
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Action {
    Redrive,
    Purge,
}

/// Dead letters being redriven or purged, as far as the run is asked on.
#[derive(Debug)]
#[must_use = "a run does nothing until it is asked for its outcomes"]
pub struct DeadLetterRun {
    walk: Walk,
    /// One per partition.
    stores: Arc<[Store]>,
    metrics: Metrics,
    action: Action,
    dry_run: bool,
    pace: Pace,
    waiting: VecDeque<(LetterId, Option<String>)>,
    handled: VecDeque<HandledLetter>,
    report: DeadLetterReport,
}

impl DeadLetterRun {
    /// At most so many letters per second, a tenth of that (and at most 100) in one step. Default: as fast as Redis goes
    /// while it is left half of its time.
    pub const fn rate(mut self, per_second: NonZeroU32) -> Self {
        self.pace.rate = Some(per_second);
        self
    }

    /// Only says what would be done. Each letter is judged as if it were the only one: of several of one data stream, all
    /// but the first may fare otherwise.
    pub const fn dry_run(mut self) -> Self {
        self.dry_run = true;
        self
    }

    /// Deals with the next letters and says what became of one of them; [`None`] after the last.
    ///
    /// # Errors
    /// Redis did not answer, or refused. What was sent last was carried out or not; nothing is lost or doubled, and the next
    /// call sends it again: what was carried out is [`LetterOutcome::Gone`] then.
    ///
    /// # Cancel safety
    /// As after an error.
    pub async fn next(&mut self) -> Result<Option<HandledLetter>, StoreError> {
        loop {
            if let Some(handled) = self.handled.pop_front() {
                return Ok(Some(handled));
            }
            let batch = self.pace.batch();
            while self.waiting.len() < batch {
                match self.walk.next().await? {
                    Some(Seen::Letter(letter)) => {
                        self.waiting.push_back((LetterId::from(letter.as_ref()), letter.stream));
                    }
                    Some(Seen::Gone(id)) => self.tell(id, None, LetterOutcome::Gone),
                    None => break,
                }
            }
            // One call is for one partition: that of the oldest.
            let next = self.waiting.front().map(|(id, _)| id.partition);
            match next.and_then(|partition| Some((partition, self.stores.get(usize::from(partition))?.clone()))) {
                Some((partition, store)) => self.deal_with(&store, partition, batch).await?,
                None if self.handled.is_empty() => return Ok(None),
                None => {}
            }
        }
    }

    /// Goes on to the end, and says how many letters had which outcome, those that [`next`](Self::next) told of included.
    ///
    /// # Errors
    /// As [`next`](Self::next); [`report`](Self::report) tells what was done until then.
    ///
    /// # Cancel safety
    /// As [`next`](Self::next).
    pub async fn finish(&mut self) -> Result<DeadLetterReport, StoreError> {
        while self.next().await?.is_some() {}
        Ok(self.report)
    }

    /// The last letter that was looked at, to go on [`after`](DeadLetterFilter::after) it; [`None`] where nothing is left,
    /// and for letters by their ids. Ask when the run has come to its end: before, it is ahead of what was done.
    #[must_use]
    pub fn position(&self) -> Option<LetterId> {
        self.walk.position()
    }

    /// How many letters had which outcome so far.
    #[must_use]
    pub const fn report(&self) -> DeadLetterReport {
        self.report
    }

    /// Deals with those of one partition among the next `batch` letters.
    async fn deal_with(&mut self, store: &Store, partition: u16, batch: usize) -> Result<(), StoreError> {
        let next = self.waiting.iter().take(batch);
        let ids = next.filter(|(id, _)| id.partition == partition).map(|(id, _)| id.id);
        let ids: Vec<StreamId> = ids.collect();
        if !self.dry_run {
            self.pace.wait(ids.len()).await;
        }
        let sent = Instant::now();
        let outcomes: Vec<Option<LetterOutcome>> = match self.action {
            Action::Purge if self.dry_run => ids.iter().map(|_| Some(LetterOutcome::Purged)).collect(),
            Action::Purge => {
                let purged = store.purge(&ids).await?.into_iter();
                purged.map(|purged| Some(purged.into())).collect()
            }
            Action::Redrive => {
                let redriven = store.redrive(self.dry_run, &ids).await?.into_iter();
                redriven.map(LetterOutcome::of).collect()
            }
        };
        self.pace.took(sent.elapsed());
        let mut outcomes = outcomes.into_iter();
        let all = self.waiting.len().min(batch);
        let mut later = Vec::new();
        for (id, stream) in self.waiting.drain(..all).collect::<Vec<_>>() {
            let outcome = if id.partition == partition {
                outcomes.next().flatten()
            } else {
                None
            };
            match outcome {
                Some(outcome) => self.tell(id, stream, outcome),
                None => later.push((id, stream)),
            }
        }
        for left in later.into_iter().rev() {
            self.waiting.push_front(left);
        }
        Ok(())
    }

    fn tell(&mut self, letter: LetterId, stream: Option<String>, outcome: LetterOutcome) {
        self.report.count(&outcome);
        if !self.dry_run {
            match self.action {
                Action::Redrive => self.metrics.redriven(outcome.as_str()),
                Action::Purge => self.metrics.purged(outcome.as_str()),
            }
        }
        let LetterId { partition, id } = letter;
        self.handled.push_back(HandledLetter {
            partition,
            id,
            stream,
            outcome,
        });
    }
}

/// When the next letters may go.
#[derive(Debug, Default)]
struct Pace {
    rate: Option<NonZeroU32>,
    next: Option<Instant>,
}

impl Pace {
    fn batch(&self) -> usize {
        let most = self.rate.map_or(MOST_PER_CALL, |rate| rate.get() / 10);
        most.clamp(1, MOST_PER_CALL) as usize
    }

    /// Waits for a turn. A run that was held up does not make up for it.
    async fn wait(&mut self, letters: usize) {
        if let Some(next) = self.next {
            tokio::time::sleep_until(next).await;
        }
        if let Some(rate) = self.rate {
            self.next = Some(Instant::now() + Duration::from_secs_f64(letters as f64 / f64::from(rate.get())));
        }
    }

    /// Without a rate, Redis gets as much rest as a call has taken.
    fn took(&mut self, span: Duration) {
        if self.rate.is_none() {
            self.next = Some(Instant::now() + span);
        }
    }
}
