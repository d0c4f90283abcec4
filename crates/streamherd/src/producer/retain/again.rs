//! Submits again what is lost.

use std::sync::Arc;
use std::time::Duration;

use super::{Shared, asked};
use crate::backoff::jittered;
use crate::clock::Moment;
use crate::error::StoreError;
use crate::producer::kept::{Answer, Kept, Number};
use crate::store::{Lost, Resubmission, Resubmitted, Store};

/// Streams per call, and so many bytes of theirs.
const PER_CALL: usize = 100;
const BYTES_PER_CALL: usize = 256 * 1024;
/// Between two calls: a fleet of producers that lost the same Redis must not keep it from its workers.
const PACE: Duration = Duration::from_millis(20);

/// One that may be lost, and the digest of what was submitted before it under its name.
type Candidate = (Number, Kept, Option<Arc<str>>);

impl Shared {
    pub(super) async fn resubmit(&self, partition: usize, store: &Store) -> Result<(), StoreError> {
        self.join().await?;
        let (known, era, all) =
            self.with(|shelf| (shelf.identity(partition), shelf.era(partition), shelf.lost(partition)));
        let (mut all, mut queued, mut failed) = (all.into_iter().peekable(), 0, None);
        while all.peek().is_some() {
            let some: Vec<Candidate> = self.with(|shelf| {
                let mut bytes = 0;
                let mut some = Vec::new();
                while let Some((number, _)) = all.peek()
                    && some.len() < PER_CALL
                {
                    let kept = shelf.get(partition, *number).cloned();
                    let more = kept.as_ref().map_or(0, |kept| kept.input.len());
                    if bytes > 0 && bytes + more > BYTES_PER_CALL {
                        break;
                    }
                    bytes += more;
                    let next = all.next();
                    some.extend(next.and_then(|(number, older)| Some((number, kept?, older))));
                }
                some
            });
            let now = Moment::now();
            let lost: Vec<Lost<'_>> = some.iter().map(|one| lost(one, now)).collect();
            let outcomes = match store.resubmit(&known, &lost).await? {
                Resubmission::Ok(outcomes) => outcomes,
                // The next look finds out.
                Resubmission::Changed | Resubmission::Quiet => return Ok(()),
            };
            for ((number, ..), outcome) in some.iter().zip(outcomes) {
                self.with(|shelf| shelf.resubmitted(partition, *number, era, &outcome));
                match outcome {
                    Resubmitted::New(_) => self.metrics.resubmitted("new"),
                    Resubmitted::Coalesced { .. } => self.metrics.resubmitted("coalesced"),
                    Resubmitted::Failed(e) => {
                        failed = Some(e);
                        continue;
                    }
                    _ => continue,
                }
                queued += 1;
            }
            let pace = jittered(PACE, 0.5, &mut rand::rng());
            tokio::time::sleep(pace).await;
        }
        if queued > 0 {
            tracing::warn!(
                partition,
                queued,
                "Redis had lost streams that were submitted here; they are queued again"
            );
        }
        failed.map_or(Ok(()), Err)
    }

    /// An empty Redis has forgotten into how many partitions the service is divided. Where somebody has said another number
    /// meanwhile, what is kept would be put where nobody looks for its names.
    async fn join(&self) -> Result<(), StoreError> {
        let Some(first) = self.stores.first() else {
            return Ok(());
        };
        let wanted = u16::try_from(self.stores.len()).unwrap_or(u16::MAX);
        match first.join(Some(wanted)).await? {
            Some(stored) if stored != wanted => {
                let why = format!(
                    "the service has {stored} partitions by now, and this producer was told {wanted}; what it keeps is not \
                     submitted again"
                );
                Err(StoreError::refused("resubmit", &why))
            }
            _ => Ok(()),
        }
    }
}

fn lost((_, kept, older): &Candidate, now: Moment) -> Lost<'_> {
    Lost {
        asked: asked(kept),
        origin: kept.answer.origin(),
        noted: kept.answer == Answer::Noted,
        older: older.as_deref(),
        when: kept.due.when(now),
        input: &kept.input,
        trace: kept.trace,
    }
}
