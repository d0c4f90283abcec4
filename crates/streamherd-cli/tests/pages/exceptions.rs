//! What is on a page and is not run as it stands, with the reason.

use crate::shell::Line;

/// How it is known, all the same, that the command would be understood.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum But {
    /// The package, its target, its features and the named part of its tests exist.
    TargetExists,
    /// `cargo xtask help` lists the task.
    TaskExists,
    /// Its path holds a package.
    PathExists,
    /// Nothing is known: the program is not ours.
    NotOurs,
}

#[derive(Debug)]
pub(crate) struct NotRun {
    pub(crate) starts: &'static str,
    pub(crate) why: &'static str,
    pub(crate) but: But,
}

impl NotRun {
    pub(crate) fn is(&self, line: &Line) -> bool {
        let words = line.words().join(" ");
        // The demonstrations and measurements of xtask are those of the command.
        line.subcommand().is_none()
            && words
                .strip_prefix(self.starts)
                .is_some_and(|rest| rest.is_empty() || rest.starts_with(' '))
    }
}

pub(crate) const NOT_RUN: &[NotRun] = &[
    NotRun {
        starts: "cargo test",
        why: "this is one of them, and all of them take half an hour",
        but: But::TargetExists,
    },
    NotRun {
        starts: "cargo xtask",
        why: "each runs many of the tests, or builds everything anew",
        but: But::TaskExists,
    },
    NotRun {
        starts: "cargo bench",
        why: "builds everything optimized, and measures for minutes",
        but: But::TargetExists,
    },
    NotRun {
        starts: "cargo run -p streamherd-model",
        why: "takes minutes; its own tests run the same",
        but: But::TargetExists,
    },
    NotRun {
        starts: "cargo install --path",
        why: "builds everything optimized; a workflow does it each night",
        but: But::PathExists,
    },
    NotRun {
        starts: "cargo install cargo-bolero",
        why: "installs a program for all that its user does",
        but: But::NotOurs,
    },
    NotRun {
        starts: "cargo deny",
        why: "`cargo xtask deny` installs and runs it",
        but: But::NotOurs,
    },
    NotRun {
        starts: "ssh",
        why: "wants another machine",
        but: But::NotOurs,
    },
];

pub(crate) fn not_run(line: &Line) -> Option<&'static NotRun> {
    NOT_RUN.iter().find(|exception| exception.is(line))
}

/// Commands that only newer servers know.
pub(crate) const NEEDS: &[(&str, (u32, u32))] = &[("+waitaof", (7, 2))];

/// Blocks that are no commands, programs or configuration of ours.
pub(crate) const LANGUAGES: &[(&str, &str)] = &[
    ("text", "figures and formulas"),
    ("nginx", "another program's; its addresses are checked"),
    ("go", "the other library's side of a comparison"),
];
