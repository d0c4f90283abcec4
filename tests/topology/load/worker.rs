//! A worker of a load: works on what it is handed as the stream's info says, and writes everything down.

use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use streamherd::error::SettleError;
use streamherd::{Client, Lease, Notification, Notifications, RetryAfter, Settled};
use tokio::time::Instant;

use super::super::ledger::{End, Ledger, Line};

/// Between two looks at a lease.
const STEP: Duration = Duration::from_millis(20);

/// A stream's info: what its handler does.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
pub(super) struct Task {
    /// Tells submits apart in whatever is found in Redis.
    pub(super) submit: usize,
    pub(super) ms: u64,
    pub(super) then: Then,
}

/// How it ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Then {
    Done,
    /// Fails the first time.
    Retry,
    DeadLetter,
    /// Takes no notice of a lease that is lost: done, whatever happens.
    Stubborn,
}

pub(super) async fn run(number: usize, client: Client, mut notifications: Notifications, ledger: Arc<Ledger>) {
    let mut handlers = tokio::task::JoinSet::new();
    while let Some(notification) = notifications.recv().await {
        match notification {
            Notification::StreamAdded(lease) => {
                let line = ledger.handed_out(number, &lease);
                handlers.spawn(handle(lease, line, Arc::clone(&ledger)));
            }
            Notification::StreamExpired(orphan) => {
                let now = ledger.now();
                ledger.write(|record| record.expired.push((now, orphan.partition())));
                let client = client.clone();
                handlers.spawn(async move { drop(client.claim(&orphan).await) });
            }
            Notification::StreamDisowned(lost) => {
                let now = ledger.now();
                ledger.write(|record| record.disowned.push((now, lost.partition, lost.reason.as_str())));
            }
            Notification::DataLoss(_) => ledger.write(|record| record.data_losses += 1),
            _ => {}
        }
        while let Some(ended) = handlers.try_join_next() {
            ended.expect("a handler does not panic");
        }
    }
    while let Some(ended) = handlers.join_next().await {
        ended.expect("a handler does not panic");
    }
}

async fn handle(lease: Lease, line: Line, ledger: Arc<Ledger>) {
    let task: Task = lease.info().expect("the submitter's info");
    let end = Instant::now() + Duration::from_millis(task.ms);
    let lost = lease.lost().clone();
    loop {
        let valid = ledger.look(line, &lease);
        if !valid && task.then != Then::Stubborn {
            ledger.ended(line, End::Lost);
            return;
        }
        if Instant::now() >= end {
            break;
        }
        let step = end.min(Instant::now() + STEP);
        tokio::select! {
            () = tokio::time::sleep_until(step) => {}
            () = lost.cancelled(), if valid => {}
        }
    }
    ledger.asks(line);
    let outcome = match task.then {
        Then::Retry if lease.attempt() == 0 => lease.retry(RetryAfter::now().because("the first time")).await,
        Then::DeadLetter => lease.dead_letter("that is what it is for").await,
        Then::Done | Then::Retry | Then::Stubborn => lease.done().await,
    };
    ledger.ended(
        line,
        match outcome {
            Ok(Settled::Done) => End::Done,
            Ok(Settled::DeadLettered { .. }) => End::DeadLettered,
            Ok(_) => End::Requeued,
            Err(SettleError::Disowned(_) | SettleError::Vanished { .. }) => End::Refused,
            Err(e) => {
                ledger.write(|record| record.unknown.push(format!("{e:?}")));
                End::Unknown
            }
        },
    );
}
