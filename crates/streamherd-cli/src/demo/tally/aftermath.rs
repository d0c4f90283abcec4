//! What became of the streams that workers held when Redis lost its data.

use std::collections::{BTreeMap, HashSet};

use serde::Serialize;

use crate::demo::records::{Event, What};

/// When Redis was killed, and when it was there again, empty.
#[derive(Debug, Clone)]
pub(in crate::demo) struct Restart {
    pub(in crate::demo) at_ms: u64,
    pub(in crate::demo) back_ms: u64,
}

/// How a fleet goes on after it.
#[derive(Debug, PartialEq, Eq, Serialize)]
pub(super) struct Aftermath {
    /// How long Redis was away.
    pub(super) away_ms: u64,
    /// Streams that workers held.
    pub(super) held: usize,
    /// Those that were done under the leases they had.
    pub(super) went_on: usize,
    /// From when Redis was back until the last worker that noticed had noticed, and had written back what it held.
    pub(super) noticed_ms: Option<u64>,
    /// From when Redis was back until it handed a stream out again.
    pub(super) resumed_ms: Option<u64>,
}

impl Aftermath {
    /// `killed` is the worker that had been killed by then.
    pub(super) fn of(restart: &Restart, events: &[Event], killed: &str) -> Self {
        let hold = |event: &Event| (event.consumer.clone(), event.token.clone());
        let before = |event: &&Event| event.at_ms <= restart.at_ms;
        let after = |what: What| {
            let since = move |event: &&Event| event.event == what && event.at_ms > restart.at_ms;
            events.iter().filter(since)
        };
        let ended: HashSet<_> = events
            .iter()
            .filter(before)
            .filter(|event| event.ends_a_lease())
            .map(hold)
            .collect();
        let held: HashSet<_> = events
            .iter()
            .filter(before)
            .filter(|event| event.event == What::Added && event.worker() != killed)
            .map(hold)
            .filter(|hold| !ended.contains(hold))
            .collect();
        let done: HashSet<_> = after(What::Done).map(hold).collect();
        let since_back = |event: &Event| event.at_ms.saturating_sub(restart.back_ms);
        Self {
            away_ms: restart.back_ms.saturating_sub(restart.at_ms),
            went_on: held.intersection(&done).count(),
            held: held.len(),
            noticed_ms: after(What::DataLoss).map(since_back).max(),
            resumed_ms: after(What::Added).map(since_back).min(),
        }
    }
}

/// How often Redis lost its data, as the worker noticed that noticed it most often: each is told by every worker.
pub(super) fn losses(events: &[Event]) -> usize {
    let mut times: BTreeMap<&str, usize> = BTreeMap::new();
    for event in events.iter().filter(|event| event.event == What::DataLoss) {
        *times.entry(&event.consumer).or_default() += 1;
    }
    times.into_values().max().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn event(at_ms: u64, event: What, worker: &str, token: &str) -> Event {
        Event {
            at_ms,
            event,
            consumer: format!("{worker}.abcdefgh"),
            stream: token.to_owned(),
            token: token.to_owned(),
        }
    }

    #[test]
    fn a_loss_that_all_workers_tell_of_is_one() {
        let told = |times: &[(u64, &str)]| {
            let events: Vec<_> = times
                .iter()
                .map(|(at, worker)| event(*at, What::DataLoss, worker, ""))
                .collect();
            losses(&events)
        };
        assert_eq!(told(&[]), 0);
        assert_eq!(told(&[(1, "a"), (2, "b"), (3, "c")]), 1);
        assert_eq!(told(&[(1, "a"), (2, "b"), (9, "b")]), 2);
    }

    #[test]
    fn what_was_held_goes_on_or_does_not() {
        let events = [
            event(1, What::Added, "a", "1"),
            event(2, What::Done, "a", "1"),
            event(3, What::Added, "a", "2"),
            event(3, What::Added, "a", "3"),
            event(3, What::Added, "dead", "4"),
            event(60, What::DataLoss, "a", ""),
            event(75, What::DataLoss, "b", ""),
            event(80, What::Disowned, "a", "2"),
            event(90, What::Done, "a", "3"),
            event(99, What::Added, "b", "5"),
        ];
        let restart = Restart { at_ms: 10, back_ms: 50 };
        assert_eq!(
            Aftermath::of(&restart, &events, "dead"),
            Aftermath {
                away_ms: 40,
                held: 2,
                went_on: 1,
                noticed_ms: Some(25),
                resumed_ms: Some(49),
            }
        );
    }
}
