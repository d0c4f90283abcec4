//! Spans for OpenTelemetry, by its conventions for messaging: a submit is a producer's span, a lease a consumer's in a trace of its
//! own, with a link to the submit. Work may begin days after it was submitted, and be repeated by several workers; as children of
//! the submit, all of them would make one trace that never ends.
//!
//! What is of no use in a log line is an attribute of OpenTelemetry's span alone, or stands last.

use opentelemetry::Context;
use opentelemetry::trace::{SpanContext, SpanId, TraceContextExt as _, TraceFlags, TraceId, TraceState};
use tracing::Span;
use tracing_opentelemetry::OpenTelemetrySpanExt as _;

use super::TraceContext;
use crate::dead_letter::DeadLetterReason;
use crate::error::SubmitError;
use crate::id::EntryId;
use crate::lease::Settled;
use crate::lock::Held;
use crate::metrics::Metrics;
use crate::runtime::Partition;
use crate::store::Submitted;

/// A call that submits. Its span ends with it, also where its future is dropped.
pub(crate) struct Sending {
    span: Span,
    context: Option<TraceContext>,
}

impl Sending {
    pub(crate) fn one(metrics: &Metrics, stream: &str, given: Option<TraceContext>) -> Self {
        let service = metrics.service();
        let span = tracing::info_span!(
            "submit",
            service,
            stream,
            otel.name = format!("submit {service}"),
            otel.kind = "producer"
        );
        Self::new(span, service, given)
    }

    pub(crate) fn many(metrics: &Metrics, given: Option<TraceContext>) -> Self {
        let service = metrics.service();
        let span = tracing::info_span!(
            "submit",
            service,
            otel.name = format!("submit {service}"),
            otel.kind = "producer"
        );
        Self::new(span, service, given)
    }

    fn new(span: Span, service: &str, given: Option<TraceContext>) -> Self {
        if let Some(given) = given {
            let parent = Context::new().with_remote_span_context(remote(given));
            // Where nobody exports it there is nothing to set.
            let _ = span.set_parent(parent);
        }
        messaging(&span, service, "submit", "send");
        let context = given.or_else(|| context_of(&span));
        Self { span, context }
    }

    /// What travels with the streams.
    pub(crate) const fn context(&self) -> Option<TraceContext> {
        self.context
    }

    pub(crate) fn span(&self) -> Span {
        self.span.clone()
    }

    pub(crate) fn told(&self, submitted: &Result<Submitted, SubmitError>) {
        match submitted {
            _ if self.span.is_disabled() => {}
            Ok(submitted) => {
                let outcome = match submitted {
                    Submitted::New(_) => "new",
                    Submitted::Coalesced(_) => "coalesced",
                };
                self.span
                    .set_attribute("messaging.message.id", submitted.reference().to_string());
                self.span.set_attribute("streamherd.outcome", outcome);
            }
            Err(e) => failed(&self.span, kind(e)),
        }
    }

    pub(crate) fn told_all(&self, submitted: &[Result<Submitted, SubmitError>]) {
        if self.span.is_disabled() {
            return;
        }
        let count = i64::try_from(submitted.len()).unwrap_or(i64::MAX);
        self.span.set_attribute("messaging.batch.message_count", count);
        // One span can say one reason.
        if let Some(e) = submitted.iter().find_map(|one| one.as_ref().err()) {
            failed(&self.span, kind(e));
        }
    }
}

pub(crate) fn lease(partition: &Partition, held: &Held) -> Span {
    let service = &partition.core.settings.service;
    let entry = &held.entry;
    let span = tracing::info_span!(
        parent: None, "lease", service = %service, stream = entry.name, token = %held.token, attempt = entry.attempt,
        otel.name = format!("process {service}"), otel.kind = "consumer"
    );
    if !span.is_disabled() {
        messaging(&span, &service.to_string(), "process", "process");
        span.set_attribute("messaging.destination.partition.id", partition.number.to_string());
        span.set_attribute("messaging.message.id", held.id().to_string());
        span.set_attribute("messaging.client.id", partition.core.consumer.to_string());
        link(&span, super::of(&entry.fields));
    }
    span
}

/// A lease is about to be settled, in this way, or was lost.
pub(crate) fn ending(span: &Span, how: &'static str) {
    if span.is_disabled() {
        return;
    }
    span.set_attribute("streamherd.ending", how);
    if matches!(how, "retry" | "dead_letter" | "lost") {
        failed(span, how);
    }
}

/// Redis has confirmed what became of it.
pub(crate) fn settled(span: &Span, settled: &Settled) {
    if let Settled::DeadLettered { reason } = settled {
        span.set_attribute("streamherd.dead_letter.reason", reason.as_str());
    }
}

/// An orphan was taken from its owner: whose span is exported by nobody where its process is gone.
pub(crate) fn requeued(
    metrics: &Metrics,
    by: &'static str,
    id: EntryId,
    became: Result<EntryId, DeadLetterReason>,
    trace: Option<TraceContext>,
) {
    let Some(trace) = trace else { return };
    let service = metrics.service();
    let span = tracing::info_span!("requeue", service, entry = %id, by, otel.name = format!("requeue {service}"));
    messaging(&span, service, "requeue", "settle");
    match became {
        Ok(new) => span.set_attribute("messaging.message.id", new.to_string()),
        Err(reason) => span.set_attribute("streamherd.dead_letter.reason", reason.as_str()),
    }
    link(&span, Some(trace));
}

/// A dead letter was dealt with.
pub(crate) fn redriven(metrics: &Metrics, stream: Option<&str>, outcome: &'static str, trace: Option<TraceContext>) {
    let Some(trace) = trace else { return };
    let service = metrics.service();
    let span = tracing::info_span!(
        "redrive",
        service,
        stream,
        outcome,
        otel.name = format!("redrive {service}")
    );
    messaging(&span, service, "redrive", "send");
    link(&span, Some(trace));
}

fn messaging(span: &Span, service: &str, operation: &'static str, kind: &'static str) {
    if span.is_disabled() {
        return;
    }
    span.set_attribute("messaging.system", "redis");
    span.set_attribute("messaging.destination.name", service.to_owned());
    span.set_attribute("messaging.operation.name", operation);
    span.set_attribute("messaging.operation.type", kind);
}

fn failed(span: &Span, kind: &'static str) {
    span.set_attribute("error.type", kind);
    span.set_status(opentelemetry::trace::Status::error(kind));
}

fn link(span: &Span, trace: Option<TraceContext>) {
    if let Some(trace) = trace {
        span.add_link(remote(trace));
    }
}

/// The context of a span; where that is not exported, because a filter leaves it out, that of the one around it.
fn context_of(span: &Span) -> Option<TraceContext> {
    let read = |context: &Context| {
        let span = context.span();
        let context = span.span_context();
        let (trace, parent) = (context.trace_id().to_bytes(), context.span_id().to_bytes());
        TraceContext::new(trace, parent, context.trace_flags().to_u8()).ok()
    };
    read(&span.context()).or_else(|| Context::map_current(read))
}

const fn kind(error: &SubmitError) -> &'static str {
    match error {
        SubmitError::Invalid(_) | SubmitError::NoCoalescing => "invalid",
        SubmitError::NotSubmitted(_) => "refused",
        SubmitError::MaybeSubmitted(_) => "maybe",
        SubmitError::NotDurable { .. } => "not_durable",
    }
}

/// As it came from another process.
fn remote(context: TraceContext) -> SpanContext {
    SpanContext::new(
        TraceId::from_bytes(context.trace_id()),
        SpanId::from_bytes(context.parent_id()),
        TraceFlags::new(context.flags()),
        true,
        TraceState::default(),
    )
}
