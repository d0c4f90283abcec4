//! The contract on a primary with a replica, under Sentinels.

#[path = "contract/mod.rs"]
mod contract;
#[path = "one_server/databases.rs"]
mod databases;

const TOPOLOGY: streamherd_tests::Topology = streamherd_tests::Topology::Sentinel;
