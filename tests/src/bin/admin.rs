//! Deals with dead letters in a process for the tests to kill.
//!
//! `contract-admin URL PARTITIONS redrive|purge [rate=N]` prints one JSON object per letter on stdout, and `{"event": "over"}` at
//! the end.

use std::io::Write as _;
use std::process::ExitCode;

use serde_json::{Value, json};
use streamherd::DeadLetterFilter;
use streamherd_tests::{Address, builder, patiently};

fn main() -> ExitCode {
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    runtime.block_on(run(&std::env::args().skip(1).collect::<Vec<_>>()))
}

async fn run(args: &[String]) -> ExitCode {
    let [url, partitions, action, options @ ..] = args else {
        panic!("contract-admin URL PARTITIONS redrive|purge [rate=N]");
    };
    let at = Address {
        url: url.clone(),
        partitions: partitions.parse().expect("a number of partitions"),
    };
    let admin = patiently(|| builder(&at).connect_admin()).await;
    let mut run = match action.as_str() {
        "redrive" => admin.redrive(DeadLetterFilter::default()),
        "purge" => admin.purge(DeadLetterFilter::default()),
        other => panic!("no such action: {other}"),
    };
    if let Some(rate) = options.iter().find_map(|option| option.strip_prefix("rate=")) {
        run = run.rate(rate.parse().expect("rate=N"));
    }
    loop {
        match run.next().await {
            Ok(Some(letter)) => say(&json!({
                "event": "letter", "id": letter.id, "stream": letter.stream, "outcome": letter.outcome.as_str(),
            })),
            Ok(None) => break,
            Err(e) => {
                say(&json!({ "event": "failed", "error": e.to_string() }));
                return ExitCode::FAILURE;
            }
        }
    }
    say(&json!({ "event": "over" }));
    ExitCode::SUCCESS
}

fn say(what: &Value) {
    let mut out = std::io::stdout().lock();
    // Whoever listened may have gone.
    let _ = writeln!(out, "{what}");
}
