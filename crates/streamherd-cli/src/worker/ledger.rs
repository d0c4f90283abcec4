//! The side effect of the demo's handler: a file that says who worked on what, and when.

use std::io;
use std::path::Path;

use streamherd::Lease;
use streamherd::error::SettleError;
use streamherd_ledger::{End, How, Page};

/// A file that many workers append to at once.
pub(super) struct Ledger {
    ledger: streamherd_ledger::Ledger,
    consumer: String,
}

impl Ledger {
    pub(super) fn open(path: &Path, consumer: &str) -> io::Result<Self> {
        let ledger = streamherd_ledger::Ledger::append_to(path)?;
        let consumer = consumer.to_owned();
        Ok(Self { ledger, consumer })
    }

    /// The work begins.
    pub(super) fn started(&self, lease: &Lease) -> Page {
        self.ledger.added(&self.consumer, lease)
    }

    /// The work is finished, and the lease is to end so. False if it was lost before, with which it has ended.
    pub(super) fn finished(&self, page: &Page, lease: &Lease, how: How) -> bool {
        let valid = self.ledger.look(page, lease);
        if valid {
            self.ledger.settling(page, how);
        } else {
            self.lost(page);
        }
        valid
    }

    /// The lease was lost.
    pub(super) fn lost(&self, page: &Page) {
        self.ledger.ended(page, End::Lost, None);
    }

    /// Redis has said what became of the lease, or nobody knows.
    pub(super) fn ended(&self, page: &Page, outcome: Result<End, &SettleError>) {
        let (end, why) = match outcome {
            Ok(end) => (end, None),
            Err(SettleError::Disowned(_) | SettleError::Vanished { .. }) => (End::Refused, None),
            Err(e) => (End::Unknown, Some(format!("{e:?}"))),
        };
        self.ledger.ended(page, end, why);
    }
}
