//! What the contract promises in seconds, on a standalone redis-server.

#[path = "contract/reassignment.rs"]
mod reassignment;
