//! # Notifications: a worker without the handler runtime
//!
//! **What.** Below the handler is a stream of notifications. Each lease comes as one, and so does what happens to it: this program
//! settles its leases itself, claims those of workers that died, stops where a lease is lost, and goes on where Redis lost its data.
//!
//! **Run.** It takes a Redis on this machine (`REDIS_URL` for another), and two terminals:
//!
//! ```sh
//! cargo run -p streamherd-examples --example notifications
//! cargo run -p streamherd-examples --example producer -- 8    # in the other terminal
//! ```
//!
//! ```text
//! … is ready, process …
//! session-0: attempt 0, token …
//! session-0: Done
//! ```
//!
//! **Try.** Start a second one in a third terminal, submit again, and stop one of them for ten seconds. Its locks expire, the other
//! claims its streams, and when the first goes on it is told that they are not its own any more:
//!
//! ```sh
//! kill -STOP PID    # the process that one of them named
//! kill -CONT PID    # ten seconds later
//! ```
//!
//! ```text
//! claimed session-… from …
//! session-…: attempt 1, token …
//! lost session-…: …
//! ```
//!
//! Stop one with Ctrl-C: what it can't finish within two seconds is at the other at once, and counts as no attempt.
//!
//! ```text
//! settled …, handed over …
//! ```
//!
//! Have Redis lose the queue while streams are held. They are written back, and none of them is disturbed:
//!
//! ```sh
//! redis-cli DEL '{orders:0}:input' '{orders:0}:epoch'
//! ```
//!
//! ```text
//! Redis lost its data, as this worker has seen …×
//! session-…: Done
//! ```

use std::time::Duration;

use streamherd::{Client, Lease, Notification, RetryAfter};

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    tracing_subscriber::fmt().with_writer(std::io::stderr).init();
    let (client, mut notifications) = Client::builder("orders")
        .url(std::env::var("REDIS_URL").unwrap_or_else(|_| "redis://127.0.0.1:6379".to_owned()))
        .max_in_flight(8)
        .connect()
        .await?;
    println!("{} is ready, process {}", client.consumer(), std::process::id());

    let at_ctrl_c = client.clone();
    tokio::spawn(async move {
        if tokio::signal::ctrl_c().await.is_ok() {
            at_ctrl_c.shutdown(Duration::from_secs(2)).await;
        }
    });

    while let Some(notification) = notifications.recv().await {
        match notification {
            Notification::StreamAdded(lease) => drop(tokio::spawn(work(lease))),
            Notification::StreamExpired(orphan) => match client.claim(&orphan).await {
                // It comes as a `StreamAdded`, to whoever reads it.
                Ok(_) => println!("claimed {} from {}", orphan.stream(), orphan.owner()),
                // Somebody else was faster, or its owner is back.
                Err(e) => println!("left {}: {e}", orphan.stream()),
            },
            // `work` hears of it by `Lease::lost`.
            Notification::StreamDisowned(lost) => println!("lost {}: {}", lost.stream, lost.reason),
            // Nothing has to be done: valid leases stay valid, and are written back.
            Notification::DataLoss(loss) => println!("Redis lost its data, as this worker has seen {}×", loss.times),
            Notification::Terminated(reason) => println!("ended: {reason}"),
            _ => {}
        }
    }
    // It has ended: this only asks how.
    let report = client.shutdown(Duration::ZERO).await;
    println!("settled {}, handed over {}", report.done, report.released);
    Ok(())
}

async fn work(lease: Lease) {
    let name = lease.stream().to_owned();
    println!("{name}: attempt {}, token {}", lease.attempt(), lease.token());
    let outcome = tokio::select! {
        // Work that takes seconds. A lease lasts as long as the work does.
        () = tokio::time::sleep(Duration::from_secs(5)) => lease.done().await,
        // Somebody else has the stream, or will have it: stop at once. Nothing is changed by settling it, and the answer says so.
        () = lease.lost().cancelled() => lease.retry(RetryAfter::now()).await,
    };
    match outcome {
        Ok(settled) => println!("{name}: {settled:?}"),
        Err(e) => println!("{name}: {e}"),
    }
}
