//! XREADGROUP BLOCK, and behind it XACK and XDEL over another connection.

use std::time::Instant;

use fred::interfaces::StreamsInterface as _;
use fred::types::Value;
use serde::{Deserialize, Serialize};

use super::{entries, ids};
use crate::pace::{Sent, micros};
use crate::part::{Counted, Stage};
use crate::{BenchError, server};

/// Reads whatever comes until it is told to end.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Serve {
    /// Of the server.
    pub url: String,
    /// The stream.
    pub key: String,
    /// How many are read at once.
    pub count: u64,
}

impl Serve {
    pub(crate) async fn play(&self, stage: &mut Stage) -> Result<(), BenchError> {
        stage.ready().await?;
        let client = server::connect(&self.url).await?;
        let acks = server::connect(&self.url).await?;
        client
            .xgroup_create::<Value, _, _, _>(&self.key, "raw", "0", true)
            .await?;
        let begun = Instant::now();
        let counted = {
            let told = stage.ready();
            tokio::pin!(told);
            let mut latencies = Vec::new();
            let mut jobs = 0;
            loop {
                let read = client.xreadgroup("raw", "one", Some(self.count), Some(5_000), false, &self.key, ">");
                let read: Value = tokio::select! {
                    told = &mut told => { told?; break }
                    read = read => read?,
                };
                let now = micros();
                let ids = ids(&read);
                jobs += ids.len() as u64;
                latencies.extend(entries(&read).filter_map(sent).map(|sent| sent.until(now)));
                if ids.is_empty() {
                    continue;
                }
                let (acks, key) = (acks.clone(), self.key.clone());
                tokio::spawn(async move {
                    let ack = acks.xack::<Value, _, _, _>(&key, "raw", ids.clone());
                    let delete = acks.xdel::<Value, _, _>(&key, ids);
                    tokio::try_join!(ack, delete)
                });
            }
            latencies.sort_unstable();
            Counted {
                latencies,
                ..Counted::since(begun, jobs)
            }
        };
        stage.end(counted).await
    }
}

/// When an entry was sent.
fn sent(entry: &[Value]) -> Option<Sent> {
    let Some(Value::Array(fields)) = entry.get(1) else {
        return None;
    };
    serde_json::from_slice(fields.get(1)?.as_bytes()?).ok()
}
