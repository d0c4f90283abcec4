//! The programs that tasks need beside cargo: found, and installed where there are none.
//!
//! Only the program is wanted. Some of Debian's packages also start a service where systemd runs; it is left alone,
//! since the demo and the tests use ports of their own.

use std::env;
use std::ffi::OsStr;
use std::os::unix::fs::PermissionsExt;
use std::path::{self, Path, PathBuf};
use std::process::{Command, Stdio};

use crate::install::{self, is_root, run};

/// A program, where to look for it, and the packages that have it.
#[derive(Debug)]
pub(crate) struct Program {
    /// Names the file to run; unset or empty, it is looked for on the `PATH`. The tests are told by it, too.
    pub(crate) variable: &'static str,
    /// What it is called, in order of preference.
    pub(crate) names: &'static [&'static str],
    /// Debian's package, and Ubuntu's.
    pub(crate) apt: &'static str,
    /// Packages of Fedora and Enterprise Linux, tried in turn until one can be installed.
    pub(crate) dnf: &'static [&'static str],
    /// What follows `brew install`.
    pub(crate) brew: &'static [&'static str],
    /// What to do where all that fails.
    pub(crate) by_hand: &'static str,
}

/// Valkey's server speaks the same protocol and takes the same options. Newer Fedora and Enterprise Linux have it in
/// place of Redis; the compat package adds the redis-* names.
pub(crate) const REDIS_SERVER: Program = Program {
    variable: "STREAMHERD_REDIS_SERVER",
    names: &["redis-server", "valkey-server"],
    apt: "redis-server",
    dnf: &["redis", "valkey-compat-redis", "valkey"],
    brew: &["redis"],
    by_hand: "\
install it by hand and try again: package `redis-server` on Debian and Ubuntu, `redis` or `valkey-compat-redis` on \
Fedora and Enterprise Linux, `redis` with Homebrew, Alpine or openSUSE, `valkey` on Arch; or set \
STREAMHERD_REDIS_SERVER to the path of a server",
};

/// Checks alert rules and runs their tests.
pub(crate) const PROMTOOL: Program = Program {
    variable: "STREAMHERD_PROMTOOL",
    names: &["promtool"],
    apt: "prometheus",
    dnf: &["golang-github-prometheus", "prometheus"],
    brew: &["prometheus"],
    by_hand: "\
install it by hand: package `prometheus` on Debian, Ubuntu, Alpine, Arch and with Homebrew; or set STREAMHERD_PROMTOOL \
to its path",
};

/// The dashboard's page is tested in it.
pub(crate) const CHROMIUM: Program = Program {
    variable: "STREAMHERD_CHROMIUM",
    names: &["chromium", "chromium-browser", "google-chrome", "google-chrome-stable"],
    apt: "chromium",
    dnf: &["chromium"],
    brew: &["--cask", "chromium"],
    by_hand: "\
the dashboard is tested in a browser: install it by hand and try again: package `chromium` on Debian, Fedora, Alpine and \
Arch, `brew install --cask chromium` on macOS, Google Chrome on Ubuntu, whose own package is a snap; or set \
STREAMHERD_CHROMIUM to its path",
};

/// Drives it; of the same major version.
pub(crate) const CHROMEDRIVER: Program = Program {
    variable: "STREAMHERD_CHROMEDRIVER",
    names: &["chromedriver"],
    apt: "chromium-driver",
    dnf: &["chromedriver", "chromium-driver"],
    brew: &["--cask", "chromedriver"],
    by_hand: "\
the dashboard is tested in a browser: install its driver by hand and try again: package `chromium-driver` on Debian, \
`chromedriver` on Fedora, `chromium-chromedriver` on Alpine, `brew install --cask chromedriver` on macOS, the one beside \
Google Chrome on Ubuntu; or set STREAMHERD_CHROMEDRIVER to its path",
};

impl Program {
    /// The absolute path of the program, installed first if need be.
    ///
    /// Absolute because cargo runs each test in its own package's folder, where a relative path means something else.
    ///
    /// One that the user named is never replaced by another: if it cannot be run, that is an error, and nothing is
    /// installed, for no package could mend the name.
    pub(crate) fn ensure(&self) -> Result<PathBuf, String> {
        let Self { variable, by_hand, .. } = self;
        if let Some(named) = env::var_os(variable).filter(|name| !name.is_empty()) {
            return locate(&named).filter(|program| runs(program)).ok_or_else(|| {
                format!(
                    "{variable} names {}, which cannot be run; correct or unset it",
                    named.display()
                )
            });
        }
        if let Some(program) = self.find() {
            return Ok(program);
        }

        let on_path = |program: &str| locate(OsStr::new(program)).is_some();
        let name = self.names.join(" or ");
        let plan = install::plan(self, on_path, is_root())
            .ok_or_else(|| format!("no {name}, and no way to get one; {by_hand}"))?;
        plan.execute(run)
            .map_err(|()| format!("could not install {name}; {by_hand}"))?;
        self.find()
            .ok_or_else(|| format!("the package is installed, but no {name} runs; {by_hand}"))
    }

    fn find(&self) -> Option<PathBuf> {
        self.names
            .iter()
            .filter_map(|name| locate(OsStr::new(name)))
            .find(|program| runs(program))
    }
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
fn runs(program: &Path) -> bool {
    Command::new(program)
        .arg("--version")
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status()
        .is_ok_and(|status| status.success())
}

#[cfg(test)]
mod tests {
    use super::*;

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
    fn what_to_do_by_hand_names_the_packages_and_the_variable() {
        for program in [&REDIS_SERVER, &PROMTOOL, &CHROMIUM, &CHROMEDRIVER] {
            for word in [program.apt, *program.brew.last().unwrap(), program.variable] {
                assert!(program.by_hand.contains(word), "{word}: {}", program.by_hand);
            }
        }
    }
}
