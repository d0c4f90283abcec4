use futures_util::future::join_all;

use super::Admin;
use crate::error::StoreError;

/// Who is to take no new work.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum PauseTarget {
    /// All consumers of the service, also those that are yet to start.
    Service,
    /// All consumers of that name, also after a restart; or, by its id with the incarnation, the one. No name is nobody.
    Consumer(String),
}

impl PauseTarget {
    fn consumer(&self) -> Option<&str> {
        match self {
            Self::Service => None,
            Self::Consumer(consumer) => Some(consumer),
        }
    }

    fn is_nobody(&self) -> bool {
        self.consumer() == Some("")
    }
}

impl Admin {
    /// Has the service, or consumers of it, take no new work until it is [resumed](Self::resume); kept in Redis, it
    /// outlives whoever asked for it. What is held goes on, and nothing is counted. False if it was paused already.
    ///
    /// # Errors
    /// Redis did not answer, or refused, for one of the partitions at least; the others are paused then. May be repeated.
    ///
    /// # Cancel safety
    /// Dropping the future may or may not keep the pause from being written.
    pub async fn pause(&self, target: &PauseTarget) -> Result<bool, StoreError> {
        self.set_paused(true, target).await
    }

    /// Takes a [`pause`](Self::pause) of the same target back; one of a consumer's name, of its id and of the service are
    /// independent of each other. False if there was none.
    ///
    /// # Errors
    /// As [`pause`](Self::pause).
    ///
    /// # Cancel safety
    /// As [`pause`](Self::pause).
    pub async fn resume(&self, target: &PauseTarget) -> Result<bool, StoreError> {
        self.set_paused(false, target).await
    }

    async fn set_paused(&self, pause: bool, target: &PauseTarget) -> Result<bool, StoreError> {
        if target.is_nobody() {
            return Ok(false);
        }
        let stores = self.stores()?;
        // Each to its end: one that fails keeps the others from nothing.
        let changed = join_all(stores.iter().map(|store| store.pause(pause, target.consumer()))).await;
        changed.into_iter().try_fold(false, |any, changed| Ok(any | changed?))
    }
}
