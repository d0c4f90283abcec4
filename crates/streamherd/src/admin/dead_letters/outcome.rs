use serde::Serialize;

use crate::error::StoreError;
use crate::id::{Reference, StreamId};
use crate::store::Redriven;

/// What became of a dead letter; in a dry run, what would become of it.
#[derive(Debug)]
#[non_exhaustive]
pub enum LetterOutcome {
    /// It is queued again as this; a dry run can't know the id.
    Redriven(Option<Reference>),
    /// Its data stream is queued, delayed or held already, as this, and will be worked on once more if it has to be.
    Coalesced(Reference),
    /// It is still a dead letter: its data stream is live, and is wanted once more with newer info already. Purge it.
    Superseded,
    /// It is still a dead letter: its fields are packed away, or no reader would take it.
    TooLarge,
    /// It was deleted.
    Purged,
    /// It is no dead letter any more: redriven or purged by a rival, or trimmed.
    Gone,
    /// It is still a dead letter: Redis refused.
    Failed(StoreError),
}

impl LetterOutcome {
    /// The outcome as one word, as metrics and the command line have it.
    #[must_use]
    pub const fn as_str(&self) -> &'static str {
        match self {
            Self::Redriven(_) => "redriven",
            Self::Coalesced(_) => "coalesced",
            Self::Superseded => "superseded",
            Self::TooLarge => "too_large",
            Self::Purged => "purged",
            Self::Gone => "gone",
            Self::Failed(_) => "failed",
        }
    }
}

/// A dead letter that a run has dealt with.
#[derive(Debug)]
#[non_exhaustive]
pub struct HandledLetter {
    /// The partition that held it.
    pub partition: u16,
    /// Its id among the dead letters of its partition.
    pub id: StreamId,
    /// The data stream, if it was readable.
    pub stream: Option<String>,
    /// What became of it.
    pub outcome: LetterOutcome,
}

/// How many dead letters had which [`LetterOutcome`].
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
#[non_exhaustive]
#[expect(missing_docs, reason = "they are the outcomes")]
pub struct DeadLetterReport {
    pub redriven: u64,
    pub coalesced: u64,
    pub superseded: u64,
    pub too_large: u64,
    pub purged: u64,
    pub gone: u64,
    pub failed: u64,
}

impl DeadLetterReport {
    pub(super) fn count(&mut self, outcome: &LetterOutcome) {
        *match outcome {
            LetterOutcome::Redriven(_) => &mut self.redriven,
            LetterOutcome::Coalesced(_) => &mut self.coalesced,
            LetterOutcome::Superseded => &mut self.superseded,
            LetterOutcome::TooLarge => &mut self.too_large,
            LetterOutcome::Purged => &mut self.purged,
            LetterOutcome::Gone => &mut self.gone,
            LetterOutcome::Failed(_) => &mut self.failed,
        } += 1;
    }
}

impl LetterOutcome {
    /// [`None`] for a letter that has to be sent again.
    pub(super) fn of(redriven: Redriven) -> Option<Self> {
        Some(match redriven {
            Redriven::New(reference) => Self::Redriven(reference),
            Redriven::Coalesced(reference) => Self::Coalesced(reference),
            Redriven::Superseded => Self::Superseded,
            Redriven::TooLarge => Self::TooLarge,
            Redriven::Gone => Self::Gone,
            Redriven::Later => return None,
            Redriven::Failed(e) => Self::Failed(e),
        })
    }
}

impl From<Result<bool, StoreError>> for LetterOutcome {
    fn from(purged: Result<bool, StoreError>) -> Self {
        match purged {
            Ok(true) => Self::Purged,
            Ok(false) => Self::Gone,
            Err(e) => Self::Failed(e),
        }
    }
}
