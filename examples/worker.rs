//! # A worker with a handler
//!
//! **What.** The handler is called once per stream and says by what it returns what becomes of it: `Ok` finishes the stream, an
//! error has it tried again later, `Outcome::dead_letter` gives it up. A worker that dies loses nothing: its streams go to the
//! others.
//!
//! **Run.** It takes a Redis on this machine (`REDIS_URL` for another), and two terminals:
//!
//! ```sh
//! cargo run -p streamherd-examples --example worker
//! cargo run -p streamherd-examples --example producer -- 20    # in the other terminal
//! ```
//!
//! ```text
//! … is ready, process …
//! session-0: attempt 0, user 0 on pro
//! session-0: written under token …
//! ```
//!
//! **Try.** Start a second worker in a third terminal, have the producer submit again, and kill one of the two in the middle of its
//! work. Six seconds later, which is how long a lock lives, the other one has its streams, and they say `attempt 1`:
//!
//! ```sh
//! kill -9 PID    # the process that one of them named
//! ```
//!
//! ```text
//! session-…: attempt 1, user … on pro
//! ```
//!
//! Submit what the handler can't read, and see the stream among the dead letters:
//!
//! ```sh
//! cargo run -p streamherd-cli -- --service orders submit nonsense
//! cargo run -p streamherd-cli -- --service orders dlq list
//! ```
//!
//! ```text
//! … rejected … nonsense … the info is not a session
//! ```
//!
//! Stop the other with Ctrl-C: what it can't finish within two seconds it hands back, and nothing is counted.
//!
//! ```text
//! done …, handed over …
//! ```

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
        () = tokio::time::sleep(Duration::from_secs(5)) => {}
        // The lease is lost, or the worker shuts down: tidy up, and leave the stream to the next.
        () = job.stop().cancelled() => return Err("stopped half-way".into()),
    }
    // Before what can't be undone. A target that refuses older tokens is safe even between this line and the next: see `fencing`.
    job.ensure_valid()?;
    println!("{name}: written under token {}", job.token());
    Ok(Outcome::Done)
}
