//! Whether the table of dependencies in docs/ARCHITECTURE.md is that of the manifests.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

/// Of one dependency: who needs it, and whose tests alone do.
#[derive(Debug, Default, PartialEq)]
struct Users {
    all: BTreeSet<String>,
    tests: BTreeSet<String>,
}

fn workspace() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

fn manifests() -> Vec<String> {
    let crates = fs::read_dir(workspace().join("crates")).unwrap();
    let mut folders: Vec<_> = crates.map(|entry| entry.unwrap().path()).collect();
    folders.extend(["benches", "examples", "tests", "tests/api", "tests/model"].map(|name| workspace().join(name)));
    let manifests = folders.into_iter().map(|folder| folder.join("Cargo.toml"));
    manifests.map(|path| fs::read_to_string(path).unwrap()).collect()
}

/// `streamherd-cli` is `cli` in the table.
fn short(manifest: &str) -> &str {
    let name = manifest.split("name = \"").nth(1).unwrap().split('"').next().unwrap();
    match name {
        "streamherd" => "library",
        _ => name.trim_start_matches("streamherd-"),
    }
}

fn in_manifests() -> BTreeMap<String, Users> {
    let mut all: BTreeMap<String, Users> = BTreeMap::new();
    for manifest in manifests() {
        let user = short(&manifest).to_owned();
        let mut section = "";
        for line in manifest.lines() {
            if line.starts_with('[') {
                section = line;
            }
            let name = line.split(['.', ' ', '=']).next().unwrap_or_default();
            let is_foreign = name.starts_with(|c: char| c.is_ascii_lowercase()) && !name.starts_with("streamherd");
            match section {
                "[dependencies]" if is_foreign => {
                    all.entry(name.to_owned()).or_default().all.insert(user.clone());
                }
                "[dev-dependencies]" if is_foreign => {
                    all.entry(name.to_owned()).or_default().tests.insert(user.clone());
                }
                _ => {}
            }
        }
    }
    for users in all.values_mut() {
        users.tests = &users.tests - &users.all;
    }
    all
}

fn in_table() -> BTreeMap<String, Users> {
    let page = fs::read_to_string(workspace().join("docs/ARCHITECTURE.md")).unwrap();
    let section = page.split("\n## Dependencies\n").nth(1).expect("a section");
    let section = section.split("\n## ").next().unwrap();
    let rows = section.lines().filter(|line| line.starts_with("| ")).skip(1);
    rows.map(|row| {
        let cells: Vec<_> = row.trim_matches('|').split(" | ").map(str::trim).collect();
        let [name, users, reason] = cells.as_slice() else {
            panic!("{row}")
        };
        assert!(reason.len() > 5, "no reason: {row}");
        let names = |list: &str| list.split(", ").map(str::to_owned).collect();
        let mut found = Users::default();
        for part in users.split("; ") {
            match part.strip_prefix("tests: ") {
                Some(list) => found.tests = names(list),
                None => found.all = names(part),
            }
        }
        ((*name).to_owned(), found)
    })
    .collect()
}

#[test]
fn the_table_of_dependencies_is_that_of_the_manifests() {
    let (table, manifests) = (in_table(), in_manifests());
    assert!(manifests.len() > 40, "{manifests:?}");
    let wrong: Vec<_> = manifests
        .iter()
        .filter(|(name, users)| table.get(*name) != Some(users))
        .collect();
    assert!(wrong.is_empty(), "the rows of these are others: {wrong:#?}");
    for name in table.keys() {
        assert!(manifests.contains_key(name), "nobody depends on {name}");
    }
}
