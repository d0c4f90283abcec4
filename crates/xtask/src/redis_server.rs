//! Finds the Redis server that the demo and the tests start, and installs one where there is none.
//!
//! Only the program is wanted. Debian's package also starts a service on port 6379 where systemd runs; it is left
//! alone, since the demo and the tests use ports of their own.

use std::env;
use std::ffi::OsStr;
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::{self, Path, PathBuf};
use std::process::{Command, ExitStatus, Stdio};

/// Names the server to run; unset or empty, it is looked for on the `PATH`.
pub(crate) const VARIABLE: &str = "STREAMHERD_REDIS_SERVER";

/// The absolute path of the server to run, installed first if need be.
///
/// Absolute because cargo runs each test in its own package's folder, where a relative path means something else.
///
/// A server that the user named is never replaced by another: if it cannot be run, that is an error, and nothing is
/// installed, for no package could mend the name.
pub(crate) fn ensure() -> Result<PathBuf, String> {
    if let Some(named) = env::var_os(VARIABLE).filter(|name| !name.is_empty()) {
        return locate(&named).filter(|server| runs(server)).ok_or_else(|| {
            format!(
                "{VARIABLE} names {}, which cannot be run; correct or unset it",
                named.display()
            )
        });
    }
    if let Some(server) = find() {
        return Ok(server);
    }

    let on_path = |program: &str| locate(OsStr::new(program)).is_some();
    let plan = plan(on_path, is_root()).ok_or_else(|| format!("no redis-server, and no way to get one; {BY_HAND}"))?;
    plan.execute(run)?;
    find().ok_or_else(|| format!("the package is installed, but neither of {SERVERS:?} runs; {BY_HAND}"))
}

fn find() -> Option<PathBuf> {
    SERVERS
        .iter()
        .filter_map(|name| locate(OsStr::new(name)))
        .find(|server| runs(server))
}

/// The executable that a shell would run for `name`: a path is taken as it is, a bare name is looked up on the `PATH`.
fn locate(name: &OsStr) -> Option<PathBuf> {
    let executable = |file: &PathBuf| {
        file.metadata()
            .is_ok_and(|data| data.is_file() && data.permissions().mode() & 0o111 != 0)
    };
    let found = if Path::new(name).components().count() > 1 {
        Some(PathBuf::from(name)).filter(executable)
    } else {
        env::split_paths(&env::var_os("PATH")?)
            .map(|folder| folder.join(name))
            .find(executable)
    };
    path::absolute(found?).ok()
}

/// Whether the program starts at all: a file of that name may be built for another machine.
fn runs(server: &Path) -> bool {
    Command::new(server)
        .arg("--version")
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status()
        .is_ok_and(|status| status.success())
}

fn is_root() -> bool {
    Command::new("id")
        .arg("-u")
        .output()
        .is_ok_and(|output| output.stdout.trim_ascii() == b"0")
}

/// Runs one line of a plan, announced on stderr. Its output goes there too: a demo's stdout holds the demo only.
fn run(line: &Line) -> io::Result<ExitStatus> {
    eprintln!("xtask: {}", line.join(" "));
    Command::new(line[0]).args(&line[1..]).stdout(io::stderr()).status()
}

/// A command and its arguments; never empty.
type Line = Vec<&'static str>;

/// How to install a server on one kind of system.
#[derive(Debug, PartialEq)]
struct Plan {
    /// Run first. Its failure is no reason to stop: apt-get update also fails over one unrelated broken source.
    refresh: Option<Line>,
    /// Tried in turn until one succeeds.
    installs: Vec<Line>,
}

/// Decides the plan from what is on the `PATH` and whether we are root. `None`: no package manager that we know.
fn plan(on_path: impl Fn(&str) -> bool, root: bool) -> Option<Plan> {
    let as_root = |line: &[&'static str]| {
        let sudo: &[&str] = if root { &[] } else { &["sudo"] };
        [sudo, line].concat()
    };

    if on_path("apt-get") {
        // `env` inside the line and not around it: sudo drops most of the environment.
        let apt =
            |args: &[&'static str]| as_root(&[&["env", "DEBIAN_FRONTEND=noninteractive", "apt-get"], args].concat());
        Some(Plan {
            refresh: Some(apt(&["update"])),
            installs: vec![apt(&["install", "-y", "--no-install-recommends", "redis-server"])],
        })
    } else if on_path("dnf") {
        // Newer Fedora and Enterprise Linux have Valkey in place of Redis; the compat package adds the redis-* names.
        let dnf = |package| as_root(&["dnf", "install", "-y", package]);
        Some(Plan {
            refresh: None,
            installs: ["redis", "valkey-compat-redis", "valkey"].map(dnf).into(),
        })
    } else if on_path("brew") {
        // Homebrew refuses to run under sudo.
        Some(Plan {
            refresh: None,
            installs: vec![vec!["brew", "install", "redis"]],
        })
    } else {
        None
    }
}

impl Plan {
    fn execute(&self, mut run: impl FnMut(&Line) -> io::Result<ExitStatus>) -> Result<(), String> {
        let mut succeeds = |line: &Line| match run(line) {
            Ok(status) if status.success() => true,
            Ok(status) => {
                eprintln!("xtask: {} ended with {status}", line.join(" "));
                false
            }
            Err(error) => {
                eprintln!("xtask: cannot run {}: {error}", line[0]);
                false
            }
        };

        if let Some(refresh) = &self.refresh {
            succeeds(refresh);
        }
        if self.installs.iter().any(succeeds) {
            Ok(())
        } else {
            Err(format!("could not install a server; {BY_HAND}"))
        }
    }
}

/// In order of preference. Valkey's server speaks the same protocol and takes the same options.
const SERVERS: [&str; 2] = ["redis-server", "valkey-server"];

const BY_HAND: &str = "\
install it by hand and try again: package `redis-server` on Debian and Ubuntu, `redis` or `valkey-compat-redis` on \
Fedora and Enterprise Linux, `redis` with Homebrew, Alpine or openSUSE, `valkey` on Arch; or set \
STREAMHERD_REDIS_SERVER to the path of a server";

#[cfg(test)]
mod tests {
    use std::os::unix::process::ExitStatusExt;

    use super::*;

    fn lines(plan: &Plan) -> Vec<String> {
        plan.refresh
            .iter()
            .chain(&plan.installs)
            .map(|line| line.join(" "))
            .collect()
    }

    fn plan_with(managers: &[&str], root: bool) -> Option<Vec<String>> {
        plan(|program| managers.contains(&program), root).as_ref().map(lines)
    }

    /// Executes the plan for `dnf` or `apt-get` with the given exit codes; returns the outcome and the lines run.
    fn execute(manager: &str, codes: &[i32]) -> (Result<(), String>, Vec<String>) {
        let plan = plan(|program| program == manager, true).unwrap();
        let mut codes = codes.iter();
        let mut ran = Vec::new();
        let outcome = plan.execute(|line| {
            ran.push(line.join(" "));
            Ok(ExitStatus::from_raw(
                codes.next().expect("a line more than expected") << 8,
            ))
        });
        (outcome, ran)
    }

    #[test]
    fn bare_names_become_absolute_paths() {
        let shell = locate(OsStr::new("sh")).unwrap();
        assert!(shell.is_absolute() && shell.ends_with("sh"), "{}", shell.display());
        assert_eq!(locate(OsStr::new("no-such-program-anywhere")), None);
    }

    #[test]
    fn a_path_must_name_an_executable() {
        // Tests run in the package's folder; the test binary is executable, the manifest is not.
        let manifest = OsStr::new("./Cargo.toml");
        assert!(Path::new(manifest).exists());
        assert_eq!(locate(manifest), None);
        let this = env::current_exe().unwrap();
        assert_eq!(locate(this.as_os_str()), Some(this));
    }

    #[test]
    fn apt_refreshes_its_lists_then_installs() {
        assert_eq!(
            plan_with(&["apt-get"], true).unwrap(),
            [
                "env DEBIAN_FRONTEND=noninteractive apt-get update",
                "env DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends redis-server",
            ]
        );
    }

    #[test]
    fn sudo_goes_before_the_environment() {
        assert_eq!(
            plan_with(&["apt-get"], false).unwrap(),
            [
                "sudo env DEBIAN_FRONTEND=noninteractive apt-get update",
                "sudo env DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends redis-server",
            ]
        );
    }

    #[test]
    fn dnf_falls_back_to_valkey() {
        let packages = ["redis", "valkey-compat-redis", "valkey"];
        assert_eq!(
            plan_with(&["dnf"], true).unwrap(),
            packages.map(|name| format!("dnf install -y {name}"))
        );
        assert_eq!(
            plan_with(&["dnf"], false).unwrap(),
            packages.map(|name| format!("sudo dnf install -y {name}"))
        );
    }

    #[test]
    fn brew_never_runs_under_sudo() {
        for root in [false, true] {
            assert_eq!(plan_with(&["brew"], root).unwrap(), ["brew install redis"]);
        }
    }

    #[test]
    fn the_first_manager_in_order_is_taken() {
        assert_eq!(
            plan_with(&["brew", "dnf", "apt-get"], true),
            plan_with(&["apt-get"], true)
        );
        assert_eq!(plan_with(&["brew", "dnf"], true), plan_with(&["dnf"], true));
    }

    #[test]
    fn no_known_manager_means_no_plan() {
        assert_eq!(plan_with(&["apk", "pacman"], true), None);
    }

    #[test]
    fn a_failed_refresh_does_not_stop_the_install() {
        let (outcome, ran) = execute("apt-get", &[100, 0]);
        assert_eq!((outcome, ran.len()), (Ok(()), 2));
    }

    #[test]
    fn the_first_install_that_succeeds_is_the_last() {
        let (outcome, ran) = execute("dnf", &[1, 0]);
        assert_eq!(outcome, Ok(()));
        assert_eq!(ran, ["dnf install -y redis", "dnf install -y valkey-compat-redis"]);
    }

    #[test]
    fn when_all_installs_fail_the_error_names_the_packages() {
        let (outcome, ran) = execute("dnf", &[1, 1, 1]);
        assert_eq!(ran.len(), 3);
        let message = outcome.unwrap_err();
        for package in ["redis-server", "valkey-compat-redis"] {
            assert!(message.contains(package), "{message}");
        }
    }
}
