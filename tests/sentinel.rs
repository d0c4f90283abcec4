//! The contract on a primary under a Sentinel.

#[path = "contract/mod.rs"]
mod contract;
#[path = "one_server/databases.rs"]
mod databases;
#[path = "one_server/go_layout/mod.rs"]
mod go_layout;

const TOPOLOGY: streamherd_tests::Topology = streamherd_tests::Topology::Sentinel;
