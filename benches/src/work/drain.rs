//! A worker that has nothing to do and says done.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};
use streamherd::Notification;
use tokio::sync::Notify;

use super::Service;
use crate::BenchError;
use crate::part::{Counted, Stage};

/// Drains a service's queue, a task per stream.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Drain {
    /// Of this service.
    pub service: Service,
    /// How many streams wait.
    pub n: u64,
    /// How many it holds at once.
    pub max_in_flight: usize,
    /// How many it reads at once.
    pub read_batch: usize,
}

impl Drain {
    pub(crate) async fn play(&self, stage: &mut Stage) -> Result<(), BenchError> {
        stage.ready().await?;
        let begun = Instant::now();
        let builder = self
            .service
            .builder()
            .max_in_flight(self.max_in_flight)
            .read_batch(self.read_batch);
        let (client, mut notifications) = builder.connect().await.map_err(BenchError::streamherd)?;
        let done = Arc::new(AtomicU64::new(0));
        let all = Arc::new(Notify::new());
        let n = self.n;
        loop {
            let notification = tokio::select! {
                notification = notifications.recv() => notification,
                () = all.notified() => break,
            };
            match notification {
                Some(Notification::StreamAdded(lease)) => {
                    let (done, all) = (Arc::clone(&done), Arc::clone(&all));
                    tokio::spawn(async move {
                        if lease.done().await.is_ok() && done.fetch_add(1, Ordering::Relaxed) + 1 == n {
                            all.notify_one();
                        }
                    });
                }
                Some(Notification::StreamDisowned(lost)) => {
                    return Err(BenchError::Outcome(format!("a lease was lost: {lost:?}")));
                }
                Some(_) => {}
                None => return Err(BenchError::Outcome("the worker ended".to_owned())),
            }
        }
        stage.end(Counted::since(begun, done.load(Ordering::Relaxed))).await?;
        client.shutdown(Duration::ZERO).await;
        Ok(())
    }
}
