//! Submits at a steady pace. Whatever happens to single submits, each is repeated until it is acknowledged.

use std::sync::Arc;
use std::time::Duration;

use streamherd::error::SubmitError;
use streamherd::{Producer, partition_of};
use streamherd_ledger::{Answer, Ledger};
use tokio::task::JoinSet;
use tokio::time::MissedTickBehavior;

use super::Task;

/// Every so many streams one is submitted a second time and more often, which coalesces with what is queued or held.
pub(super) const AGAIN: u64 = 25;
const NAMES_AGAIN: u64 = 20;
/// Until a submit is repeated that was not acknowledged.
const PAUSE: Duration = Duration::from_millis(300);

/// What is submitted, and how fast.
#[derive(Debug, Clone)]
pub struct Pace {
    /// Who submits, and where the names of its streams begin.
    pub name: String,
    /// How many partitions the service has.
    pub partitions: u16,
    /// Between two submits.
    pub every: Duration,
    /// How long the workers' locks live.
    pub lock_ttl: Duration,
    /// One of so many streams is worked on for longer than that.
    pub long: u64,
}

impl Pace {
    /// A submit's stream. Streams with names that come again are shared with others who submit.
    fn stream(&self, number: u64) -> String {
        if number % (AGAIN + 1) == AGAIN {
            format!("again-{}", number / (AGAIN + 1) % NAMES_AGAIN)
        } else {
            format!("{}-{number}", self.name)
        }
    }
}

/// Submits until that is enough, given how many there were, and all are acknowledged. Gives the producer back.
///
/// # Panics
/// If a submit panics.
pub async fn submit_all(producer: Producer, pace: Pace, ledger: Arc<Ledger>, enough: impl Fn(u64) -> bool) -> Producer {
    let mut clock = tokio::time::interval(pace.every);
    // The pace is kept, but not made up for: a burst after a pause would be another load.
    clock.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut submits = JoinSet::new();
    for number in 0.. {
        clock.tick().await;
        if enough(number) {
            break;
        }
        submits.spawn(submit(producer.clone(), pace.clone(), number, Arc::clone(&ledger)));
        while let Some(submitted) = submits.try_join_next() {
            submitted.expect("a submit does not panic");
        }
    }
    while let Some(submitted) = submits.join_next().await {
        submitted.expect("a submit does not panic");
    }
    producer
}

async fn submit(producer: Producer, pace: Pace, number: u64, ledger: Arc<Ledger>) {
    let stream = pace.stream(number);
    let task = Task::of(number, pace.lock_ttl, pace.long);
    let partition = partition_of(&stream, pace.partitions);
    loop {
        ledger.submitting(&pace.name, number, &stream, partition);
        let (answer, why) = match producer.submit(&stream, &task).await {
            Ok(submitted) => (Answer::from(submitted), None),
            Err(SubmitError::MaybeSubmitted(_) | SubmitError::NotDurable { .. }) => (Answer::Maybe, None),
            Err(e) => (Answer::Refused, Some(format!("{e:?}"))),
        };
        let again = matches!(answer, Answer::Maybe | Answer::Refused);
        ledger.submitted(&pace.name, number, answer, why);
        if !again {
            return;
        }
        tokio::time::sleep(PAUSE).await;
    }
}
