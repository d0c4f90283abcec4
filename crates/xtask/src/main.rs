//! The chores of this workspace, as `cargo xtask TASK`.
//!
//! Every task ends by *becoming* its last command (`exec`), so that command's exit code, its last lines of output and
//! the signals sent to it are the task's own. A parent that only waited would die first on Ctrl-C, and hide the exit
//! code of a demo that was still shutting down. That makes xtask Unix only, as redis-server is.

mod api;
mod deny;
#[cfg(test)]
mod dependencies;
#[cfg(test)]
mod docs;
mod install;
mod packages;
mod program;
#[cfg(test)]
mod sizes;
mod soak;
mod tools;
#[cfg(test)]
mod workflows;

use std::convert::Infallible;
use std::env;
use std::ffi::{OsStr, OsString};
use std::os::unix::process::CommandExt;
use std::process::{Command, ExitCode};
use std::time::Instant;

use api::Toolchain;
use deny::Database;
use program::{CHROMEDRIVER, CHROMIUM, PROMTOOL, REDIS_SERVER};

fn main() -> ExitCode {
    let mut args = env::args_os().skip(1);
    let task = args.next();
    let rest: Vec<OsString> = args.collect();

    let ended = match task.as_deref().and_then(OsStr::to_str) {
        Some("demo") => demo(&rest),
        Some("bench") => bench(&rest),
        Some("test") => test(&rest),
        Some("soak") => soak(&rest),
        Some("ci") if rest.is_empty() => ci(),
        Some("help" | "-h" | "--help") => {
            print!("{HELP}");
            return ExitCode::SUCCESS;
        }
        Some(task) => match check(task, &rest) {
            Some(Ok(())) => return ExitCode::SUCCESS,
            Some(Err(message)) => Err(message),
            None => return misused(),
        },
        None => return misused(),
    };

    let Err(message) = ended;
    eprintln!("xtask: {message}");
    ExitCode::FAILURE
}

fn misused() -> ExitCode {
    eprint!("{HELP}");
    ExitCode::from(2)
}

/// The tasks that are checks of several commands, none of which is the last; `None` for what is no such task.
fn check(task: &str, args: &[OsString]) -> Option<Result<(), String>> {
    let args: Vec<&str> = args.iter().filter_map(|arg| arg.to_str()).collect();
    Some(match (task, args.as_slice()) {
        ("deny", []) => deny::check(Database::Required),
        ("api", []) => api::check(Toolchain::Required, false),
        ("api", ["--bless"]) => api::check(Toolchain::Required, true),
        ("package", []) => packages::package(true),
        ("package", ["--no-verify"]) => packages::package(false),
        ("install", []) => packages::install(),
        ("msrv", []) => packages::msrv(),
        ("features", []) => packages::features(),
        ("minimal-versions", []) => packages::minimal_versions(),
        _ => return None,
    })
}

/// What a task returns: nothing when all goes well, for then its last command has replaced this process.
type Ended = Result<Infallible, String>;

fn demo(args: &[OsString]) -> Ended {
    streamherd(&[], "demo", args)
}

/// As users would have it: what is measured is what the optimizer has made of it.
fn bench(args: &[OsString]) -> Ended {
    streamherd(&["--release"], "bench", args)
}

fn streamherd(built: &[&str], command: &str, args: &[OsString]) -> Ended {
    let server = REDIS_SERVER.ensure()?;
    let mut run = cargo(&["run"]);
    run.args(built)
        .args(["--package", "streamherd-cli", "--bin", "streamherd", "--", command])
        .args(without_separator(args))
        .env(REDIS_SERVER.variable, server);
    Err(format!("cannot run cargo: {}", run.exec()))
}

/// Cargo passes `--` on to us, and with the habit of `cargo run -- ARGS` it is easily typed.
fn without_separator(args: &[OsString]) -> &[OsString] {
    match args {
        [first, rest @ ..] if first == "--" => rest,
        _ => args,
    }
}

fn test(args: &[OsString]) -> Ended {
    let mut command = cargo(&["test", "--workspace", "--all-features"]);
    command.args(args);
    for program in [&REDIS_SERVER, &CHROMIUM, &CHROMEDRIVER] {
        command.env(program.variable, program.ensure()?);
    }
    // The tests that want it also check without it what can be checked so.
    match PROMTOOL.ensure() {
        Ok(promtool) => drop(command.env(PROMTOOL.variable, promtool)),
        Err(message) => eprintln!("xtask: the alert rules are checked without promtool: {message}"),
    }
    Err(format!("cannot run cargo: {}", command.exec()))
}

fn soak(args: &[OsString]) -> Ended {
    let args: Vec<&str> = args.iter().filter_map(|arg| arg.to_str()).collect();
    let soak = soak::Soak::parse(&args)?;
    let server = REDIS_SERVER.ensure()?;
    let mut command = cargo(&["test", "--package", "streamherd-tests", "--test", "chaos", "--"]);
    command
        .args(["--nocapture", "--exact"])
        .args(soak.test)
        .env("STREAMHERD_CHAOS_SECONDS", soak.seconds.to_string())
        .env("STREAMHERD_CHAOS_SEED", soak.seed.to_string())
        .env(REDIS_SERVER.variable, server);
    Err(format!("cannot run cargo: {}", command.exec()))
}

/// The gate, the public items, the packages, the dependencies, then the tests. The tests' own duration is not printed: the
/// output ends with cargo test's lines, which a reader of a log looks for at its end.
fn ci() -> Ended {
    for step in &GATE {
        let line = step.line();
        eprintln!("xtask: {line}");
        let started = Instant::now();
        let status = cargo(step.args)
            .envs(step.env.iter().copied())
            .status()
            .map_err(|error| format!("cannot run cargo: {error}"))?;
        let seconds = started.elapsed().as_secs_f64();
        if !status.success() {
            return Err(format!("{line}: failed after {seconds:.1} s ({status})"));
        }
        eprintln!("xtask: passed in {seconds:.1} s");
    }
    timed(|| api::check(Toolchain::Wanted, false))?;
    timed(|| packages::package(false))?;
    timed(|| deny::check(Database::Wanted))?;
    eprintln!("xtask: cargo xtask test");
    test(&[])
}

fn timed(check: impl FnOnce() -> Result<(), String>) -> Result<(), String> {
    let started = Instant::now();
    check()?;
    eprintln!("xtask: passed in {:.1} s", started.elapsed().as_secs_f64());
    Ok(())
}

/// One cargo command of the gate.
struct Step {
    env: &'static [(&'static str, &'static str)],
    args: &'static [&'static str],
}

impl Step {
    /// The step as one would type it.
    fn line(&self) -> String {
        let env: String = self
            .env
            .iter()
            .map(|(name, value)| format!("{name}='{value}' "))
            .collect();
        format!("{env}cargo {}", self.args.join(" "))
    }
}

/// The cargo that runs this program, so that one toolchain does every step.
fn cargo(args: &[&str]) -> Command {
    let mut command = Command::new(env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    command.args(args);
    command
}

/// Cheapest first. `--all` because `cargo fmt`, unlike the others, has no `--workspace`.
const GATE: [Step; 4] = [
    Step {
        env: &[],
        args: &["fmt", "--all", "--check"],
    },
    Step {
        env: &[],
        args: &[
            "clippy",
            "--workspace",
            "--all-targets",
            "--all-features",
            "--",
            "-D",
            "warnings",
        ],
    },
    // As most users build it: what is meant to be optional must not be needed.
    Step {
        env: &[],
        args: &["clippy", "--package", "streamherd", "--", "-D", "warnings"],
    },
    Step {
        env: &[("RUSTDOCFLAGS", "-D warnings")],
        args: &["doc", "--workspace", "--no-deps", "--all-features"],
    },
];

const HELP: &str = "\
usage: cargo xtask TASK

tasks:
  demo [ARGS...]   build streamherd and run `streamherd demo ARGS...`
  bench [ARGS...]  build streamherd optimized and run `streamherd bench ARGS...`: w1 to w7, all without ARGS
  test [ARGS...]   run `cargo test --workspace --all-features ARGS...`
  soak [--minutes N] [--topology standalone|sentinel|cluster] [--seed S]
                   put fleets of workers through random faults for so long (20 minutes), and judge what they saw
  deny             check licences, sources, versions and advisories of the dependencies with cargo-deny
  api [--bless]    compare the public items of the libraries with docs/api; --bless records them
  package [--no-verify]
                   pack what is published, in the order of publishing, and build each package from what is in it
  install          install the command into target/install, optimized, and start it
  msrv             check what is published with the oldest Rust (rustup installs it)
  features         lint what is published with each feature and each two of them, by cargo-hack
  minimal-versions check what is published with the oldest versions of its direct dependencies, in a copy
  ci               check formatting, clippy and docs with warnings denied, run `api`, `package --no-verify` and `deny`, then `test`
  help             print this

demo, bench, test and soak install redis-server with apt-get, dnf or brew if this machine has none;
set STREAMHERD_REDIS_SERVER to use a particular one. test installs chromium and chromedriver the same way
(STREAMHERD_CHROMIUM, STREAMHERD_CHROMEDRIVER), and promtool (STREAMHERD_PROMTOOL), without which it goes on where it can't.
deny, ci and features install cargo-deny and cargo-hack into target/tools if they are not there. Where the database of advisories
can't be fetched, or where rustdoc is one that api can't read, deny and api fail, and ci says so and goes on.
";

#[cfg(test)]
mod tests {
    use std::ffi::OsString;

    use super::without_separator;

    #[test]
    fn one_leading_separator_is_dropped() {
        let left = |args: &[&str]| {
            let args: Vec<_> = args.iter().map(OsString::from).collect();
            without_separator(&args).join(" ".as_ref())
        };
        assert_eq!(left(&["--", "--workers", "3"]), "--workers 3");
        assert_eq!(left(&["--workers", "3"]), "--workers 3");
        assert_eq!(left(&["--", "--", "x"]), "-- x");
        assert_eq!(left(&[]), "");
    }
}
