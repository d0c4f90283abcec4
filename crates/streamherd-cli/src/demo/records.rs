//! What the workers say: in the ledger of their handlers about the work, in their events about what Redis has confirmed.

use std::collections::HashMap;

use serde::Deserialize;
use streamherd_ledger as ledger;

/// A step of somebody's work.
#[derive(Debug, Clone)]
pub(super) struct Line {
    pub(super) at: ledger::At,
    pub(super) event: Step,
    pub(super) stream: String,
    /// The worker's name and incarnation.
    pub(super) consumer: String,
    pub(super) token: String,
}

/// Reads the steps off a ledger.
#[derive(Debug, Default)]
pub(super) struct Steps {
    /// The stream and the token of each lease, by who has it and its number.
    leases: HashMap<(String, u64), (String, String)>,
}

impl Steps {
    pub(super) fn read(&mut self, notes: &[ledger::Line]) -> Vec<Line> {
        notes.iter().filter_map(|note| self.step(note)).collect()
    }

    fn step(&mut self, note: &ledger::Line) -> Option<Line> {
        let (event, lease) = match &note.event {
            ledger::Event::Added {
                lease, stream, token, ..
            } => {
                let hold = (stream.clone(), token.clone());
                self.leases.insert((note.by.clone(), *lease), hold);
                (Step::Started, *lease)
            }
            ledger::Event::Settling {
                lease,
                how: ledger::How::Done,
            } => (Step::Finished, *lease),
            _ => return None,
        };
        let (stream, token) = self.leases.get(&(note.by.clone(), lease))?.clone();
        Some(Line {
            at: note.at(),
            event,
            stream,
            consumer: note.by.clone(),
            token,
        })
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Step {
    Started,
    Finished,
}

impl Line {
    /// The name that the demo gave the worker.
    pub(super) fn worker(&self) -> &str {
        worker_of(&self.consumer)
    }
}

/// One line, as `worker --events` prints it.
#[derive(Debug, Clone, Deserialize)]
pub(super) struct Event {
    pub(super) at_ms: u64,
    pub(super) event: What,
    pub(super) consumer: String,
    #[serde(default)]
    pub(super) stream: String,
    #[serde(default)]
    pub(super) token: String,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum What {
    Added,
    Done,
    Retry,
    DeadLettered,
    Released,
    Disowned,
    DataLoss,
    #[serde(other)]
    Other,
}

impl Event {
    /// The name that the demo gave the worker.
    pub(super) fn worker(&self) -> &str {
        worker_of(&self.consumer)
    }

    /// Whether a lease is over with it.
    pub(super) fn ends_a_lease(&self) -> bool {
        let over = matches!(
            self.event,
            What::Done | What::Retry | What::DeadLettered | What::Released | What::Disowned
        );
        // What becomes of an orphan is told too, and that has no token.
        over && !self.token.is_empty()
    }
}

fn worker_of(consumer: &str) -> &str {
    consumer.rsplit_once('.').map_or(consumer, |(name, _)| name)
}
