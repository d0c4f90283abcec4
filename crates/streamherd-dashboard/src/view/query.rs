use std::time::Duration;

use streamherd::{Cursor, DeadLetterFilter, DeadLetterReason, LeaseQuery, LetterId};

/// Which dead letters to show: those that all of it is true of.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash)]
#[expect(clippy::exhaustive_structs, reason = "a question is put together by who asks")]
pub struct LetterQuery {
    /// Why they died.
    pub reason: Option<DeadLetterReason>,
    /// For how long they have been dead at least.
    pub older_than: Option<Duration>,
    /// The data stream.
    pub stream: Option<String>,
    /// Go on behind this one.
    pub after: Option<LetterId>,
    /// How many at most, from 1 to 200.
    pub limit: usize,
}

impl LetterQuery {
    pub(crate) fn filter(&self) -> DeadLetterFilter {
        let mut filter = DeadLetterFilter::default();
        if let Some(reason) = self.reason {
            filter = filter.reason(reason);
        }
        if let Some(age) = self.older_than {
            filter = filter.older_than(age);
        }
        if let Some(stream) = &self.stream {
            filter = filter.stream(stream);
        }
        if let Some(letter) = self.after {
            filter = filter.after(letter);
        }
        filter
    }
}

/// Which of the pending streams to show.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash)]
#[expect(clippy::exhaustive_structs, reason = "a question is put together by who asks")]
pub struct PendingQuery {
    /// Only those that all of it is true of.
    pub wanted: LeaseQuery,
    /// Go on where a page said.
    pub after: Option<Cursor>,
    /// How many at most, from 1 to 200.
    pub limit: usize,
}
