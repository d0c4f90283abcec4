//! A side effect that a late writer can't spoil: the target keeps the highest fencing token it has seen and refuses
//! smaller ones.
//!
//! Run:  `cargo run --example producer 1 && cargo run --example fencing`, with no worker running and nothing else queued
//!
//! Between the check of a lease and the effect, a process can stand still for any time. Then the lease is lost, another
//! worker writes with a higher token, and the late write is refused; here both writers are played by one program.

use std::collections::HashMap;

use streamherd::{Client, Notification, Token};

/// Stands for a database; in SQL: `UPDATE … SET total = $1, token = $2 WHERE name = $3 AND token <= $2`.
#[derive(Default)]
struct Totals(HashMap<String, (u64, u64)>);

impl Totals {
    fn write(&mut self, name: &str, total: u64, token: Token) -> Result<(), String> {
        let row = self.0.entry(name.to_owned()).or_default();
        if token.get() < row.1 {
            return Err(format!("token {token} is older than {}", row.1));
        }
        *row = (total, token.get());
        Ok(())
    }
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let (client, mut notifications) = Client::builder("orders")
        .url(std::env::var("REDIS_URL").unwrap_or_else(|_| "redis://127.0.0.1:6379".to_owned()))
        .connect()
        .await?;
    let mut totals = Totals::default();
    let mut leases = Vec::new();
    while let Some(notification) = notifications.recv().await {
        let Notification::StreamAdded(lease) = notification else {
            continue;
        };
        // The check saves useless work; only the token protects the row.
        lease.ensure_valid()?;
        leases.push(lease.token());
        if leases.len() == 1 {
            // Stands for a worker that loses its lease here: the stream goes to the next, under a higher token.
            lease.release().await?;
            continue;
        }
        totals.write(lease.stream(), 42, lease.token())?;
        println!("{} written under token {}", lease.stream(), lease.token());
        if let Err(refused) = totals.write(lease.stream(), 41, leases[0]) {
            println!("the late write was refused: {refused}");
        }
        lease.done().await?;
        break;
    }
    client.shutdown(std::time::Duration::ZERO).await;
    Ok(())
}
