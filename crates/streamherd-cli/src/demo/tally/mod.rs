//! Counts what became of the streams, from the workers' ledger and events. Does no I/O.

mod aftermath;
mod recovery;
mod report;

use std::collections::{BTreeMap, HashMap, HashSet};
use std::time::Duration;

use serde::Serialize;

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
    /// Streams whose work was finished more than once.
    duplicates: usize,
    /// Streams of which no worker said that they were done or dead-lettered, whatever Redis says.
    lost: usize,
    /// Streams in the queue, or at a worker, or that is what Redis says.
    left: u64,
    dead_letters: usize,
    /// Times a worker started a stream while another held it with a valid lease.
    overlapping: usize,
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
        let more_than_once = |step: Step| {
            let often = |lines: &&Vec<&Line>| lines.iter().filter(|line| line.event == step).count() > 1;
            streams.values().filter(often).count()
        };
        let (done, dead) = (told(events, What::Done), told(events, What::DeadLettered));
        let submitted: HashSet<&str> = known.submitted.iter().map(String::as_str).collect();
        let lost = submitted.difference(&done).filter(|name| !dead.contains(*name)).count();
        let done = submitted.intersection(&done).count();
        let overlapping = streams.values().map(|lines| overlaps(lines)).sum();
        let data_losses = losses(events);
        Self {
            ok: done == submitted.len()
                && known.left == 0
                && overlapping == 0
                && known.unclean_exits == 0
                && (data_losses > 0) == known.restart.is_some(),
            submitted: submitted.len(),
            done,
            requeued: streams.values().filter(|lines| hands(lines) > 1).count(),
            run_again: more_than_once(Step::Started),
            duplicates: more_than_once(Step::Finished),
            lost,
            left: known.left,
            dead_letters: dead.len(),
            overlapping,
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

#[cfg(test)]
mod tests;
