//! Submits at a steady pace, and on until the test has seen what it wants to see. Whatever happens to single submits, each is
//! repeated until it is acknowledged.

use std::sync::Arc;
use std::time::Duration;

use streamherd::Producer;
use streamherd::error::SubmitError;
use tokio::task::JoinSet;
use tokio::time::MissedTickBehavior;
use tokio_util::sync::CancellationToken;

use super::super::ledger::{Answer, Ledger};
use super::Plan;
use super::worker::{Task, Then};

/// Every so many streams one is submitted a second time and more often, which coalesces with what is queued or held.
const AGAIN: usize = 25;
const NAMES_AGAIN: usize = 20;
/// Until a submit is repeated that was not acknowledged.
const PAUSE: Duration = Duration::from_millis(300);

pub(super) async fn run(producer: Producer, plan: Plan, ledger: Arc<Ledger>, enough: CancellationToken) {
    let mut clock = tokio::time::interval(plan.pace);
    // The pace is kept, but not made up for: a burst after a pause would be another load.
    clock.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut submits = JoinSet::new();
    let least = plan.streams + plan.streams / AGAIN;
    for number in 0.. {
        clock.tick().await;
        if number >= least && enough.is_cancelled() {
            break;
        }
        let name = if number % (AGAIN + 1) == AGAIN {
            format!("again-{}", number / (AGAIN + 1) % NAMES_AGAIN)
        } else {
            format!("s-{number}")
        };
        let task = task(number, &plan);
        submits.spawn(submit(producer.clone(), name, task, Arc::clone(&ledger)));
    }
    while let Some(submitted) = submits.join_next().await {
        submitted.expect("a submit does not panic");
    }
    producer.close().await;
}

async fn submit(producer: Producer, name: String, task: Task, ledger: Arc<Ledger>) {
    loop {
        let asked = ledger.now();
        let answer = match producer.submit(&name, &task).await {
            Ok(submitted) => Answer::from(submitted),
            Err(SubmitError::MaybeSubmitted(_) | SubmitError::NotDurable { .. }) => Answer::Maybe,
            Err(e) => {
                let now = ledger.now();
                ledger.write(|record| record.refusals.push((task.submit, format!("{now:?}: {e:?}"))));
                Answer::Refused
            }
        };
        ledger.submitted(task.submit, &name, asked, answer);
        if !matches!(answer, Answer::Maybe | Answer::Refused) {
            return;
        }
        tokio::time::sleep(PAUSE).await;
    }
}

/// A few milliseconds to some hundred of work for most, more than a lock lives for some.
fn task(submit: usize, plan: &Plan) -> Task {
    let ttl = u64::try_from(plan.lock_ttl.as_millis()).expect("not that long");
    let spread = u64::try_from(submit * 7_919 % 120).expect("less than 120");
    let ms = if submit % plan.long == 3 {
        ttl + 10 * spread
    } else {
        3 + spread
    };
    let then = match submit % 50 {
        10 => Then::Retry,
        20 => Then::DeadLetter,
        3 | 13 | 23 => Then::Stubborn,
        _ => Then::Done,
    };
    Task { submit, ms, then }
}
