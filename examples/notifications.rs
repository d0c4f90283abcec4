//! A worker without the handler runtime: sees each notification, holds the leases, and settles them itself.
//!
//! Run:  `cargo run --example notifications` (a second one in another terminal shares the work),
//!       then `cargo run --example producer`.
//! Poke: stop one worker with Ctrl-C, and what it can't finish within two seconds is at the other at once; kill it with
//!       `kill -9`, and it is there after the lock's six seconds. Stop one with Ctrl-Z for ten seconds, and see what it is
//!       told on `fg`.

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
            let report = at_ctrl_c.shutdown(Duration::from_secs(2)).await;
            println!("settled {}, handed over {}", report.done, report.released);
        }
    });

    while let Some(notification) = notifications.recv().await {
        match notification {
            Notification::StreamAdded(lease) => drop(tokio::spawn(work(lease))),
            Notification::StreamExpired(orphan) => match client.claim(&orphan).await {
                Ok(_) => println!("claimed {} from {}", orphan.stream(), orphan.owner()),
                // Somebody else was faster, or its owner is back.
                Err(e) => println!("left {}: {e}", orphan.stream()),
            },
            Notification::StreamDisowned(lost) => println!("lost {}: {}", lost.stream, lost.reason),
            Notification::Terminated(reason) => println!("ended: {reason}"),
            _ => {}
        }
    }
    Ok(())
}

async fn work(lease: Lease) {
    let name = lease.stream().to_owned();
    println!("{name}: attempt {}, token {}", lease.attempt(), lease.token());
    let outcome = tokio::select! {
        // Work that takes seconds. A lease lasts as long as the work does.
        () = tokio::time::sleep(Duration::from_secs(10)) => lease.done().await,
        // Somebody else has the stream, or will have it: stop at once.
        () = lease.lost().cancelled() => lease.retry(RetryAfter::now()).await,
    };
    match outcome {
        Ok(settled) => println!("{name}: {settled:?}"),
        Err(e) => println!("{name}: {e}"),
    }
}
