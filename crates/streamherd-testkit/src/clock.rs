use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::error::StartError;

/// A clock of a server's own, which a test sets.
#[derive(Debug)]
pub(crate) struct Clock {
    library: PathBuf,
    offset: PathBuf,
}

impl Clock {
    /// Built by the C compiler that Rust links with, as a server takes its time from libc.
    pub(crate) fn make(dir: &Path) -> Result<Self, StartError> {
        let clock = Self {
            library: dir.join("clock.so"),
            offset: dir.join("clock.offset"),
        };
        let source = dir.join("clock.c");
        fs::write(&source, include_str!("clock.c")).map_err(StartError::io("write the source of a clock"))?;
        clock.set(0).map_err(StartError::io("set a clock"))?;
        let built = Command::new("cc")
            .args(["-shared", "-fPIC", "-O1", "-o"])
            .args([&clock.library, &source])
            .status()
            .map_err(StartError::io("run the C compiler cc"))?;
        if !built.success() {
            let failed = std::io::Error::other(format!("cc ended with {built}"));
            return Err(StartError::io("build a clock")(failed));
        }
        Ok(clock)
    }

    pub(crate) fn add_to(&self, command: &mut Command) {
        command
            .env("LD_PRELOAD", &self.library)
            .env("STREAMHERD_CLOCK", &self.offset);
    }

    pub(crate) fn set(&self, microseconds: i64) -> std::io::Result<()> {
        fs::write(&self.offset, microseconds.to_ne_bytes())
    }
}
