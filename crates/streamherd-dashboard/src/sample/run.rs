//! The two tasks of a sampler: the look and the doctor.

use std::collections::BTreeMap;
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
                let whole = status.partitions.iter().all(|one| one.answered);
                let reading = whole.then(|| reading(&status, now, next.at_ms));
                (next.rates, next.consumer_rates) = moves(&mut window, reading);
                next.status = Some(Arc::new(status));
                // Sums that lack a partition would show as a fall, and a rise when it is back.
                if whole {
                    let mut history = shared.history.lock().unwrap_or_else(PoisonError::into_inner);
                    history.put(now, next.at_ms, Point::of(&next));
                }
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
                (next.rates, next.consumer_rates) = moves(&mut window, None);
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

/// How fast the queue and each consumer move. Unknown after a look that failed or lacks a partition.
fn moves(window: &mut Window, reading: Option<Reading>) -> (Rates, Arc<BTreeMap<String, f64>>) {
    let Some(reading) = reading else {
        return Default::default();
    };
    window.note(reading);
    (window.rates(), Arc::new(window.of_consumers()))
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

    #[test]
    fn nothing_is_known_of_rates_after_a_look_that_was_not_whole_and_all_again_after_the_next() {
        let at = |second| Reading {
            at: Duration::from_secs(second),
            at_ms: second * 1_000,
            queued_total: Some(second * 10),
            consumers: [(
                "a.1".to_owned(),
                (
                    0,
                    Counts {
                        done: second,
                        ..Counts::default()
                    },
                ),
            )]
            .into(),
        };
        let mut window = Window::new(RATES_OVER);
        moves(&mut window, Some(at(2)));
        assert_eq!(moves(&mut window, Some(at(4))).1.get("a.1"), Some(&1.0));
        assert_eq!(moves(&mut window, None), Default::default());
        let (rates, consumers) = moves(&mut window, Some(at(8)));
        assert_eq!((rates.queued, consumers.get("a.1")), (Some(10.0), Some(&1.0)));
    }
}
