//! XREADGROUP, XACK and XDEL in batches: a queue without leases.

use std::time::Instant;

use fred::clients::Client;
use fred::interfaces::StreamsInterface as _;
use fred::types::Value;
use serde::{Deserialize, Serialize};

use super::ids;
use crate::part::{Counted, Stage};
use crate::{BenchError, server};

/// Drains a stream.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Drain {
    /// Of the server.
    pub url: String,
    /// The stream.
    pub key: String,
    /// How many entries there are.
    pub n: u64,
    /// How many are read at once.
    pub count: u64,
}

impl Drain {
    pub(crate) async fn play(&self, stage: &mut Stage) -> Result<(), BenchError> {
        let client = server::connect(&self.url).await?;
        let key = self.key.as_str();
        client.xgroup_create::<Value, _, _, _>(key, "raw", "0", true).await?;
        stage.ready().await?;
        let begun = Instant::now();
        let mut jobs = 0;
        while jobs < self.n {
            let more = batch(&client, key, "one", self.count).await?;
            if more == 0 {
                return Err(BenchError::Outcome(format!("{jobs} of {} entries were there", self.n)));
            }
            jobs += more;
        }
        stage.end(Counted::since(begun, jobs)).await
    }
}

/// Reads, acknowledges and deletes at most so many, and says how many there were.
pub(super) async fn batch(client: &Client, key: &str, consumer: &str, count: u64) -> Result<u64, BenchError> {
    let read: Value = client
        .xreadgroup("raw", consumer, Some(count), None, false, key, ">")
        .await?;
    let ids = ids(&read);
    let more = ids.len() as u64;
    if more > 0 {
        let ack = client.xack::<Value, _, _, _>(key, "raw", ids.clone());
        let delete = client.xdel::<Value, _, _>(key, ids);
        tokio::try_join!(ack, delete)?;
    }
    Ok(more)
}
