//! Files of the repository.

use std::fs;
use std::path::{Path, PathBuf};

use serde::Deserialize as _;
use serde_json::Value;

/// A path, as seen from the root.
pub(crate) fn path(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..").join(name)
}

pub(crate) fn read(name: &str) -> String {
    fs::read_to_string(path(name)).unwrap_or_else(|e| panic!("{name}: {e}"))
}

/// The documents of a YAML file.
pub(crate) fn yaml(name: &str) -> Vec<Value> {
    let text = read(name);
    let documents = serde_yaml_ng::Deserializer::from_str(&text);
    documents
        .map(|document| Value::deserialize(document).unwrap_or_else(|e| panic!("{name}: {e}")))
        .collect()
}

/// Every text of a document under a key, however deep.
pub(crate) fn texts<'a>(document: &'a Value, key: &str) -> Vec<&'a str> {
    match document {
        Value::Array(all) => all.iter().flat_map(|one| texts(one, key)).collect(),
        Value::Object(fields) => fields
            .iter()
            .flat_map(|(name, value)| match value {
                Value::String(text) if name == key => vec![text.as_str()],
                other => texts(other, key),
            })
            .collect(),
        _ => Vec::new(),
    }
}
