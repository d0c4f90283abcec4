//! The contract on an OSS cluster, with more partitions than masters.

#[path = "contract/mod.rs"]
mod contract;

const TOPOLOGY: streamherd_tests::Topology = streamherd_tests::Topology::Cluster { partitions: 6 };
