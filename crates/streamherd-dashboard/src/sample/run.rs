//! The two tasks of a sampler: the look and the doctor.

use std::sync::{Arc, PoisonError};
use std::time::Duration;

use streamherd::{Admin, Status};
use tokio::time::{Instant, sleep_until, timeout};

use super::masters::{Masters, Part, of_worker};
use super::rates::{Counts, Reading, Window};
use super::{Health, Rates, Sample, Shared};
use crate::history::Point;
use crate::words::causes;

/// Workers tell what they have counted with their heartbeats, every two seconds by default.
const RATES_OVER: Duration = Duration::from_secs(10);
/// A look takes no longer than this, whatever Redis is doing.
const PATIENCE: Duration = Duration::from_secs(5);
/// A doctor asks each server a dozen things.
const DOCTOR_PATIENCE: Duration = Duration::from_secs(30);
/// However often somebody wants to see what has changed.
const LEAST_WAIT: Duration = Duration::from_millis(100);
/// While Redis is away, looks are at most so many times further apart.
const LONGEST_WAIT: u32 = 5;

/// Looks again and again.
pub(super) async fn look(admin: Admin, shared: Arc<Shared>) {
    let mut window = Window::new(RATES_OVER);
    let mut masters = Masters::default();
    let mut failures = 0_u32;
    loop {
        let begun = Instant::now();
        let seen = match timeout(PATIENCE, admin.status()).await {
            Ok(Ok(status)) => Ok(status),
            Ok(Err(e)) => Err(causes(&e)),
            Err(_) => Err(format!("Redis did not answer within {} s", PATIENCE.as_secs())),
        };
        let now = shared.started.elapsed();
        let mut next = Sample::clone(&shared.sample.borrow());
        match seen {
            Ok(status) => {
                failures = 0;
                masters.looked(status.partitions.iter().map(Part::from), now);
                next.at_ms = status.at_ms;
                next.taken = Instant::now();
                next.error = None;
                if status.partitions.iter().all(|one| one.answered) {
                    window.note(reading(&status, now, next.at_ms));
                    next.rates = window.rates();
                    next.consumer_rates = Arc::new(window.of_consumers());
                } else {
                    next.rates = Rates::default();
                }
                next.status = Some(Arc::new(status));
                let mut history = shared.history.lock().unwrap_or_else(PoisonError::into_inner);
                history.put(now, next.at_ms, Point::of(&next));
            }
            Err(error) => {
                failures = failures.saturating_add(1);
                if next.error.is_none() {
                    tracing::warn!(
                        service = next.service,
                        error,
                        "no answer from Redis to a look at the service"
                    );
                }
                masters.failed(&error, now);
                next.error = Some(error);
                next.rates = Rates::default();
            }
        }
        next.masters = match &shared.options.client {
            Some(client) => of_worker(client.health().masters),
            None => masters.view(now),
        };
        next.health = shared.health.lock().unwrap_or_else(PoisonError::into_inner).clone();
        shared.sample.send_replace(Arc::new(next));
        let next = begun + wait(shared.options.interval, failures, rand::random_range(0.8..1.2));
        tokio::select! {
            () = sleep_until(next) => {}
            () = shared.again.notified() => sleep_until(begun + LEAST_WAIT).await,
        }
    }
}

/// Has the doctor look again and again.
pub(super) async fn examine(admin: Admin, shared: Arc<Shared>) {
    loop {
        // While Redis is away the last diagnosis stays, with its age.
        if let Ok(Ok(diagnosis)) = timeout(DOCTOR_PATIENCE, admin.doctor_of(shared.options.role)).await {
            let health = Health {
                diagnosis: Arc::new(diagnosis),
                at: Instant::now(),
            };
            *shared.health.lock().unwrap_or_else(PoisonError::into_inner) = Some(health);
        }
        let known = shared.health.lock().unwrap_or_else(PoisonError::into_inner).is_some();
        let wait = if known {
            shared.options.doctor_interval
        } else {
            shared.options.interval * LONGEST_WAIT
        };
        tokio::time::sleep(wait.mul_f64(rand::random_range(0.9..1.1))).await;
    }
}

/// Until the next look: further apart, and not in step with others', while looks fail.
fn wait(interval: Duration, failures: u32, jitter: f64) -> Duration {
    match failures {
        0 => interval,
        _ => interval.saturating_mul(failures.min(LONGEST_WAIT)).mul_f64(jitter),
    }
}

fn reading(status: &Status, at: Duration, at_ms: u64) -> Reading {
    let registered = status
        .consumers
        .iter()
        .filter_map(|one| Some((one, one.registration.as_ref()?)));
    let counted = registered.map(|(one, about)| {
        let counts = Counts {
            done: about.totals.done,
            retried: about.totals.retried,
            dead_lettered: about.totals.dead_lettered,
            lost: about.totals.lost,
        };
        (one.consumer.clone(), (about.started_ms, counts))
    });
    Reading {
        at,
        at_ms,
        queued_total: status.queued_total,
        consumers: counted.collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn looks_are_further_apart_while_redis_is_away_and_come_back_at_once() {
        let interval = Duration::from_secs(2);
        let seconds = [0, 1, 3, 5, 500].map(|failures| wait(interval, failures, 1.0).as_secs());
        assert_eq!(seconds, [2, 2, 6, 10, 10]);
        assert_eq!(wait(interval, 5, 0.8), Duration::from_secs(8));
        assert_eq!(wait(interval, 0, 0.8), interval, "what answers is asked in step");
    }
}
