//! What the documents say that can be looked up.

use std::fs;
use std::path::{Path, PathBuf};

fn workspace() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

fn sources(folder: &Path, text: &mut String) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            sources(&path, text);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            text.push_str(&fs::read_to_string(path).unwrap());
        }
    }
}

/// Names of tests are sentences: four words at least.
fn is_sentence(word: &str) -> bool {
    let is_name = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_';
    word.chars().all(is_name) && word.split('_').count() >= 4
}

#[test]
fn every_test_that_the_guarantees_name_exists() {
    let guarantees = fs::read_to_string(workspace().join("docs/GUARANTEES.md")).unwrap();
    let mut tests = String::new();
    for folder in ["tests", "crates"] {
        sources(&workspace().join(folder), &mut tests);
    }
    let named: Vec<_> = guarantees.split('`').filter(|word| is_sentence(word)).collect();
    assert!(named.len() > 20, "{named:?}");
    let missing: Vec<_> = named
        .into_iter()
        .filter(|name| !tests.contains(&format!("fn {name}(")))
        .collect();
    assert!(missing.is_empty(), "{missing:?}");
}

#[test]
fn every_property_of_the_model_is_named_in_the_guarantees() {
    let guarantees = fs::read_to_string(workspace().join("docs/GUARANTEES.md")).unwrap();
    let properties = fs::read_to_string(workspace().join("tests/model/src/properties.rs")).unwrap();
    let constants = properties.lines().filter(|line| line.starts_with("pub const "));
    let names: Vec<_> = constants.filter_map(|line| line.split('"').nth(1)).collect();
    assert!(names.len() > 8, "{names:?}");
    for name in names {
        assert!(guarantees.contains(&format!("`{name}`")), "{name}");
    }
}
