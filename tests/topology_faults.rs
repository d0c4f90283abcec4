//! What the contract on one server can't show: topologies that change under load.

#[path = "topology/mod.rs"]
mod topology;
