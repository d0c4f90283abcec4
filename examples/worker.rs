//! A worker with a handler: retries with backoff, dead letters, and a clean shutdown.
//!
//! Run:  `cargo run --example worker` (a second one in another terminal shares the work),
//!       then `cargo run --example producer`.
//! Poke: stop one worker with Ctrl-C, and what it can't finish within two seconds is at the other soon after; kill it with
//!       `kill -9`, and it is there after the lock's six seconds. Stop one with Ctrl-Z for ten seconds, and see what its
//!       handlers are told on `fg`. Submit what it can't read: `cargo run -p streamherd-cli -- --service orders submit
//!       nonsense`, and see it with `cargo run -p streamherd-cli -- --service orders dlq list`.

use std::time::Duration;

use serde::Deserialize;
use streamherd::{BoxError, Client, Job, Outcome, RetryPolicy, Worker};

#[derive(Deserialize)]
struct Session {
    user: usize,
    plan: String,
}

#[tokio::main]
async fn main() -> Result<(), BoxError> {
    tracing_subscriber::fmt().with_writer(std::io::stderr).init();
    let (client, notifications) = Client::builder("orders")
        .url(std::env::var("REDIS_URL").unwrap_or_else(|_| "redis://127.0.0.1:6379".to_owned()))
        .max_in_flight(8)
        .connect()
        .await?;
    println!("{} is ready, process {}", client.consumer(), std::process::id());

    let report = Worker::new(client, notifications)
        .retry(RetryPolicy {
            longest: Duration::from_secs(60),
            ..RetryPolicy::default()
        })
        // A handler that takes longer hangs.
        .max_hold(Duration::from_secs(600))
        .grace(Duration::from_secs(1))
        .shutdown_on(tokio::signal::ctrl_c(), Duration::from_secs(2))
        .run(work)
        .await?;
    println!("done {}, handed over {}", report.done, report.released);
    Ok(())
}

async fn work(job: Job) -> Result<Outcome, BoxError> {
    let name = job.stream();
    let Ok(session) = job.info::<Session>() else {
        return Ok(Outcome::dead_letter("the info is not a session"));
    };
    println!(
        "{name}: attempt {}, user {} on {}",
        job.attempt(),
        session.user,
        session.plan
    );
    tokio::select! {
        // Work that takes seconds. A lease lasts as long as the work does.
        () = tokio::time::sleep(Duration::from_secs(10)) => {}
        // The lease is lost, or the worker shuts down: tidy up, and leave the stream to the next.
        () = job.stop().cancelled() => return Err("stopped half-way".into()),
    }
    // Before what can't be undone. A target that refuses older tokens is safe even between this line and the next.
    job.ensure_valid()?;
    println!("{name}: written under token {}", job.token());
    Ok(Outcome::Done)
}
