//! A queue without leases that several share, or that lies in several streams: XREADGROUP, XACK and XDEL in batches.

use std::time::Instant;

use fred::clients::Client;
use fred::interfaces::StreamsInterface as _;
use fred::types::Value;
use futures_util::future::try_join_all;
use serde::{Deserialize, Serialize};

use super::drain::batch;
use super::fill::Fill;
use crate::part::{Counted, Stage};
use crate::{BenchError, server};

/// Where a stream is.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Stream {
    /// Of its server.
    pub url: String,
    /// The stream.
    pub key: String,
}

/// Drains streams, all at once, until nothing is left to read.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Drains {
    /// Each over a connection of its own.
    pub streams: Vec<Stream>,
    /// As whom.
    pub consumer: String,
    /// How many are read at once.
    pub count: u64,
}

impl Drains {
    pub(crate) async fn play(&self, stage: &mut Stage) -> Result<(), BenchError> {
        let clients = try_join_all(self.streams.iter().map(joined)).await?;
        stage.ready().await?;
        let begun = Instant::now();
        let all = self.streams.iter().zip(&clients).map(|(stream, client)| async move {
            let mut jobs = 0;
            loop {
                match batch(client, &stream.key, &self.consumer, self.count).await? {
                    0 => return Ok::<u64, BenchError>(jobs),
                    more => jobs += more,
                }
            }
        });
        let jobs = try_join_all(all).await?.into_iter().sum();
        stage.end(Counted::since(begun, jobs)).await
    }
}

/// Connects, and makes the group unless somebody has.
async fn joined(stream: &Stream) -> Result<Client, BenchError> {
    let client = server::connect(&stream.url).await?;
    let made = client.xgroup_create::<Value, _, _, _>(&stream.key, "raw", "0", true);
    match made.await {
        Err(e) if !e.details().contains("BUSYGROUP") => Err(e.into()),
        _ => Ok(client),
    }
}

/// Fills streams, all at once.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Fills(pub Vec<Fill>);

impl Fills {
    pub(crate) async fn play(&self, stage: &mut Stage) -> Result<(), BenchError> {
        let clients = try_join_all(self.0.iter().map(|fill| server::connect(&fill.url))).await?;
        stage.ready().await?;
        let begun = Instant::now();
        try_join_all(self.0.iter().zip(&clients).map(|(fill, client)| fill.fill(client))).await?;
        stage
            .end(Counted::since(begun, self.0.iter().map(|fill| fill.n).sum()))
            .await
    }
}
