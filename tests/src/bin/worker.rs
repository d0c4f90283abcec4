//! A worker process for the tests to kill and freeze.
//!
//! `contract-worker URL PARTITIONS then=MODE [slots=N] [ttl=MS] [events=off|ensure] [sweep=MS] [layout=go]` prints one JSON
//! object per line on stdout. MODE is
//! what it does with each stream: `hold` keeps it until a line on stdin names one of the others (`done`, `retry`, `delay`,
//! `dead_letter`, `release`), which then settles all that is held; the others settle at once. SIGTERM hands over
//! what is held.

use std::io::{BufRead as _, Write as _};
use std::process::ExitCode;
use std::time::Duration;

use serde_json::{Value, json};
use streamherd::error::SettleError;
use streamherd::{KeyspaceEvents, Layout, Lease, Notification, RetryAfter};
use streamherd_tests::{Address, builder, patiently, recovery};
use tokio::signal::unix::{SignalKind, signal};

fn main() -> ExitCode {
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    runtime.block_on(run(std::env::args().skip(1).collect()))
}

async fn run(args: Vec<String>) -> ExitCode {
    let option = |name: &str| {
        args.iter()
            .find_map(|arg| arg.strip_prefix(name)?.strip_prefix('='))
            .map(str::to_owned)
    };
    let mode = option("then").expect("then=MODE");
    let [url, partitions, ..] = args.as_slice() else {
        panic!("contract-worker URL PARTITIONS then=MODE");
    };
    let address = Address {
        url: url.clone(),
        partitions: partitions.parse().expect("a number of partitions"),
    };
    let mut builder = builder(&address);
    if let Some(slots) = option("slots") {
        let slots = slots.parse().expect("slots=N");
        builder = builder.max_in_flight(slots).read_batch(slots.min(500));
    }
    let span = |name: &str| {
        let ms = option(name)?;
        Some(Duration::from_millis(ms.parse().expect("milliseconds")))
    };
    let mut recovery = recovery();
    if let Some(ttl) = span("ttl") {
        builder = builder.lock_ttl(ttl);
        recovery.min_idle = None;
    }
    if let Some(span) = span("sweep") {
        recovery.sweep_interval = span;
        recovery.reap_after = span;
    }
    builder = builder.recovery(recovery);
    if option("layout").as_deref() == Some("go") {
        builder = builder.layout(Layout::GoCompatible);
    }
    if option("events").as_deref() == Some("off") {
        builder = builder.keyspace_events(KeyspaceEvents::Off);
    }
    let (client, mut notifications) = patiently(|| builder.clone().connect()).await;
    say(&json!({ "event": "ready", "consumer": client.consumer().as_str() }));

    let (orders, mut order) = tokio::sync::mpsc::unbounded_channel();
    std::thread::spawn(move || {
        for line in std::io::stdin().lock().lines().map_while(Result::ok) {
            if orders.send(line.trim().to_owned()).is_err() {
                return;
            }
        }
    });
    let mut terminate = signal(SignalKind::terminate()).expect("signals");
    let mut held: Vec<Lease> = Vec::new();
    loop {
        tokio::select! {
            Some(()) = terminate.recv() => {
                let client = client.clone();
                tokio::spawn(async move { client.shutdown(Duration::ZERO).await });
            }
            notification = notifications.recv() => match notification {
                Some(Notification::StreamAdded(lease)) => {
                    say(&json!({
                        "event": "added", "stream": lease.stream(), "id": lease.id().to_string(),
                        "token": lease.token().get(), "attempt": lease.attempt(),
                    }));
                    if mode == "hold" {
                        held.push(lease);
                    } else {
                        tokio::spawn(settle(mode.clone(), lease));
                    }
                }
                Some(Notification::StreamExpired(orphan)) => drop(client.claim(&orphan).await),
                Some(Notification::StreamDisowned(lost)) => say(&json!({
                    "event": "disowned", "stream": lost.stream, "token": lost.token.get(), "reason": lost.reason.as_str(),
                })),
                Some(_) => {}
                None => return ExitCode::SUCCESS,
            },
            Some(order) = order.recv() => {
                for lease in held.drain(..) {
                    tokio::spawn(settle(order.clone(), lease));
                }
            }
        }
    }
}

async fn settle(how: String, lease: Lease) {
    let stream = lease.stream().to_owned();
    let valid = lease.is_valid();
    let outcome = match how.as_str() {
        "done" => lease.done().await,
        "retry" => lease.retry(RetryAfter::now().because("the test says so")).await,
        "delay" => {
            let retry = RetryAfter::after(Duration::from_millis(300));
            lease.retry(retry.because("the test says so")).await
        }
        "dead_letter" => lease.dead_letter("the test says so").await,
        "release" => lease.release().await,
        other => panic!("no such mode: {other}"),
    };
    let outcome: Value = match outcome {
        Ok(_) => "ok".into(),
        Err(SettleError::Disowned(_)) => "disowned".into(),
        Err(e) => e.to_string().into(),
    };
    say(&json!({ "event": "settled", "how": how, "stream": stream, "was_valid": valid, "outcome": outcome }));
}

fn say(what: &Value) {
    let mut out = std::io::stdout().lock();
    // Whoever listened may have gone; the worker goes on regardless.
    let _ = writeln!(out, "{what}");
}
