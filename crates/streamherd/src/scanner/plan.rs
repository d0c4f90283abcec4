//! When to scan: decisions without a clock.

use std::time::Duration;

use rand::Rng;

use crate::backoff::jittered;
use crate::store::Soon;

/// Walking the pending entries may take this share of Redis's time.
const MOST_OF_REDIS: u32 = 50;
/// What looking at a listed record costs, and walking past one: measured on 7.0.15. They stand in for a clock where the
/// server's stands still during a script (Redis 7.2 and newer).
const PER_LOOK: Duration = Duration::from_micros(1);
const PER_THOUSAND_WALKED: Duration = Duration::from_micros(120);
/// And a page of a sweep, at least.
const LEAST_PER_PAGE: Duration = Duration::from_micros(400);

/// Not sooner again than this, whatever is about to become an orphan.
const SOONEST: Duration = Duration::from_millis(20);
/// Orphans of one owner, whose locks were set one call after the other, are worth one scan.
const TOGETHER: Duration = Duration::from_millis(100);

/// The time to the next scan: the interval, jittered, or just after the next orphans become ones, if that is sooner; stretched
/// so that walking stays under 2 % of Redis's time.
pub(super) fn next_tick(
    interval: Duration,
    jitter: f64,
    cost: Duration,
    soon: Option<Soon>,
    rng: &mut impl Rng,
) -> Duration {
    let tick = jittered(effective(interval, cost), jitter, rng);
    match soon {
        Some(soon) => tick.min(after(soon).max(SOONEST).max(cost * MOST_OF_REDIS)),
        None => tick,
    }
}

fn after(soon: Soon) -> Duration {
    let both = soon.last <= soon.first + TOGETHER;
    // What is left of a lock is told in whole milliseconds.
    (if both { soon.last } else { soon.first }) + Duration::from_millis(1)
}

/// How far ahead a scan looks for what becomes an orphan before the next one: half a lock_ttl at most, as the lock of an
/// owner that lives never comes to that.
pub(super) fn ahead(interval: Duration, jitter: f64, lock_ttl: Duration) -> Duration {
    interval.mul_f64(1.0 + jitter).min(lock_ttl / 2)
}

/// The earlier and the later of both.
pub(super) fn either(one: Option<Soon>, other: Option<Soon>) -> Option<Soon> {
    match (one, other) {
        (Some(one), Some(other)) => Some(Soon {
            first: one.first.min(other.first),
            last: one.last.max(other.last),
        }),
        _ => one.or(other),
    }
}

/// How long a promoter waits for the scan to tell it what is due before it asks by itself.
pub(super) fn patience(interval: Duration, jitter: f64) -> Duration {
    interval.mul_f64(1.0 + jitter) + SOONEST
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
            let wait = next_tick(interval, jitter, cost, None, &mut rng);
            prop_assert!(wait >= interval.mul_f64(1.0 - jitter - 1e-9));
            prop_assert!(cost.as_secs_f64() <= wait.as_secs_f64() * 0.02 / (1.0 - jitter) + 1e-9);
        }
    }

    proptest! {
        #[test]
        fn what_is_about_to_be_an_orphan_is_looked_at_sooner_and_never_at_more_than_two_percent(
            seed: u64, cost_us in 0_u64..2_000_000, first in 0_u64..3_000, more in 0_u64..3_000
        ) {
            let mut rng = SmallRng::seed_from_u64(seed);
            let (second, cost) = (Duration::from_secs(1), Duration::from_micros(cost_us));
            let soon = Soon { first: Duration::from_millis(first), last: Duration::from_millis(first + more) };
            let wait = next_tick(second, 0.0, cost, Some(soon), &mut rng);
            prop_assert!(wait <= next_tick(second, 0.0, cost, None, &mut rng));
            prop_assert!(wait >= SOONEST && wait >= cost * 50);
            prop_assert!(wait <= cost.mul_f64(50.0).max(soon.first + TOGETHER * 2).max(SOONEST));
        }
    }

    #[test]
    fn orphans_of_one_owner_are_worth_one_scan_and_those_of_two_are_not_waited_for() {
        let ms = Duration::from_millis;
        assert_eq!(
            after(Soon {
                first: ms(300),
                last: ms(390)
            }),
            ms(391)
        );
        assert_eq!(
            after(Soon {
                first: ms(300),
                last: ms(900)
            }),
            ms(301)
        );
        let both = either(
            Some(Soon {
                first: ms(3),
                last: ms(4),
            }),
            Some(Soon {
                first: ms(1),
                last: ms(2),
            }),
        );
        assert_eq!(
            both,
            Some(Soon {
                first: ms(1),
                last: ms(4)
            })
        );
        assert_eq!(either(None, both), both);
    }

    #[test]
    fn the_lock_of_an_owner_that_lives_is_never_about_to_expire() {
        let (second, ttl) = (Duration::from_secs(1), Duration::from_secs(2));
        assert!(ahead(second, 0.5, ttl) < ttl * 2 / 3);
        assert_eq!(ahead(second, 0.2, Duration::from_secs(6)), Duration::from_millis(1_200));
    }

    #[test]
    fn a_cheap_walk_does_not_stretch_the_interval() {
        let mut rng = SmallRng::seed_from_u64(1);
        let second = Duration::from_secs(1);
        assert_eq!(
            next_tick(second, 0.0, Duration::from_millis(20), None, &mut rng),
            second
        );
        assert_eq!(
            next_tick(second, 0.0, Duration::from_millis(40), None, &mut rng),
            second * 2
        );
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
