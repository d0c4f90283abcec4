//! Starts every task and ends every task: the order of both, and what a panic means.

use std::future::pending;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use tokio::sync::{Notify, mpsc, oneshot, watch};
use tokio::task::{JoinError, JoinHandle, JoinSet};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::handle::{Endings, Handle, Shutdown, ShutdownReport, TerminatedReason};
use super::reader::Reader;
use super::{Core, Due, Pause, Slots, Vitals};
use crate::broker::Broker;
use crate::clock::Moment;
use crate::config::{KeyspaceEvents, Settings};
use crate::error::ConnectError;
use crate::id::ConsumerId;
use crate::keys::Keys;
use crate::lock::{Heartbeat, LAST_CALL, Leases, Settler};
use crate::metrics::{self, Metrics};
use crate::notification::{Inbox, Notification, Outbox};
use crate::recovery::Session;
use crate::scanner::{Promoter, Scanner, Sweeper};
use crate::store::{Connection, Endpoint, Store, StoreError};

/// A started client, before it is given its public face.
pub(crate) struct Started {
    pub(crate) core: Arc<Core>,
    pub(crate) handle: Handle,
    pub(crate) shutdown: Shutdown,
    pub(crate) inbox: Inbox,
}

/// Connects, checks the store, and starts every task. On an error nothing is left running.
///
/// In a task of its own: dropped half-way it would leave connections behind. When nobody waits for the result, the
/// handle in it is dropped, and the client ends.
pub(crate) async fn start(settings: Settings, endpoint: Endpoint) -> Result<Started, ConnectError> {
    match tokio::spawn(connect(settings, endpoint)).await {
        Ok(started) => started,
        Err(e) if e.is_panic() => std::panic::resume_unwind(e.into_panic()),
        Err(_) => Err(StoreError::interrupted("connect").into()),
    }
}

async fn connect(settings: Settings, endpoint: Endpoint) -> Result<Started, ConnectError> {
    let metrics = Metrics::new(&settings.service);
    let endpoint = endpoint.with(settings.command_timeout, settings.reconnect, metrics.clone());
    let commands = endpoint.open_first().await?;
    let opened = open(settings, &endpoint, commands.clone(), metrics).await;
    if opened.is_err() {
        commands.close(GOODBYE).await;
    }
    opened
}

async fn open(
    settings: Settings,
    endpoint: &Endpoint,
    commands: Connection,
    metrics: Metrics,
) -> Result<Started, ConnectError> {
    let consumer = ConsumerId::new(&settings.consumer);
    let keys = Arc::new(Keys::new(&settings.service, 0));
    let store = Store::new(commands, Arc::clone(&keys), consumer.clone(), settings.command_timeout);
    crate::recovery::check_version(&store).await?;
    crate::recovery::check_eviction(&store).await;
    store.load_scripts().await?;
    let session = Session::open(&store, &settings).await?;
    metrics::describe();
    if settings.recovery.scan_interval.is_zero() {
        tracing::warn!(
            "recovery.scan_interval is zero: orphans are not recovered by this worker, and nothing is guaranteed about them"
        );
    }

    let (outbox, inbox) = Outbox::new(metrics.clone());
    let (settlements, settlement_inbox) = mpsc::unbounded_channel();
    let core = Arc::new(Core {
        slots: Slots::new(settings.max_in_flight),
        pause: Pause::default(),
        due: Due::default(),
        leasing: store.with_timeout(settings.lease_timeout),
        settings,
        consumer,
        store,
        session,
        leases: Leases::default(),
        outbox,
        health: Vitals::default(),
        metrics,
        scan_now: Notify::new(),
        closing: CancellationToken::new(),
        endings: Endings::default(),
        host: crate::config::host_name().unwrap_or_default(),
        started_ms: SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .map_or(0, |since| u64::try_from(since.as_millis()).unwrap_or(u64::MAX)),
        keys,
        settlements,
    });

    // Before the first read, which a pause may forbid.
    core.register(&core.store).await?;
    let heartbeat = Heartbeat::start(Arc::clone(&core), endpoint.clone()).await?;
    let reading = match endpoint.open().await {
        Ok(connection) => connection,
        Err(e) => {
            heartbeat.stop().await;
            return Err(e.into());
        }
    };
    let read_store = core.store_on(reading, core.settings.command_timeout);

    let alive = CancellationToken::new();
    let (handle, weak) = Handle::over(&alive);
    let (request, requested) = watch::channel(None);
    let (reported, report) = watch::channel(None);

    let background = CancellationToken::new();
    let mut tasks = JoinSet::new();
    let settler = tokio::spawn(Settler::new(Arc::clone(&core), settlement_inbox).run());
    if core.settings.keyspace_events != KeyspaceEvents::Off {
        let (confirmed, is_confirmed) = oneshot::channel();
        let broker = Broker::new(Arc::clone(&core), endpoint.clone(), background.clone(), confirmed);
        tasks.spawn(broker.run());
        // Before the first read, so that no lock of ours can expire unheard; but work does not wait for a server that
        // refuses subscriptions.
        let _ = tokio::time::timeout(core.settings.command_timeout * 3, is_confirmed).await;
    }
    tasks.spawn(Scanner::new(Arc::clone(&core), background.clone()).run());
    tasks.spawn(Promoter::new(Arc::clone(&core), background.clone()).run());
    tasks.spawn(Sweeper::new(Arc::clone(&core), background.clone()).run());
    let reader = tokio::spawn(Reader::new(Arc::clone(&core), endpoint.clone(), read_store, weak, Moment::now()).run());

    let supervisor = Supervisor {
        core: Arc::clone(&core),
        requested,
        alive,
        background,
        reader: Some(reader),
        tasks,
        settler: Some(settler),
        heartbeat,
    };
    let watched = Arc::clone(&core);
    tokio::spawn(async move {
        let report = match tokio::spawn(supervisor.run()).await {
            Ok(report) => report,
            // Nobody else would end the reader then, nor tell whoever waits for notifications.
            Err(e) => {
                watched.closing.cancel();
                let reason = TerminatedReason::Panicked(e.to_string());
                watched.outbox.send(Notification::Terminated(reason));
                ShutdownReport::default()
            }
        };
        let _ = reported.send(Some(report));
    });
    Ok(Started {
        core,
        handle,
        shutdown: Shutdown::new(request, report),
        inbox,
    })
}

/// A blocked read ends as soon as it is unblocked, where that is allowed.
const READER_ENDS: Duration = Duration::from_millis(100);
const GOODBYE: Duration = Duration::from_millis(200);
const FOREVER: Duration = Duration::from_secs(100 * 365 * 24 * 3600);

struct Supervisor {
    core: Arc<Core>,
    requested: watch::Receiver<Option<Duration>>,
    alive: CancellationToken,
    /// Ends broker, scanner, promoter and sweeper.
    background: CancellationToken,
    /// [`None`] once it has ended.
    reader: Option<JoinHandle<()>>,
    tasks: JoinSet<()>,
    settler: Option<JoinHandle<()>>,
    heartbeat: Heartbeat,
}

impl Supervisor {
    async fn run(mut self) -> ShutdownReport {
        let (reason, patience) = self.wait().await;
        let core = Arc::clone(&self.core);
        tracing::debug!(service = %core.settings.service, consumer = %core.consumer, %reason, "client is ending");
        // A clock can't name the end of a patience without end.
        let deadline = Instant::now() + patience.min(FOREVER);

        // 1. No new work: the reader ends, and hands back what its last read brought.
        core.closing.cancel();
        self.background.cancel();
        let mut reader = self.reader.take();

        // 2. Meanwhile what is in work may finish.
        let _ = tokio::time::timeout_at(deadline, core.leases.emptied()).await;

        // 3. What is left goes to the others, now: its locks are deleted, not left to expire. A reader that is still blocked
        // would be the first to be given it, only to hand it back once more; so it is waited for, though not for long.
        if reader.is_some() {
            let _ = tokio::time::timeout(READER_ENDS, ended(&mut reader)).await;
        }
        core.disown_all();
        let last_call = Instant::now() + LAST_CALL;
        end_reader(reader, last_call).await;
        // What the reader was acquiring meanwhile.
        core.disown_all();
        while self.tasks.join_next().await.is_some() {}
        let _ = tokio::time::timeout_at(last_call, core.leases.emptied()).await;
        let report = core.endings.report(core.leases.len());

        // 4. Nothing is left that a heartbeat or a settlement could be for.
        self.heartbeat.stop().await;
        if let Some(settler) = self.settler {
            settler.abort();
            let _ = settler.await;
        }
        if report.abandoned == 0 {
            let _ = tokio::time::timeout(LAST_CALL / 2, deregister(&core)).await;
        }
        core.store.connection.close(GOODBYE).await;
        core.metrics.leases_held(0);
        tracing::debug!(service = %core.settings.service, consumer = %core.consumer, ?report, "client has ended");
        core.outbox.send(Notification::Terminated(reason));
        report
    }

    /// Waits for a reason to end, and says how long the leases may take.
    async fn wait(&mut self) -> (TerminatedReason, Duration) {
        let mut gauge = tokio::time::interval(Duration::from_secs(1));
        loop {
            let panicked = |e: JoinError| (TerminatedReason::Panicked(e.to_string()), Duration::ZERO);
            let requested = async {
                match self.requested.wait_for(Option::is_some).await.map(|patience| *patience) {
                    Ok(patience) => patience.unwrap_or_default(),
                    // All handles are gone, which `alive` tells.
                    Err(_) => pending().await,
                }
            };
            tokio::select! {
                patience = requested => return (TerminatedReason::Shutdown, patience),
                () = self.alive.cancelled() => return (TerminatedReason::Shutdown, Duration::ZERO),
                Err(e) = ended(&mut self.settler) => return panicked(e),
                Some(Err(e)) = self.tasks.join_next() => return panicked(e),
                () = self.heartbeat.ended() => {
                    return (TerminatedReason::Panicked("the heartbeat thread ended".to_owned()), Duration::ZERO);
                }
                // Without a panic: nobody receives notifications any more. Leases in the user's hands may still finish.
                Err(e) = ended(&mut self.reader) => return panicked(e),
                _ = gauge.tick() => self.core.metrics.leases_held(self.core.leases.len()),
            }
        }
    }
}

/// Waits for a task that may have ended before, and forgets it.
async fn ended(task: &mut Option<JoinHandle<()>>) -> Result<(), JoinError> {
    let Some(running) = task else { return pending().await };
    let result = running.await;
    *task = None;
    result
}

/// The reader unblocks its read by itself. Where it may not, or Redis does not answer, its connection is dropped, which
/// ends the read at the server too; should that be in the middle of an answer, the scan finds what it assigned.
async fn end_reader(reader: Option<JoinHandle<()>>, last_call: Instant) {
    let Some(mut reader) = reader else { return };
    if tokio::time::timeout_at(last_call, &mut reader).await.is_err() {
        reader.abort();
        let _ = reader.await;
    }
}

/// Removes the consumer's name from the group, which nothing is pending under any more.
async fn deregister(core: &Core) {
    for _ in 0..2 {
        match core.store.deregister().await {
            Ok(_) => return,
            Err(e) => tracing::debug!(error = %e, "the consumer's name stays in the group"),
        }
    }
}
