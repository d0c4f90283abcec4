//! What a page tells its reader to type, and what it promises: the blocks of `sh` and of `text` in the header of an example, or in
//! a README.

use std::path::{Path, PathBuf};

/// A page, as far as it can be held to its word.
#[derive(Debug)]
pub(crate) struct Page {
    pub(crate) path: PathBuf,
    pub(crate) text: String,
    /// Each line of the blocks of `sh`, without the comment behind it.
    pub(crate) commands: Vec<String>,
    /// Each line of the blocks of `text`; `…` stands for anything.
    pub(crate) promises: Vec<String>,
}

impl Page {
    /// A file of this folder: the header of a program, or all of another text.
    pub(crate) fn read(name: &str) -> Self {
        let path = folder().join(name);
        let text = std::fs::read_to_string(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
        let text = if name.ends_with(".rs") { header(&text) } else { text };
        let (commands, promises) = blocks(&text);
        Self {
            path,
            text,
            commands,
            promises,
        }
    }
}

/// The folder of the examples.
pub(crate) fn folder() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn header(program: &str) -> String {
    let lines = program.lines().map_while(|line| line.strip_prefix("//!"));
    lines
        .map(|line| format!("{}\n", line.strip_prefix(' ').unwrap_or(line)))
        .collect()
}

fn blocks(text: &str) -> (Vec<String>, Vec<String>) {
    let (mut commands, mut promises) = (Vec::new(), Vec::new());
    let mut block = None;
    for line in text.lines() {
        match (block, line.strip_prefix("```")) {
            (None, Some(kind)) => block = Some(kind),
            (Some(_), Some(_)) => block = None,
            (Some("sh"), None) => commands.push(line.split("  # ").next().unwrap_or(line).trim().to_owned()),
            (Some("text"), None) => promises.push(line.to_owned()),
            _ => {}
        }
    }
    (commands, promises)
}

/// What the `…` of a promise stand for in a line that keeps it.
pub(crate) fn kept(promise: &str, line: &str) -> Option<Vec<String>> {
    let mut pieces = promise.split('…');
    let mut rest = line.strip_prefix(pieces.next()?)?;
    let mut wild = Vec::new();
    let pieces: Vec<&str> = pieces.collect();
    for (number, piece) in pieces.iter().enumerate() {
        let at = if number + 1 == pieces.len() {
            rest.ends_with(piece).then(|| rest.len() - piece.len())?
        } else {
            rest.find(piece)?
        };
        wild.push(rest[..at].to_owned());
        rest = &rest[at + piece.len()..];
    }
    rest.is_empty().then_some(wild)
}

#[test]
fn a_promise_is_kept_by_lines_that_have_its_words_in_their_order() {
    assert_eq!(kept("done 3", "done 3"), Some(vec![]));
    assert_eq!(kept("done 3", "done 30"), None);
    assert_eq!(
        kept("done …, over …", "done 3, over 4"),
        Some(vec!["3".into(), "4".into()])
    );
    assert_eq!(kept("… b … d", "a b c d"), Some(vec!["a".into(), "c".into()]));
    assert_eq!(kept("… d … b", "a b c d"), None);
    assert_eq!(kept("a…", "a"), Some(vec![String::new()]));
    assert_eq!(kept("…a", "aa"), Some(vec!["a".into()]));
}

#[test]
fn commands_and_promises_are_what_stands_in_their_blocks() {
    let header = header(
        "//! Title\n//!\n//! ```sh\n//! one 1  # a comment\n//! ```\n//! ```text\n//! a …\n//! ```\nfn main() {}",
    );
    assert_eq!(blocks(&header), (vec!["one 1".to_owned()], vec!["a …".to_owned()]));
}
