//! Ledgers that were kept in files.

use std::error::Error;
use std::fmt;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use crate::history::History;
use crate::line::Line;

/// Reads ledgers into one history.
///
/// A last line without an end was cut short when its writer was killed, and is left out.
///
/// # Errors
/// If a file can't be read, or a whole line is no note.
pub fn read<P: AsRef<Path>>(paths: impl IntoIterator<Item = P>) -> Result<History, ReadError> {
    let mut history = History::default();
    for path in paths {
        let path = path.as_ref();
        let failed = |line: usize| {
            let path = path.to_owned();
            move |source: io::Error| ReadError { path, line, source }
        };
        let text = fs::read_to_string(path).map_err(failed(0))?;
        for (number, line) in text.split_inclusive('\n').enumerate() {
            if !line.ends_with('\n') {
                break;
            }
            let line: Line = serde_json::from_str(line).map_err(|e| failed(number + 1)(e.into()))?;
            history.apply(line);
        }
    }
    Ok(history)
}

/// A ledger can't be read.
#[derive(Debug)]
pub struct ReadError {
    path: PathBuf,
    line: usize,
    source: io::Error,
}

impl fmt::Display for ReadError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.line {
            0 => write!(f, "the ledger {} can't be read", self.path.display()),
            line => write!(f, "line {line} of the ledger {} is no note", self.path.display()),
        }
    }
}

impl Error for ReadError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        Some(&self.source)
    }
}
