//! Files of JSON lines, read as they grow.

use std::fs::File;
use std::io::{self, Read as _};
use std::marker::PhantomData;
use std::path::Path;

use serde::de::DeserializeOwned;

#[derive(Debug)]
pub(super) struct Journal<T> {
    file: File,
    /// The beginning of a line that is not whole yet.
    rest: Vec<u8>,
    lines: PhantomData<fn() -> T>,
}

impl<T: DeserializeOwned> Journal<T> {
    pub(super) fn open(path: &Path) -> io::Result<Self> {
        Ok(Self {
            file: File::open(path)?,
            rest: Vec::new(),
            lines: PhantomData,
        })
    }

    /// The lines that were added since the last call.
    pub(super) fn read(&mut self) -> io::Result<Vec<T>> {
        self.file.read_to_end(&mut self.rest)?;
        let whole = self.rest.iter().rposition(|byte| *byte == b'\n').map_or(0, |at| at + 1);
        let lines = self.rest.drain(..whole).collect::<Vec<u8>>();
        lines
            .split(|byte| *byte == b'\n')
            .filter(|line| !line.is_empty())
            .map(|line| Ok(serde_json::from_slice(line)?))
            .collect()
    }
}

/// Everything in a file that nobody writes any more.
pub(super) fn read_all<T: DeserializeOwned>(path: &Path) -> io::Result<Vec<T>> {
    Journal::open(path)?.read()
}
