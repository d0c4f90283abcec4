//! Whether what cargo is told to build exists.

use std::fs;
use std::process::Command;
use std::sync::OnceLock;

use serde_json::Value;

use crate::exceptions::{But, NotRun};
use crate::root;
use crate::shell::Line;

pub(crate) fn check(exception: &NotRun, line: &Line) {
    assert!(!exception.why.is_empty());
    match exception.but {
        But::TargetExists => target(line),
        But::TaskExists => {
            let task = line.words()[2].clone();
            let tasks = help().lines().filter_map(|line| line.strip_prefix("  "));
            let known = tasks.filter_map(|line| line.split([' ', ',']).next());
            assert!(
                known.into_iter().any(|known| known == task),
                "{}: no task {task}",
                line.at
            );
        }
        But::PathExists => {
            let words = line.words();
            let path = words.iter().skip_while(|word| *word != "--path").nth(1).unwrap();
            assert!(root().join(path).join("Cargo.toml").is_file(), "{}: {path}", line.at);
        }
        But::NotOurs => {}
    }
}

fn cargo(args: &[&str]) -> Vec<u8> {
    let output = Command::new(env!("CARGO"))
        .args(args)
        .current_dir(root())
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "cargo {args:?}: {said}");
    output.stdout
}

fn help() -> &'static str {
    static HELP: OnceLock<String> = OnceLock::new();
    HELP.get_or_init(|| String::from_utf8(cargo(&["xtask", "help"])).unwrap())
}

fn packages() -> &'static [Value] {
    static PACKAGES: OnceLock<Vec<Value>> = OnceLock::new();
    PACKAGES.get_or_init(|| {
        let told = cargo(&["metadata", "--no-deps", "--offline", "--format-version", "1"]);
        let mut told: Value = serde_json::from_slice(&told).unwrap();
        serde_json::from_value(told["packages"].take()).unwrap()
    })
}

/// `cargo test -p PACKAGE [--all-features] [--lib | --test NAME] [-- FILTER]`, and its kind.
fn target(line: &Line) {
    let words = line.words();
    let mut words = words.iter().map(String::as_str).skip(2);
    let mut package = None;
    let mut place = None;
    while let Some(word) = words.next() {
        match word {
            "-p" | "--package" => {
                let name = words.next().unwrap();
                let found = packages().iter().find(|package| package["name"] == name);
                package = Some(found.unwrap_or_else(|| panic!("{}: no package {name}", line.at)));
            }
            "--test" | "--example" | "--bench" | "--bin" => {
                let name = words.next().unwrap();
                let package = package.unwrap_or_else(|| panic!("{}: of which package?", line.at));
                let targets = package["targets"].as_array().unwrap();
                let found = targets.iter().find(|target| target["name"] == name);
                let found = found.unwrap_or_else(|| panic!("{}: no target {name}", line.at));
                place = Some(found["src_path"].as_str().unwrap().to_owned());
            }
            "--features" => {
                let package = package.unwrap_or_else(|| panic!("{}: of which package?", line.at));
                for feature in words.next().unwrap().split(',') {
                    assert!(!package["features"][feature].is_null(), "{}: {feature}", line.at);
                }
            }
            "--" => {
                // A filter names a module of the tests, a file beside them; or is an option of the test program.
                let Some(filter) = words.next().filter(|word| !word.starts_with('-')) else {
                    break;
                };
                let module = filter.trim_end_matches("::");
                let tests = std::path::Path::new(place.as_ref().unwrap()).parent().unwrap();
                let folders = fs::read_dir(tests).unwrap().map(|entry| entry.unwrap().path());
                let known = folders
                    .filter(|path| path.is_dir())
                    .any(|folder| folder.join(format!("{module}.rs")).is_file() || folder.join(module).is_dir());
                assert!(known, "{}: no tests of {module}", line.at);
                break;
            }
            "--all-features" | "--lib" | "--doc" | "--workspace" | "--release" | "--no-run" | "--examples" => {}
            other => panic!("{}: is {other} right?", line.at),
        }
    }
}
