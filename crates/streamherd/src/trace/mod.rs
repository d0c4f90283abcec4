//! Which trace a stream belongs to, from its submit to its handlers. Outputs only: nothing here decides anything.

mod context;

#[cfg(feature = "opentelemetry")]
mod exported;
#[cfg(not(feature = "opentelemetry"))]
mod unexported;

pub use context::{InvalidTraceContext, TraceContext};
#[cfg(feature = "opentelemetry")]
pub(crate) use exported::{Sending, ending, lease, redriven, requeued, settled};
#[cfg(not(feature = "opentelemetry"))]
pub(crate) use unexported::{Sending, ending, lease, redriven, requeued, settled};

use crate::admin::DeadLetter;
use crate::entry::{Fields, INPUT_FIELD, LIVE_FIELD, MAX_ENTRY_BYTES, TRACE_FIELD, field};
use crate::lease::Lease;

/// What the entry says, if it is a trace context: whoever wrote anything else, it never keeps an entry from being worked on.
pub(crate) fn of(fields: &Fields) -> Option<TraceContext> {
    field(fields, TRACE_FIELD).and_then(|value| TraceContext::read(value).ok())
}

/// Whether a new entry has room for a context.
pub(crate) const fn fits(input: &str, coalesced: Option<&str>) -> bool {
    let own = match coalesced {
        Some(name) => LIVE_FIELD.len() + name.len(),
        None => 0,
    };
    INPUT_FIELD.len() + input.len() + own + TRACE_FIELD.len() + TraceContext::LENGTH <= MAX_ENTRY_BYTES
}

impl Lease {
    /// The trace that the stream was submitted in, the same through all re-queues; [`None`] where its submit said none.
    ///
    /// With the feature `opentelemetry` the lease's [`span`](Self::span) is linked to it.
    #[must_use]
    pub fn trace_context(&self) -> Option<TraceContext> {
        of(&self.parts().0.entry.fields)
    }
}

impl DeadLetter {
    /// The trace that the stream was submitted in; [`None`] where its submit said none, or where the fields are packed away.
    #[must_use]
    pub fn trace_context(&self) -> Option<TraceContext> {
        of(&self.fields)
    }
}
