//! What the workers say: in the ledger of their handlers about the work, in their events about what Redis has confirmed.

use serde::Deserialize;

/// One line, as `worker --ledger` writes it.
#[derive(Debug, Clone, Deserialize)]
pub(super) struct Line {
    pub(super) at_ms: u64,
    pub(super) event: Step,
    pub(super) stream: String,
    /// The worker's name and incarnation.
    pub(super) consumer: String,
    pub(super) token: String,
    pub(super) valid: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
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
