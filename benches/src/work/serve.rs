//! A worker that works on whatever comes until it is told to end: on nothing, so that it says done at once.

use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};
use streamherd::{Client, Notification, Notifications};

use super::Service;
use crate::BenchError;
use crate::pace::{Sent, micros};
use crate::part::{Counted, Stage};

/// Serves a queue, and times how long each stream that says when it was sent has been on its way.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Serve {
    /// Of this service.
    pub service: Service,
    /// How many it holds at once, and how many it reads at once, where that is not to be what it is by default.
    pub limits: Option<Limits>,
}

/// How much a worker takes.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
pub struct Limits {
    /// How many it holds at once.
    pub max_in_flight: usize,
    /// How many it reads at once.
    pub read_batch: usize,
}

impl Limits {
    /// Those of a worker that has a backlog before it.
    pub(crate) const BUSY: Self = Self {
        max_in_flight: 2_000,
        read_batch: 500,
    };
}

impl Serve {
    pub(crate) async fn play(&self, stage: &mut Stage) -> Result<(), BenchError> {
        stage.ready().await?;
        let (client, mut notifications) = self.connect().await?;
        let begun = Instant::now();
        let mut counted = {
            let told = stage.ready();
            tokio::pin!(told);
            let mut latencies = Vec::new();
            let mut jobs = 0;
            loop {
                let notification = tokio::select! {
                    told = &mut told => { told?; break }
                    notification = notifications.recv() => notification,
                };
                match notification {
                    Some(Notification::StreamAdded(lease)) => {
                        let now = micros();
                        jobs += 1;
                        latencies.extend(lease.info::<Sent>().ok().map(|sent| sent.until(now)));
                        tokio::spawn(lease.done());
                    }
                    Some(Notification::StreamDisowned(lost)) => {
                        return Err(BenchError::Outcome(format!("a lease was lost: {lost:?}")));
                    }
                    Some(_) => {}
                    None => return Err(BenchError::Outcome("the worker ended".to_owned())),
                }
            }
            Counted {
                latencies,
                ..Counted::since(begun, jobs)
            }
        };
        counted.latencies.sort_unstable();
        stage.end(counted).await?;
        client.shutdown(Duration::ZERO).await;
        Ok(())
    }

    async fn connect(&self) -> Result<(Client, Notifications), BenchError> {
        let mut builder = self.service.builder();
        if let Some(limits) = self.limits {
            builder = builder
                .max_in_flight(limits.max_in_flight)
                .read_batch(limits.read_batch);
        }
        builder.connect().await.map_err(BenchError::streamherd)
    }
}
