//! How a program is installed, by the package manager that this machine has.

use std::io;
use std::process::{Command, ExitStatus};

use crate::program::Program;

pub(crate) fn is_root() -> bool {
    Command::new("id")
        .arg("-u")
        .output()
        .is_ok_and(|output| output.stdout.trim_ascii() == b"0")
}

/// Runs one line of a plan, announced on stderr. Its output goes there too: a demo's stdout holds the demo only.
pub(crate) fn run(line: &Line) -> io::Result<ExitStatus> {
    eprintln!("xtask: {}", line.join(" "));
    Command::new(line[0]).args(&line[1..]).stdout(io::stderr()).status()
}

/// A command and its arguments; never empty.
type Line = Vec<&'static str>;

/// How to install a program on one kind of system.
#[derive(Debug, PartialEq)]
pub(crate) struct Plan {
    /// Run first. Its failure is no reason to stop: apt-get update also fails over one unrelated broken source.
    refresh: Option<Line>,
    /// Tried in turn until one succeeds.
    installs: Vec<Line>,
}

/// Decides the plan from what is on the `PATH` and whether we are root. `None`: no package manager that we know.
pub(crate) fn plan(program: &Program, on_path: impl Fn(&str) -> bool, root: bool) -> Option<Plan> {
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
            installs: vec![apt(&["install", "-y", "--no-install-recommends", program.apt])],
        })
    } else if on_path("dnf") {
        let dnf = |package: &&'static str| as_root(&["dnf", "install", "-y", package]);
        Some(Plan {
            refresh: None,
            installs: program.dnf.iter().map(dnf).collect(),
        })
    } else if on_path("brew") {
        // Homebrew refuses to run under sudo.
        Some(Plan {
            refresh: None,
            installs: vec![[&["brew", "install"], program.brew].concat()],
        })
    } else {
        None
    }
}

impl Plan {
    /// `Err` where none of the lines installed anything; each has been told of.
    pub(crate) fn execute(&self, mut run: impl FnMut(&Line) -> io::Result<ExitStatus>) -> Result<(), ()> {
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
            Err(())
        }
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::process::ExitStatusExt;

    use super::*;
    use crate::program::{CHROMEDRIVER, CHROMIUM, PROMTOOL, REDIS_SERVER};

    fn lines(plan: &Plan) -> Vec<String> {
        plan.refresh
            .iter()
            .chain(&plan.installs)
            .map(|line| line.join(" "))
            .collect()
    }

    fn plan_with(managers: &[&str], root: bool) -> Option<Vec<String>> {
        plan(&REDIS_SERVER, |program| managers.contains(&program), root)
            .as_ref()
            .map(lines)
    }

    /// Executes the plan for `dnf` or `apt-get` with the given exit codes; returns the outcome and the lines run.
    fn execute(manager: &str, codes: &[i32]) -> (Result<(), ()>, Vec<String>) {
        let plan = plan(&REDIS_SERVER, |program| program == manager, true).unwrap();
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
    fn when_all_installs_fail_so_does_the_plan() {
        let (outcome, ran) = execute("dnf", &[1, 1, 1]);
        assert_eq!((outcome, ran.len()), (Err(()), 3));
    }

    #[test]
    fn each_program_has_its_own_packages() {
        for (program, apt, brew) in [
            (&PROMTOOL, "prometheus", "prometheus"),
            (&CHROMIUM, "chromium", "--cask chromium"),
            (&CHROMEDRIVER, "chromium-driver", "--cask chromedriver"),
        ] {
            let line = |manager: &str| {
                lines(&plan(program, |name| name == manager, true).unwrap())
                    .pop()
                    .unwrap()
            };
            assert!(line("apt-get").ends_with(&format!(" install -y --no-install-recommends {apt}")));
            assert_eq!(line("brew"), format!("brew install {brew}"));
        }
    }
}
