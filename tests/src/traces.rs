//! What is exported of a run.

use opentelemetry::trace::{SpanContext, TracerProvider as _};
use opentelemetry_sdk::trace::{InMemorySpanExporter, SdkTracerProvider, SpanData};
use streamherd::TraceContext;
use streamherd_testkit::eventually;
use tracing::Dispatch;
use tracing::subscriber::DefaultGuard;
use tracing_subscriber::filter::LevelFilter;
use tracing_subscriber::{Layer as _, Registry, layer::SubscriberExt as _};

use crate::SOON;

/// The spans that end on this thread, until it is dropped.
#[derive(Debug)]
pub struct Traces {
    exporter: InMemorySpanExporter,
    _provider: SdkTracerProvider,
    _other: Dispatch,
    _guard: DefaultGuard,
}

impl Traces {
    /// Begins to export spans of this level.
    #[must_use]
    pub fn of_this_thread(level: LevelFilter) -> Self {
        let exporter = InMemorySpanExporter::default();
        let provider = SdkTracerProvider::builder()
            .with_simple_exporter(exporter.clone())
            .build();
        let layer = tracing_opentelemetry::layer().with_tracer(provider.tracer("tests"));
        // As long as there is one subscriber alone, what another test meets for the first time on a thread without one is taken
        // for what nobody wants to hear of, on all threads. With two, both are asked.
        let other = Dispatch::new(Registry::default());
        let guard = tracing::subscriber::set_default(Registry::default().with(layer.with_filter(level)));
        Self {
            exporter,
            _provider: provider,
            _other: other,
            _guard: guard,
        }
    }

    /// The spans of this name that have ended, in the order of their ends.
    ///
    /// # Panics
    /// If another test has panicked in the exporter.
    #[must_use]
    pub fn named(&self, name: &str) -> Vec<SpanData> {
        let all = self.exporter.get_finished_spans().expect("nobody panics here");
        all.into_iter().filter(|span| span.name == name).collect()
    }

    /// Waits until so many spans of this name have ended.
    pub async fn ended(&self, name: &str, count: usize) -> Vec<SpanData> {
        let what = format!("{count} spans {name:?} have ended");
        let spans = eventually(SOON, &what, || {
            let spans = self.named(name);
            async move { (spans.len() >= count).then_some(spans) }
        });
        let spans = spans.await;
        assert_eq!(spans.len(), count, "{spans:#?}");
        spans
    }
}

/// A span's attribute as text, if it has it; it has it once.
#[must_use]
pub fn attribute(span: &SpanData, key: &str) -> Option<String> {
    let mut found = span.attributes.iter().filter(|one| one.key.as_str() == key);
    let value = found.next().map(|one| one.value.to_string());
    assert!(found.next().is_none(), "{key} twice: {span:#?}");
    value
}

/// What a span is linked to.
#[must_use]
pub fn links(span: &SpanData) -> Vec<TraceContext> {
    span.links.iter().map(|link| as_carried(&link.span_context)).collect()
}

/// A span's context, as it is carried.
///
/// # Panics
/// If it has none.
#[must_use]
pub fn as_carried(context: &SpanContext) -> TraceContext {
    let (trace, span) = (context.trace_id().to_bytes(), context.span_id().to_bytes());
    TraceContext::new(trace, span, context.trace_flags().to_u8()).expect("it has ids")
}
