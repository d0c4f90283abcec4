//! The side effect of the demo's handler: a file that says who worked on what, and when.

use std::fs::File;
use std::io::{self, Write as _};
use std::path::Path;

use serde::Serialize;
use streamherd::Lease;

use crate::human::now_ms;

/// A file that many workers append to at once.
pub(super) struct Ledger {
    file: File,
    consumer: String,
}

impl Ledger {
    pub(super) fn open(path: &Path, consumer: &str) -> io::Result<Self> {
        let file = File::options().append(true).create(true).open(path)?;
        let consumer = consumer.to_owned();
        Ok(Self { file, consumer })
    }

    /// The work begins.
    pub(super) fn started(&self, lease: &Lease) -> io::Result<()> {
        self.append("started", lease, now_ms(), lease.is_valid())
    }

    /// The work is finished. Writes nothing, and returns false, if the lease was lost before.
    pub(super) fn finished(&self, lease: &Lease) -> io::Result<bool> {
        // The time first: a lease that is valid after it was valid at it, which the tally of overlaps builds on.
        let at_ms = now_ms();
        if lease.ensure_valid().is_err() {
            return Ok(false);
        }
        self.append("finished", lease, at_ms, true)?;
        Ok(true)
    }

    fn append(&self, event: &'static str, lease: &Lease, at_ms: u64, valid: bool) -> io::Result<()> {
        let mut line = serde_json::to_vec(&Line {
            at_ms,
            event,
            stream: lease.stream(),
            consumer: &self.consumer,
            token: lease.token().to_string(),
            attempt: lease.attempt(),
            valid,
        })?;
        line.push(b'\n');
        // One write to a file opened for appending: lines of other workers stay whole, and so does this one if the
        // worker is killed right after.
        (&self.file).write_all(&line)
    }
}

#[derive(Serialize)]
struct Line<'a> {
    at_ms: u64,
    event: &'static str,
    stream: &'a str,
    consumer: &'a str,
    token: String,
    attempt: u32,
    valid: bool,
}
