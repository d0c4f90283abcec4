//! A producer.

use std::time::Instant;

use serde::{Deserialize, Serialize};
use streamherd::Duplicates;

use super::Service;
use crate::BenchError;
use crate::part::{Counted, Stage};

/// Submits streams by `submit_many`.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Submit {
    /// To this service.
    pub service: Service,
    /// How many streams.
    pub n: u64,
    /// Whether submits of one name are one.
    pub coalesce: bool,
}

#[derive(Serialize)]
struct Info {
    n: u64,
}

impl Submit {
    pub(crate) async fn play(&self, stage: &mut Stage) -> Result<(), BenchError> {
        let connected = self.service.builder().connect_producer().await;
        let producer = connected
            .map_err(BenchError::streamherd)?
            .duplicates(duplicates(self.coalesce));
        stage.ready().await?;
        let begun = Instant::now();
        let streams = (0..self.n).map(|n| (format!("stream-{n}"), Info { n }));
        for submitted in producer.submit_many(streams).await {
            submitted.map_err(BenchError::streamherd)?;
        }
        stage.end(Counted::since(begun, self.n)).await?;
        producer.close().await;
        Ok(())
    }
}

pub(super) const fn duplicates(coalesce: bool) -> Duplicates {
    if coalesce {
        Duplicates::Coalesce
    } else {
        Duplicates::Parallel
    }
}
