//! How the streams of a worker that was struck went to the others.

use std::collections::HashMap;

use serde::Serialize;
use streamherd_ledger::At;

use super::ms;
use crate::demo::records::{Line, Step};

/// Something that was done to a worker.
#[derive(Debug, Clone)]
pub(in crate::demo) struct Fault {
    pub(in crate::demo) worker: String,
    pub(in crate::demo) at: At,
}

/// How the streams of one worker went to the others.
#[derive(Debug, Serialize)]
pub(super) struct Recovery {
    pub(super) worker: String,
    /// Streams it was in the middle of.
    pub(super) held: usize,
    /// Those that another worker started.
    pub(super) reassigned: usize,
    pub(super) first_ms: Option<u64>,
    pub(super) last_ms: Option<u64>,
}

impl Recovery {
    pub(super) fn of(fault: &Fault, streams: &HashMap<&str, Vec<&Line>>) -> Self {
        let mut held = 0;
        let mut waits = Vec::new();
        for lines in streams.values() {
            if !was_held(lines, fault) {
                continue;
            }
            held += 1;
            let others = lines
                .iter()
                .filter(|line| line.event == Step::Started && line.worker() != fault.worker && line.at > fault.at);
            waits.extend(others.map(|line| ms(line.at - fault.at)).min());
        }
        Self {
            worker: fault.worker.clone(),
            held,
            reassigned: waits.len(),
            first_ms: waits.iter().min().copied(),
            last_ms: waits.iter().max().copied(),
        }
    }
}

/// Whether the worker was in the middle of the stream when the fault struck.
fn was_held(lines: &[&Line], fault: &Fault) -> bool {
    let before: Vec<_> = lines
        .iter()
        .filter(|line| line.worker() == fault.worker && line.at <= fault.at)
        .collect();
    before.iter().any(|started| {
        started.event == Step::Started
            && !before
                .iter()
                .any(|line| line.event == Step::Finished && line.token == started.token)
    })
}
