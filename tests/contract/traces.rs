//! Spans as they are exported: each lease is linked to the submit of its stream.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use opentelemetry::trace::{SpanId, SpanKind, Status, TraceContextExt as _, Tracer as _, TracerProvider as _};
use opentelemetry_sdk::trace::SdkTracerProvider;
use streamherd::{BoxError, DeadLetterFilter, Job, Recovery, RetryPolicy, TraceContext};
use streamherd_tests::letters::{admin, list, redrive};
use streamherd_tests::traces::{Traces, as_carried, attribute, links};
use streamherd_tests::{Handling, Redis, SERVICE, SOON, Truth, Worker, builder, field, hold, recovery};
use tracing::Instrument as _;
use tracing_subscriber::filter::LevelFilter;

const BINARY: &str = env!("CARGO_BIN_EXE_contract-worker");
const AT_ONCE: RetryPolicy = RetryPolicy {
    first: Duration::ZERO,
    longest: Duration::ZERO,
};

#[tokio::test]
async fn every_handler_is_linked_to_the_submit_through_retry_crash_dead_letter_and_redrive() {
    let server = Redis::start(crate::TOPOLOGY);
    let mut truth = Truth::at(&server, "a");
    let traces = Traces::of_this_thread(LevelFilter::INFO);
    let producer = builder(&server).connect_producer().await.unwrap();
    let checkout = tracing::info_span!("checkout");
    producer.submit("a", &()).instrument(checkout).await.unwrap();
    let checkout = traces.ended("checkout", 1).await.remove(0);
    let submit = traces.ended("submit orders", 1).await.remove(0);
    let carried = as_carried(&submit.span_context);
    assert_eq!(submit.span_kind, SpanKind::Producer);
    assert_eq!(submit.parent_span_id, checkout.span_context.span_id());
    assert_eq!(submit.span_context.trace_id(), checkout.span_context.trace_id());
    let (id, fields) = truth.entries("input").remove(0);
    assert_eq!(field(&fields, "_sh_traceparent"), carried.to_string());
    for (key, value) in [
        ("messaging.system", "redis"),
        ("messaging.destination.name", SERVICE),
        ("messaging.operation.name", "submit"),
        ("messaging.operation.type", "send"),
        ("messaging.message.id", id.as_str()),
        ("streamherd.outcome", "new"),
        ("stream", "a"),
    ] {
        assert_eq!(attribute(&submit, key).as_deref(), Some(value), "{key}");
    }

    // Nobody exports the span of who is killed.
    let mut crashed = hold(BINARY, &server, 1).await;
    crashed.process.kill();
    let calls = Arc::new(AtomicU32::new(0));
    let handler = move |job: Job| {
        let calls = Arc::clone(&calls);
        async move {
            assert_eq!(job.trace_context(), Some(carried));
            tracing::info_span!("work").in_scope(|| ());
            if calls.fetch_add(1, Ordering::SeqCst) < 2 {
                return Err::<(), BoxError>("it broke".into());
            }
            Ok(())
        }
    };
    let limited = Recovery {
        max_failures: 2,
        ..recovery()
    };
    let worker = Handling::start(builder(&server).recovery(limited), SOON, |w| {
        w.retry(AT_ONCE).run(handler)
    })
    .await;
    traces.ended("process orders", 2).await;
    let admin = admin(&server).await;
    let letter = list(&admin, DeadLetterFilter::default()).await.remove(0);
    assert_eq!(letter.trace_context(), Some(carried));
    assert_eq!(redrive(&admin, DeadLetterFilter::default()).await, ["redriven"]);
    let processed = traces.ended("process orders", 3).await;
    let consumer = worker.client.consumer().to_string();
    worker.end().await;

    let mut their_traces = vec![carried.trace_id()];
    for (span, (attempt, ending)) in processed.iter().zip([("1", "retry"), ("2", "retry"), ("0", "done")]) {
        assert_eq!(span.span_kind, SpanKind::Consumer);
        assert_eq!(links(span), [carried], "{span:#?}");
        assert_eq!(span.parent_span_id, SpanId::INVALID);
        their_traces.push(as_carried(&span.span_context).trace_id());
        for (key, value) in [
            ("messaging.system", "redis"),
            ("messaging.destination.name", SERVICE),
            ("messaging.operation.name", "process"),
            ("messaging.operation.type", "process"),
            ("messaging.client.id", consumer.as_str()),
            ("attempt", attempt),
            ("stream", "a"),
            ("streamherd.ending", ending),
        ] {
            assert_eq!(attribute(span, key).as_deref(), Some(value), "{key}: {span:#?}");
        }
        let failed = ending == "retry";
        assert_eq!(attribute(span, "error.type").is_some(), failed);
        assert_eq!(matches!(span.status, Status::Error { .. }), failed, "{:?}", span.status);
    }
    let died = attribute(&processed[1], "streamherd.dead_letter.reason");
    assert_eq!(died.as_deref(), Some("max_failures"));
    // What a handler does belongs to its own attempt.
    for work in traces.ended("work", 3).await {
        let parent = processed
            .iter()
            .find(|span| span.span_context.span_id() == work.parent_span_id);
        assert_eq!(parent.unwrap().span_context.trace_id(), work.span_context.trace_id());
    }
    for name in ["requeue orders", "redrive orders"] {
        let span = traces.ended(name, 1).await.remove(0);
        assert_eq!(links(&span), [carried], "{span:#?}");
        their_traces.push(as_carried(&span.span_context).trace_id());
    }
    their_traces.sort_unstable();
    their_traces.dedup();
    assert_eq!(their_traces.len(), 6, "each is a trace of its own");
}

#[tokio::test]
async fn a_lease_of_ones_own_has_a_span_with_the_link_and_says_how_it_ended() {
    let server = Redis::start(crate::TOPOLOGY);
    let traces = Traces::of_this_thread(LevelFilter::INFO);
    let producer = builder(&server).connect_producer().await.unwrap();
    let mut worker = Worker::start(&server).await;
    for ending in ["done", "release", "dead_letter", "retry"] {
        producer.submit(ending, &()).await.unwrap();
        let lease = worker.added().await;
        lease.span().in_scope(|| tracing::info_span!("work").in_scope(|| ()));
        match ending {
            "done" => drop(lease.done().await.unwrap()),
            "dead_letter" => drop(lease.dead_letter("no").await.unwrap()),
            "release" => {
                lease.release().await.unwrap();
                worker.added().await.done().await.unwrap();
            }
            // Dropped unsettled.
            _ => {
                drop(lease);
                worker.added().await.done().await.unwrap();
            }
        }
    }
    let submits = traces.ended("submit orders", 4).await;
    let leases = traces.ended("process orders", 6).await;
    for lease in &leases {
        let stream = attribute(lease, "stream");
        let submit = submits
            .iter()
            .find(|submit| attribute(submit, "stream") == stream)
            .unwrap();
        assert_eq!(links(lease), [as_carried(&submit.span_context)]);
    }
    let endings: Vec<_> = leases
        .iter()
        .filter_map(|lease| attribute(lease, "streamherd.ending"))
        .collect();
    assert_eq!(endings, ["done", "release", "done", "dead_letter", "retry", "done"]);
    let works = traces.ended("work", 4).await;
    let own = |work| leases.iter().any(|lease| lease.span_context.span_id() == work);
    assert!(works.iter().all(|work| own(work.parent_span_id)));
}

#[tokio::test]
async fn many_streams_of_one_call_share_its_span_and_what_is_refused_says_so() {
    let server = Redis::start(crate::TOPOLOGY);
    let traces = Traces::of_this_thread(LevelFilter::INFO);
    let producer = builder(&server).connect_producer().await.unwrap();
    let results = producer.submit_many([("a", 1), ("", 2), ("b", 3)]).await;
    assert_eq!(results.iter().filter(|result| result.is_ok()).count(), 2);
    producer.submit("", &()).await.unwrap_err();
    let submits = traces.ended("submit orders", 2).await;
    assert_eq!(
        attribute(&submits[0], "messaging.batch.message_count").as_deref(),
        Some("3")
    );
    for submit in &submits {
        assert_eq!(attribute(submit, "error.type").as_deref(), Some("invalid"));
        assert!(matches!(submit.status, Status::Error { .. }));
    }
    let mut worker = Worker::start(&server).await;
    for lease in worker.added_many(2).await {
        assert_eq!(lease.trace_context(), Some(as_carried(&submits[0].span_context)));
        lease.done().await.unwrap();
    }
}

#[tokio::test]
async fn a_context_that_is_given_is_carried_as_it_is_and_the_submit_is_part_of_its_trace() {
    let server = Redis::start(crate::TOPOLOGY);
    let traces = Traces::of_this_thread(LevelFilter::INFO);
    let given = TraceContext::new([7; 16], [8; 8], 1).unwrap();
    let producer = builder(&server).connect_producer().await.unwrap();
    let elsewhere = tracing::info_span!("elsewhere");
    let traced = producer.clone().traced(given);
    traced.submit("a", &()).instrument(elsewhere).await.unwrap();
    let submit = traces.ended("submit orders", 1).await.remove(0);
    assert_eq!(submit.span_context.trace_id().to_bytes(), given.trace_id());
    assert_eq!(submit.parent_span_id.to_bytes(), given.parent_id());
    let mut worker = Worker::start(&server).await;
    let lease = worker.added().await;
    assert_eq!(lease.trace_context(), Some(given));
    lease.done().await.unwrap();
    assert_eq!(links(&traces.ended("process orders", 1).await[0]), [given]);
}

#[tokio::test]
async fn where_submits_are_filtered_out_the_span_around_them_is_carried_and_without_any_none_is() {
    let server = Redis::start(crate::TOPOLOGY);
    let producer = builder(&server).connect_producer().await.unwrap();
    producer.submit("before", &()).await.unwrap();
    let traces = Traces::of_this_thread(LevelFilter::WARN);
    producer.submit("none", &()).await.unwrap();
    let around = tracing::warn_span!("around");
    producer.submit("around", &()).instrument(around).await.unwrap();
    // And a span of OpenTelemetry itself.
    let provider = SdkTracerProvider::builder().build();
    let context = opentelemetry::Context::current_with_span(provider.tracer("tests").start("bare"));
    let bare = as_carried(context.span().span_context());
    let submit = producer.submit("bare", &());
    opentelemetry::context::FutureExt::with_context(submit, context)
        .await
        .unwrap();

    let around = as_carried(&traces.ended("around", 1).await[0].span_context);
    let mut worker = Worker::start(&server).await;
    for lease in worker.added_many(4).await {
        let wanted = match lease.stream() {
            "around" => Some(around),
            "bare" => Some(bare),
            _ => None,
        };
        assert_eq!(lease.trace_context(), wanted, "{}", lease.stream());
        lease.done().await.unwrap();
    }
    assert!(traces.named("submit orders").is_empty() && traces.named("process orders").is_empty());
}
