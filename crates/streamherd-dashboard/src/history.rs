//! The last hour in points of five seconds. No I/O, no clock.

use std::collections::VecDeque;
use std::time::Duration;

use crate::sample::{Rates, Sample};

/// Time from one point to the next.
const STEP: Duration = Duration::from_secs(5);
/// Points in an hour.
const POINTS: usize = 720;

/// What was seen in the last hour, the newest last.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct History {
    /// Time from one point to the next.
    pub step: Duration,
    /// When the newest answer was seen, in Unix milliseconds; zero without any.
    pub end_at_ms: u64,
    /// At most 720; [`None`] where not all of Redis answered in that step.
    pub points: Vec<Option<Point>>,
}

/// What was seen last in one step.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
#[non_exhaustive]
#[expect(missing_docs, reason = "they are those of the overview")]
pub struct Point {
    pub queued: u64,
    pub requeued: u64,
    pub pending: u64,
    pub delayed: u64,
    pub dead_letters: u64,
    /// How long the stream has been waiting that waits longest; zero if none waits.
    pub oldest_ms: u64,
    pub rates: Rates,
    pub capacity: u64,
    pub held: u64,
    /// Those that live.
    pub consumers: u64,
}

impl Point {
    pub(crate) fn of(sample: &Sample) -> Self {
        let consumers = sample.consumers();
        let Some(status) = sample.status.as_deref() else {
            return Self::default();
        };
        Self {
            queued: status.queued,
            requeued: status.requeued,
            pending: status.pending,
            delayed: status.delayed,
            dead_letters: status.dead_letters,
            oldest_ms: status.queued_oldest_ms.max(status.requeued_oldest_ms).unwrap_or(0),
            rates: sample.rates,
            capacity: consumers.capacity,
            held: consumers.held,
            consumers: consumers.alive,
        }
    }
}

/// Points by the step they belong to.
#[derive(Debug, Default)]
pub(crate) struct Ring {
    points: VecDeque<Option<Point>>,
    /// The step of the last point.
    last: u64,
    end_at_ms: u64,
}

impl Ring {
    /// Notes what was seen; of several in one step the last.
    pub(crate) fn put(&mut self, now: Duration, at_ms: u64, point: Point) {
        let step = step_of(now);
        if self.points.is_empty() {
            self.last = step;
            self.points.push_back(None);
        }
        // A step that passed without an answer is empty. After an hour of them nothing else is left.
        let passed = step.saturating_sub(self.last).min(POINTS as u64);
        for _ in 0..passed {
            self.points.push_back(None);
        }
        while self.points.len() > POINTS {
            self.points.pop_front();
        }
        self.last = self.last.max(step);
        self.end_at_ms = at_ms;
        if let Some(newest) = self.points.back_mut() {
            *newest = Some(point);
        }
    }

    pub(crate) fn read(&self, now: Duration) -> History {
        let mut points: Vec<_> = self.points.iter().copied().collect();
        // The present step may have no answer yet, which says nothing.
        let passed = step_of(now).saturating_sub(self.last).saturating_sub(1);
        if !points.is_empty() {
            points.resize(points.len() + passed.min(POINTS as u64) as usize, None);
        }
        History {
            step: STEP,
            end_at_ms: self.end_at_ms,
            points: points.split_off(points.len().saturating_sub(POINTS)),
        }
    }
}

fn step_of(now: Duration) -> u64 {
    now.as_secs() / STEP.as_secs()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn point(queued: u64) -> Point {
        Point {
            queued,
            ..Point::default()
        }
    }

    fn queued(history: &History) -> Vec<Option<u64>> {
        history
            .points
            .iter()
            .map(|point| point.map(|point| point.queued))
            .collect()
    }

    fn seconds(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    #[test]
    fn of_several_looks_in_a_step_the_last_counts() {
        let mut ring = Ring::default();
        for second in [0, 2, 4, 6, 8] {
            ring.put(seconds(second), 1_000 + second, point(second));
        }
        let history = ring.read(seconds(8));
        assert_eq!(queued(&history), [Some(4), Some(8)]);
        assert_eq!((history.step, history.end_at_ms), (STEP, 1_008));
    }

    #[test]
    fn an_outage_leaves_a_gap_that_grows_as_it_lasts() {
        let mut ring = Ring::default();
        assert!(ring.read(seconds(60)).points.is_empty());
        ring.put(seconds(1), 1, point(1));
        assert_eq!(queued(&ring.read(seconds(7))), [Some(1)], "an answer may be under way");
        assert_eq!(queued(&ring.read(seconds(16))), [Some(1), None, None]);
        ring.put(seconds(16), 2, point(2));
        assert_eq!(queued(&ring.read(seconds(16))), [Some(1), None, None, Some(2)]);
    }

    #[test]
    fn an_hour_is_kept_and_no_more() {
        let mut ring = Ring::default();
        for step in 0..1_000 {
            ring.put(seconds(step * 5), step, point(step));
        }
        let history = ring.read(seconds(4_999));
        assert_eq!(history.points.len(), POINTS);
        assert_eq!((queued(&history)[0], queued(&history)[719]), (Some(280), Some(999)));
        let after = ring.read(seconds(4_999 + 1_800));
        assert_eq!((after.points.len(), queued(&after)[0]), (POINTS, Some(639)));
        ring.put(seconds(100_000_000), 1, point(7));
        let after = ring.read(seconds(100_000_000));
        assert_eq!(after.points.len(), POINTS);
        assert_eq!(after.points.iter().flatten().count(), 1);
    }
}
