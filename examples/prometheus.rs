//! # A worker that Prometheus and an orchestrator can ask
//!
//! **What.** `/metrics` for Prometheus, `/livez` and `/readyz` for whoever starts and stops the worker, in one listener. A Redis that is away
//! makes a worker not ready and not dead: a restart would not bring it back.
//!
//! **Run.** It takes a Redis on this machine (`REDIS_URL` for another), and two terminals:
//!
//! ```sh
//! cargo run -p streamherd-examples --example prometheus
//! cargo run -p streamherd-examples --example producer    # in the other terminal
//! ```
//!
//! ```text
//! ask http://127.0.0.1:9090/readyz
//! session-0: attempt 0
//! ```
//!
//! **Try.** See the work of the last moments in its metrics; docs/METRICS.md says what each of them means:
//!
//! ```sh
//! curl -i http://127.0.0.1:9090/readyz
//! curl -s http://127.0.0.1:9090/metrics
//! ```
//!
//! ```text
//! HTTP/1.1 200 …
//! streamherd_settled_total{…} …
//! ```
//!
//! Stop Redis, and ask again: the worker is alive and not ready. Start it again, and it is, with nothing else to be done:
//!
//! ```sh
//! curl -i http://127.0.0.1:9090/livez
//! ```
//!
//! Press Ctrl-C while streams are in work: `/readyz` says `shutting_down` at once, and the metrics can be had to the end.
//!
//! ```text
//! done …, handed over 0
//! ```

use std::time::Duration;

use streamherd::{BoxError, Client, Job, Worker};
use streamherd_probes::{Probes, recorder};

#[tokio::main]
async fn main() -> Result<(), BoxError> {
    tracing_subscriber::fmt().with_writer(std::io::stderr).init();
    // Before the client connects: what is counted without a recorder is lost.
    let metrics = recorder().install_recorder()?;
    // Also before: an address that can't be had is better known now.
    let listen = std::env::var("LISTEN").unwrap_or_else(|_| "127.0.0.1:9090".to_owned());
    let listener = tokio::net::TcpListener::bind(listen).await?;
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
