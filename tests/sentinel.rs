//! The contract on a primary under a Sentinel.

#[path = "contract/mod.rs"]
mod contract;
#[path = "one_server/databases.rs"]
mod databases;

const TOPOLOGY: streamherd_tests::Topology = streamherd_tests::Topology::Sentinel;
