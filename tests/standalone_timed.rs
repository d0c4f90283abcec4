//! What the contract promises in seconds, on a standalone redis-server.

#[path = "contract/promotion.rs"]
mod promotion;
#[path = "contract/reassignment.rs"]
mod reassignment;

/// One test at a time, so that they don't measure each other.
static ALONE: tokio::sync::Semaphore = tokio::sync::Semaphore::const_new(1);
