//! The same work in bare commands, without any framework: what a workload can reach at the most.

pub(crate) mod drain;
pub(crate) mod extend;
pub(crate) mod fill;
pub(crate) mod orphans;
pub(crate) mod pace;
pub(crate) mod serve;
pub(crate) mod share;

use fred::types::Value;

/// The entries in the answer to a read of one stream, each an id and its fields.
fn entries(read: &Value) -> impl Iterator<Item = &[Value]> {
    let stream = list(list(Some(read)).first());
    list(stream.get(1)).iter().map(|entry| list(Some(entry)))
}

fn list(value: Option<&Value>) -> &[Value] {
    match value {
        Some(Value::Array(list)) => list,
        _ => &[],
    }
}

/// Their ids.
fn ids(read: &Value) -> Vec<String> {
    entries(read).filter_map(|entry| entry.first()?.as_string()).collect()
}
