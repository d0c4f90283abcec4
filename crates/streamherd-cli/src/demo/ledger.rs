//! Reads what the workers write down as they work: the demo's only source about the work itself.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::fs::File;
use std::io::{self, Read as _};
use std::path::Path;

use serde::Deserialize;

/// One line, as `worker --ledger` writes it.
#[derive(Debug, Clone, Deserialize)]
pub(super) struct Line {
    pub(super) at_ms: u64,
    pub(super) event: Step,
    pub(super) stream: String,
    /// The worker's name and incarnation.
    pub(super) consumer: String,
    pub(super) token: String,
    pub(super) valid: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Step {
    Started,
    Finished,
}

impl Line {
    /// The name that the demo gave the worker.
    pub(super) fn worker(&self) -> &str {
        self.consumer.rsplit_once('.').map_or(&self.consumer, |(name, _)| name)
    }
}

/// The file, read as it grows.
#[derive(Debug)]
pub(super) struct Ledger {
    file: File,
    /// The beginning of a line that is not whole yet.
    rest: Vec<u8>,
}

impl Ledger {
    pub(super) fn create(path: &Path) -> io::Result<Self> {
        File::options().append(true).create_new(true).open(path)?;
        Self::open(path)
    }

    pub(super) fn open(path: &Path) -> io::Result<Self> {
        let file = File::open(path)?;
        Ok(Self { file, rest: Vec::new() })
    }

    /// The lines that were added since the last call.
    pub(super) fn read(&mut self) -> io::Result<Vec<Line>> {
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

/// Where the work stands, for deciding what to do next and for showing it.
#[derive(Debug, Default)]
pub(super) struct Standing {
    finished: HashSet<String>,
    /// Streams started and not finished, by worker and token.
    open: HashMap<(String, String), String>,
    finished_by: BTreeMap<String, u64>,
    /// Who started each stream last.
    hands: HashMap<String, String>,
}

impl Standing {
    pub(super) fn add(&mut self, lines: Vec<Line>) {
        for line in lines {
            let worker = line.worker().to_owned();
            match line.event {
                Step::Started => {
                    self.hands.insert(line.stream.clone(), worker.clone());
                    self.open.insert((worker, line.token), line.stream);
                }
                Step::Finished => {
                    self.open.remove(&(worker.clone(), line.token));
                    *self.finished_by.entry(worker).or_default() += 1;
                    self.finished.insert(line.stream);
                }
            }
        }
    }

    /// Distinct streams whose work was finished.
    pub(super) fn finished(&self) -> usize {
        self.finished.len()
    }

    pub(super) fn is_finished(&self, stream: &str) -> bool {
        self.finished.contains(stream)
    }

    pub(super) fn finished_by(&self, worker: &str) -> u64 {
        self.finished_by.get(worker).copied().unwrap_or_default()
    }

    /// How many streams the worker has started and not finished.
    pub(super) fn in_work(&self, worker: &str) -> usize {
        self.begun_by(worker).count()
    }

    /// Whether all that the worker has started and not finished was started by others after it.
    pub(super) fn was_taken_over(&self, worker: &str) -> bool {
        self.begun_by(worker)
            .all(|stream| self.hands.get(stream).is_none_or(|last| last != worker))
    }

    fn begun_by(&self, worker: &str) -> impl Iterator<Item = &String> {
        let begun = self.open.iter().filter(move |((of, _), _)| of == worker);
        begun.map(|(_, stream)| stream)
    }
}
