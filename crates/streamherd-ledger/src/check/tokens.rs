//! Whether the fencing tokens tell the order.

use std::collections::{BTreeMap, HashMap};

use super::Runs;
use crate::clock::At;
use crate::history::{Held, History};

/// Pairs of leases of which the later has not the larger token.
///
/// The later of two leases of a stream is the one that was certainly valid later: when a worker writes down that it was
/// handed one says little, as it may have stood still before. Of two streams of a partition it is certain only where one was
/// not even submitted when the other had been handed out.
pub(super) fn out_of_order<'a>(history: &'a History, runs: &Runs<'a>) -> Vec<(&'a Held, &'a Held)> {
    let mut pairs = equal(history);
    for leases in runs.of_stream.values() {
        let mut valid: Vec<(At, At, &Held)> = leases
            .iter()
            .filter_map(|held| held.valid.map(|(from, until)| (from, until, *held)))
            .collect();
        valid.sort_by_key(|(from, ..)| *from);
        let neighbours = valid.windows(2).map(|pair| (pair[0], pair[1]));
        let wrong = neighbours.filter(|((_, until, one), (from, _, other))| until < from && one.token > other.token);
        pairs.extend(wrong.map(|((.., one), (.., other))| (one, other)));
    }
    let mut submitted: HashMap<&str, At> = HashMap::new();
    for submit in &history.submits {
        let first = submitted.entry(&submit.stream).or_insert(submit.asked);
        *first = submit.asked.min(*first);
    }
    for leases in runs.of_partition.values() {
        // By the time of the submit, so that each earlier lease is looked at once.
        let mut later: Vec<(At, &Held)> = leases
            .iter()
            .filter_map(|held| Some((*submitted.get(&*held.stream)?, *held)))
            .collect();
        later.sort_by_key(|(submitted, _)| *submitted);
        let mut earlier = leases.iter().copied().peekable();
        let mut largest: Option<&Held> = None;
        for (submitted, held) in later {
            while let Some(before) = earlier.next_if(|before| before.handed_out < submitted) {
                if largest.is_none_or(|largest| largest.token < before.token) {
                    largest = Some(before);
                }
            }
            pairs.extend(
                largest
                    .filter(|largest| largest.token > held.token)
                    .map(|largest| (largest, held)),
            );
        }
    }
    pairs
}

fn equal(history: &History) -> Vec<(&Held, &Held)> {
    let mut known: BTreeMap<(u16, u64), &Held> = BTreeMap::new();
    let mut pairs = Vec::new();
    for held in &history.leases {
        if let Some(before) = known.insert((held.partition, held.token), held) {
            pairs.push((before, held));
        }
    }
    pairs
}
