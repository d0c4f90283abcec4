//! Whether a master is asked at all: a circuit breaker (Nygard, "Release It!") as a pure state machine.

use std::time::Duration;

use crate::clock::Moment;

/// Whether a client asks a master.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum BreakerState {
    /// It is asked; the ordinary state.
    Closed,
    /// It did not answer, or can't serve anybody at present: only heartbeats and probes ask it.
    Open,
    /// It answers again; what is held there is being restored before anything else is asked.
    HalfOpen,
}

impl BreakerState {
    /// The name, as metrics and tools give it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Closed => "closed",
            Self::Open => "open",
            Self::HalfOpen => "half_open",
        }
    }
}

/// Failures in a row that open it. Several tasks share a master, so a broken connection alone can bring that about, and
/// costs no more than a probe.
const FAILURES: u32 = 3;

#[derive(Debug, Clone, Copy)]
pub(crate) struct Breaker {
    state: BreakerState,
    since: Moment,
    failures: u32,
    /// The first of the failures in a row.
    failing_since: Moment,
    owners_first: Moment,
    held_back: bool,
}

impl Breaker {
    pub(crate) const fn new(now: Moment) -> Self {
        Self {
            state: BreakerState::Closed,
            since: now,
            failures: 0,
            failing_since: now,
            owners_first: now,
            held_back: false,
        }
    }

    pub(crate) const fn state(&self) -> BreakerState {
        self.state
    }

    pub(crate) const fn since(&self) -> Moment {
        self.since
    }

    /// How long the master had been away when it was last found so.
    pub(crate) fn away(&self, now: Moment) -> Duration {
        self.failing_since.until(now)
    }

    /// Until when orphans are left to their owners.
    pub(crate) const fn owners_first(&self) -> Moment {
        self.owners_first
    }

    /// It answered something, whoever asked. True if that changed the state.
    pub(crate) fn answered(&mut self, now: Moment) -> bool {
        match self.state {
            BreakerState::Closed => {
                self.failures = 0;
                false
            }
            BreakerState::Open => self.becomes(BreakerState::HalfOpen, now),
            BreakerState::HalfOpen => false,
        }
    }

    /// It did not answer, or can't serve this. True if that changed the state.
    pub(crate) fn failed(&mut self, now: Moment) -> bool {
        match self.state {
            BreakerState::Closed => {
                if self.failures == 0 {
                    self.failing_since = now;
                }
                self.failures += 1;
                self.failures >= FAILURES && self.becomes(BreakerState::Open, now)
            }
            BreakerState::Open => false,
            BreakerState::HalfOpen => self.becomes(BreakerState::Open, now),
        }
    }

    /// What is held there is restored. True if that changed the state.
    ///
    /// Where the outage was long enough for leases to have lapsed, whoever comes back first would find everybody else's
    /// streams orphaned, with a settlement that its owner has kept still on its way. So orphans are left alone for one
    /// `lock_ttl`: owners hand back first, which counts nothing, and finished work is not run again.
    pub(crate) fn greeted(&mut self, now: Moment, lock_ttl: Duration) -> bool {
        if self.state == BreakerState::Closed {
            return false;
        }
        // A lease that was renewed just before lives for two thirds of its time at least. Between two such times scans have as
        // long: outages that come again and again must not keep them from orphans for ever.
        if self.away(now) > lock_ttl / 3 && (!self.held_back || now >= self.owners_first + lock_ttl) {
            self.held_back = true;
            self.owners_first = now + lock_ttl;
        }
        self.failures = 0;
        self.becomes(BreakerState::Closed, now)
    }

    fn becomes(&mut self, state: BreakerState, now: Moment) -> bool {
        self.state = state;
        self.since = now;
        true
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const TTL: Duration = Duration::from_secs(6);

    fn at(ms: u64) -> Moment {
        Moment::default() + Duration::from_millis(ms)
    }

    fn opened() -> Breaker {
        let mut breaker = Breaker::new(at(0));
        assert!(!breaker.failed(at(10)) && !breaker.failed(at(20)) && breaker.failed(at(30)));
        breaker
    }

    #[test]
    fn failures_in_a_row_open_it_and_an_answer_between_them_does_not() {
        let mut breaker = Breaker::new(at(0));
        for _ in 0..10 {
            breaker.failed(at(1));
            breaker.failed(at(1));
            breaker.answered(at(2));
        }
        assert_eq!(breaker.state(), BreakerState::Closed);
        assert_eq!((opened().state(), opened().since()), (BreakerState::Open, at(30)));
    }

    #[test]
    fn an_answer_does_not_close_it_before_what_is_held_is_restored() {
        let mut breaker = opened();
        assert!(breaker.answered(at(50)));
        assert_eq!(breaker.state(), BreakerState::HalfOpen);
        assert!(!breaker.answered(at(60)));
        assert!(breaker.failed(at(70)));
        assert_eq!(breaker.state(), BreakerState::Open);
        breaker.answered(at(80));
        assert!(breaker.greeted(at(90), TTL));
        assert_eq!(breaker.state(), BreakerState::Closed);
    }

    #[test]
    fn orphans_are_left_to_their_owners_only_where_leases_can_have_lapsed() {
        let mut short = opened();
        short.greeted(at(2_000), TTL);
        assert!(short.owners_first() <= at(2_000));
        let mut long = opened();
        long.greeted(at(2_011), TTL);
        assert_eq!(long.owners_first(), at(8_011));
        assert_eq!(
            long.away(at(2_011)),
            Duration::from_millis(2_001),
            "since the first failure"
        );
    }

    #[test]
    fn outages_that_come_again_and_again_leave_time_for_scans() {
        let mut breaker = Breaker::new(at(0));
        let mut free = 0;
        for ms in (0..80_000).step_by(8_000) {
            for _ in 0..FAILURES {
                breaker.failed(at(ms));
            }
            breaker.greeted(at(ms + 2_100), TTL);
            free += u32::from(breaker.owners_first() <= at(ms + 2_100));
        }
        assert!(free >= 4, "{free} of 10 times");
    }

    proptest! {
        #[test]
        fn it_is_closed_only_by_a_greeting_and_opened_only_by_a_failure(steps in proptest::collection::vec(0_u8..3, 0..60)) {
            let mut breaker = Breaker::new(at(0));
            for (ms, step) in (1..).zip(steps) {
                let before = breaker.state();
                let changed = match step {
                    0 => breaker.answered(at(ms)),
                    1 => breaker.failed(at(ms)),
                    _ => breaker.greeted(at(ms), TTL),
                };
                let after = breaker.state();
                prop_assert_eq!(changed, before != after);
                prop_assert!(!changed || breaker.since() == at(ms));
                match after {
                    BreakerState::Closed => prop_assert!(!changed || step == 2),
                    BreakerState::Open => prop_assert!(!changed || step == 1),
                    BreakerState::HalfOpen => prop_assert!(!changed || step == 0 && before == BreakerState::Open),
                }
            }
        }
    }
}
