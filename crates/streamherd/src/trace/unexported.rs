//! Without the feature `opentelemetry`: what is given is carried, and nothing is told.

use tracing::Span;

use super::TraceContext;
use crate::dead_letter::DeadLetterReason;
use crate::error::SubmitError;
use crate::id::EntryId;
use crate::lease::Settled;
use crate::lock::Held;
use crate::metrics::Metrics;
use crate::runtime::Partition;
use crate::store::Submitted;

/// A call that submits.
pub(crate) struct Sending(Option<TraceContext>);

impl Sending {
    pub(crate) const fn one(_: &Metrics, _: &str, given: Option<TraceContext>) -> Self {
        Self(given)
    }

    pub(crate) const fn many(_: &Metrics, given: Option<TraceContext>) -> Self {
        Self(given)
    }

    /// What travels with the streams.
    pub(crate) const fn context(&self) -> Option<TraceContext> {
        self.0
    }

    pub(crate) const fn span(&self) -> Span {
        Span::none()
    }

    pub(crate) const fn told(&self, _: &Result<Submitted, SubmitError>) {}

    pub(crate) const fn told_all(&self, _: &[Result<Submitted, SubmitError>]) {}
}

pub(crate) fn lease(partition: &Partition, held: &Held) -> Span {
    tracing::info_span!(
        "lease", service = %partition.core.settings.service, stream = held.entry.name, token = %held.token,
        attempt = held.entry.attempt
    )
}

pub(crate) const fn ending(_: &Span, _: &'static str) {}

pub(crate) const fn settled(_: &Span, _: &Settled) {}

pub(crate) const fn requeued(
    _: &Metrics,
    _: &'static str,
    _: EntryId,
    _: Result<EntryId, DeadLetterReason>,
    _: Option<TraceContext>,
) {
}

pub(crate) const fn redriven(_: &Metrics, _: Option<&str>, _: &'static str, _: Option<TraceContext>) {}
