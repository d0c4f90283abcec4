//! XADD, one by one.

use fred::interfaces::StreamsInterface as _;
use fred::types::Value;
use serde::{Deserialize, Serialize};

use crate::pace::{Pace, Sent};
use crate::part::Stage;
use crate::{BenchError, server};

/// Adds entries at their times.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Adds {
    /// Of the server.
    pub url: String,
    /// The stream.
    pub key: String,
    /// How many, and when.
    pub pace: Pace,
}

impl Adds {
    pub(crate) async fn play(&self, stage: &mut Stage) -> Result<(), BenchError> {
        let client = &server::connect(&self.url).await?;
        let key = self.key.as_str();
        let send = |_| async move {
            let sent = serde_json::to_string(&Sent::now())?;
            let added = client.xadd::<Value, _, _, _, _>(key, false, None::<()>, "*", vec![("sent", sent)]);
            added.await.map(drop).map_err(BenchError::from)
        };
        self.pace.play(stage, send).await
    }
}
