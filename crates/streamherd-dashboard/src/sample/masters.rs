//! How the sampler gets on with each server. No I/O, no clock.

use std::time::Duration;

use streamherd::{BreakerState, MasterHealth, PartitionStatus};

/// Failures in a row after which a server counts as away; as many as a worker's breaker takes.
const FAILURES: u32 = 3;

/// How a server that holds partitions is got on with.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Master {
    /// Host and port, or the path of a socket.
    pub server: String,
    /// Whether it answered when it was last asked.
    pub answered: bool,
    /// As a worker's breaker would be: closed is well, open is away, half-open is just back.
    pub breaker: BreakerState,
    /// How long that has been so.
    pub since: Duration,
    /// Its partitions, by number.
    pub partitions: Vec<u16>,
    /// What went wrong last; kept after it is mended.
    pub last_error: Option<String>,
}

/// What a look has seen of one partition.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Part<'a> {
    pub(crate) number: u16,
    pub(crate) server: Option<&'a str>,
    pub(crate) answered: bool,
}

impl<'a> From<&'a PartitionStatus> for Part<'a> {
    fn from(status: &'a PartitionStatus) -> Self {
        Self {
            number: status.number,
            server: status.server.as_deref(),
            answered: status.answered,
        }
    }
}

/// What is known of one server.
#[derive(Debug)]
struct Known {
    server: String,
    partitions: Vec<u16>,
    breaker: BreakerState,
    /// On a clock that only grows.
    since: Duration,
    failures: u32,
    last_error: Option<String>,
}

/// All servers that hold a partition.
#[derive(Debug, Default)]
pub(crate) struct Masters(Vec<Known>);

impl Masters {
    /// Notes which partitions were answered for; of a server with several, one that wasn't is a failure.
    pub(crate) fn looked<'a>(&mut self, partitions: impl IntoIterator<Item = Part<'a>>, now: Duration) {
        let mut seen: Vec<(&str, Vec<u16>, bool)> = Vec::new();
        for one in partitions {
            let Some(server) = one.server else { continue };
            match seen.iter_mut().find(|(known, ..)| *known == server) {
                Some((_, numbers, answered)) => {
                    numbers.push(one.number);
                    *answered &= one.answered;
                }
                None => seen.push((server, vec![one.number], one.answered)),
            }
        }
        self.0
            .retain(|known| seen.iter().any(|(server, ..)| *server == known.server));
        for (server, numbers, answered) in seen {
            let at = self.0.iter().position(|known| known.server == server);
            let at = at.unwrap_or_else(|| {
                self.0.push(Known::new(server, now));
                self.0.len() - 1
            });
            if let Some(known) = self.0.get_mut(at) {
                known.partitions = numbers;
                if answered {
                    known.succeeded(now);
                } else {
                    known.failed("it did not answer in time", now);
                }
            }
        }
        self.0.sort_by(|a, b| a.partitions.cmp(&b.partitions));
    }

    /// Notes that none of them gave an answer.
    pub(crate) fn failed(&mut self, error: &str, now: Duration) {
        self.0.iter_mut().for_each(|known| known.failed(error, now));
    }

    pub(crate) fn view(&self, now: Duration) -> Vec<Master> {
        let view = |known: &Known| Master {
            server: known.server.clone(),
            answered: known.failures == 0,
            breaker: known.breaker,
            since: now.saturating_sub(known.since),
            partitions: known.partitions.clone(),
            last_error: known.last_error.clone(),
        };
        self.0.iter().map(view).collect()
    }
}

impl Known {
    fn new(server: &str, now: Duration) -> Self {
        Self {
            server: server.to_owned(),
            partitions: Vec::new(),
            breaker: BreakerState::Closed,
            since: now,
            failures: 0,
            last_error: None,
        }
    }

    fn succeeded(&mut self, now: Duration) {
        self.failures = 0;
        match self.breaker {
            BreakerState::Open => self.become_(BreakerState::HalfOpen, now),
            BreakerState::HalfOpen => self.become_(BreakerState::Closed, now),
            _ => {}
        }
    }

    fn failed(&mut self, error: &str, now: Duration) {
        self.failures = self.failures.saturating_add(1);
        self.last_error = Some(error.to_owned());
        let open = self.failures >= FAILURES || self.breaker == BreakerState::HalfOpen;
        if open && self.breaker != BreakerState::Open {
            self.become_(BreakerState::Open, now);
        }
    }

    fn become_(&mut self, breaker: BreakerState, now: Duration) {
        (self.breaker, self.since) = (breaker, now);
    }
}

/// As a worker in this process sees them: its own breakers.
pub(crate) fn of_worker(masters: Vec<MasterHealth>) -> Vec<Master> {
    let master = |master: MasterHealth| Master {
        server: master.address,
        answered: master.breaker == BreakerState::Closed,
        breaker: master.breaker,
        since: master.since,
        partitions: master.partitions,
        last_error: master.last_error,
    };
    masters.into_iter().map(master).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn part(number: u16, server: &str, answered: bool) -> Part<'_> {
        Part {
            number,
            server: Some(server),
            answered,
        }
    }

    fn at(second: u64) -> Duration {
        Duration::from_secs(second)
    }

    fn breakers(masters: &Masters) -> Vec<BreakerState> {
        masters.view(at(0)).iter().map(|master| master.breaker).collect()
    }

    use BreakerState::{Closed, HalfOpen, Open};

    #[test]
    fn a_server_is_away_after_three_failures_and_well_after_two_answers() {
        let mut masters = Masters::default();
        let mut seen = Vec::new();
        for (second, answered) in [true, false, false, false, true, false, true, true]
            .into_iter()
            .enumerate()
        {
            masters.looked([part(0, "a", answered)], at(second as u64));
            seen.extend(breakers(&masters));
        }
        assert_eq!(seen, [Closed, Closed, Closed, Open, HalfOpen, Open, HalfOpen, Closed]);
        let master = &masters.view(at(10))[0];
        assert_eq!((master.answered, master.since), (true, at(3)));
        assert!(master.last_error.is_some(), "it is kept after it is mended");
    }

    #[test]
    fn one_server_s_silence_is_its_own() {
        let mut masters = Masters::default();
        for second in 0..3 {
            masters.looked(
                [part(0, "a", true), part(1, "b", false), part(2, "a", true)],
                at(second),
            );
        }
        assert_eq!(breakers(&masters), [Closed, Open]);
        let held: Vec<_> = masters
            .view(at(3))
            .into_iter()
            .map(|master| master.partitions)
            .collect();
        assert_eq!(held, [vec![0, 2], vec![1]]);
    }

    #[test]
    fn an_error_of_all_is_each_one_s_and_a_server_that_holds_nothing_is_forgotten() {
        let mut masters = Masters::default();
        masters.looked([part(0, "a", true), part(1, "b", true)], at(0));
        (0..3).for_each(|second| masters.failed("no route", at(second)));
        assert_eq!(breakers(&masters), [Open, Open]);
        assert_eq!(masters.view(at(3))[1].last_error.as_deref(), Some("no route"));
        let nowhere = Part {
            number: 1,
            server: None,
            answered: false,
        };
        masters.looked([part(0, "a", true), nowhere], at(4));
        assert_eq!(breakers(&masters), [HalfOpen]);
    }
}
