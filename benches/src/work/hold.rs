//! Workers whose streams never end.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use streamherd::{Job, Outcome, Worker};
use tokio::sync::mpsc;

use super::Service;
use crate::BenchError;
use crate::part::{Counted, Stage};

/// Longer than any recovery that is worth a figure.
const GIVE_UP: Duration = Duration::from_secs(120);

/// As in the workload of throughput: who has room for thousands reads many at once.
const READ_BATCH: usize = 500;

/// Takes all streams that there are, and keeps them until it is killed, or until it is told that it has been enough.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Hold {
    /// Of this service.
    pub service: Service,
    /// How many there are, and how many it has room for.
    pub n: u64,
    /// The time to live of its locks; [`None`] for the default.
    pub lock_ttl: Option<Duration>,
    /// Whether it could begin when it is connected, or only when it holds all.
    pub holds_first: bool,
}

impl Hold {
    /// Its latencies are the moments when it was handed each stream, in microseconds since this machine was started.
    pub(crate) async fn play(&self, stage: &mut Stage) -> Result<(), BenchError> {
        let mut builder = self.service.builder();
        if let Some(ttl) = self.lock_ttl {
            builder = builder.lock_ttl(ttl);
        }
        let room = usize::try_from(self.n).unwrap_or(usize::MAX);
        let connected = builder.max_in_flight(room).read_batch(READ_BATCH).connect().await;
        let (client, notifications) = connected.map_err(BenchError::streamherd)?;
        let (handed, mut moments) = mpsc::unbounded_channel();
        let handler = move |job: Job| {
            let handed = handed.clone();
            async move {
                let _ = handed.send(micros());
                job.stop().cancelled().await;
                Ok::<_, String>(Outcome::Release)
            }
        };
        let worker = tokio::spawn(Worker::new(client.clone(), notifications).run(handler));
        if !self.holds_first {
            stage.ready().await?;
        }
        let latencies = tokio::time::timeout(GIVE_UP, take(&mut moments, self.n)).await;
        let latencies = latencies
            .map_err(|_| BenchError::Outcome(format!("not all of {} streams came within {GIVE_UP:?}", self.n)))?;
        if self.holds_first {
            stage.ready().await?;
        }
        stage
            .end(Counted {
                jobs: self.n,
                micros: 0,
                latencies,
            })
            .await?;
        worker.abort();
        drop(client);
        Ok(())
    }
}

async fn take(moments: &mut mpsc::UnboundedReceiver<u64>, n: u64) -> Vec<u64> {
    let mut all = Vec::new();
    while (all.len() as u64) < n {
        let Some(moment) = moments.recv().await else { break };
        all.push(moment);
    }
    all
}

/// Since this machine was started: the same for all of its processes.
pub(crate) fn micros() -> u64 {
    u64::try_from(streamherd_ledger::now().as_micros()).unwrap_or(u64::MAX)
}
