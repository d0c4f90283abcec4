//! Checks the dependencies against deny.toml with cargo-deny, which is installed first where it is missing.

use std::path::Path;
use std::process::{Command, Output};

use crate::tools::Tool;

const CARGO_DENY: Tool = Tool {
    name: "cargo-deny",
    version: "0.20.2",
};

/// What can be judged from the lock file alone.
const OFFLINE: [&str; 3] = ["bans", "licenses", "sources"];

/// What becomes of a check for advisories whose database can't be fetched.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Database {
    /// The check fails.
    Required,
    /// It is said and passed over: a build machine may reach crates.io and nothing else.
    Wanted,
}

/// Checks licences, bans and sources, and then advisories.
pub(crate) fn check(database: Database) -> Result<(), String> {
    let program = CARGO_DENY.ensure()?;
    run(&program, &[&["check"], &OFFLINE[..]].concat())?;
    let fetched = said(&program, &["fetch", "db"])?;
    verdict(fetched.status.success(), database, &reason(&fetched))?;
    if fetched.status.success() {
        run(&program, &["check", "advisories"])?;
    }
    Ok(())
}

/// Whether to go on after the database was fetched or not; what is not checked is said.
fn verdict(fetched: bool, database: Database, reason: &str) -> Result<(), String> {
    let failure = format!("the database of advisories could not be fetched: {reason}");
    match database {
        _ if fetched => Ok(()),
        Database::Required => Err(failure),
        Database::Wanted => {
            eprintln!("xtask: ADVISORIES WERE NOT CHECKED: {failure}");
            Ok(())
        }
    }
}

/// The last line that a program said, which is where git tells the cause.
fn reason(output: &Output) -> String {
    let text = String::from_utf8_lossy(&output.stderr);
    let mut lines = text.lines().map(str::trim);
    lines
        .rfind(|line| !line.is_empty())
        .unwrap_or("no reason was given")
        .to_owned()
}

fn run(program: &Path, args: &[&str]) -> Result<(), String> {
    let line = format!("cargo deny {}", args.join(" "));
    eprintln!("xtask: {line}");
    let status = Command::new(program).args(args).status();
    let status = status.map_err(|error| format!("cannot run {}: {error}", program.display()))?;
    if status.success() {
        return Ok(());
    }
    Err(format!("{line}: failed ({status})"))
}

fn said(program: &Path, args: &[&str]) -> Result<Output, String> {
    eprintln!("xtask: cargo deny {}", args.join(" "));
    let output = Command::new(program).args(args).output();
    output.map_err(|error| format!("cannot run {}: {error}", program.display()))
}

#[cfg(test)]
mod tests {
    use std::os::unix::process::ExitStatusExt as _;
    use std::process::ExitStatus;

    use super::*;

    #[test]
    fn a_database_out_of_reach_fails_the_full_check_alone() {
        for database in [Database::Required, Database::Wanted] {
            assert_eq!(verdict(true, database, ""), Ok(()));
        }
        let failure = verdict(false, Database::Required, "no such host").unwrap_err();
        assert!(failure.contains("no such host"), "{failure}");
        assert_eq!(verdict(false, Database::Wanted, "no such host"), Ok(()));
    }

    #[test]
    fn the_reason_is_what_was_said_last() {
        let output = |text: &str| Output {
            status: ExitStatus::from_raw(256),
            stdout: Vec::new(),
            stderr: text.as_bytes().to_vec(),
        };
        assert_eq!(
            reason(&output("Cloning …\nfatal: no such host\n\n")),
            "fatal: no such host"
        );
        assert_eq!(reason(&output("")), "no reason was given");
    }
}
