//! When a failed stream is tried again.

use std::time::Duration;

use rand::Rng;

use crate::backoff::between;
use crate::config::within;
use crate::error::SettingError;

/// How long a stream waits after a failure: a random part of a time that doubles with each failure.
///
/// The part is drawn evenly between nothing and the whole ("full jitter"), so that streams that failed together, at the
/// same broken database, don't come back together.
///
/// ```
/// use std::time::Duration;
/// use streamherd::RetryPolicy;
///
/// let patient = RetryPolicy { longest: Duration::from_secs(3600), ..RetryPolicy::default() };
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RetryPolicy {
    /// The longest wait after the first failure. Default: 1 s; from 1 ms to `longest`, or zero, with which a retry never
    /// waits.
    pub first: Duration,
    /// The longest wait after any failure. Default: 5 min; from `first` to a day.
    pub longest: Duration,
}

impl Default for RetryPolicy {
    fn default() -> Self {
        Self {
            first: Duration::from_secs(1),
            longest: Duration::from_secs(300),
        }
    }
}

impl RetryPolicy {
    /// Draws the wait after a failure that so many others came before, for
    /// [`RetryAfter::after`](crate::RetryAfter::after): whole milliseconds, up to `first` after the first failure, doubled by
    /// each further one, and at most `longest`. A [`Worker`](crate::Worker) does so by itself.
    ///
    /// ```no_run
    /// # async fn example(lease: streamherd::Lease) -> Result<(), streamherd::error::SettleError> {
    /// let policy = streamherd::RetryPolicy::default();
    /// let wait = policy.wait(lease.failures());
    /// lease.retry(streamherd::RetryAfter::after(wait).because("the database is away")).await?;
    /// # Ok(())
    /// # }
    /// ```
    #[must_use]
    pub fn wait(&self, failures: u32) -> Duration {
        let wait = self.delay(failures, &mut rand::rng());
        Duration::from_millis(u64::try_from(wait.as_millis()).unwrap_or(u64::MAX))
    }

    fn delay(&self, failures: u32, rng: &mut impl Rng) -> Duration {
        between(Duration::ZERO, self.ceiling(failures), rng)
    }

    /// Whether the bounds hold that `first` and `longest` name.
    ///
    /// # Errors
    /// Which one does not, and a value that would do.
    pub fn check(&self) -> Result<(), SettingError> {
        within("retry.longest", self.longest, Duration::ZERO, LONGEST)?;
        if self.first.is_zero() {
            return Ok(());
        }
        // A smaller one could not double its way up to the longest within 32 bits.
        within("retry.first", self.first, SHORTEST, self.longest).map_err(|e| e.because("zero turns waiting off"))
    }

    fn ceiling(&self, failures: u32) -> Duration {
        self.first
            .saturating_mul(2_u32.saturating_pow(failures))
            .min(self.longest)
    }
}

const SHORTEST: Duration = Duration::from_millis(1);
const LONGEST: Duration = Duration::from_secs(24 * 3600);

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use rand::SeedableRng as _;
    use rand::rngs::SmallRng;

    use super::*;

    #[test]
    fn the_longest_wait_doubles_with_each_failure_up_to_the_cap() {
        let policy = RetryPolicy::default();
        for (failures, seconds) in [(0, 1), (1, 2), (4, 16), (8, 256), (9, 300), (40, 300), (u32::MAX, 300)] {
            assert_eq!(policy.ceiling(failures), Duration::from_secs(seconds), "{failures}");
        }
    }

    #[test]
    fn waits_spread_over_the_whole_range() {
        let mut rng = SmallRng::seed_from_u64(7);
        let policy = RetryPolicy::default();
        let waits: Vec<f64> = (0..1_000)
            .map(|_| policy.delay(3, &mut rng).as_secs_f64() / 8.0)
            .collect();
        for tenth in 0..10 {
            let (low, high) = (f64::from(tenth) / 10.0, f64::from(tenth + 1) / 10.0);
            let share = waits.iter().filter(|wait| (low..high).contains(*wait)).count();
            assert!((50..150).contains(&share), "{share} of 1,000 in {low}..{high}");
        }
    }

    #[test]
    fn a_policy_that_can_not_be_is_refused() {
        let policy = |first, longest| RetryPolicy {
            first: Duration::from_micros(first),
            longest: Duration::from_micros(longest),
        };
        assert_eq!(policy(2_000, 1_000).check().unwrap_err().setting, "retry.first");
        assert_eq!(policy(1, 1_000).check().unwrap_err().setting, "retry.first");
        assert_eq!(policy(0, 90_000_000_000).check().unwrap_err().setting, "retry.longest");
        policy(0, 0).check().unwrap();
        RetryPolicy::default().check().unwrap();
    }

    proptest! {
        #[test]
        fn a_wait_is_at_most_its_ceiling(seed: u64, first in 0_u64..100_000, longest in 0_u64..100_000, failures: u32) {
            let mut rng = SmallRng::seed_from_u64(seed);
            let policy = RetryPolicy { first: Duration::from_millis(first), longest: Duration::from_millis(longest) };
            let wait = policy.delay(failures, &mut rng);
            prop_assert!(wait <= policy.longest);
            prop_assert!(wait.as_millis() <= u128::from(first) << failures.min(40));
            if failures >= 32 && first > 0 {
                prop_assert_eq!(policy.ceiling(failures), policy.longest, "it gets to the cap");
            }
        }
    }
}
