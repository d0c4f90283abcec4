//! Takes the notes.

use std::fmt;
use std::fs::File;
use std::io::{self, Write as _};
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use streamherd::Lease;

use crate::clock::{At, now};
use crate::history::History;
use crate::line::{Answer, End, Event, How, Line, Target};

/// Takes notes, in memory or in a file.
#[derive(Debug)]
pub struct Ledger {
    sink: Sink,
    leases: AtomicU64,
}

enum Sink {
    Memory(Box<Mutex<History>>),
    File(File),
}

/// A lease's page in a ledger.
#[derive(Debug, Clone)]
pub struct Page {
    by: String,
    lease: u64,
}

impl Ledger {
    /// For whoever judges in the same process.
    #[must_use]
    pub fn in_memory() -> Self {
        Self::with(Sink::Memory(Box::default()))
    }

    /// Appends to a file, which may be one that others append to as well.
    ///
    /// # Errors
    /// If it can't be opened.
    pub fn append_to(path: &Path) -> io::Result<Self> {
        let file = File::options().append(true).create(true).open(path)?;
        Ok(Self::with(Sink::File(file)))
    }

    fn with(sink: Sink) -> Self {
        let leases = AtomicU64::new(0);
        Self { sink, leases }
    }

    /// What was noted so far; empty where that is in a file.
    #[must_use]
    pub fn history(&self) -> History {
        self.look_up(Clone::clone)
    }

    /// Looks at what was noted so far; nothing where that is in a file.
    pub fn look_up<T>(&self, look: impl FnOnce(&History) -> T) -> T {
        match &self.sink {
            Sink::Memory(history) => look(&lock(history)),
            Sink::File(_) => look(&History::default()),
        }
    }

    /// Takes a note.
    ///
    /// # Panics
    /// If the file can't be written: a history with gaps would be judged for what it doesn't say.
    pub fn note(&self, by: &str, event: Event) {
        self.note_at(now(), by, event);
    }

    fn note_at(&self, at: At, by: &str, event: Event) {
        let line = Line {
            at_us: micros(at),
            by: by.to_owned(),
            event,
        };
        match &self.sink {
            Sink::Memory(history) => lock(history).apply(line),
            Sink::File(file) => {
                let written = serde_json::to_vec(&line).map_err(io::Error::from).and_then(|mut line| {
                    line.push(b'\n');
                    // One write to a file that is open for appending: lines of other processes stay whole, and so does
                    // this one if the process is killed right after.
                    (&*file).write_all(&line)
                });
                assert!(written.is_ok(), "the ledger can't be written: {written:?}");
            }
        }
    }

    /// A submit begins.
    pub fn submitting(&self, by: &str, submit: u64, stream: &str, partition: u16) {
        let stream = stream.to_owned();
        let event = Event::Submitting {
            submit,
            stream,
            partition,
        };
        self.note(by, event);
    }

    /// A submit was answered.
    pub fn submitted(&self, by: &str, submit: u64, answer: Answer, why: Option<String>) {
        self.note(by, Event::Submitted { submit, answer, why });
    }

    /// A stream was handed out. Notes as well whether its lease is valid.
    pub fn added(&self, by: &str, lease: &Lease) -> Page {
        let page = Page {
            by: by.to_owned(),
            lease: self.leases.fetch_add(1, Ordering::Relaxed),
        };
        let event = Event::Added {
            lease: page.lease,
            stream: lease.stream().to_owned(),
            partition: lease.partition(),
            entry: lease.id().to_string(),
            origin: lease.original_id().to_string(),
            token: lease.token().to_string(),
            attempt: lease.attempt(),
        };
        self.note(by, event);
        self.look(&page, lease);
        page
    }

    /// Looks whether the lease is valid, and notes it.
    pub fn look(&self, page: &Page, lease: &Lease) -> bool {
        let before = now();
        let valid = lease.is_valid();
        let number = page.lease;
        let event = if valid {
            Event::Valid {
                lease: number,
                since_us: micros(before),
            }
        } else {
            Event::Invalid { lease: number }
        };
        self.note(&page.by, event);
        valid
    }

    /// The work is finished, and this is about to be asked for.
    pub fn settling(&self, page: &Page, how: How) {
        let lease = page.lease;
        self.note(&page.by, Event::Settling { lease, how });
    }

    /// There is nothing more to come of the lease.
    pub fn ended(&self, page: &Page, end: End, why: Option<String>) {
        let lease = page.lease;
        self.note(&page.by, Event::Ended { lease, end, why });
    }

    /// Something was done to somebody, since a moment and until now.
    pub fn fault(&self, by: &str, kind: &str, target: Target, since: At, forgets: bool) {
        let kind = kind.to_owned();
        let event = Event::Fault {
            kind,
            target,
            since_us: micros(since),
            forgets,
        };
        self.note(by, event);
    }
}

impl fmt::Debug for Sink {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Memory(_) => "Memory(..)",
            Self::File(_) => "File(..)",
        })
    }
}

fn lock(history: &Mutex<History>) -> MutexGuard<'_, History> {
    history.lock().unwrap_or_else(PoisonError::into_inner)
}

fn micros(at: At) -> u64 {
    u64::try_from(at.as_micros()).unwrap_or(u64::MAX)
}
