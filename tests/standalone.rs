//! The contract on a standalone redis-server.

#[path = "contract/mod.rs"]
mod contract;
