//! Looks whether what is kept is still there.

use std::time::Duration;

use futures_util::future::join_all;

use super::{Shared, asked};
use crate::backoff::{Backoff, jittered};
use crate::clock::Moment;
use crate::error::StoreError;
use crate::producer::kept::News;
use crate::store::{Asked, Stands, Store};

/// Time between two looks. They take 2 % of Redis's time at most: with more to look for, the time is longer.
const LOOK: Duration = Duration::from_secs(2);
const JITTER: f64 = 0.2;
const SHARE: u32 = 50;
/// Streams per look, and about so many bytes of theirs: about 2 ms of Redis.
const LOOKED_FOR: usize = 500;
const LOOK_BYTES: usize = 256 * 1024;
/// Waits while Redis does not answer.
///
/// Short: what is finished between a failover and the first look after it can't be told from what it has lost.
const AWAY: (Duration, Duration) = (Duration::from_millis(250), Duration::from_secs(1));

impl Shared {
    /// One master's silence is its own: the partitions are watched beside each other.
    pub(super) async fn watch_all(&self) {
        let all = self.stores.iter().enumerate();
        join_all(all.map(|(partition, store)| self.watch(partition, store))).await;
    }

    async fn watch(&self, partition: usize, store: &Store) {
        let mut backoff = Backoff::new(AWAY.0, AWAY.1);
        let mut away = false;
        let mut pause = jittered(LOOK, JITTER, &mut rand::rng());
        loop {
            tokio::time::sleep(pause).await;
            match self.round(partition, store).await {
                Ok(next) => {
                    if std::mem::take(&mut away) {
                        tracing::info!(partition, "what was submitted here and is kept can be looked for again");
                        backoff.reset();
                    }
                    pause = next;
                }
                Err(e) => {
                    if !std::mem::replace(&mut away, true) {
                        tracing::warn!(
                            partition, error = %e,
                            "what was submitted here can't be looked for at present; it is kept"
                        );
                    }
                    pause = backoff.draw();
                }
            }
        }
    }

    /// Looks, and submits again what is lost, where it is time for that. Returns when to look next.
    async fn round(&self, partition: usize, store: &Store) -> Result<Duration, StoreError> {
        let (cost, quiet) = self.look(partition, store).await?;
        let pause = jittered(LOOK, JITTER, &mut rand::rng()).max(cost * SHARE);
        let Some(since) = self.with(|shelf| shelf.lost_since(partition)) else {
            return Ok(pause);
        };
        let wait = Moment::now().until(since + self.lock_ttl).max(quiet);
        if wait.is_zero() {
            self.resubmit(partition, store).await?;
            return Ok(pause);
        }
        Ok(pause.min(wait + Duration::from_millis(10)))
    }

    /// Asks for all that is kept in a partition. Returns what it took of Redis, and for how long that is quiet.
    async fn look(&self, partition: usize, store: &Store) -> Result<(Duration, Duration), StoreError> {
        let page = |after| self.with(|shelf| shelf.page(partition, after, LOOKED_FOR, LOOK_BYTES));
        let (mut some, mut cost, mut same) = (page(0), Duration::ZERO, true);
        loop {
            let asked: Vec<Asked<'_>> = some.iter().map(|(_, kept)| asked(kept)).collect();
            let look = store.look_for(false, &asked).await?;
            cost += look.cost;
            let now = Moment::now();
            let news = self.with(|shelf| {
                let news = shelf.hear(partition, &look.identity, now);
                for ((number, _), stands) in some.iter().zip(&look.stands) {
                    shelf.judge(partition, *number, *stands, now);
                }
                news
            });
            if news == News::MaybeLost {
                same = false;
                tracing::warn!(
                    partition,
                    "Redis came back, or is another one, and may have lost what was submitted here; it will be submitted again"
                );
            }
            let answered = some.iter().zip(&look.stands);
            let answered = answered.take_while(|(_, stands)| **stands != Stands::Later);
            let last = answered.last().map(|((number, _), _)| *number);
            some = last.map_or_else(Vec::new, page);
            if some.is_empty() {
                if same {
                    self.with(|shelf| shelf.expire(partition, now));
                }
                return Ok((cost, look.quiet));
            }
        }
    }
}
