//! A worker that Prometheus and an orchestrator can ask: `/metrics`, `/livez` and `/readyz`.
//!
//! Run:  `cargo run --example prometheus [ADDRESS]` (127.0.0.1:9090 unless told), then `cargo run --example producer`.
//! Poke: `curl -i http://127.0.0.1:9090/readyz`; then stop Redis, and ask that and `/livez` again: the worker is not ready, and
//!       not dead. `curl -s http://127.0.0.1:9090/metrics | grep streamherd_` shows the work of the last moments, and
//!       docs/METRICS.md says what it means. Press Ctrl-C while streams are in work: `/readyz` says `shutting_down` at once.

use std::time::Duration;

use streamherd::{BoxError, Client, Job, Worker};
use streamherd_probes::{Probes, recorder};

#[tokio::main]
async fn main() -> Result<(), BoxError> {
    tracing_subscriber::fmt().with_writer(std::io::stderr).init();
    // Before the client connects: what is counted without a recorder is lost.
    let metrics = recorder().install_recorder()?;
    // Also before: an address that can't be had is better known now.
    let address = std::env::args().nth(1);
    let listener = tokio::net::TcpListener::bind(address.as_deref().unwrap_or("127.0.0.1:9090")).await?;
    println!("ask http://{}/readyz", listener.local_addr()?);

    let (client, notifications) = Client::builder("orders")
        .url(std::env::var("REDIS_URL").unwrap_or_else(|_| "redis://127.0.0.1:6379".to_owned()))
        .max_in_flight(8)
        .connect()
        .await?;
    // In an axum application of your own: `app.merge(Probes::of(client.clone()).metrics(metrics).router())`.
    let probes = Probes::of(client.clone()).metrics(metrics);
    let probes = tokio::spawn(probes.serve(listener));

    // Counters of your own go the same way: `metrics::counter!("orders_total").increment(1)`.
    let report = Worker::new(client, notifications)
        .shutdown_on(tokio::signal::ctrl_c(), Duration::from_secs(5))
        .run(work)
        .await?;
    println!("done {}, handed over {}", report.done, report.released);
    // To the end, so that the last scrape sees the last of the work.
    probes.abort();
    Ok(())
}

async fn work(job: Job) -> Result<(), BoxError> {
    println!("{}: attempt {}", job.stream(), job.attempt());
    tokio::select! {
        () = tokio::time::sleep(Duration::from_secs(2)) => Ok(()),
        () = job.stop().cancelled() => Err("stopped half-way".into()),
    }
}
