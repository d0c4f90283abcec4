//! Subcommands, options and commands of Redis that a page names without telling the reader to run them.

use std::collections::{BTreeMap, BTreeSet};
use std::process::Command;

use streamherd_testkit::Server;

use crate::markdown::{Snippet, What};
use crate::shell::{self, words};

/// Pages that also name options of other programs.
const OF_OTHERS: [&str; 3] = ["CONTRIBUTING.md", "docs/ARCHITECTURE.md", "MIGRATION.md"];

/// Options of programs of this repository that are not the command.
const OF_OURS: [&str; 5] = ["--minutes", "--seed", "--topology", "--walks", "--workers"];

pub(crate) fn check(snippets: &[Snippet]) {
    let helps = helps();
    let options: BTreeSet<&str> = helps.values().flat_map(|help| options(help)).collect();
    let server = Server::start();
    let mut redis = server.client();
    let known: BTreeSet<String> = redis
        .cmd("COMMAND")
        .array()
        .iter()
        .map(|row| row.array()[0].text())
        .collect();
    let named = snippets
        .iter()
        .filter(|snippet| snippet.what == What::Inline && shell::commands(snippet).is_empty());
    for snippet in named {
        let mut words = words(&snippet.text);
        if words.first().is_some_and(|word| word == "streamherd") && words.len() > 1 {
            words.remove(0);
            assert!(helps.contains_key(&chain(&words)), "{}: {}", snippet.at(), snippet.text);
        }
        let Some(first) = words.first() else { continue };
        let at = snippet.at();
        if let Some(help) = helps.get(&chain(&words)).filter(|_| words.len() > 1) {
            for option in words.iter().flat_map(|word| options_in(word)) {
                assert!(
                    options_of(help).contains(option),
                    "{at}: {} has no {option}",
                    chain(&words)
                );
            }
        } else if first.starts_with("--") && !OF_OTHERS.contains(&&*snippet.page) {
            for option in words.iter().flat_map(|word| options_in(word)) {
                assert!(
                    options.contains(option) || OF_OURS.contains(&option),
                    "{at}: nothing has {option}"
                );
            }
        } else if words.len() > 1
            && words
                .iter()
                .take(2)
                .all(|word| word.chars().all(|c| c.is_ascii_uppercase()))
            && known.contains(&first.to_lowercase())
        {
            // As it is, or as far as it is said.
            let reply = redis.call(&words);
            let unknown = reply.error().filter(|error| error.to_lowercase().contains("unknown"));
            assert!(unknown.is_none(), "{at}: {}: {unknown:?}", snippet.text);
        }
    }
}

/// `dlq list` of `dlq list --reason x`, `status` of `status --leases`.
fn chain(words: &[String]) -> String {
    let depth = if words[0] == "dlq" { 2 } else { 1 };
    words
        .iter()
        .take(depth)
        .map(String::as_str)
        .collect::<Vec<_>>()
        .join(" ")
}

fn options_in(word: &str) -> Option<&str> {
    let word = word.trim_start_matches(['[', '(']);
    word.starts_with("--")
        .then(|| word.split(['=', ']', ')', ',', '|']).next())
        .flatten()
        .filter(|option| option.len() > 2)
}

fn options(help: &str) -> impl Iterator<Item = &str> {
    help.split(|c: char| !(c.is_ascii_alphanumeric() || c == '-'))
        .filter(|word| word.starts_with("--"))
}

fn options_of(help: &str) -> BTreeSet<&str> {
    options(help).collect()
}

/// What each subcommand says of itself.
fn helps() -> BTreeMap<String, String> {
    let mut helps = BTreeMap::new();
    let mut open = vec![Vec::new()];
    while let Some(chain) = open.pop() {
        let output = Command::new(env!("CARGO_BIN_EXE_streamherd"))
            .args(&chain)
            .arg("--help")
            .output()
            .unwrap();
        let help = String::from_utf8(output.stdout).unwrap();
        if let Some((_, listed)) = help.split_once("Commands:\n") {
            let listed = listed.lines().take_while(|line| !line.is_empty());
            for name in listed.filter_map(|line| line.strip_prefix("  ")?.split_whitespace().next()) {
                if name != "help" {
                    open.push([&chain[..], &[name.to_owned()]].concat());
                }
            }
        }
        helps.insert(chain.join(" "), help);
    }
    assert!(helps.len() > 12, "{:?}", helps.keys());
    helps
}
