//! What the contract promises in seconds, on a standalone redis-server.

#[path = "contract/handover_time.rs"]
mod handover_time;
#[path = "contract/outage_times.rs"]
mod outage_times;
#[path = "contract/promotion.rs"]
mod promotion;
#[path = "contract/reassignment.rs"]
mod reassignment;

const TOPOLOGY: streamherd_tests::Topology = streamherd_tests::Topology::Standalone;

/// One test at a time, so that they don't measure each other.
static ALONE: tokio::sync::Semaphore = tokio::sync::Semaphore::const_new(1);
