//! When to scan: decisions without a clock.

use std::time::Duration;

use rand::Rng;

use crate::backoff::jittered;

/// Walking the pending entries may take this share of Redis's time.
const MOST_OF_REDIS: u32 = 50;
/// What looking at a listed record costs, and walking past one: measured on 7.0.15. They stand in for a clock where the
/// server's stands still during a script (Redis 7.2 and newer).
const PER_LOOK: Duration = Duration::from_micros(1);
const PER_THOUSAND_WALKED: Duration = Duration::from_micros(120);
/// And a page of a sweep, at least.
const LEAST_PER_PAGE: Duration = Duration::from_micros(400);

/// The time to the next scan: the interval, stretched so that walking stays under 2 % of Redis's time, and jittered.
pub(super) fn next_tick(interval: Duration, jitter: f64, cost: Duration, rng: &mut impl Rng) -> Duration {
    jittered(effective(interval, cost), jitter, rng)
}

/// How long a worker keeps the others from scanning: half an interval, so that a worker that ticks early after its own
/// last scan, or a fleet that ticks at slightly different times, neither skips nor doubles one.
pub(super) fn gate(interval: Duration) -> Duration {
    interval / 2
}

/// After a scan so expensive that its interval stretches, the whole fleet waits for it, not only the worker that scanned:
/// the others would each spend their own 2 %.
pub(super) fn longer_gate(interval: Duration, cost: Duration) -> Option<Duration> {
    let effective = effective(interval, cost);
    (effective > interval).then(|| effective.mul_f64(0.9))
}

/// What a page cost Redis: what its clock says, and at least what such a walk is known to take.
pub(super) fn cost(measured: Duration, looked_at: u64, walked: u64) -> Duration {
    let times = |n: u64| u32::try_from(n).unwrap_or(u32::MAX);
    measured.max(PER_LOOK * times(looked_at) + PER_THOUSAND_WALKED * times(walked / 1_000))
}

/// Between two pages of a walk that nobody waits for.
pub(super) fn pause_after(cost: Duration) -> Duration {
    cost.max(LEAST_PER_PAGE) * MOST_OF_REDIS
}

fn effective(interval: Duration, cost: Duration) -> Duration {
    interval.max(cost * MOST_OF_REDIS)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use rand::SeedableRng as _;
    use rand::rngs::SmallRng;

    use super::*;

    proptest! {
        #[test]
        fn walking_stays_under_two_percent(seed: u64, interval_ms in 20_u64..10_000, cost_us in 0_u64..2_000_000, jitter in 0.0_f64..0.5) {
            let mut rng = SmallRng::seed_from_u64(seed);
            let (interval, cost) = (Duration::from_millis(interval_ms), Duration::from_micros(cost_us));
            let wait = next_tick(interval, jitter, cost, &mut rng);
            prop_assert!(wait >= interval.mul_f64(1.0 - jitter - 1e-9));
            prop_assert!(cost.as_secs_f64() <= wait.as_secs_f64() * 0.02 / (1.0 - jitter) + 1e-9);
        }
    }

    #[test]
    fn a_cheap_walk_does_not_stretch_the_interval() {
        let mut rng = SmallRng::seed_from_u64(1);
        let second = Duration::from_secs(1);
        assert_eq!(next_tick(second, 0.0, Duration::from_millis(20), &mut rng), second);
        assert_eq!(next_tick(second, 0.0, Duration::from_millis(40), &mut rng), second * 2);
    }

    #[test]
    fn the_gate_is_open_again_before_the_earliest_next_tick() {
        let most_jitter = 0.5;
        let interval = Duration::from_secs(1);
        assert!(gate(interval) <= interval.mul_f64(1.0 - most_jitter));
    }

    #[test]
    fn a_walk_costs_at_least_what_its_records_are_known_to_cost() {
        assert_eq!(cost(Duration::ZERO, 2_000, 0), Duration::from_millis(2));
        assert_eq!(cost(Duration::ZERO, 0, 100_000), Duration::from_millis(12));
        assert_eq!(cost(Duration::from_millis(9), 2_000, 0), Duration::from_millis(9));
    }

    #[test]
    fn a_walk_of_many_pages_pauses_also_where_the_clock_stands_still_in_a_script() {
        assert!(pause_after(Duration::ZERO) >= Duration::from_millis(10));
        assert_eq!(pause_after(Duration::from_millis(2)), Duration::from_millis(100));
    }

    #[test]
    fn an_expensive_scan_keeps_the_whole_fleet_waiting() {
        let second = Duration::from_secs(1);
        assert_eq!(longer_gate(second, Duration::from_millis(20)), None);
        assert_eq!(
            longer_gate(second, Duration::from_millis(100)),
            Some(Duration::from_millis(4_500))
        );
    }
}
