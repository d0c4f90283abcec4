//! What producers and workers saw, written down outside of Redis, and what that says about the guarantees.
//!
//! - [`Ledger`]: takes notes, in memory or in a file that is only appended to. A process that is killed leaves a file that
//!   ends where it was killed.
//! - [`History`]: the notes of all of them put together, with the faults that were put upon them.
//! - [`Verdict`]: what is wrong with a history. Nothing is, if every acknowledged submit ended, no two leases of an entry or
//!   of a coalesced stream were valid at one time, tokens tell the order, no settlement counted twice or too late, and each
//!   piece of work that was done twice is explained by a fault.
//!
//! The checks ask neither Redis nor a clock: a ledger that was kept can be judged again. All notes of one history are from
//! one machine, as their times are those of its boot clock.
//!
//! ```
//! use streamherd_ledger::{Answer, History, Ledger, Verdict};
//!
//! let ledger = Ledger::in_memory();
//! ledger.submitting("producer", 1, "user-1", 0);
//! ledger.submitted("producer", 1, Answer::New("1795206880640-0".to_owned()), None);
//! let history: History = ledger.history();
//! // Nobody worked on it.
//! assert_eq!(Verdict::on(&history).violations.len(), 1);
//! ```

mod check;
mod clock;
mod figures;
mod history;
mod ledger;
mod line;
mod read;

pub use check::{Cause, Duplicate, Verdict, Violation};
pub use clock::{At, now};
pub use figures::Figures;
pub use history::{Fault, Held, History, KILL, Submit};
pub use ledger::{Ledger, Page};
pub use line::{Answer, End, Event, How, Line, Target};
pub use read::{ReadError, read};
