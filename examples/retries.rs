//! # Retries and dead letters
//!
//! **What.** Each way in which an attempt can fail, what it costs, and where a stream ends that never succeeds: among the dead letters,
//! with its last error, until somebody has mended the cause and redrives it.
//!
//! | the handler | then |
//! |---|---|
//! | returns an error, or panics | tried again after a random wait of up to a second, doubled by each failure (`RetryPolicy`) |
//! | returns `Outcome::retry_after` | tried again when that time has passed; this is a failure, too |
//! | has failed `max_failures` times | dead letter, reason `max_failures` |
//! | returns `Outcome::dead_letter` | dead letter at once, reason `rejected` |
//!
//! A stream that waits keeps no worker busy: it waits in Redis.
//!
//! **Run.** It takes a Redis on this machine (`REDIS_URL` for another). It submits four streams and works on them:
//!
//! ```sh
//! cargo run -p streamherd-examples --example retries
//! ```
//!
//! ```text
//! flaky: attempt 0: the bank does not answer
//! flaky: attempt 2: done
//! early: attempt 0: the shop opens in two seconds
//! early: attempt 1: done
//! ```
//!
//! **Try.** `buggy` failed three times, and `nonsense` was refused. See why, in another terminal, and what a redrive would do:
//!
//! ```sh
//! cargo run -p streamherd-cli -- --service retries dlq list
//! cargo run -p streamherd-cli -- --service retries dlq redrive --reason max_failures --dry-run
//! ```
//!
//! ```text
//! … rejected … nonsense … there is no work of this name
//! … max_failures … buggy … the handler panicked: divided by zero
//! ```
//!
//! Redriven as it is, `buggy` has three more attempts, and dies again:
//!
//! ```sh
//! cargo run -p streamherd-cli -- --service retries dlq redrive --reason max_failures
//! ```
//!
//! Stop the worker with Ctrl-C and start it with its bug mended. It redrives what had failed, by itself:
//!
//! ```sh
//! cargo run -p streamherd-examples --example retries -- mended
//! ```
//!
//! ```text
//! redriven: buggy, which had failed 3 times: the handler panicked: divided by zero
//! buggy: attempt 0: done
//! ```
//!
//! What nobody will ever work on is deleted:
//!
//! ```sh
//! cargo run -p streamherd-cli -- --service retries dlq purge --reason rejected --yes
//! ```

use std::time::Duration;

use streamherd::{BoxError, Client, DeadLetterFilter, DeadLetterReason, Job, Outcome, Recovery, RetryPolicy, Worker};

#[tokio::main]
async fn main() -> Result<(), BoxError> {
    tracing_subscriber::fmt().with_writer(std::io::stderr).init();
    let mended = std::env::args().nth(1).is_some_and(|word| word == "mended");
    let builder = Client::builder("retries")
        .url(std::env::var("REDIS_URL").unwrap_or_else(|_| "redis://127.0.0.1:6379".to_owned()))
        .recovery(Recovery {
            // The third failure is the last. All workers of a service are best told the same.
            max_failures: 3,
            ..Recovery::default()
        });
    let (client, notifications) = builder.clone().connect().await?;

    if mended {
        let admin = builder.connect_admin().await?;
        let failed = DeadLetterFilter::default().reason(DeadLetterReason::MaxFailures);
        let mut letters = admin.dead_letters(failed.clone());
        while let Some(letter) = letters.next().await? {
            let (stream, error) = (letter.stream.unwrap_or_default(), letter.error.unwrap_or_default());
            println!(
                "redriven: {stream}, which had failed {} times: {error}",
                letter.failures
            );
        }
        // At the front of the queue, with counters at zero. `rate` bounds how many a second, where there are many.
        admin.redrive(failed).finish().await?;
        admin.close().await;
    } else {
        for name in ["flaky", "early", "buggy", "nonsense"] {
            client.producer().submit(name, &()).await?;
        }
    }

    let report = Worker::new(client, notifications)
        // Quicker than the default, which is 1 s doubling to 5 min.
        .retry(RetryPolicy {
            first: Duration::from_millis(200),
            longest: Duration::from_secs(2),
        })
        .shutdown_on(tokio::signal::ctrl_c(), Duration::from_secs(2))
        .run(move |job| work(job, mended))
        .await?;
    println!("tried again {}, dead {}", report.retried, report.dead_lettered);
    Ok(())
}

async fn work(job: Job, mended: bool) -> Result<Outcome, BoxError> {
    let attempt = format!("{}: attempt {}", job.stream(), job.attempt());
    let not_yet = job.attempt() == 0;
    match job.stream() {
        "flaky" if job.attempt() < 2 => {
            println!("{attempt}: the bank does not answer");
            return Err("the bank does not answer".into());
        }
        "early" if not_yet => {
            println!("{attempt}: the shop opens in two seconds");
            return Ok(Outcome::retry_after(Duration::from_secs(2), "the shop was closed"));
        }
        // A bug. The panic is caught; the worker and all other handlers go on.
        "buggy" if !mended => panic!("divided by zero"),
        "nonsense" => return Ok(Outcome::dead_letter("there is no work of this name")),
        _ => {}
    }
    println!("{attempt}: done");
    Ok(Outcome::Done)
}
