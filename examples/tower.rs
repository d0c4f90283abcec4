//! # Tower layers around a handler
//!
//! **What.** With the feature `tower` the handler may be a `tower::Service`, and what surrounds it is layers: here at most two calls at a
//! time, each for two seconds at most, a short queue before them, and what does not fit in there is handed back for other workers.
//!
//! | layer | for |
//! |---|---|
//! | `then` | what the errors of the layers below mean for a stream |
//! | `load_shed` | a stream that would have to wait fails at once, as `Overloaded` |
//! | `buffer` | lets four wait all the same; also what makes layers cloneable that are not, such as `rate_limit` |
//! | `concurrency_limit` | two calls at a time; without `load_shed` and `buffer` the others would wait here, and keep their leases |
//! | `timeout` | two seconds for each call |
//!
//! **Run.** It takes a Redis on this machine (`REDIS_URL` for another). It submits twelve streams and works on them:
//!
//! ```sh
//! cargo run -p streamherd-examples --example tower
//! ```
//!
//! ```text
//! photo-…: shrunk
//! no room, back to the queue
//! took too long, again later
//! ```
//!
//! **Try.** Run it, and a second one in another terminal a moment later: what the first has no room for, the second works on. With the
//! lines of `load_shed` and `buffer` taken out, nothing is handed back, and twelve leases are held by a worker that works on two.

use std::time::Duration;

use streamherd::{BoxError, Client, Job, Outcome, Worker};
use tower::load_shed::error::Overloaded;
use tower::timeout::error::Elapsed;
use tower::{ServiceBuilder, service_fn};

#[tokio::main]
async fn main() -> Result<(), BoxError> {
    tracing_subscriber::fmt().with_writer(std::io::stderr).init();
    let (client, notifications) = Client::builder("tower")
        .url(std::env::var("REDIS_URL").unwrap_or_else(|_| "redis://127.0.0.1:6379".to_owned()))
        .max_in_flight(12)
        .connect()
        .await?;
    let photos = (0..12).map(|number| (format!("photo-{number}"), ()));
    for result in client.producer().submit_many(photos).await {
        result?;
    }

    // A call goes through them from the top to the bottom, and its result back.
    let service = ServiceBuilder::new()
        .then(what_it_means)
        .load_shed()
        .buffer(4)
        .concurrency_limit(2)
        .timeout(Duration::from_secs(2))
        .service(service_fn(shrink));
    let report = Worker::new(client, notifications)
        .shutdown_on(tokio::signal::ctrl_c(), Duration::from_secs(2))
        .run_service(service)
        .await?;
    println!("done {}, handed back {}", report.done, report.released);
    Ok(())
}

async fn shrink(job: Job) -> Result<Outcome, BoxError> {
    // The first photo is huge at its first attempt.
    let seconds = if job.stream() == "photo-0" && job.attempt() == 0 {
        60
    } else {
        1
    };
    tokio::time::sleep(Duration::from_secs(seconds)).await;
    println!("{}: shrunk", job.stream());
    Ok(Outcome::Done)
}

/// An error counts as a failed attempt; that there was no room for a stream is not its fault.
async fn what_it_means(result: Result<Outcome, BoxError>) -> Result<Outcome, BoxError> {
    match result {
        Err(e) if e.is::<Overloaded>() => {
            println!("no room, back to the queue");
            // This worker may be given it again at once: let others have it first.
            tokio::time::sleep(Duration::from_secs(1)).await;
            Ok(Outcome::Release)
        }
        Err(e) if e.is::<Elapsed>() => {
            println!("took too long, again later");
            Ok(Outcome::retry(e.to_string()))
        }
        result => result,
    }
}
