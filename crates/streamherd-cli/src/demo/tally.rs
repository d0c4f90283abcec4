//! Counts what became of the streams, from the ledger and from Redis's own status. Does no I/O.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::fmt;
use std::time::Duration;

use serde::Serialize;
use streamherd::Status;

use super::ledger::{Line, Step};

/// Something that was done to a worker.
#[derive(Debug, Clone)]
pub(super) struct Fault {
    pub(super) worker: String,
    pub(super) at_ms: u64,
}

/// What the demo prints.
#[derive(Debug, Serialize)]
pub(super) struct Tally {
    /// Whether all of it is as it has to be.
    pub(super) ok: bool,
    pub(super) submitted: usize,
    /// Distinct streams whose work was finished.
    pub(super) done: usize,
    /// Streams that a second worker started.
    pub(super) requeued: usize,
    /// Streams whose work was finished more than once.
    pub(super) duplicates: usize,
    /// Streams that were neither finished nor are in Redis any more.
    pub(super) lost: usize,
    /// Streams in the queue, or at a worker, or that is what Redis says.
    pub(super) left: u64,
    pub(super) dead_letters: u64,
    /// Times a worker started a stream while another held it with a valid lease.
    pub(super) overlapping: usize,
    pub(super) killed: Recovery,
    pub(super) stopped: Recovery,
    /// Workers that did not exit with 0 at the end, other than the killed one.
    pub(super) unclean_exits: usize,
    pub(super) seconds: f64,
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

/// What the demo knows besides the ledger.
#[derive(Debug)]
pub(super) struct Known<'a> {
    pub(super) submitted: &'a [String],
    pub(super) killed: &'a Fault,
    pub(super) stopped: &'a Fault,
    pub(super) status: &'a Status,
    pub(super) unclean_exits: usize,
    pub(super) took: Duration,
}

impl Tally {
    pub(super) fn count(lines: &[Line], known: &Known<'_>) -> Self {
        let mut streams: HashMap<&str, Vec<&Line>> = HashMap::new();
        for line in lines {
            streams.entry(&line.stream).or_default().push(line);
        }
        let finishes = |stream: &str| {
            let lines = streams.get(stream).into_iter().flatten();
            lines.filter(|line| line.event == Step::Finished).count()
        };
        let done = known.submitted.iter().filter(|name| finishes(name) > 0).count();
        let status = known.status;
        let left = status.queued + status.requeued + status.pending + status.delayed;
        let unfinished = known.submitted.len() - done;
        let elsewhere = usize::try_from(left + status.dead_letters).unwrap_or(usize::MAX);
        let overlapping = streams.values().map(|lines| overlaps(lines)).sum();
        Self {
            ok: unfinished == 0 && left == 0 && overlapping == 0 && known.unclean_exits == 0,
            submitted: known.submitted.len(),
            done,
            requeued: streams.values().filter(|lines| hands(lines) > 1).count(),
            duplicates: known.submitted.iter().filter(|name| finishes(name) > 1).count(),
            lost: unfinished.saturating_sub(elsewhere),
            left,
            dead_letters: status.dead_letters,
            overlapping,
            killed: Recovery::of(known.killed, &streams),
            stopped: Recovery::of(known.stopped, &streams),
            unclean_exits: known.unclean_exits,
            // Whole milliseconds: what is finer is noise.
            seconds: Duration::from_millis(ms(known.took)).as_secs_f64(),
        }
    }
}

fn ms(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

/// How many workers started the stream.
fn hands(lines: &[&Line]) -> usize {
    let started = lines.iter().filter(|line| line.event == Step::Started);
    started.map(|line| &line.consumer).collect::<HashSet<_>>().len()
}

/// A lease that is valid when work is finished has been valid since it began, as a lost one never comes back. So whoever
/// starts in between with a valid lease shares the stream. Work that was not finished proves nothing, and is left out.
fn overlaps(lines: &[&Line]) -> usize {
    let valid = |step: Step| lines.iter().filter(move |line| line.event == step && line.valid);
    let started: BTreeMap<&str, u64> = valid(Step::Started)
        .map(|line| (line.token.as_str(), line.at_ms))
        .collect();
    let mut overlaps = 0;
    for finished in valid(Step::Finished) {
        let Some(since) = started.get(finished.token.as_str()) else {
            continue;
        };
        overlaps += started
            .iter()
            .filter(|(token, at)| **token != finished.token && *at > since && **at < finished.at_ms)
            .count();
    }
    overlaps
}

impl Recovery {
    fn of(fault: &Fault, streams: &HashMap<&str, Vec<&Line>>) -> Self {
        let mut held = 0;
        let mut waits = Vec::new();
        for lines in streams.values() {
            if !was_held(lines, fault) {
                continue;
            }
            held += 1;
            let others = lines.iter().filter(|line| {
                line.event == Step::Started && line.worker() != fault.worker && line.at_ms > fault.at_ms
            });
            waits.extend(others.map(|line| line.at_ms - fault.at_ms).min());
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
        .filter(|line| line.worker() == fault.worker && line.at_ms <= fault.at_ms)
        .collect();
    before.iter().any(|started| {
        started.event == Step::Started
            && !before
                .iter()
                .any(|line| line.event == Step::Finished && line.token == started.token)
    })
}

impl fmt::Display for Tally {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut row = |name: &str, value: String, remark: &str| {
            writeln!(f, "{}", format!("{name:<14}{value:<10}{remark}").trim_end())
        };
        row("submitted", self.submitted.to_string(), "")?;
        row("done", self.done.to_string(), "")?;
        row(
            "re-queued",
            self.requeued.to_string(),
            "started again by another worker",
        )?;
        let why = "done again, as Redis had not heard of the first time";
        row(
            "duplicates",
            self.duplicates.to_string(),
            if self.duplicates > 0 { why } else { "" },
        )?;
        row("lost", self.lost.to_string(), "")?;
        if self.left > 0 {
            row("left", self.left.to_string(), "still queued, delayed or pending")?;
        }
        let overlapping = match self.overlapping {
            0 => "none".to_owned(),
            n => n.to_string(),
        };
        row("overlapping", overlapping, "streams with two valid leases at one time")?;
        row("dead letters", self.dead_letters.to_string(), "")?;
        row("killed", self.killed.worker.clone(), &self.killed.to_string())?;
        row("stopped", self.stopped.worker.clone(), &self.stopped.to_string())?;
        if self.unclean_exits > 0 {
            row(
                "unclean exits",
                self.unclean_exits.to_string(),
                "workers that did not end with 0",
            )?;
        }
        row("took", format!("{:.1} s", self.seconds), "")
    }
}

impl fmt::Display for Recovery {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "in the middle of {}; {} re-assigned", self.held, self.reassigned)?;
        if let (Some(first), Some(last)) = (self.first_ms, self.last_ms) {
            let seconds = |ms: u64| Duration::from_millis(ms).as_secs_f64();
            write!(f, " after {:.2} to {:.2} s", seconds(first), seconds(last))?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(at_ms: u64, event: Step, worker: &str, token: &str) -> Line {
        Line {
            at_ms,
            event,
            stream: "s".to_owned(),
            consumer: format!("{worker}.abcdefgh"),
            token: token.to_owned(),
            valid: true,
        }
    }

    fn count_overlaps(lines: &[Line]) -> usize {
        overlaps(&lines.iter().collect::<Vec<_>>())
    }

    #[test]
    fn work_that_follows_on_other_work_does_not_overlap() {
        let lines = [
            line(1, Step::Started, "a", "1"),
            line(5, Step::Started, "b", "2"),
            line(9, Step::Finished, "b", "2"),
            line(9, Step::Started, "c", "3"),
            line(12, Step::Finished, "c", "3"),
        ];
        assert_eq!(count_overlaps(&lines), 0);
    }

    #[test]
    fn a_start_before_a_valid_finish_overlaps() {
        let lines = [
            line(1, Step::Started, "a", "1"),
            line(5, Step::Started, "b", "2"),
            line(6, Step::Finished, "a", "1"),
            line(9, Step::Finished, "b", "2"),
        ];
        assert_eq!(count_overlaps(&lines), 1);
    }

    #[test]
    fn no_line_is_wider_than_a_terminal() {
        let recovery = || Recovery {
            worker: "worker-32".to_owned(),
            held: 4,
            reassigned: 4,
            first_ms: Some(99_990),
            last_ms: Some(99_990),
        };
        let tally = Tally {
            ok: false,
            submitted: 100_000,
            done: 100_000,
            requeued: 100_000,
            duplicates: 100_000,
            lost: 100_000,
            left: 100_000,
            dead_letters: 100_000,
            overlapping: 100_000,
            killed: recovery(),
            stopped: recovery(),
            unclean_exits: 31,
            seconds: 1_000.0,
        };
        for line in tally.to_string().lines() {
            assert!(line.chars().count() <= 80, "{line}");
        }
    }

    #[test]
    fn only_what_was_in_work_counts_as_held() {
        let fault = Fault {
            worker: "a".to_owned(),
            at_ms: 10,
        };
        let finished = [line(1, Step::Started, "a", "1"), line(9, Step::Finished, "a", "1")];
        let in_work = [line(1, Step::Started, "a", "1"), line(14, Step::Started, "b", "2")];
        let count = |lines: &[Line]| Recovery::of(&fault, &HashMap::from([("s", lines.iter().collect())]));
        assert_eq!(count(&finished).held, 0);
        let recovery = count(&in_work);
        assert_eq!((recovery.held, recovery.reassigned, recovery.first_ms), (1, 1, Some(4)));
    }
}
