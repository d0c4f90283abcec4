//! Files are small enough to be read at once, or say why not.

use std::fs;
use std::path::{Path, PathBuf};

const MOST_LINES: usize = 400;
/// What the first comment of a longer file has to say, with a reason behind it.
const REASON: &str = "Longer than 400 lines: ";

/// Its comment on top, before any code, gives a reason.
fn says_why(text: &str) -> bool {
    let is_comment = |line: &&str| ["//", "--", "/*", "*", "#"].iter().any(|mark| line.starts_with(mark));
    text.lines()
        .map(str::trim)
        .take_while(|line| line.is_empty() || is_comment(line))
        .filter_map(|line| line.split_once(REASON))
        .any(|(_, why)| !why.trim().is_empty())
}

fn is_too_long(text: &str) -> bool {
    text.lines().count() > MOST_LINES && !says_why(text)
}

fn sources(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let ending = path.extension().and_then(|ending| ending.to_str());
        if path.is_dir() {
            if !path.ends_with("target") {
                sources(&path, found);
            }
        } else if matches!(ending, Some("rs" | "lua" | "js" | "css")) {
            found.push(path);
        }
    }
}

#[test]
fn every_source_file_has_at_most_400_lines_or_gives_a_reason() {
    let workspace = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let mut found = Vec::new();
    for folder in ["benches", "crates", "examples", "tests"] {
        sources(&workspace.join(folder), &mut found);
    }
    assert!(found.len() > 300, "{}", found.len());
    let too_long: Vec<_> = found
        .iter()
        .filter(|path| is_too_long(&fs::read_to_string(path).unwrap()))
        .collect();
    assert!(
        too_long.is_empty(),
        "split it, or say `//! {REASON}…` on top of it: {too_long:#?}"
    );
}

#[test]
fn a_reason_is_looked_for_in_the_first_comment() {
    let long = "let it = 1;\n".repeat(401);
    assert!(!is_too_long(&"let it = 1;\n".repeat(400)));
    for (top, verdict) in [
        ("", true),
        ("//! A table.\n", true),
        (
            "//! A table.\n//!\n//! Longer than 400 lines: one table, read from top to bottom.\n",
            false,
        ),
        ("-- Longer than 400 lines: one script is one step.\n", false),
        ("/* Longer than 400 lines: one page. */\n", false),
        ("//! Longer than 400 lines: \n", true),
        ("use std::fs;\n// Longer than 400 lines: too late.\n", true),
    ] {
        assert_eq!(is_too_long(&format!("{top}{long}")), verdict, "{top:?}");
    }
}
