//! Compares the public items of what is published with `docs/api`, as `cargo xtask api` has it done:
//! `streamherd-api FOLDER-OF-RUSTDOC-JSON [--bless]`.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

/// Libraries whose items are a promise. The others are parts of the command, and change as it needs.
const LIBRARIES: [&str; 4] = [
    "streamherd",
    "streamherd-dashboard",
    "streamherd-probes",
    "streamherd-testkit",
];

/// Of the JSON that the version of public-api in Cargo.lock reads. 57 is what Rust 1.95 writes.
const FORMAT: u64 = 57;

/// Tells `cargo xtask` that this toolchain's rustdoc can't be read here, which says nothing about the items.
const OTHER_FORMAT: u8 = 3;

fn main() -> ExitCode {
    let args: Vec<_> = std::env::args_os().skip(1).collect();
    let (json, bless) = match args.as_slice() {
        [json] => (Path::new(json), false),
        [json, option] if option == "--bless" => (Path::new(json), true),
        _ => {
            eprintln!("usage: streamherd-api FOLDER-OF-RUSTDOC-JSON [--bless]");
            return ExitCode::from(2);
        }
    };
    let mut changed = false;
    for library in LIBRARIES {
        let json = json.join(library.replace('-', "_")).with_extension("json");
        match check(library, &json, bless) {
            Ok(same) => changed |= !same,
            Err(Failure::Format(format)) => {
                eprintln!(
                    "rustdoc of this toolchain writes JSON of format {format}, and what is read here is {FORMAT}"
                );
                return ExitCode::from(OTHER_FORMAT);
            }
            Err(Failure::Other(message)) => {
                eprintln!("{library}: {message}");
                return ExitCode::FAILURE;
            }
        }
    }
    if changed && !bless {
        eprintln!(
            "The public items are not those of docs/api. If that is meant: cargo xtask api --bless, and a line in CHANGELOG.md."
        );
        return ExitCode::FAILURE;
    }
    ExitCode::SUCCESS
}

enum Failure {
    Format(u64),
    Other(String),
}

/// Whether the items are those that are recorded. What is not is printed, and with `bless` recorded.
fn check(library: &str, json: &Path, bless: bool) -> Result<bool, Failure> {
    let now = items(json)?;
    let record = recorded(library);
    // A new library has no record yet.
    let before = fs::read_to_string(&record).unwrap_or_default();
    let changes = changes(&before, &now);
    for change in &changes {
        println!("{library}: {change}");
    }
    if bless {
        fs::write(&record, now).map_err(|e| Failure::Other(format!("{}: {e}", record.display())))?;
    }
    Ok(changes.is_empty())
}

fn recorded(library: &str) -> PathBuf {
    let docs = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/api");
    docs.join(library).with_extension("txt")
}

/// A line for each item. What the compiler derives and implements by itself would be most of it, and differs between versions.
fn items(json: &Path) -> Result<String, Failure> {
    let other = |e: String| Failure::Other(format!("{}: {e}", json.display()));
    let text = fs::read_to_string(json).map_err(|e| other(e.to_string()))?;
    let format = format_of(&text).map_err(|e| other(e.to_string()))?;
    if format != FORMAT {
        return Err(Failure::Format(format));
    }
    let api = public_api::Builder::from_rustdoc_json(json)
        .omit_blanket_impls(true)
        .omit_auto_trait_impls(true)
        .omit_auto_derived_impls(true)
        .build()
        .map_err(|e| other(e.to_string()))?;
    Ok(api.to_string())
}

fn format_of(json: &str) -> serde_json::Result<u64> {
    let all: serde_json::Value = serde_json::from_str(json)?;
    Ok(all["format_version"].as_u64().unwrap_or_default())
}

/// Lines that went and lines that came.
fn changes(before: &str, now: &str) -> Vec<String> {
    let (old, new): (BTreeSet<_>, BTreeSet<_>) = (before.lines().collect(), now.lines().collect());
    let gone = old.difference(&new).map(|line| format!("- {line}"));
    let come = new.difference(&old).map(|line| format!("+ {line}"));
    gone.chain(come).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_item_that_went_and_one_that_came_are_told() {
        assert!(changes("fn a\nfn b\n", "fn a\nfn b\n").is_empty());
        assert_eq!(changes("fn a\nfn b\n", "fn a\nfn c\n"), ["- fn b", "+ fn c"]);
    }

    #[test]
    fn json_of_another_rustdoc_is_told_from_other_items() {
        assert_eq!(format_of(r#"{"format_version":58}"#).unwrap(), 58);
        assert_eq!(format_of("{}").unwrap(), 0);
        assert!(format_of("<html>").is_err());
    }

    #[test]
    fn every_library_has_a_record() {
        for library in LIBRARIES {
            let record = fs::read_to_string(recorded(library)).unwrap();
            let name = library.replace('-', "_");
            assert!(record.starts_with(&format!("pub mod {name}\n")), "{library}");
        }
    }
}
