//! XADD, pipelined.

use std::time::Instant;

use fred::clients::Client;
use fred::interfaces::StreamsInterface as _;
use fred::types::Value;
use futures_util::{StreamExt as _, TryStreamExt as _, stream};
use serde::{Deserialize, Serialize};

use crate::part::{Counted, Stage};
use crate::{BenchError, server};

/// Fills a stream.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Fill {
    /// Of the server.
    pub url: String,
    /// The stream.
    pub key: String,
    /// How many entries there are to be.
    pub n: u64,
    /// How many are on their way at a time.
    pub pipelined: usize,
}

impl Fill {
    pub(crate) async fn play(&self, stage: &mut Stage) -> Result<(), BenchError> {
        let client = server::connect(&self.url).await?;
        stage.ready().await?;
        let begun = Instant::now();
        self.fill(&client).await?;
        stage.end(Counted::since(begun, self.n)).await
    }

    pub(super) async fn fill(&self, client: &Client) -> Result<(), BenchError> {
        let key = self.key.as_str();
        stream::iter(0..self.n)
            .map(|number| async move {
                let input = format!(r#"{{"DataStreamName":"stream-{number}","Info":{{"n":{number}}}}}"#);
                client
                    .xadd::<Value, _, _, _, _>(key, false, None::<()>, "*", vec![("lbs-input", input)])
                    .await
            })
            .buffer_unordered(self.pipelined)
            .try_for_each(|_| std::future::ready(Ok(())))
            .await
            .map_err(BenchError::from)
    }
}
