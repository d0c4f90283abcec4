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
fn every_test_that_the_guarantees_and_the_architecture_name_exists() {
    let mut tests = String::new();
    for folder in ["tests", "crates"] {
        sources(&workspace().join(folder), &mut tests);
    }
    for page in ["docs/GUARANTEES.md", "docs/ARCHITECTURE.md"] {
        let text = fs::read_to_string(workspace().join(page)).unwrap();
        let named: Vec<_> = text.split('`').filter(|word| is_sentence(word)).collect();
        assert!(page != "docs/GUARANTEES.md" || named.len() > 20, "{named:?}");
        let missing: Vec<_> = named
            .into_iter()
            .filter(|name| !tests.contains(&format!("fn {name}(")))
            .collect();
        assert!(missing.is_empty(), "{page}: {missing:?}");
    }
}

#[test]
fn every_guarantee_names_a_test_of_the_contract() {
    let guarantees = fs::read_to_string(workspace().join("docs/GUARANTEES.md")).unwrap();
    for number in 1..=9 {
        assert!(guarantees.contains(&format!("`guarantee_{number}_")), "{number}");
    }
}

#[test]
fn every_script_is_part_of_the_architecture_or_of_its_call() {
    let architecture = fs::read_to_string(workspace().join("docs/ARCHITECTURE.md")).unwrap();
    let scripts = workspace().join("crates/streamherd/src/store/lua");
    // On the way of an entry; the others are named in the list of calls of METRICS, which a test compares with a run.
    for script in [
        "submit", "read", "seize", "acquire", "renew", "settle", "list", "requeue", "hello", "restore", "promote",
    ] {
        assert!(scripts.join(format!("{script}.lua")).is_file(), "{script}");
        assert!(architecture.contains(&format!("`{script}`")), "{script}");
    }
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

/// <https://keepachangelog.com/en/1.1.0/>
#[test]
fn the_changelog_has_the_form_that_it_names() {
    let changelog = fs::read_to_string(workspace().join("CHANGELOG.md")).unwrap();
    let versions: Vec<_> = changelog.lines().filter_map(|line| line.strip_prefix("## ")).collect();
    assert_eq!(versions.first(), Some(&"[Unreleased]"));
    for version in &versions[1..] {
        assert!(version.starts_with('[') && version.contains("] - 20"), "{version}");
    }
    for kind in changelog.lines().filter_map(|line| line.strip_prefix("### ")) {
        let known = ["Added", "Changed", "Deprecated", "Removed", "Fixed", "Security"];
        assert!(known.contains(&kind), "{kind}");
    }
    for entry in changelog.lines().filter_map(|line| line.strip_prefix("- ")) {
        assert!(entry.len() > 10, "{entry}");
    }
}
