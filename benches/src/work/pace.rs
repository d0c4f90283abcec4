//! A producer whose jobs come one by one.

use serde::{Deserialize, Serialize};

use super::Service;
use super::submit::duplicates;
use crate::BenchError;
use crate::pace::{Pace, Sent};
use crate::part::Stage;

/// Submits streams at their times.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Submits {
    /// To this service.
    pub service: Service,
    /// How many, and when.
    pub pace: Pace,
    /// Whether submits of one name are one.
    pub coalesce: bool,
}

impl Submits {
    pub(crate) async fn play(&self, stage: &mut Stage) -> Result<(), BenchError> {
        let connected = self.service.builder().connect_producer().await;
        let producer = connected.map_err(BenchError::streamherd)?;
        let producer = &producer.duplicates(duplicates(self.coalesce));
        let send = |number| async move {
            let submitted = producer.submit(&format!("stream-{number}"), &Sent::now()).await;
            submitted.map(drop).map_err(BenchError::streamherd)
        };
        self.pace.play(stage, send).await?;
        producer.clone().close().await;
        Ok(())
    }
}
