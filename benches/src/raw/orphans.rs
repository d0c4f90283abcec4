//! What plain consumers do about entries whose consumer is gone: XAUTOCLAIM; and about knowing of them: XPENDING.

use std::time::Instant;

use fred::interfaces::{ClientLike as _, StreamsInterface as _};
use fred::types::{ClusterHash, CustomCommand, Value};
use serde::{Deserialize, Serialize};

use super::ids;
use crate::part::{Counted, Stage};
use crate::{BenchError, server};

const GROUP: &str = "workers";

/// Takes over all pending entries of a stream, 100 at a time.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct TakeOver {
    /// Of the server.
    pub url: String,
    /// The stream. It holds that many entries, and none is pending yet.
    pub key: String,
    /// How many.
    pub n: u64,
}

impl TakeOver {
    pub(crate) async fn play(&self, stage: &mut Stage) -> Result<(), BenchError> {
        let client = server::connect(&self.url).await?;
        let key = self.key.as_str();
        client.xgroup_create::<Value, _, _, _>(key, GROUP, "0", true).await?;
        let mut left = self.n;
        while left > 0 {
            let read: Value = client
                .xreadgroup(GROUP, "dead", Some(left.min(1_000)), None, false, key, ">")
                .await?;
            let read = ids(&read).len() as u64;
            if read == 0 {
                return Err(BenchError::Outcome(format!("{left} entries are missing")));
            }
            left -= read;
        }
        stage.ready().await?;
        let begun = Instant::now();
        let (mut cursor, mut jobs) = ("0-0".to_owned(), 0);
        loop {
            let command = CustomCommand::new_static("XAUTOCLAIM", ClusterHash::FirstKey, false);
            let args: Vec<Value> = [key, GROUP, "alive", "0", &cursor, "COUNT", "100"]
                .map(Value::from)
                .to_vec();
            let (next, claimed) = page(&client.custom(command, args).await?);
            jobs += claimed;
            cursor = next;
            if cursor == "0-0" {
                break;
            }
        }
        if jobs != self.n {
            return Err(BenchError::Outcome(format!(
                "{jobs} of {} entries were taken over",
                self.n
            )));
        }
        let micros = u64::try_from(begun.elapsed().as_micros()).unwrap_or(u64::MAX);
        stage
            .end(Counted {
                jobs,
                micros,
                latencies: Vec::new(),
            })
            .await
    }
}

/// Where to go on, and how many entries there were.
fn page(answer: &Value) -> (String, u64) {
    let Value::Array(answer) = answer else {
        return ("0-0".to_owned(), 0);
    };
    let cursor = answer
        .first()
        .and_then(Value::as_string)
        .unwrap_or_else(|| "0-0".to_owned());
    match answer.get(1) {
        Some(Value::Array(entries)) => (cursor, entries.len() as u64),
        _ => (cursor, 0),
    }
}

/// Walks the pending entries of a stream, 1,000 at a time.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Walk {
    /// Of the server.
    pub url: String,
    /// The stream.
    pub key: String,
    /// How often.
    pub times: u64,
}

impl Walk {
    pub(crate) async fn play(&self, stage: &mut Stage) -> Result<(), BenchError> {
        const PAGE: usize = 1_000;
        let client = server::connect(&self.url).await?;
        stage.ready().await?;
        let begun = Instant::now();
        for _ in 0..self.times {
            let mut from = "-".to_owned();
            loop {
                let command = CustomCommand::new_static("XPENDING", ClusterHash::FirstKey, false);
                let args: Vec<Value> = [&self.key, GROUP, &from, "+", "1000"].map(Value::from).to_vec();
                let answer: Value = client.custom(command, args).await?;
                let Value::Array(records) = answer else { break };
                let last = match records.last() {
                    Some(Value::Array(last)) if records.len() == PAGE => last.first().and_then(Value::as_string),
                    _ => None,
                };
                let Some(last) = last else { break };
                from = format!("({last}");
            }
        }
        let micros = u64::try_from(begun.elapsed().as_micros()).unwrap_or(u64::MAX);
        stage
            .end(Counted {
                jobs: self.times,
                micros,
                latencies: Vec::new(),
            })
            .await
    }
}
