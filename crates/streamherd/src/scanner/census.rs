//! How much waits where, told to the metrics; and a warning before dead letters are trimmed.

use std::time::Duration;

use crate::clock::Moment;
use crate::runtime::{Complaints, Partition};

/// How often each worker tells.
const EVERY: Duration = Duration::from_secs(5);
/// For how long a census serves all workers: somewhat less, so that a lone worker's are always its own.
const GOOD_FOR: Duration = Duration::from_secs(4);
/// The share of their limit from which on dead letters are about to be trimmed.
const NEARLY_FULL: f64 = 0.9;

pub(super) struct Census {
    last: Option<Moment>,
    nearly_full: bool,
    complaints: Complaints,
}

impl Census {
    pub(super) const fn new() -> Self {
        Self {
            last: None,
            nearly_full: false,
            complaints: Complaints::new(),
        }
    }

    /// Takes a census if it is time for one.
    pub(super) async fn tick(&mut self, partition: &Partition) {
        if self.last.is_some_and(|last| last.elapsed() < EVERY) {
            return;
        }
        self.last = Some(Moment::now());
        let census = match partition.store.census(GOOD_FOR).await {
            Ok(census) => census,
            Err(e) => return self.complaints.about(&e, "the queue can't be counted; trying again"),
        };
        self.complaints.settled("the queue is counted again");
        let core = &partition.core;
        let limit = core.settings.recovery.dlq_max_len;
        let fill = fill(census.dead_letters, limit);
        core.metrics.census(partition.number, &census, fill);
        let nearly_full = fill.is_some_and(|fill| fill >= NEARLY_FULL);
        if std::mem::replace(&mut self.nearly_full, nearly_full) != nearly_full {
            let (service, dead_letters) = (&core.settings.service, census.dead_letters);
            if nearly_full {
                tracing::warn!(
                    %service, partition = partition.number, dead_letters, limit,
                    "the oldest dead letters are about to be trimmed; redrive or purge them, or raise recovery.dlq_max_len"
                );
            } else {
                tracing::info!(%service, partition = partition.number, dead_letters, limit, "there is room for dead letters again");
            }
        }
    }
}

/// The share of their limit that dead letters take up; [`None`] where there is no limit.
fn fill(dead_letters: u64, limit: u64) -> Option<f64> {
    (limit > 0).then(|| dead_letters as f64 / limit as f64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dead_letters_without_a_limit_are_never_about_to_be_trimmed() {
        assert_eq!(fill(u64::MAX, 0), None);
        assert_eq!(fill(0, 10), Some(0.0));
        assert!(fill(9, 10).unwrap() >= NEARLY_FULL && fill(8, 10).unwrap() < NEARLY_FULL);
    }
}
