//! Puts streams on the queue.
//!
//! Run:  `cargo run --example producer [COUNT]`
//! Poke: run it before any worker has ever run: nothing is lost.

use serde::Serialize;
use streamherd::Client;

#[derive(Serialize)]
struct Session {
    user: usize,
    plan: &'static str,
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let count: usize = std::env::args().nth(1).map_or(Ok(20), |count| count.parse())?;
    let producer = Client::builder("orders")
        .url(std::env::var("REDIS_URL").unwrap_or_else(|_| "redis://127.0.0.1:6379".to_owned()))
        .connect_producer()
        .await?;
    let sessions = (0..count).map(|user| (format!("session-{user}"), Session { user, plan: "pro" }));
    for result in producer.submit_many(sessions).await {
        println!("queued as {}", result?.reference());
    }
    producer.close().await;
    Ok(())
}
