//! The same work in bare commands, without any framework: what a workload can reach at the most.

pub(crate) mod drain;
pub(crate) mod extend;
pub(crate) mod fill;
