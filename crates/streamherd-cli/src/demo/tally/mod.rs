//! Counts what became of the streams, from the workers' ledger and events. Does no I/O.

mod aftermath;
mod recovery;
mod report;

use std::collections::{BTreeMap, HashMap, HashSet};
use std::time::Duration;

use serde::Serialize;
use streamherd_ledger::{Figures, History, Verdict, Violation};

pub(super) use self::aftermath::Restart;
use self::aftermath::{Aftermath, losses};
pub(super) use self::recovery::Fault;
use self::recovery::Recovery;
use super::records::{Event, Line, Step, What};

/// What the demo prints.
#[derive(Debug, Serialize)]
pub(super) struct Tally {
    /// Whether all of it is as it has to be.
    pub(super) ok: bool,
    submitted: usize,
    /// Distinct streams that a worker said were done, as Redis had confirmed it.
    done: usize,
    /// Streams that a second worker started.
    requeued: usize,
    /// Streams that were started more than once, by whomever.
    run_again: usize,
    /// Work that was finished more than once.
    duplicates: usize,
    /// The same, by why the first time did not count.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    duplicates_by_cause: BTreeMap<String, usize>,
    /// Streams of which no worker said that they were done or dead-lettered, whatever Redis says.
    lost: usize,
    /// Streams in the queue, or at a worker, or that is what Redis says.
    left: u64,
    dead_letters: usize,
    /// Pairs of leases of one stream that were valid at one time.
    overlapping: usize,
    /// Whatever else the ledger says must not have happened.
    violations: Vec<String>,
    /// How often Redis lost its data, as the workers noticed.
    data_losses: usize,
    killed: Recovery,
    stopped: Recovery,
    #[serde(skip_serializing_if = "Option::is_none")]
    restart: Option<Aftermath>,
    /// Workers that did not exit with 0 at the end, other than the killed one.
    unclean_exits: usize,
    seconds: f64,
}

/// What the demo knows besides what the workers said.
#[derive(Debug)]
pub(super) struct Known<'a> {
    pub(super) submitted: &'a [String],
    pub(super) history: &'a History,
    pub(super) killed: &'a Fault,
    pub(super) stopped: &'a Fault,
    pub(super) restart: Option<&'a Restart>,
    pub(super) left: u64,
    pub(super) unclean_exits: usize,
    pub(super) took: Duration,
}

impl Tally {
    pub(super) fn count(lines: &[Line], events: &[Event], known: &Known<'_>) -> Self {
        let mut streams: HashMap<&str, Vec<&Line>> = HashMap::new();
        for line in lines {
            streams.entry(&line.stream).or_default().push(line);
        }
        let again = |lines: &&Vec<&Line>| lines.iter().filter(|line| line.event == Step::Started).count() > 1;
        let (done, dead) = (told(events, What::Done), told(events, What::DeadLettered));
        let submitted: HashSet<&str> = known.submitted.iter().map(String::as_str).collect();
        let lost = submitted.difference(&done).filter(|name| !dead.contains(*name)).count();
        let done = submitted.intersection(&done).count();
        let verdict = Verdict::on(known.history);
        let (mut overlapping, mut violations) = (0, Vec::new());
        for violation in &verdict.violations {
            match violation {
                Violation::TwoOwners(..) => overlapping += 1,
                Violation::Lost(_) => {}
                other => violations.push(other.to_string()),
            }
        }
        let data_losses = losses(events);
        Self {
            ok: done == submitted.len()
                && known.left == 0
                && verdict.violations.is_empty()
                && known.unclean_exits == 0
                && (data_losses > 0) == known.restart.is_some(),
            submitted: submitted.len(),
            done,
            requeued: streams.values().filter(|lines| hands(lines) > 1).count(),
            run_again: streams.values().filter(again).count(),
            duplicates: verdict.duplicates.len(),
            duplicates_by_cause: Figures::of(known.history, &verdict).duplicates,
            lost,
            left: known.left,
            dead_letters: dead.len(),
            overlapping,
            violations,
            data_losses,
            killed: Recovery::of(known.killed, &streams),
            stopped: Recovery::of(known.stopped, &streams),
            restart: known
                .restart
                .map(|restart| Aftermath::of(restart, events, &known.killed.worker)),
            unclean_exits: known.unclean_exits,
            // Whole milliseconds: what is finer is noise.
            seconds: Duration::from_millis(ms(known.took)).as_secs_f64(),
        }
    }
}

/// The streams of which a worker said this.
fn told(events: &[Event], what: What) -> HashSet<&str> {
    let told = events.iter().filter(|event| event.event == what);
    told.map(|event| event.stream.as_str()).collect()
}

fn ms(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

/// How many workers started the stream.
fn hands(lines: &[&Line]) -> usize {
    let started = lines.iter().filter(|line| line.event == Step::Started);
    started.map(|line| &line.consumer).collect::<HashSet<_>>().len()
}

#[cfg(test)]
mod tests;
