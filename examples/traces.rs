//! # Traces: every attempt is linked to the submit that it serves
//!
//! **What.** With the feature `opentelemetry` a submit is a span, its context travels with the stream, and each attempt is a span of its
//! own trace that is linked to it, however much later it comes. The spans are printed as they end, so that it needs no collector.
//! For one, in place of `Printed`, take the crate opentelemetry-otlp, in the version of opentelemetry that streamherd's feature names:
//! `.with_batch_exporter(opentelemetry_otlp::SpanExporter::builder().with_tonic().build()?)`.
//!
//! **Run.** It takes a Redis on this machine (`REDIS_URL` for another), and ends after five seconds:
//!
//! ```sh
//! cargo run -p streamherd-examples --example traces
//! ```
//!
//! ```text
//! submit traces … child of …
//! process traces … linked to … attempt=0 streamherd.ending=retry
//! charge the card … child of …
//! process traces … linked to … attempt=1 streamherd.ending=done
//! done: 2, tried again: 2
//! ```
//!
//! **Try.** The eight digits before the slash are the trace. Those of `checkout` and of the submits are the same, and both attempts at
//! `order-1` are linked to them. End it within its first second and run it again: the new attempts are linked to the old submits.

use std::time::Duration;

use opentelemetry::trace::{SpanContext, TracerProvider as _};
use opentelemetry_sdk::error::OTelSdkResult;
use opentelemetry_sdk::trace::{SdkTracerProvider, SpanData, SpanExporter};
use streamherd::{BoxError, Client, Job, RetryPolicy, Worker};
use tracing::Instrument as _;
use tracing_subscriber::filter::Targets;
use tracing_subscriber::{Layer as _, layer::SubscriberExt as _, util::SubscriberInitExt as _};

/// Prints spans: what they are called, their trace and id, and what they belong to.
#[derive(Debug)]
struct Printed;

impl SpanExporter for Printed {
    async fn export(&self, spans: Vec<SpanData>) -> OTelSdkResult {
        for span in spans {
            let mut line = format!("{:<16} {}", span.name, short(&span.span_context));
            if span.parent_span_id != opentelemetry::trace::SpanId::INVALID {
                line += &format!(" child of {}", span.parent_span_id);
            }
            for link in span.links.iter() {
                line += &format!(" linked to {}", short(&link.span_context));
            }
            for key in ["stream", "attempt", "streamherd.ending"] {
                let value = span.attributes.iter().find(|one| one.key.as_str() == key);
                line += &value.map_or_else(String::new, |one| format!(" {key}={}", one.value));
            }
            println!("{line}");
        }
        Ok(())
    }
}

fn short(context: &SpanContext) -> String {
    format!("{}/{}", &context.trace_id().to_string()[..8], context.span_id())
}

/// Fails at the first attempt.
async fn handle(job: Job) -> Result<(), BoxError> {
    async {
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    .instrument(tracing::info_span!("charge the card"))
    .await;
    if job.attempt() == 0 {
        return Err("the bank is closed".into());
    }
    Ok(())
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let provider = SdkTracerProvider::builder().with_simple_exporter(Printed).build();
    let layer = tracing_opentelemetry::layer().with_tracer(provider.tracer("traces"));
    // Spans of streamherd are of the level INFO: those of submits, leases, re-queues and redrives.
    let mine = Targets::new().with_default(tracing::Level::INFO);
    tracing_subscriber::registry().with(layer.with_filter(mine)).init();

    let (client, notifications) = Client::builder("traces")
        .url(std::env::var("REDIS_URL").unwrap_or_else(|_| "redis://127.0.0.1:6379".to_owned()))
        .connect()
        .await?;
    let producer = client.producer();
    // As a web server has it around a request.
    async {
        producer.submit("order-1", &"one pizza").await?;
        producer.submit("order-2", &"two pizzas").await
    }
    .instrument(tracing::info_span!("checkout"))
    .await?;

    let enough = async {
        tokio::select! {
            _ = tokio::signal::ctrl_c() => {}
            () = tokio::time::sleep(Duration::from_secs(5)) => {}
        }
    };
    let soon = RetryPolicy {
        first: Duration::from_millis(500),
        longest: Duration::from_secs(1),
    };
    let worker = Worker::new(client, notifications).retry(soon);
    let report = worker.shutdown_on(enough, Duration::from_secs(1)).run(handle).await?;
    println!("done: {}, tried again: {}", report.done, report.retried);
    provider.shutdown()?;
    Ok(())
}
