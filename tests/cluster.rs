//! The contract on an OSS cluster, with one partition.

#[path = "contract/mod.rs"]
mod contract;

const TOPOLOGY: streamherd_tests::Topology = streamherd_tests::Topology::Cluster { partitions: 1 };
