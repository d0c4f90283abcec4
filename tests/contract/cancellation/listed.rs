//! That none is forgotten.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

/// Each public async function of the library, as `Type::name`, with the documentation that it has.
fn public_async_functions(folder: &Path, found: &mut BTreeMap<String, String>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            public_async_functions(&path, found);
            continue;
        }
        if path.extension().is_none_or(|extension| extension != "rs") {
            continue;
        }
        let (mut of, mut doc) = (String::new(), String::new());
        for line in fs::read_to_string(&path).unwrap().lines() {
            let words = line.trim_start();
            if line.starts_with("impl") {
                of = implemented(line);
            }
            if let Some(text) = words.strip_prefix("///") {
                doc.push_str(text);
                doc.push('\n');
                continue;
            }
            if let Some(name) = words.strip_prefix("pub async fn ") {
                let name = name.split(['(', '<']).next().unwrap_or_default();
                found.insert(format!("{of}::{name}"), doc.clone());
            }
            // A promise that is named so is one as well.
            if words.starts_with("pub fn ") && words.contains("-> impl Future") {
                found.insert(format!("{of}::{words}"), doc.clone());
            }
            if !words.starts_with("#[") {
                doc.clear();
            }
        }
    }
}

/// `Type` of `impl Type {`, of `impl<'a> Type<'a> {` and of `impl Trait for Type {`.
fn implemented(line: &str) -> String {
    let line = line.split(" for ").last().unwrap_or(line);
    let name = line.trim_start_matches("impl").trim_start();
    let name = if name.starts_with('<') {
        name.split_once("> ").map_or(name, |(_, name)| name)
    } else {
        name
    };
    name.split(['<', ' ', '{']).next().unwrap_or_default().to_owned()
}

fn sources(folder: &str) -> std::path::PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(folder)
}

#[test]
fn every_public_async_function_is_dropped_by_a_test() {
    let mut found = BTreeMap::new();
    public_async_functions(&sources("../crates/streamherd/src"), &mut found);
    // A cluster has nothing to migrate.
    let mut tests = fs::read_to_string(sources("one_server/go_layout/dropping.rs")).unwrap();
    for file in fs::read_dir(sources("contract/cancellation")).unwrap() {
        let path = file.unwrap().path();
        if !path.ends_with("listed.rs") {
            tests.push_str(&fs::read_to_string(path).unwrap());
        }
    }
    // As the tests name the operations that they drop.
    let dropped: BTreeSet<&str> = tests.split('"').filter(|text| text.contains("::")).collect();
    let forgotten: Vec<_> = found.keys().filter(|name| !dropped.contains(name.as_str())).collect();
    assert!(found.len() > 30, "{found:?}");
    assert!(forgotten.is_empty(), "no test drops {forgotten:?}");
}

#[test]
fn every_public_async_function_says_what_dropping_it_means() {
    let mut found = BTreeMap::new();
    public_async_functions(&sources("../crates/streamherd/src"), &mut found);
    let silent = found.iter().filter(|(_, doc)| !doc.contains("# Cancel safety"));
    let silent: Vec<_> = silent.map(|(name, _)| name).collect();
    assert!(silent.is_empty(), "{silent:?} say nothing");
}
