//! How fast a queue moves, from what successive looks at it counted. No I/O, no clock.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use serde::Serialize;

/// Streams per second over the last looks; [`None`] where that isn't known.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize)]
#[non_exhaustive]
pub struct Rates {
    /// Put on the input streams. Unknown before Redis 7, which doesn't count.
    pub queued: Option<f64>,
    /// Finished by their handlers.
    pub done: Option<f64>,
    /// Put back by their handlers, or because these failed.
    pub retried: Option<f64>,
    /// Put to the dead letters by the workers that held them.
    pub dead_lettered: Option<f64>,
    /// Leases that workers lost.
    pub lost: Option<f64>,
}

/// What one worker has counted since its start.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Counts {
    pub(crate) done: u64,
    pub(crate) retried: u64,
    pub(crate) dead_lettered: u64,
    pub(crate) lost: u64,
}

/// One look, all partitions included.
#[derive(Debug, Clone, Default)]
pub(crate) struct Reading {
    /// On a clock that only grows.
    pub(crate) at: Duration,
    /// Unix milliseconds.
    pub(crate) at_ms: u64,
    pub(crate) queued_total: Option<u64>,
    /// By id: when it started, in Unix milliseconds by its own clock, and what it has counted.
    pub(crate) consumers: BTreeMap<String, (u64, Counts)>,
}

/// A point in the sums over all consumers that ever took part.
#[derive(Debug, Clone, Copy)]
struct Point {
    at: Duration,
    queued: Option<u64>,
    sum: Counts,
}

/// The last looks.
#[derive(Debug)]
pub(crate) struct Window {
    span: Duration,
    points: VecDeque<Point>,
    last: Option<Reading>,
    /// What each consumer has finished, at the points at which it was seen.
    done: BTreeMap<String, VecDeque<(Duration, u64)>>,
}

impl Window {
    /// Rates are taken over this time: workers tell what they have counted only with their heartbeats.
    pub(crate) const fn new(span: Duration) -> Self {
        Self {
            span,
            points: VecDeque::new(),
            last: None,
            done: BTreeMap::new(),
        }
    }

    /// Notes a look. One that lacks a partition is to be left out: its sums would fall, and rise again when it is back.
    pub(crate) fn note(&mut self, reading: Reading) {
        let earlier = self.points.back().copied();
        let sum = match (&self.last, earlier) {
            (Some(last), Some(earlier)) => earlier.sum.plus(grown(last, &reading)),
            _ => Counts::default(),
        };
        if earlier.is_some_and(|earlier| reading.queued_total < earlier.queued) {
            // The store lost its data, or is another one.
            self.points.iter_mut().for_each(|point| point.queued = None);
        }
        let oldest = reading.at.saturating_sub(self.span);
        self.points.push_back(Point {
            at: reading.at,
            queued: reading.queued_total,
            sum,
        });
        while self.points.len() > 2 && self.points.get(1).is_some_and(|next| next.at <= oldest) {
            self.points.pop_front();
        }
        self.done.retain(|consumer, _| reading.consumers.contains_key(consumer));
        for (consumer, (_, counts)) in &reading.consumers {
            let points = self.done.entry(consumer.clone()).or_default();
            points.push_back((reading.at, counts.done));
            while points.len() > 2 && points.get(1).is_some_and(|(at, _)| *at <= oldest) {
                points.pop_front();
            }
        }
        self.last = Some(reading);
    }

    /// Of all consumers together.
    pub(crate) fn rates(&self) -> Rates {
        let (Some(first), Some(last)) = (self.points.front(), self.points.back()) else {
            return Rates::default();
        };
        let rate = |from: u64, to: u64| per_second(from, to, last.at.saturating_sub(first.at));
        Rates {
            queued: first.queued.zip(last.queued).and_then(|(from, to)| rate(from, to)),
            done: rate(first.sum.done, last.sum.done),
            retried: rate(first.sum.retried, last.sum.retried),
            dead_lettered: rate(first.sum.dead_lettered, last.sum.dead_lettered),
            lost: rate(first.sum.lost, last.sum.lost),
        }
    }

    /// What each consumer finishes per second; those that were seen twice.
    pub(crate) fn of_consumers(&self) -> BTreeMap<String, f64> {
        let rate = |points: &VecDeque<(Duration, u64)>| {
            let ((from, less), (to, more)) = (points.front()?, points.back()?);
            per_second(*less, *more, to.saturating_sub(*from))
        };
        let rates = self.done.iter();
        rates
            .filter_map(|(consumer, points)| Some((consumer.clone(), rate(points)?)))
            .collect()
    }
}

/// What all consumers have counted from one look to the next. One that has gone takes nothing with it, and one that has
/// come brings only what it can have done meanwhile: nothing, unless it started after the earlier look.
fn grown(last: &Reading, now: &Reading) -> Counts {
    let mut sum = Counts::default();
    for (consumer, (started_ms, counts)) in &now.consumers {
        let before = match last.consumers.get(consumer) {
            Some((_, before)) => *before,
            None if *started_ms >= last.at_ms => Counts::default(),
            None => *counts,
        };
        sum = sum.plus(counts.minus(before));
    }
    sum
}

impl Counts {
    const fn plus(self, other: Self) -> Self {
        Self {
            done: self.done.saturating_add(other.done),
            retried: self.retried.saturating_add(other.retried),
            dead_lettered: self.dead_lettered.saturating_add(other.dead_lettered),
            lost: self.lost.saturating_add(other.lost),
        }
    }

    const fn minus(self, other: Self) -> Self {
        Self {
            done: self.done.saturating_sub(other.done),
            retried: self.retried.saturating_sub(other.retried),
            dead_lettered: self.dead_lettered.saturating_sub(other.dead_lettered),
            lost: self.lost.saturating_sub(other.lost),
        }
    }
}

fn per_second(from: u64, to: u64, span: Duration) -> Option<f64> {
    (!span.is_zero()).then(|| to.saturating_sub(from) as f64 / span.as_secs_f64())
}

#[cfg(test)]
mod tests {
    use super::*;

    const START_MS: u64 = 1_000_000;

    fn reading(second: u64, queued: u64, consumers: &[(&str, u64, u64)]) -> Reading {
        let consumer = |(name, started_ms, done): &(&str, u64, u64)| {
            let counts = Counts {
                done: *done,
                lost: *done / 10,
                ..Counts::default()
            };
            ((*name).to_owned(), (*started_ms, counts))
        };
        Reading {
            at: Duration::from_secs(second),
            at_ms: START_MS + second * 1_000,
            queued_total: Some(queued),
            consumers: consumers.iter().map(consumer).collect(),
        }
    }

    fn window(readings: impl IntoIterator<Item = Reading>) -> Window {
        let mut window = Window::new(Duration::from_secs(10));
        readings.into_iter().for_each(|reading| window.note(reading));
        window
    }

    #[test]
    fn nothing_is_known_before_the_second_look() {
        assert_eq!(window([]).rates(), Rates::default());
        let once = window([reading(0, 5, &[("a.1", 0, 7)])]);
        assert_eq!(once.rates(), Rates::default());
        assert!(once.of_consumers().is_empty());
    }

    #[test]
    fn what_was_counted_before_the_first_look_is_no_rate() {
        let rates = window([
            reading(0, 1_000, &[("a.1", 0, 500)]),
            reading(2, 1_020, &[("a.1", 0, 510)]),
        ])
        .rates();
        assert_eq!(
            (rates.queued, rates.done, rates.lost),
            (Some(10.0), Some(5.0), Some(0.5))
        );
        assert_eq!(rates.retried, Some(0.0));
    }

    #[test]
    fn a_consumer_that_goes_takes_nothing_with_it() {
        let both = [("a.1", 0, 100), ("b.1", 0, 900)];
        let gone = window([
            reading(0, 0, &both),
            reading(2, 0, &both),
            reading(4, 0, &[("a.1", 0, 104)]),
        ]);
        assert_eq!(gone.rates().done, Some(1.0));
        assert!(!gone.of_consumers().contains_key("b.1"));
    }

    #[test]
    fn a_consumer_that_comes_counts_from_zero_only_if_it_is_new() {
        let old = [reading(0, 0, &[]), reading(2, 0, &[("a.1", START_MS - 1, 900)])];
        assert_eq!(window(old).rates().done, Some(0.0), "it was only not seen before");
        let new = [reading(0, 0, &[]), reading(2, 0, &[("a.1", START_MS + 500, 8)])];
        assert_eq!(window(new).rates().done, Some(4.0));
    }

    #[test]
    fn a_restart_is_a_new_consumer() {
        let restarted = window([
            reading(0, 0, &[("a.1", 0, 1_000)]),
            reading(2, 0, &[("a.2", START_MS + 1_000, 6)]),
        ]);
        assert_eq!(restarted.rates().done, Some(3.0));
    }

    #[test]
    fn a_counter_that_falls_makes_no_rate_negative() {
        let fallen = window([reading(0, 0, &[("a.1", 0, 100)]), reading(2, 0, &[("a.1", 0, 3)])]);
        assert_eq!(fallen.rates().done, Some(0.0));
        assert_eq!(fallen.of_consumers().get("a.1"), Some(&0.0));
    }

    #[test]
    fn an_empty_store_makes_the_rate_unknown_until_it_was_seen_twice() {
        let mut window = window([reading(0, 900, &[]), reading(2, 3, &[])]);
        assert_eq!(window.rates().queued, None);
        window.note(reading(4, 7, &[]));
        assert_eq!(
            window.rates().queued,
            None,
            "the first look of the window was at the other store"
        );
        for second in [6, 8, 10, 12, 14] {
            window.note(reading(second, 7 + second, &[]));
        }
        assert!(window.rates().queued.is_some());
    }

    #[test]
    fn old_looks_don_t_count() {
        let steps = (0..=20).map(|step| reading(step * 2, if step < 15 { 0 } else { (step - 15) * 20 }, &[]));
        assert_eq!(window(steps).rates().queued, Some(10.0));
        let apart = window([reading(0, 0, &[]), reading(100, 100, &[])]);
        assert_eq!(apart.rates().queued, Some(1.0), "after an outage the mean of all of it");
    }
}
