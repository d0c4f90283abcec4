//! Checks the dependencies against deny.toml with cargo-deny, which is installed first where it is missing.

use std::env;
use std::ffi::OsStr;
use std::io;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::time::Instant;

use crate::cargo;

/// Exactly this one: what a newer version finds in addition is no reason for an older commit to fail.
const VERSION: &str = "0.20.2";

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
    let program = ensure()?;
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

/// The program, from the PATH or from the target folder; put there if it is in neither.
fn ensure() -> Result<PathBuf, String> {
    let tools = tools()?;
    let ours = tools.join("bin").join("cargo-deny");
    let installed = [PathBuf::from("cargo-deny"), ours.clone()];
    if let Some(found) = installed.into_iter().find(|program| is_ours(program.as_os_str())) {
        return Ok(found);
    }
    let tools = tools.display().to_string();
    // Unoptimised and without debug information: a release build takes minutes longer than all its checks save.
    let args = [
        "install",
        "cargo-deny",
        "--locked",
        "--version",
        VERSION,
        "--debug",
        "--root",
        &tools,
    ];
    eprintln!("xtask: cargo {}", args.join(" "));
    let started = Instant::now();
    let mut install = cargo(&args);
    let status = install
        .env("CARGO_PROFILE_DEV_DEBUG", "0")
        .stdout(io::stderr())
        .status();
    let status = status.map_err(|error| format!("cannot run cargo: {error}"))?;
    if !status.success() || !is_ours(ours.as_os_str()) {
        return Err(format!("cargo-deny {VERSION} could not be installed ({status})"));
    }
    eprintln!("xtask: installed in {:.1} s", started.elapsed().as_secs_f64());
    Ok(ours)
}

/// Beside what cargo builds, as this program is: `target/debug/xtask`.
fn tools() -> Result<PathBuf, String> {
    let this = env::current_exe().map_err(|error| format!("cannot find the target folder: {error}"))?;
    let target = this.parent().and_then(Path::parent);
    Ok(target.ok_or("this program is in no target folder")?.join("tools"))
}

fn is_ours(program: &OsStr) -> bool {
    Command::new(program)
        .arg("--version")
        .output()
        .is_ok_and(|output| output.status.success() && is_version(&output.stdout))
}

fn is_version(said: &[u8]) -> bool {
    said.trim_ascii() == format!("cargo-deny {VERSION}").as_bytes()
}

#[cfg(test)]
mod tests {
    use std::os::unix::process::ExitStatusExt as _;
    use std::process::ExitStatus;

    use super::*;

    #[test]
    fn only_the_version_that_is_pinned_will_do() {
        assert!(is_version(format!("cargo-deny {VERSION}\n").as_bytes()));
        assert!(!is_version(format!("cargo-deny {VERSION}0\n").as_bytes()));
        assert!(!is_version(b"cargo-deny 0.1.0\n"));
    }

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
