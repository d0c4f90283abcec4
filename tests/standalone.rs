//! The contract on a standalone redis-server.

#[path = "contract/mod.rs"]
mod contract;
#[path = "one_server/mod.rs"]
mod one_server;

const TOPOLOGY: streamherd_tests::Topology = streamherd_tests::Topology::Standalone;
