//! A worker of a load: works on what it is handed as the stream's info says.

use std::sync::Arc;
use std::time::Duration;

use streamherd::error::SettleError;
use streamherd::{Client, Lease, Notification, Notifications, RetryAfter, Settled};
use streamherd_ledger::{End, Event, How, Ledger, Page};
use tokio::task::JoinSet;
use tokio::time::Instant;

use super::{Task, Then};

/// Works until there are no more notifications. `step` is the time between two looks at a lease.
///
/// # Panics
/// If a stream's info is no [`Task`].
pub async fn work(name: String, step: Duration, client: Client, mut notifications: Notifications, ledger: Arc<Ledger>) {
    let mut handlers = JoinSet::new();
    while let Some(notification) = notifications.recv().await {
        match notification {
            Notification::StreamAdded(lease) => {
                let page = ledger.added(&name, &lease);
                handlers.spawn(handle(lease, page, step, Arc::clone(&ledger)));
            }
            Notification::StreamExpired(orphan) => {
                let partition = orphan.partition();
                ledger.note(&name, Event::Expired { partition });
                let client = client.clone();
                handlers.spawn(async move { drop(client.claim(&orphan).await) });
            }
            Notification::StreamDisowned(lost) => {
                let (partition, reason) = (lost.partition, lost.reason.as_str().to_owned());
                ledger.note(&name, Event::Disowned { partition, reason });
            }
            Notification::DataLoss(_) => ledger.note(&name, Event::DataLoss),
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

async fn handle(lease: Lease, page: Page, step: Duration, ledger: Arc<Ledger>) {
    let task: Task = lease.info().expect("the submitter's info");
    let end = Instant::now() + Duration::from_millis(task.ms);
    let lost = lease.lost().clone();
    loop {
        let valid = ledger.look(&page, &lease);
        if !valid && task.then != Then::Stubborn {
            ledger.ended(&page, End::Lost, None);
            return;
        }
        if Instant::now() >= end {
            break;
        }
        let step = end.min(Instant::now() + step);
        tokio::select! {
            () = tokio::time::sleep_until(step) => {}
            () = lost.cancelled(), if valid => {}
        }
    }
    let how = match task.then {
        Then::Retry if lease.attempt() == 0 => How::Retry,
        Then::DeadLetter => How::DeadLetter,
        Then::Done | Then::Retry | Then::Stubborn => How::Done,
    };
    ledger.settling(&page, how);
    let outcome = match how {
        How::Retry => lease.retry(RetryAfter::now().because("the first time")).await,
        How::DeadLetter => lease.dead_letter("that is what it is for").await,
        How::Done | How::Release => lease.done().await,
    };
    let (end, why) = match outcome {
        Ok(Settled::Done) => (End::Done, None),
        Ok(Settled::DeadLettered { .. }) => (End::DeadLettered, None),
        Ok(_) => (End::Requeued, None),
        Err(SettleError::Disowned(_) | SettleError::Vanished { .. }) => (End::Refused, None),
        Err(e) => (End::Unknown, Some(format!("{e:?}"))),
    };
    ledger.ended(&page, end, why);
}
