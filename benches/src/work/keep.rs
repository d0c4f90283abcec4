//! A worker that holds what it has, and does nothing with it.

use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};
use streamherd::{Lease, Notification, Notifications};

use super::Service;
use crate::BenchError;
use crate::part::{Counted, Stage};

/// Holds so many leases until it is told that it may go. It says `end` twice: when it has them all, and, told once more, how many
/// it still has.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Keep {
    /// Of this service, whose queue is filled once this says that it is ready.
    pub service: Service,
    /// How many leases.
    pub n: usize,
}

impl Keep {
    pub(crate) async fn play(&self, stage: &mut Stage) -> Result<(), BenchError> {
        // Large reads, as only what comes after them is measured; all that leases depend on is left as it is.
        let builder = self.service.builder().max_in_flight(self.n).read_batch(500);
        let (client, mut notifications) = builder.connect().await.map_err(BenchError::streamherd)?;
        stage.ready().await?;
        let begun = Instant::now();
        let mut leases = Vec::with_capacity(self.n);
        while leases.len() < self.n {
            leases.push(added(&mut notifications).await?);
        }
        let taken = begun.elapsed();
        let told = stage.end(counted(leases.len(), taken));
        tokio::select! {
            told = told => told?,
            more = added(&mut notifications) => {
                return Err(BenchError::Outcome(format!("{:?} is one too many", more?)));
            }
        }
        let valid = leases.iter().filter(|lease| lease.is_valid()).count();
        stage.end(counted(valid, begun.elapsed() - taken)).await?;
        // Whoever measures has seen enough; what is held goes with this process.
        std::mem::forget(leases);
        drop(client);
        Ok(())
    }
}

/// The next lease. Nothing may be lost meanwhile.
async fn added(notifications: &mut Notifications) -> Result<Lease, BenchError> {
    loop {
        match notifications.recv().await {
            Some(Notification::StreamAdded(lease)) => return Ok(lease),
            Some(Notification::StreamDisowned(lost)) => {
                return Err(BenchError::Outcome(format!("a lease was lost: {lost:?}")));
            }
            Some(_) => {}
            None => return Err(BenchError::Outcome("the worker ended".to_owned())),
        }
    }
}

fn counted(leases: usize, span: Duration) -> Counted {
    Counted {
        jobs: leases as u64,
        micros: u64::try_from(span.as_micros()).unwrap_or(u64::MAX),
        latencies: Vec::new(),
    }
}
