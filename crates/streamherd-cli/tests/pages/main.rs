//! What the pages tell a reader to do, done: every command, every program, every piece of configuration on README.md,
//! CONTRIBUTING.md, SECURITY.md, MIGRATION.md and the pages of `docs/` is taken from the page and run as a reader would, on a
//! server of its own. What can't be is in one list, `exceptions.rs`, with the reason.

mod configuration;
mod exceptions;
mod follow;
mod links;
mod markdown;
mod mentions;
mod programs;
mod reader;
mod shell;
mod targets;

use std::collections::BTreeSet;
use std::fs;
use std::panic;
use std::path::{Path, PathBuf};
use std::thread;

use markdown::{Snippet, What};

/// The top of the repository.
fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../..")
        .canonicalize()
        .unwrap()
}

/// Pages and what is on them, by their path from the root.
fn pages() -> Vec<(String, Vec<Snippet>)> {
    let mut names: Vec<String> = ["README.md", "CONTRIBUTING.md", "SECURITY.md", "MIGRATION.md"]
        .map(str::to_owned)
        .into();
    let docs = fs::read_dir(root().join("docs")).unwrap();
    let docs = docs.map(|file| file.unwrap().file_name().into_string().unwrap());
    names.extend(
        docs.filter(|name| name.ends_with(".md"))
            .map(|name| format!("docs/{name}")),
    );
    names.sort();
    names
        .into_iter()
        .map(|name| {
            let text = fs::read_to_string(root().join(&name)).unwrap_or_else(|e| panic!("{name}: {e}"));
            let snippets = markdown::snippets(&name, &text);
            (name, snippets)
        })
        .collect()
}

/// Runs all at once and says of each that failed what it said.
fn all_at_once(jobs: Vec<(String, Box<dyn FnOnce() + Send>)>) {
    let failed = thread::scope(|scope| {
        let running: Vec<_> = jobs
            .into_iter()
            .map(|(name, job)| {
                (
                    name,
                    scope.spawn(move || panic::catch_unwind(panic::AssertUnwindSafe(job))),
                )
            })
            .collect();
        let ended = running.into_iter().map(|(name, job)| (name, job.join().unwrap()));
        ended
            .filter_map(|(name, ended)| ended.err().map(|_| name))
            .collect::<Vec<_>>()
    });
    assert!(failed.is_empty(), "see above: {failed:?}");
}

#[test]
fn every_command_on_a_page_does_what_its_reader_was_told() {
    let mut jobs: Vec<(String, Box<dyn FnOnce() + Send>)> = Vec::new();
    let mut demos = BTreeSet::new();
    for (name, snippets) in pages() {
        demos.extend(snippets.iter().flat_map(shell::commands).filter_map(|line| line.demo()));
        jobs.push((name.clone(), Box::new(move || follow::page(&snippets))));
    }
    assert!(demos.len() > 2, "{demos:?}");
    for demo in demos {
        jobs.push((demo.clone(), Box::new(move || follow::demo(&demo))));
    }
    all_at_once(jobs);
}

#[test]
fn what_is_not_run_is_on_a_page_and_would_be_understood() {
    let lines: Vec<_> = pages()
        .iter()
        .flat_map(|(_, snippets)| snippets.iter().flat_map(shell::commands))
        .collect();
    for exception in exceptions::NOT_RUN {
        let mut meant = lines.iter().filter(|line| exception.is(line)).peekable();
        assert!(meant.peek().is_some(), "on no page any more: {}", exception.starts);
        meant.for_each(|line| targets::check(exception, line));
    }
}

#[test]
fn the_programs_on_the_pages_compile_with_what_the_page_says_they_need_and_run() {
    programs::run_all(&pages());
}

#[test]
fn the_configuration_on_the_pages_can_be_read() {
    for (_, snippets) in pages() {
        for snippet in &snippets {
            if let What::Block(language) = &snippet.what {
                configuration::check(snippet, language);
            }
        }
    }
}

#[test]
fn subcommands_and_redis_commands_that_are_named_exist_with_their_options() {
    let snippets: Vec<_> = pages().into_iter().flat_map(|(_, snippets)| snippets).collect();
    mentions::check(&snippets);
}

#[test]
fn links_between_the_pages_lead_somewhere() {
    let mut names: Vec<_> = pages().into_iter().map(|(name, _)| name).collect();
    names.extend(["CHANGELOG.md", "examples/deploy/README.md"].map(str::to_owned));
    let broken: Vec<_> = names.iter().flat_map(|name| links::broken(name)).collect();
    assert!(broken.is_empty(), "{broken:#?}");
}
