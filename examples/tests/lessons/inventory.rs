//! That there is a test for each example and a row in the index, and that nothing is typed outside of the blocks that tests read.

use std::collections::BTreeSet;
use std::path::Path;

use crate::page::{Page, folder};

/// Where the test of an example is; a page that is followed in part says so there.
const TESTS: &[&str] = &[
    include_str!("failing.rs"),
    include_str!("operating.rs"),
    include_str!("places.rs"),
    include_str!("workers.rs"),
];

/// What the tests of this folder can't type, and why it is still on a page.
const NOT_RUN: &[(&str, &str)] = &[
    (
        "cargo test -p streamherd-examples --example testing",
        "cargo runs it itself: its manifest says `test = true`",
    ),
    (
        "cargo test -p streamherd-examples --all-features",
        "it is what runs this test",
    ),
    (
        "docker build -t streamherd .",
        "no docker where the tests run; what the Dockerfile names is compared with the workspace by those of xtask",
    ),
    (
        "docker compose -f examples/deploy/compose.yaml up",
        "no docker where the tests run; the file and its arguments are read by those of the CLI",
    ),
    (
        "kubectl apply -f examples/deploy/deployment.yaml",
        "no cluster where the tests run; the file and its arguments are read by those of the CLI",
    ),
    ("kubectl apply -f examples/deploy/keda.yaml", "as the other one"),
];

/// Programs that a reader may type.
const PROGRAMS: &[&str] = &["cargo", "curl", "docker", "env", "kill", "kubectl", "redis-cli"];

fn examples() -> BTreeSet<String> {
    let files = std::fs::read_dir(folder()).unwrap().map(|file| file.unwrap().path());
    let programs = files.filter(|path| path.extension().is_some_and(|ending| ending == "rs"));
    let names = programs.map(|path| path.file_stem().unwrap().to_str().unwrap().to_owned());
    names.filter(|name| name != "lib").collect()
}

fn manifest() -> String {
    std::fs::read_to_string(folder().join("Cargo.toml")).unwrap()
}

#[test]
fn every_example_says_what_it_is_how_to_run_it_and_what_to_try() {
    for example in examples() {
        let page = Page::read(&format!("{example}.rs"));
        assert!(page.text.starts_with("# "), "{example} has no title");
        let places = ["**What.**", "**Run.**", "**Try.**"].map(|part| page.text.find(part));
        assert!(places.is_sorted() && places[0].is_some(), "{example}: {places:?}");
        assert!(!page.commands.is_empty(), "{example} says no command");
        let source = std::fs::read_to_string(&page.path).unwrap();
        assert!(source.lines().count() < 150, "{example} is too long for a lesson");
    }
}

#[test]
fn every_example_has_a_test_or_is_one() {
    let tested = |name: &str| {
        TESTS
            .iter()
            .any(|tests| tests.contains(&format!("Lesson::of(\"{name}\")")))
    };
    for example in examples() {
        let is_one = manifest().contains(&format!("name = \"{example}\"\npath = \"{example}.rs\"\ntest = true\n"));
        assert!(tested(&example) || is_one, "nothing runs {example}");
        assert!(
            !is_one || only_cargo_runs(&Page::read(&format!("{example}.rs"))),
            "{example} has commands that nothing runs"
        );
    }
}

fn only_cargo_runs(page: &Page) -> bool {
    page.promises.is_empty() && page.commands.iter().all(|command| not_run(command))
}

fn not_run(command: &str) -> bool {
    NOT_RUN.iter().any(|(one, _)| *one == command)
}

#[test]
fn the_index_has_a_row_for_each_example_and_its_files_are_there() {
    let index = Page::read("README.md");
    for example in examples() {
        let row = format!("| [{example}]({example}.rs) | ");
        assert!(index.text.contains(&row), "no row {row:?}");
    }
    for name in ["README.md", "deploy/README.md"] {
        let page = Page::read(name);
        for link in page
            .text
            .split("](")
            .skip(1)
            .filter_map(|rest| rest.split_once(')'))
            .map(|(link, _)| link)
        {
            let file = link.split('#').next().unwrap_or(link);
            let there = page.path.parent().unwrap().join(file).exists();
            assert!(there || link.starts_with("http"), "{name}: {link} leads nowhere");
        }
    }
}

#[test]
fn what_the_readmes_have_one_type_is_typed_in_a_test_or_named_with_a_reason() {
    let typed: BTreeSet<String> = examples()
        .iter()
        .flat_map(|example| Page::read(&format!("{example}.rs")).commands)
        .collect();
    for name in ["README.md", "deploy/README.md"] {
        for command in Page::read(name).commands {
            assert!(
                not_run(&command) || typed.contains(&command),
                "{name}: nothing runs {command}"
            );
            for file in command.split(' ').filter(|word| Path::new(word).extension().is_some()) {
                assert!(folder().join("..").join(file).exists(), "{name}: {command}: no {file}");
            }
        }
    }
}

#[test]
fn whatever_one_is_to_type_stands_in_a_block_of_sh() {
    let pages = examples().into_iter().map(|example| format!("{example}.rs"));
    for name in pages.chain(["README.md", "deploy/README.md"].map(str::to_owned)) {
        let text = Page::read(&name).text.replace("```", "");
        for code in text.split('`').skip(1).step_by(2) {
            let is_command = code
                .split_once(' ')
                .is_some_and(|(program, _)| PROGRAMS.contains(&program));
            assert!(!is_command, "{name}: `{code}` is not in a block that a test reads");
            // As the name of something: then there is something of this name.
            if let Some(words) = code.strip_prefix("streamherd ") {
                let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_streamherd-of-lessons"));
                let known = command.args(words.split(' ')).arg("--help").output().unwrap();
                assert!(known.status.success(), "{name}: `{code}`: {known:?}");
            }
        }
    }
}

#[test]
fn features_that_an_example_needs_are_asked_for_in_its_commands() {
    for example in examples() {
        let manifest = manifest();
        let part = manifest
            .split("[[")
            .find(|part| part.contains(&format!("path = \"{example}.rs\"")))
            .expect("a target");
        let needs = part
            .split_once("required-features = [\"")
            .and_then(|(_, rest)| rest.split_once('"'));
        let runs = format!("--example {example}");
        for command in Page::read(&format!("{example}.rs"))
            .commands
            .iter()
            .filter(|command| command.contains(&runs))
        {
            assert_eq!(
                command.split_once("--features ").map(|(_, feature)| feature),
                needs.map(|(feature, _)| feature),
                "{command}"
            );
        }
    }
}
