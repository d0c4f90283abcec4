//! A worker process of the chaos suite: `chaos-worker NAME URL PARTITIONS LEDGER`. It hands over at SIGTERM.

use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use streamherd_ledger::Ledger;
use streamherd_tests::load::{builder, work};
use tokio::signal::unix::{SignalKind, signal};

/// Between two looks at a lease.
const STEP: Duration = Duration::from_millis(200);

fn main() -> ExitCode {
    tracing_subscriber::fmt()
        .with_writer(std::io::stderr)
        .with_ansi(false)
        .init();
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    runtime.block_on(run(&std::env::args().skip(1).collect::<Vec<_>>()))
}

async fn run(args: &[String]) -> ExitCode {
    let [name, url, partitions, ledger] = args else {
        panic!("chaos-worker NAME URL PARTITIONS LEDGER");
    };
    let partitions = partitions.parse().expect("a number of partitions");
    let ledger = Arc::new(Ledger::append_to(ledger.as_ref()).expect("a ledger"));
    let mut terminate = signal(SignalKind::terminate()).expect("signals");
    let connecting = async {
        loop {
            // The servers may be away just now.
            match builder(url, partitions).consumer(name).connect().await {
                Ok(connected) => return connected,
                Err(e) => tracing::warn!("{e:?}"),
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    };
    let (client, notifications) = tokio::select! {
        connected = connecting => connected,
        _ = terminate.recv() => return ExitCode::SUCCESS,
    };
    let consumer = client.consumer().as_str().to_owned();
    let working = tokio::spawn(work(consumer, STEP, client.clone(), notifications, ledger));
    terminate.recv().await;
    client.shutdown(Duration::from_secs(1)).await;
    working.await.expect("the worker does not panic");
    ExitCode::SUCCESS
}
