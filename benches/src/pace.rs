//! Jobs that come at their times, however long those before them take, and how long each was on its way.

use std::future::Future;
use std::time::{Duration, Instant};

use futures_util::{StreamExt as _, TryStreamExt as _, stream};
use serde::{Deserialize, Serialize};

use crate::BenchError;
use crate::part::{Counted, Stage};

/// More than this are never on their way to Redis at a time.
const UNDER_WAY: usize = 10_000;

/// How many jobs come, and when.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Pace {
    /// How many.
    pub n: u64,
    /// So many of them in a second, in steps of a millisecond.
    pub per_second: f64,
}

/// What a job says: when it was sent, by a clock that all processes share.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
pub(crate) struct Sent {
    pub(crate) sent_us: u64,
}

impl Sent {
    pub(crate) fn now() -> Self {
        Self { sent_us: micros() }
    }

    /// How long ago that was.
    pub(crate) fn until(self, now_us: u64) -> u64 {
        now_us.saturating_sub(self.sent_us)
    }
}

/// The present moment, the same for all processes of this machine.
pub(crate) fn micros() -> u64 {
    u64::try_from(streamherd_ledger::now().as_micros()).unwrap_or(u64::MAX)
}

impl Pace {
    /// Sends each at its time, once it may.
    pub(crate) async fn play<F>(&self, stage: &mut Stage, send: impl Fn(u64) -> F) -> Result<(), BenchError>
    where
        F: Future<Output = Result<(), BenchError>>,
    {
        stage.ready().await?;
        let begun = Instant::now();
        #[expect(clippy::cast_precision_loss)]
        let due = |number: u64| begun + Duration::from_secs_f64(number as f64 / self.per_second);
        stream::iter(0..self.n)
            .then(|number| async move {
                tokio::time::sleep_until(due(number).into()).await;
                number
            })
            .map(send)
            .buffer_unordered(UNDER_WAY)
            .try_for_each(|()| std::future::ready(Ok(())))
            .await?;
        stage.end(Counted::since(begun, self.n)).await
    }
}
