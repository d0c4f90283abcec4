//! Programs of others that are written in Rust, each in exactly one version, installed by cargo where they are missing.

use std::env;
use std::ffi::OsStr;
use std::io;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Instant;

use crate::cargo;

/// A program that is a subcommand of cargo.
pub(crate) struct Tool {
    pub(crate) name: &'static str,
    /// Exactly this one: what a newer version finds in addition is no reason for an older commit to fail.
    pub(crate) version: &'static str,
}

impl Tool {
    /// The program, from the PATH or from the target folder; put there if it is in neither.
    pub(crate) fn ensure(&self) -> Result<PathBuf, String> {
        let Self { name, version } = self;
        let tools = target()?.join("tools");
        let ours = tools.join("bin").join(name);
        let installed = [PathBuf::from(name), ours.clone()];
        if let Some(found) = installed.into_iter().find(|program| self.is_this(program.as_os_str())) {
            return Ok(found);
        }
        let tools = tools.display().to_string();
        // Unoptimised and without debug information: a release build takes minutes longer than all its checks save.
        let args = [
            "install",
            name,
            "--locked",
            "--version",
            version,
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
        if !status.success() || !self.is_this(ours.as_os_str()) {
            return Err(format!("{name} {version} could not be installed ({status})"));
        }
        eprintln!("xtask: installed in {:.1} s", started.elapsed().as_secs_f64());
        Ok(ours)
    }

    fn is_this(&self, program: &OsStr) -> bool {
        // As cargo calls it: there are some that know no other way.
        let subcommand = self.name.trim_start_matches("cargo-");
        let said = Command::new(program).args([subcommand, "--version"]).output();
        said.is_ok_and(|output| output.status.success() && self.is_version(&output.stdout))
    }

    fn is_version(&self, said: &[u8]) -> bool {
        said.trim_ascii() == format!("{} {}", self.name, self.version).as_bytes()
    }
}

/// What cargo builds into, as this program is: `target/debug/xtask`.
pub(crate) fn target() -> Result<PathBuf, String> {
    let this = env::current_exe().map_err(|error| format!("cannot find the target folder: {error}"))?;
    let target = this.parent().and_then(Path::parent);
    Ok(target.ok_or("this program is in no target folder")?.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_version_that_is_pinned_will_do() {
        let tool = Tool {
            name: "cargo-deny",
            version: "0.20.2",
        };
        assert!(tool.is_version(b"cargo-deny 0.20.2\n"));
        assert!(!tool.is_version(b"cargo-deny 0.20.20\n"));
        assert!(!tool.is_version(b"cargo-deny 0.1.0\n"));
    }
}
