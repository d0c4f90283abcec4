//! # A producer: submits, schedules, duplicates, and what Redis loses
//!
//! **What.** Streams are put on the queue by name, with info for the worker. A name exists once, however often it is submitted,
//! unless the producer asks for parallel runs. What Redis loses, a producer can keep and submit again.
//!
//! **Run.** It takes a Redis on this machine (`REDIS_URL` for another); a worker (`worker` or `notifications`) may come later:
//!
//! ```sh
//! cargo run -p streamherd-examples --example producer
//! ```
//!
//! ```text
//! session-0: queued as …
//! later: due in three seconds, as …
//! twin: two runs, … and …
//! ```
//!
//! **Try.** Run it again while no worker runs: the same names wait already, and their infos are the same, so that nothing is added but
//! to `twin`, which is submitted with `Duplicates::Parallel`:
//!
//! ```sh
//! cargo run -p streamherd-examples --example producer
//! cargo run -p streamherd-cli -- --service orders status
//! ```
//!
//! ```text
//! session-0: waits already, as …
//! ```
//!
//! Have it stay, and have Redis lose the queue, in another terminal. After the time that locks live, and one look, all of it is back:
//!
//! ```sh
//! cargo run -p streamherd-examples --example producer -- 3 stay
//! redis-cli DEL '{orders:0}:input' '{orders:0}:live' '{orders:0}:epoch'    # in another terminal
//! cargo run -p streamherd-cli -- --service orders status
//! ```
//!
//! ```text
//! keeps 3 streams; Ctrl-C ends it
//! ```

use std::time::Duration;

use serde::Serialize;
use streamherd::{Client, Duplicates, Submitted};

#[derive(Serialize)]
struct Session {
    user: usize,
    plan: &'static str,
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    tracing_subscriber::fmt().with_writer(std::io::stderr).init();
    let mut args = std::env::args().skip(1);
    let count: usize = args.next().map_or(Ok(3), |count| count.parse())?;
    let stays = args.next().is_some_and(|word| word == "stay");
    let producer = Client::builder("orders")
        .url(std::env::var("REDIS_URL").unwrap_or_else(|_| "redis://127.0.0.1:6379".to_owned()))
        .connect_producer()
        .await?
        // Keeps what it submits for a minute, 10,000 streams at most, or until they are finished.
        .retain(Duration::from_secs(60), 10_000)
        .await?;

    let session = |user| Session { user, plan: "pro" };
    let names: Vec<String> = (0..count).map(|user| format!("session-{user}")).collect();
    // Many at a time, in few calls. Each succeeds or fails for itself.
    let items = names.iter().zip((0..count).map(session));
    for (name, result) in names.iter().zip(producer.submit_many(items).await) {
        match result? {
            Submitted::New(id) => println!("{name}: queued as {id}"),
            Submitted::Coalesced(id) => println!("{name}: waits already, as {id}"),
        }
    }

    if stays {
        println!("keeps {} streams; Ctrl-C ends it", producer.kept());
        tokio::signal::ctrl_c().await?;
    } else {
        let later = producer
            .schedule_after("later", &session(100), Duration::from_secs(3))
            .await?;
        println!("later: due in three seconds, as {}", later.reference());

        // For work of which each submit counts, also while another of that name runs.
        let parallel = producer.clone().duplicates(Duplicates::Parallel);
        let first = parallel.submit("twin", &session(200)).await?.reference();
        let second = parallel.submit("twin", &session(200)).await?.reference();
        println!("twin: two runs, {first} and {second}");
    }
    producer.close().await;
    Ok(())
}
