//! Command lines, as a reader would type them.

use std::process::{Command, Stdio};

use crate::markdown::{Snippet, What};

/// Code that starts with one of these, and has more to it, is a command.
const PROGRAMS: &[&str] = &[
    "cargo",
    "curl",
    "docker",
    "git",
    "kubectl",
    "openssl",
    "promtool",
    "redis-cli",
    "redis-server",
    "rustup",
    "sh",
    "ssh",
    "streamherd",
    "sudo",
];

/// Global options all have a value.
const STREAMHERD: &str = "streamherd";

#[derive(Debug, Clone)]
pub(crate) struct Line {
    /// Page and line.
    pub(crate) at: String,
    pub(crate) text: String,
}

/// The command lines of a snippet: of a block of shell each, of inline code itself if it is one.
pub(crate) fn commands(snippet: &Snippet) -> Vec<Line> {
    let texts = match &snippet.what {
        What::Block(language) if is_shell(language) && !is_file(snippet) => split(&snippet.text),
        What::Inline if is_command(&snippet.text) => vec![snippet.text.clone()],
        _ => Vec::new(),
    };
    let line = |text| Line { at: snippet.at(), text };
    texts.into_iter().map(line).collect()
}

pub(crate) fn is_shell(language: &str) -> bool {
    ["sh", "bash", "shell", "console"].contains(&language)
}

/// A script to be saved: its second line is a comment with its name.
pub(crate) fn is_file(snippet: &Snippet) -> bool {
    snippet.text.starts_with("#!")
}

fn is_command(text: &str) -> bool {
    let words = words(text);
    let mut words = words.iter().skip_while(|word| is_assignment(word));
    let Some(program) = words.next().filter(|word| PROGRAMS.contains(&word.as_str())) else {
        return false;
    };
    // A subcommand's bare name is only named, as in "`streamherd dlq` lists them".
    let is_name = |word: &String| word.chars().all(|c| c.is_ascii_lowercase());
    words.clone().next().is_some() && !(program == STREAMHERD && words.all(is_name))
}

fn is_assignment(word: &str) -> bool {
    let name = word.split_once('=').map_or("", |(name, _)| name);
    !name.is_empty() && name.chars().all(|c| c.is_ascii_uppercase() || c == '_')
}

/// Where a command ends, bash knows: what it takes for unfinished goes on.
fn split(block: &str) -> Vec<String> {
    let mut commands = Vec::new();
    let mut command = String::new();
    for line in block.lines() {
        if command.is_empty() && (line.trim().is_empty() || line.trim_start().starts_with('#')) {
            continue;
        }
        command.push_str(line);
        command.push('\n');
        if !line.ends_with('\\') && !has_open_document(&command) && is_whole(&command) {
            commands.push(command.trim_end().to_owned());
            command.clear();
        }
    }
    assert!(command.is_empty(), "not a whole command: {command}");
    commands
}

fn has_open_document(command: &str) -> bool {
    let Some((_, after)) = command.split_once("<<") else {
        return false;
    };
    let end: String = after
        .trim_start_matches(['-', '\'', '"'])
        .chars()
        .take_while(char::is_ascii_alphanumeric)
        .collect();
    !command.lines().any(|line| line == end)
}

fn is_whole(command: &str) -> bool {
    let bash = Command::new("bash")
        .args(["-n", "-c", command])
        .stderr(Stdio::null())
        .status();
    bash.expect("bash").success()
}

/// The words of the first simple command, without quotes; nothing is expanded.
pub(crate) fn words(text: &str) -> Vec<String> {
    let mut words = Vec::new();
    let mut word: Option<String> = None;
    let mut quote = None;
    for c in text.chars() {
        match (c, quote) {
            (c, Some(open)) if c == open => quote = None,
            (c, Some(_)) => word.get_or_insert_default().push(c),
            ('\'' | '"', None) => {
                quote = Some(c);
                word.get_or_insert_default();
            }
            // What another command says.
            ('(', None) if word.as_ref().is_some_and(|word| word.ends_with('$')) => quote = Some(')'),
            (c, None) if c.is_whitespace() => words.extend(word.take()),
            ('#', None) if word.is_none() => break,
            (c, None) => word.get_or_insert_default().push(c),
        }
    }
    words.extend(word);
    words
}

impl Line {
    pub(crate) fn words(&self) -> Vec<String> {
        let words = words(&self.text).into_iter();
        words.skip_while(|word| is_assignment(word)).collect()
    }

    /// What `streamherd` is told to do, also where it is run by cargo: its arguments from the subcommand on.
    pub(crate) fn subcommand(&self) -> Option<Vec<String>> {
        let words = self.words();
        let all: Vec<_> = words.iter().map(String::as_str).collect();
        let args = match &all[..] {
            ["cargo", "xtask", task, ..] if ["demo", "bench"].contains(task) => &all[2..],
            [STREAMHERD, args @ ..] => args,
            ["cargo", "run", "-p", "streamherd-cli", "--", args @ ..] => args,
            _ => return None,
        };
        let mut args = args.iter().map(|&word| word.to_owned()).peekable();
        while args.peek().is_some_and(|word| word.starts_with("--")) {
            let option = args.next()?;
            if !option.contains('=') {
                args.next();
            }
        }
        Some(args.collect()).filter(|args: &Vec<_>| !args.is_empty())
    }

    /// A demonstration takes long and needs nothing of the page, so all run beside each other, and each once.
    pub(crate) fn demo(&self) -> Option<String> {
        let args = self.subcommand().filter(|args| args[0] == "demo")?;
        Some(format!("{STREAMHERD} {}", args.join(" ")))
    }
}

#[test]
fn words_are_those_of_the_shell() {
    assert_eq!(
        words(r#"A='b c' d "e'f" g#h ''  # i"#),
        ["A=b c", "d", "e'f", "g#h", ""]
    );
    let line = |text: &str| Line {
        at: String::new(),
        text: text.to_owned(),
    };
    let run = line("A=1 streamherd --service orders dlq list --limit 2 # x");
    assert_eq!(run.subcommand().unwrap(), ["dlq", "list", "--limit", "2"]);
    assert_eq!(
        line("cargo xtask demo --chaos").demo().unwrap(),
        "streamherd demo --chaos"
    );
    assert!(line("cargo xtask test").subcommand().is_none());
    assert_eq!(line("A=$(b c) streamherd serve").subcommand().unwrap(), ["serve"]);
    assert_eq!(split("a \\\n  b\n\n# c\nd 'e\nf'\ncat <<X\ng\nX\n").len(), 3);
}
