//! Waiting times between tries, and jitter.

use std::time::Duration;

use rand::{Rng, RngExt as _};

/// Doubling waits with full jitter: each is drawn evenly between the smallest wait and the current ceiling, so that a
/// fleet that failed together does not come back together (Brooker, "Exponential Backoff and Jitter").
#[derive(Debug, Clone)]
pub(crate) struct Backoff {
    min: Duration,
    max: Duration,
    ceiling: Duration,
}

impl Backoff {
    pub(crate) fn new(min: Duration, max: Duration) -> Self {
        let max = max.max(min);
        Self { min, max, ceiling: min }
    }

    pub(crate) fn next(&mut self, rng: &mut impl Rng) -> Duration {
        let wait = between(self.min, self.ceiling, rng);
        self.ceiling = (self.ceiling * 2).min(self.max);
        wait
    }

    /// [`next`](Self::next) by the thread's own generator.
    pub(crate) fn draw(&mut self) -> Duration {
        self.next(&mut rand::rng())
    }

    pub(crate) fn reset(&mut self) {
        self.ceiling = self.min;
    }
}

/// `span` changed by at most ± `fraction` of itself.
pub(crate) fn jittered(span: Duration, fraction: f64, rng: &mut impl Rng) -> Duration {
    let fraction = fraction.clamp(0.0, 1.0);
    between(span.mul_f64(1.0 - fraction), span.mul_f64(1.0 + fraction), rng)
}

pub(crate) fn between(low: Duration, high: Duration, rng: &mut impl Rng) -> Duration {
    if low >= high {
        return low;
    }
    rng.random_range(low..=high)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use rand::SeedableRng as _;
    use rand::rngs::SmallRng;

    use super::*;

    proptest! {
        #[test]
        fn waits_stay_between_the_bounds(seed: u64, min in 0_u64..2_000, max in 0_u64..10_000, tries in 1_usize..40) {
            let mut rng = SmallRng::seed_from_u64(seed);
            let (min, max) = (Duration::from_millis(min), Duration::from_millis(max));
            let mut backoff = Backoff::new(min, max);
            for _ in 0..tries {
                let wait = backoff.next(&mut rng);
                prop_assert!(wait >= min && wait <= max.max(min));
            }
            backoff.reset();
            prop_assert_eq!(backoff.next(&mut rng), min);
        }

        #[test]
        fn jitter_stays_within_its_fraction(seed: u64, ms in 0_u64..100_000, fraction in 0.0_f64..1.0) {
            let mut rng = SmallRng::seed_from_u64(seed);
            let span = Duration::from_millis(ms);
            let got = jittered(span, fraction, &mut rng).as_secs_f64();
            let slack = 1e-6;
            prop_assert!(got >= span.as_secs_f64() * (1.0 - fraction) - slack);
            prop_assert!(got <= span.as_secs_f64() * (1.0 + fraction) + slack);
        }
    }
}
