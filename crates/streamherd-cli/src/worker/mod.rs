//! `streamherd worker`: takes streams from the queue, works on them, and settles them.

mod events;
mod exec;
mod group;
mod handler;
mod ledger;
mod probes;
mod stop;

use std::process::ExitCode;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use rand::RngExt as _;
use streamherd::error::{ClaimError, ConnectError};
use streamherd::{
    Builder, Claimed, Client, Notification, Notifications, Orphan, Recovery, RetryPolicy, ShutdownReport,
    TerminatedReason,
};
use tokio::task::JoinHandle;
use tokio_util::task::TaskTracker;

use self::events::Events;
use self::exec::Exec;
use self::group::{GRACE, Groups};
use self::handler::{Handler, Verdict, Work, describe};
use self::ledger::Ledger;
use self::stop::Stop;
use crate::args::{Global, WorkerArgs};
use crate::failure::{Failure, in_one_line, usage_error};
use crate::output;

/// Peers hear of an orphan at the same moment, and all but one would ask in vain.
const CLAIM_JITTER_MS: u64 = 200;
/// What a release may take after the last command is gone.
const LAST_RELEASES: Duration = Duration::from_secs(2);
/// How long after its shutdown deadline a worker has ended at the latest; the client's own end takes about four seconds.
#[cfg(test)]
pub(crate) const ENDS_WITHIN: Duration = Duration::from_secs(5 + 2 + 4);

pub(crate) async fn run(global: &Global, options: &WorkerArgs) -> Result<ExitCode, Failure> {
    if options.exec.is_none() && options.work_ms.is_none() {
        return Err(usage_error(
            "say what to do with a stream: --exec CMD, or --work-ms MS to only pretend to work",
        ));
    }
    // An unset variable, most likely; sh would call the work of every stream done.
    if options.exec.as_ref().is_some_and(|command| command.trim().is_empty()) {
        return Err(usage_error("--exec is empty: say which command works on a stream"));
    }
    let retries = RetryPolicy {
        first: options
            .retry_first
            .unwrap_or_else(|| RetryPolicy::default().first.min(options.retry_longest)),
        longest: options.retry_longest,
    };
    retries.check().map_err(|e| Failure::start(ConnectError::from(e)))?;
    let service = global.service()?;
    let groups = Groups::default();
    // Before anything else, so that no moment of the worker's life is without it.
    let stop = Stop::on_signals(groups.clone()).map_err(Failure::start)?;
    let builder = configure(global.builder()?, options);
    let probes = match options.probes {
        Some(at) => Some(probes::bind(at).await?),
        None => None,
    };
    let connected = tokio::select! {
        connected = builder.connect() => connected.map_err(Failure::start)?,
        () = stop.requested.cancelled() => return Ok(ExitCode::SUCCESS),
    };
    let (client, notifications) = connected;
    if let Some(probes) = probes {
        probes.answer_for(client.clone());
    }

    let consumer = client.consumer().as_str();
    let ledger = options.ledger.as_deref().map(|path| Ledger::open(path, consumer));
    let ledger = ledger.transpose().map_err(Failure::start)?;
    let (events, writer) = if options.events {
        Events::to_stdout(consumer, stop.requested.clone()).map_err(Failure::start)?
    } else {
        Events::unseen(consumer)
    };
    let work = match &options.exec {
        Some(command) => Work::Exec(Exec {
            command: command.clone(),
            service: service.to_owned(),
            groups,
        }),
        None => Work::Sleep(options.work_ms.unwrap_or_default()),
    };
    let worker = Worker {
        client,
        handler: Arc::new(Handler {
            work,
            ledger,
            events,
            stop: stop.clone(),
            retries,
            broken: OnceLock::new(),
        }),
        tasks: TaskTracker::new(),
        stop,
        patience: options.shutdown_deadline,
    };
    let handler = Arc::clone(&worker.handler);
    let reason = worker.run(notifications, service).await;
    let broken = handler.broken.get().is_some();
    // The writer ends with the last of its events' owners.
    drop(handler);
    writer.finish().await;
    match reason {
        // It was told when it happened.
        TerminatedReason::Shutdown if broken => Ok(ExitCode::FAILURE),
        TerminatedReason::Shutdown => Ok(ExitCode::SUCCESS),
        other => Err(Failure::failed(format!("the client ended: {other}"))),
    }
}

fn configure(mut builder: Builder, options: &WorkerArgs) -> Builder {
    builder = builder
        .max_in_flight(options.concurrency)
        .keyspace_events(options.keyspace_events.into())
        .recovery(recovery(options));
    if let Some(name) = &options.name {
        builder = builder.consumer(name);
    }
    if let Some(ttl) = options.lock_ttl {
        builder = builder.lock_ttl(ttl);
    }
    builder
}

fn recovery(options: &WorkerArgs) -> Recovery {
    let mut recovery = Recovery::default();
    recovery.min_idle = options.min_idle;
    recovery.scan_interval = options.scan_interval.unwrap_or(recovery.scan_interval);
    recovery.max_failures = options.max_failures.unwrap_or(recovery.max_failures);
    recovery.max_abandonments = options.max_abandonments.unwrap_or(recovery.max_abandonments);
    recovery
}

struct Worker {
    client: Client,
    handler: Arc<Handler>,
    tasks: TaskTracker,
    stop: Stop,
    patience: Duration,
}

impl Worker {
    /// Works until the client has ended, and everything it gave out is finished.
    async fn run(self, mut notifications: Notifications, service: &str) -> TerminatedReason {
        let events = &self.handler.events;
        let consumer = self.client.consumer().as_str();
        events.ready().await;
        output::say(&format!("{consumer} is ready on service {service}"));
        let ending = self.end_when_asked();
        let reason = loop {
            match notifications.recv().await {
                Some(Notification::StreamAdded(lease)) => {
                    events.added(&lease).await;
                    let handler = Arc::clone(&self.handler);
                    let late = self.stop.requested.is_cancelled();
                    self.tasks.spawn(async move {
                        if late {
                            handler.settle(lease, Verdict::Release, None).await;
                        } else {
                            handler.handle(lease).await;
                        }
                    });
                }
                Some(Notification::StreamExpired(orphan)) => {
                    events.orphan("expired", &orphan, None).await;
                    if !self.stop.requested.is_cancelled() {
                        self.tasks
                            .spawn(claim(self.client.clone(), Arc::clone(&self.handler), orphan));
                    }
                }
                Some(Notification::StreamDisowned(lost)) => {
                    tracing::warn!(stream = lost.stream, reason = %lost.reason, "a stream was lost while in work");
                    events.disowned(&lost).await;
                }
                Some(Notification::DataLoss(loss)) => events.data_loss(&loss).await,
                Some(Notification::Terminated(reason)) => break reason,
                Some(_) => {}
                None => break TerminatedReason::Shutdown,
            }
        };
        // Every lease is settled or lost by now; this is for a client that ended by itself.
        self.stop.now.cancel();
        self.tasks.close();
        self.tasks.wait().await;
        let word = match &reason {
            TerminatedReason::Shutdown => "shutdown".to_owned(),
            other => other.to_string(),
        };
        events.terminated(&word).await;
        if self.stop.requested.is_cancelled()
            && let Ok(Ok(report)) = tokio::time::timeout(LAST_RELEASES, ending).await
        {
            output::say(&format!("{consumer} has shut down; {}", describe(report)));
        }
        reason
    }

    /// Shuts the client down as soon as that is asked for.
    ///
    /// At the deadline it is the handlers that stop and release what they hold, each after its command is gone. The
    /// client itself waits a little longer: what it has to take from them would be given to others while a command still
    /// runs.
    fn end_when_asked(&self) -> JoinHandle<ShutdownReport> {
        let client = self.client.clone();
        let requested = self.stop.requested.clone();
        let now = self.stop.now.clone();
        let patience = self.patience;
        tokio::spawn(async move {
            requested.cancelled().await;
            tokio::spawn(async move {
                tokio::time::sleep(patience).await;
                now.cancel();
            });
            client.shutdown(patience + GRACE + LAST_RELEASES).await
        })
    }
}

/// Has an orphan re-queued now, if nobody else was first.
async fn claim(client: Client, handler: Arc<Handler>, orphan: Orphan) {
    let wait = rand::rng().random_range(0..CLAIM_JITTER_MS);
    tokio::time::sleep(Duration::from_millis(wait)).await;
    match client.claim(&orphan).await {
        Ok(Claimed::DeadLettered { reason }) => {
            handler
                .events
                .orphan("dead_lettered", &orphan, Some(&reason.to_string()))
                .await;
        }
        Ok(_) => handler.events.orphan("claimed", &orphan, None).await,
        Err(ClaimError::AlreadyClaimed(_) | ClaimError::StillAlive(_) | ClaimError::TooEarly { .. }) => {}
        Err(e) => tracing::debug!(error = in_one_line(&e), "an orphan could not be claimed"),
    }
}
