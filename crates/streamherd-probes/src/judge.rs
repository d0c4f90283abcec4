//! Whether a worker is alive and ready, by what its client says of itself.

use std::time::Duration;

use serde::Serialize;
use streamherd::{BreakerState, Health};

/// What makes a worker unready.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Condition {
    /// The client has ended.
    Ended,
    /// It is shutting down, and takes no new work.
    ShuttingDown,
    /// Redis has not yet answered its first read or its first heartbeat.
    Starting,
    /// A Redis server that holds a partition is away: its breaker is open.
    Redis,
    /// A read was not answered in time.
    Reading,
    /// Heartbeats have not got through for so long that leases are lost.
    Heartbeating,
}

/// A condition that fails.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Failing {
    /// Which.
    pub condition: Condition,
    /// For how many milliseconds, where that is known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub since_ms: Option<u64>,
}

/// What `/readyz` says.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Readiness {
    /// Whether nothing fails.
    pub ready: bool,
    /// All that fails.
    pub failing: Vec<Failing>,
    /// Whether the worker is paused. That fails nothing: an operator wants it so, and it is ready to go on.
    pub paused: bool,
    /// Streams held.
    pub held: usize,
    /// Streams that could be held in addition.
    pub free: usize,
}

/// Whether the client runs. Only a new process brings back one that has ended; everything else passes, so nothing else
/// fails it: least of all a Redis that is away.
#[must_use]
pub const fn is_alive(health: &Health) -> bool {
    !health.ended
}

/// Whether a worker reads, and its heartbeats get through.
///
/// Ready are also a worker whose slots are all taken, which does not read as it has enough to do, and one that is paused.
/// Bounds are the client's own ([`Health::bounds`]); what meets them exactly is within.
#[must_use]
pub fn judge(health: &Health) -> Readiness {
    let failing = Signs::of(health).failing();
    Readiness {
        ready: failing.is_empty(),
        failing,
        paused: health.paused,
        held: health.held,
        free: health.free,
    }
}

/// What of a client's health decides.
#[derive(Debug, Clone, Copy)]
struct Signs {
    ended: bool,
    shutting_down: bool,
    /// Redis has answered a read, and a round of heartbeats has got through.
    started: bool,
    /// For how long the server that is away longest has been so.
    away: Option<Duration>,
    /// For how long, and for how long at most.
    read_unanswered: (Option<Duration>, Duration),
    since_renewal: (Option<Duration>, Duration),
}

impl Signs {
    fn of(health: &Health) -> Self {
        let away = health
            .masters
            .iter()
            .filter(|master| master.breaker != BreakerState::Closed);
        Self {
            ended: health.ended,
            shutting_down: health.shutting_down,
            started: health.has_read && health.since_renewal.is_some(),
            away: away.map(|master| master.since).max(),
            read_unanswered: (health.read_unanswered, health.bounds.read_unanswered),
            since_renewal: (health.since_renewal, health.bounds.since_renewal),
        }
    }

    fn failing(&self) -> Vec<Failing> {
        let one = |condition, since: Option<Duration>| Failing {
            condition,
            since_ms: since.map(|since| u64::try_from(since.as_millis()).unwrap_or(u64::MAX)),
        };
        // Whatever else is wrong follows from these.
        if self.ended {
            return vec![one(Condition::Ended, None)];
        }
        if self.shutting_down {
            return vec![one(Condition::ShuttingDown, None)];
        }
        let starting = (!self.started).then(|| one(Condition::Starting, None));
        let beyond = |condition, (since, bound): (Option<Duration>, Duration)| {
            since
                .filter(|since| *since > bound)
                .map(|since| one(condition, Some(since)))
        };
        let all = [
            self.away.map(|away| one(Condition::Redis, Some(away))),
            starting,
            beyond(Condition::Reading, self.read_unanswered),
            beyond(Condition::Heartbeating, self.since_renewal),
        ];
        all.into_iter().flatten().collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BOUND: Duration = Duration::from_secs(7);
    const BEAT: Duration = Duration::from_secs(2);

    fn well() -> Signs {
        Signs {
            ended: false,
            shutting_down: false,
            started: true,
            away: None,
            read_unanswered: (Some(BEAT), BOUND),
            since_renewal: (Some(BEAT), BOUND),
        }
    }

    fn failing(signs: Signs) -> Vec<Condition> {
        signs.failing().into_iter().map(|failing| failing.condition).collect()
    }

    #[test]
    fn who_reads_and_beats_is_ready() {
        assert_eq!(failing(well()), []);
    }

    #[test]
    fn who_has_no_slot_free_or_is_paused_has_no_read_to_be_late_with() {
        let read_unanswered = (None, BOUND);
        assert_eq!(
            failing(Signs {
                read_unanswered,
                ..well()
            }),
            []
        );
    }

    #[test]
    fn a_bound_that_is_met_exactly_is_kept_and_one_that_is_passed_says_for_how_long() {
        let late = BOUND + Duration::from_millis(1);
        let reading = |since| Signs {
            read_unanswered: (Some(since), BOUND),
            ..well()
        };
        assert_eq!(failing(reading(BOUND)), []);
        assert_eq!(failing(reading(late)), [Condition::Reading]);
        assert_eq!(reading(late).failing()[0].since_ms, Some(7_001));
        let beating = |since| Signs {
            since_renewal: (Some(since), BOUND),
            ..well()
        };
        assert_eq!(failing(beating(BOUND)), []);
        assert_eq!(failing(beating(late)), [Condition::Heartbeating]);
    }

    #[test]
    fn who_has_just_started_is_not_ready_yet() {
        assert_eq!(
            failing(Signs {
                started: false,
                ..well()
            }),
            [Condition::Starting]
        );
    }

    #[test]
    fn a_server_that_is_away_is_told_at_once_and_with_it_all_that_fails_then() {
        let away = Some(Duration::ZERO);
        assert_eq!(failing(Signs { away, ..well() }), [Condition::Redis]);
        let later = Signs {
            away: Some(BOUND * 2),
            read_unanswered: (Some(BOUND * 2), BOUND),
            since_renewal: (Some(BOUND * 2), BOUND),
            ..well()
        };
        assert_eq!(
            failing(later),
            [Condition::Redis, Condition::Reading, Condition::Heartbeating]
        );
    }

    #[test]
    fn an_end_is_told_alone_whatever_else_is_wrong() {
        let later = Signs {
            shutting_down: true,
            away: Some(BOUND),
            started: false,
            ..well()
        };
        assert_eq!(failing(later), [Condition::ShuttingDown]);
        assert_eq!(failing(Signs { ended: true, ..later }), [Condition::Ended]);
    }
}
