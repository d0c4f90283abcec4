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
    /// Redis did not answer, or refused.
    ///
    /// # Cancel safety
    /// Dropping the future may or may not keep the pause from being written.
    pub async fn pause(&self, target: &PauseTarget) -> Result<bool, StoreError> {
        Ok(!target.is_nobody() && self.store().pause(true, target.consumer()).await?)
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
        Ok(!target.is_nobody() && self.store().pause(false, target.consumer()).await?)
    }
}
