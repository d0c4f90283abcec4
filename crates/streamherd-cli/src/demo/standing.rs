//! Where the work stands, for deciding what to do next and for showing it. Does no I/O.

use std::collections::{BTreeMap, HashMap, HashSet};

use super::records::{Event, Line, Step, What};

/// A worker and the token of a lease of its.
type Hold = (String, String);

#[derive(Debug, Default)]
pub(super) struct Standing {
    /// Streams whose work was finished.
    finished: HashSet<String>,
    /// Those that Redis has confirmed to be done.
    done: HashSet<String>,
    /// Streams started and not finished.
    open: HashMap<Hold, String>,
    /// Streams finished, of which it is not known yet whether Redis took that.
    settling: HashMap<Hold, String>,
    /// Leases of which the workers have said how they ended.
    ended: HashSet<Hold>,
    finished_by: BTreeMap<String, u64>,
    /// Who started each stream last.
    hands: HashMap<String, String>,
    /// Who was told that Redis lost its data.
    bereft: HashSet<String>,
}

impl Standing {
    /// What the handlers wrote down.
    pub(super) fn add(&mut self, lines: Vec<Line>) {
        for line in lines {
            let worker = line.worker().to_owned();
            let hold = (worker.clone(), line.token);
            match line.event {
                Step::Started => {
                    self.hands.insert(line.stream.clone(), worker);
                    // The events are read at another moment, and may be ahead.
                    if !self.ended.contains(&hold) {
                        self.open.insert(hold, line.stream);
                    }
                }
                Step::Finished => {
                    self.open.remove(&hold);
                    *self.finished_by.entry(worker).or_default() += 1;
                    self.finished.insert(line.stream.clone());
                    if !self.ended.contains(&hold) {
                        self.settling.insert(hold, line.stream);
                    }
                }
            }
        }
    }

    /// What the workers printed.
    pub(super) fn hear(&mut self, events: Vec<Event>) {
        for event in events {
            if event.event == What::DataLoss {
                self.bereft.insert(event.worker().to_owned());
            } else if event.ends_a_lease() {
                let hold = (event.worker().to_owned(), event.token);
                self.open.remove(&hold);
                self.settling.remove(&hold);
                self.ended.insert(hold);
                if event.event == What::Done {
                    self.done.insert(event.stream);
                }
            }
        }
    }

    /// The worker has none of its leases any more, and may not be able to say so.
    pub(super) fn strip(&mut self, worker: &str) {
        self.open.retain(|(of, _), _| of != worker);
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

    /// How many streams have been started and not finished, by whomever.
    pub(super) fn in_work_anywhere(&self) -> usize {
        self.open.len()
    }

    /// Whether the worker is between the end of some work and Redis's word for it.
    pub(super) fn is_settling(&self, worker: &str) -> bool {
        self.settling.keys().any(|(of, _)| of == worker)
    }

    /// Whether each of these streams is done or at a worker, and at least one in work.
    pub(super) fn are_in_hand(&self, streams: &[String]) -> bool {
        let held: HashSet<_> = self.open.values().chain(self.settling.values()).collect();
        let mut left = streams.iter().filter(|stream| !self.done.contains(*stream));
        !self.open.is_empty() && left.all(|stream| held.contains(stream))
    }

    /// Whether the worker was told that Redis lost its data.
    pub(super) fn is_bereft(&self, worker: &str) -> bool {
        self.bereft.contains(worker)
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

#[cfg(test)]
mod tests {
    use super::*;

    fn line(event: Step, stream: &str, worker: &str, token: &str) -> Line {
        Line {
            at: std::time::Duration::ZERO,
            event,
            stream: stream.to_owned(),
            consumer: format!("{worker}.abcdefgh"),
            token: token.to_owned(),
        }
    }

    fn event(event: What, stream: &str, worker: &str, token: &str) -> Event {
        Event {
            at_ms: 0,
            event,
            consumer: format!("{worker}.abcdefgh"),
            stream: stream.to_owned(),
            token: token.to_owned(),
        }
    }

    #[test]
    fn what_waits_is_in_nobodys_hand() {
        let streams = ["s".to_owned(), "t".to_owned()];
        let mut standing = Standing::default();
        standing.add(vec![line(Step::Started, "s", "a", "1")]);
        assert!(!standing.are_in_hand(&streams), "t waits");
        standing.add(vec![line(Step::Started, "t", "b", "2")]);
        assert!(standing.are_in_hand(&streams));
        standing.add(vec![line(Step::Finished, "s", "a", "1")]);
        assert!(standing.are_in_hand(&streams), "a is settling s");
        standing.hear(vec![event(What::Disowned, "s", "a", "1")]);
        assert!(!standing.are_in_hand(&streams), "s waits again");
        standing.add(vec![line(Step::Started, "s", "c", "3")]);
        assert!(standing.are_in_hand(&streams));
        standing.strip("b");
        assert!(!standing.are_in_hand(&streams), "b is dead");
    }

    #[test]
    fn where_all_is_done_nothing_is_in_hand() {
        let streams = ["s".to_owned()];
        let mut standing = Standing::default();
        standing.add(vec![line(Step::Started, "s", "a", "1")]);
        assert!(standing.are_in_hand(&streams));
        standing.add(vec![line(Step::Finished, "s", "a", "1")]);
        standing.hear(vec![event(What::Done, "s", "a", "1")]);
        assert!(!standing.are_in_hand(&streams));
    }

    #[test]
    fn a_worker_is_settling_until_it_has_said_how_the_lease_ended() {
        let mut standing = Standing::default();
        standing.add(vec![
            line(Step::Started, "s", "a", "1"),
            line(Step::Finished, "s", "a", "1"),
        ]);
        assert!(standing.is_settling("a") && !standing.is_settling("b"));
        standing.hear(vec![event(What::Done, "s", "a", "1")]);
        assert!(!standing.is_settling("a"));
    }

    #[test]
    fn an_end_that_is_heard_of_before_the_start_is_an_end() {
        let mut standing = Standing::default();
        standing.hear(vec![event(What::Disowned, "s", "a", "1")]);
        standing.add(vec![line(Step::Started, "s", "a", "1")]);
        assert_eq!(standing.in_work("a"), 0);
    }
}
