//! Keys with a time to live, extended in batches where they still hold what they should: a heartbeat without leases.

use std::time::{Duration, Instant};

use fred::clients::Client;
use fred::interfaces::{ClientLike as _, KeysInterface as _};
use fred::types::{ClusterHash, CustomCommand, Expiration, Value};
use futures_util::{StreamExt as _, TryStreamExt as _, stream};
use serde::{Deserialize, Serialize};

use crate::part::{Counted, Stage};
use crate::{BenchError, server};

const EXTEND: &str = "for i = 1, #KEYS do \
    if redis.call('GET', KEYS[i]) == ARGV[i + 1] then redis.call('PEXPIRE', KEYS[i], ARGV[1]) end \
    end return #KEYS";

/// Keeps keys alive.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Extend {
    /// Of the server.
    pub url: String,
    /// How many keys.
    pub n: u64,
    /// How long each lives, in milliseconds; all are extended three times in that.
    pub ttl_ms: u64,
    /// How many go into one call.
    pub batch: usize,
    /// How many calls are on their way at a time.
    pub pipelined: usize,
    /// For how long.
    pub seconds: u64,
}

impl Extend {
    pub(crate) async fn play(&self, stage: &mut Stage) -> Result<(), BenchError> {
        let client = server::connect(&self.url).await?;
        let ttl = i64::try_from(self.ttl_ms).unwrap_or(i64::MAX);
        // As long as those of a lease are.
        let keys: Vec<(String, String)> = (0..self.n)
            .map(|n| {
                (
                    format!("{{raw:0}}:lock:{}-0", 1_795_206_880_640 + n),
                    format!("worker.k3f9x2m1:{}", 1_795_206_880_640_000 + n),
                )
            })
            .collect();
        stream::iter(&keys)
            .map(|(key, value)| client.set::<(), _, _>(key, value, Some(Expiration::PX(ttl)), None, false))
            .buffer_unordered(512)
            .try_for_each(|()| std::future::ready(Ok(())))
            .await?;
        let load = CustomCommand::new_static("SCRIPT", ClusterHash::FirstKey, false);
        let digest: String = client.custom(load, vec!["LOAD", EXTEND]).await?;
        stage.ready().await?;
        let begun = Instant::now();
        let mut round = tokio::time::interval(Duration::from_millis(self.ttl_ms / 3));
        let mut extended = 0;
        while begun.elapsed() < Duration::from_secs(self.seconds) {
            round.tick().await;
            extended += stream::iter(keys.chunks(self.batch))
                .map(|keys| extend(&client, &digest, ttl, keys))
                .buffer_unordered(self.pipelined)
                .try_fold(0, |all, some| std::future::ready(Ok(all + some)))
                .await?;
        }
        let micros = u64::try_from(begun.elapsed().as_micros()).unwrap_or(u64::MAX);
        stage
            .end(Counted {
                jobs: extended,
                micros,
                latencies: Vec::new(),
            })
            .await
    }
}

async fn extend(client: &Client, digest: &str, ttl: i64, keys: &[(String, String)]) -> Result<u64, BenchError> {
    let mut args: Vec<Value> = vec![digest.into(), i64::try_from(keys.len()).unwrap_or(i64::MAX).into()];
    args.extend(keys.iter().map(|(key, _)| key.as_str().into()));
    args.push(ttl.to_string().into());
    args.extend(keys.iter().map(|(_, value)| value.as_str().into()));
    let call = CustomCommand::new_static("EVALSHA", ClusterHash::FirstKey, false);
    Ok(client.custom(call, args).await?)
}
