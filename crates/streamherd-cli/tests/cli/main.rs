//! The `streamherd` binary, run as users run it, against real servers.

mod bench;
mod demo;
mod dlq;
mod doctor;
mod exec;
mod hostile;
mod logins;
mod migrate;
mod operators;
mod partitions;
mod probes;
mod queue;
mod restarts;
mod serve;
mod shell;
mod support;
mod terminal;
mod top;
mod traces;
mod usage;
mod worker;
