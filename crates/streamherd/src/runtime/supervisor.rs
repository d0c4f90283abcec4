//! Starts every task and ends every task: the order of both, and what a panic means.

use std::future::pending;
use std::sync::Arc;
use std::sync::atomic::AtomicUsize;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use tokio::sync::{Notify, mpsc, watch};
use tokio::task::{JoinError, JoinSet};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::handle::{Endings, Handle, Shutdown, ShutdownReport, TerminatedReason};
use super::reader::Reader;
use super::{Core, Inboxes, Partition, Partitions, Slots};
use crate::broker::Broker;
use crate::config::{KeyspaceEvents, Settings};
use crate::error::ConnectError;
use crate::id::ConsumerId;
use crate::keys::Keys;
use crate::lock::{Heartbeat, LAST_CALL, Settler};
use crate::metrics::{self, Metrics};
use crate::notification::{Inbox, Notification, Outbox};
use crate::recovery::{Masters, Prober, Session};
use crate::scanner::{Promoter, Scanner, Sweeper};
use crate::store::{Endpoint, Lines, Network, StoreError};

/// A started client, before it is given its public face.
pub(crate) struct Started {
    pub(crate) core: Arc<Core>,
    pub(crate) partitions: Partitions,
    pub(crate) network: Network,
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
    let keys = settings.keys(settings.partitions());
    let (network, lines) = Network::reach(endpoint, &keys, settings.command_timeout).await?;
    let opened = open(settings, &keys, &network, &lines).await;
    if opened.is_err() {
        lines.close(GOODBYE).await;
        network.close();
    }
    opened
}

async fn open(
    settings: Settings,
    keys: &[Arc<Keys>],
    network: &Network,
    lines: &Lines,
) -> Result<Started, ConnectError> {
    let consumer = ConsumerId::new(&settings.consumer);
    let metrics = Metrics::new(&settings.service);
    let mut sessions = Vec::new();
    let stores = lines.stores(keys, &consumer, settings.command_timeout);
    for (number, store) in (0_u16..).zip(stores) {
        if number == 0 {
            crate::recovery::check_server(&store, network.endpoint()).await?;
            crate::recovery::check_eviction(&store).await;
        }
        store.load_scripts().await?;
        let session = Session::open(&store, number, &settings).await?;
        sessions.push((number, store, session));
    }
    metrics::describe();
    metrics.begin();
    if settings.recovery.scan_interval.is_zero() {
        tracing::warn!(
            "recovery.scan_interval is zero: orphans are not recovered by this worker, and nothing is guaranteed about them"
        );
    }

    let (outbox, inbox) = Outbox::new(metrics.clone());
    let core = Arc::new(Core {
        slots: Slots::new(settings.max_in_flight),
        masters: Masters::new(settings.service.clone(), settings.lock_ttl, metrics.clone()),
        empty_takes: AtomicUsize::new(0),
        settings,
        consumer,
        outbox,
        metrics,
        closing: CancellationToken::new(),
        resubscribe: Notify::new(),
        endings: Endings::default(),
        totals: Endings::default(),
        host: crate::config::host_name().unwrap_or_default(),
        started_ms: SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .map_or(0, |since| u64::try_from(since.as_millis()).unwrap_or(u64::MAX)),
    });
    let (partitions, inboxes): (Vec<_>, Vec<_>) = sessions
        .into_iter()
        .map(|(number, store, session)| {
            let (partition, inbox) = Partition::new(Arc::clone(&core), number, store, session);
            (Arc::new(partition), inbox)
        })
        .unzip();
    let partitions = Partitions::new(Arc::clone(&core), partitions);
    let (settlements, hellos): (Vec<_>, Vec<_>) = inboxes
        .into_iter()
        .map(|inboxes: Inboxes| (inboxes.settlements, inboxes.hellos))
        .unzip();

    // Before the first read, which a pause may forbid.
    for partition in partitions.iter() {
        partition.register(&partition.store).await?;
    }
    let reading: Vec<Lines> = partitions
        .iter()
        .map(|_| Lines::new(network, core.settings.command_timeout))
        .collect();
    let opened = async {
        for (partition, lines) in partitions.iter().zip(&reading) {
            lines.to(partition.number).open().await?;
        }
        Heartbeat::start(partitions.clone(), network.clone(), hellos).await
    };
    let heartbeat = match opened.await {
        Ok(heartbeat) => heartbeat,
        Err(e) => {
            for lines in reading {
                lines.close(GOODBYE).await;
            }
            return Err(e);
        }
    };

    let alive = CancellationToken::new();
    let (handle, weak) = Handle::over(&alive);
    let (request, requested) = watch::channel(None);
    let (reported, report) = watch::channel(None);

    let background = CancellationToken::new();
    let mut tasks = JoinSet::new();
    let mut settlers = JoinSet::new();
    // What a shutdown has to settle waits for a master that is away, too.
    settlers.spawn(Prober::new(partitions.clone(), network.clone()).run());
    for (partition, inbox) in partitions.iter().zip(settlements) {
        settlers.spawn(Settler::new(Arc::clone(partition), inbox).run());
    }
    if core.settings.keyspace_events != KeyspaceEvents::Off {
        let (unconfirmed, mut confirmed) = mpsc::channel(1);
        let broker = Broker::new(partitions.clone(), network.clone(), background.clone(), unconfirmed);
        tasks.spawn(broker.run());
        // Before the first read, so that no lock of ours can expire unheard; but work does not wait for a server that
        // refuses subscriptions.
        let _ = tokio::time::timeout(core.settings.command_timeout * 3, confirmed.recv()).await;
    }
    let mut readers = JoinSet::new();
    for (partition, lines) in partitions.iter().zip(reading) {
        tasks.spawn(Scanner::new(Arc::clone(partition), background.clone()).run());
        tasks.spawn(Promoter::new(Arc::clone(partition), background.clone()).run());
        tasks.spawn(Sweeper::new(Arc::clone(partition), background.clone()).run());
        readers.spawn(Reader::new(Arc::clone(partition), lines, partitions.len(), weak.clone()).run());
    }

    let supervisor = Supervisor {
        core: Arc::clone(&core),
        partitions: partitions.clone(),
        network: network.clone(),
        lines: lines.clone(),
        requested,
        alive,
        background,
        readers,
        tasks,
        settlers,
        heartbeat,
    };
    let watched = Arc::clone(&core);
    tokio::spawn(async move {
        let report = match tokio::spawn(supervisor.run()).await {
            Ok(report) => report,
            // Nobody else would end the readers then, nor tell whoever waits for notifications.
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
        partitions,
        network: network.clone(),
        handle,
        shutdown: Shutdown::new(request, report),
        inbox,
    })
}

/// A blocked read ends as soon as it is unblocked, where that is allowed.
const READER_ENDS: Duration = Duration::from_millis(100);
const DEREGISTER_AGAIN: Duration = Duration::from_millis(50);
const GOODBYE: Duration = Duration::from_millis(200);
const FOREVER: Duration = Duration::from_secs(100 * 365 * 24 * 3600);

struct Supervisor {
    core: Arc<Core>,
    partitions: Partitions,
    network: Network,
    /// For commands.
    lines: Lines,
    requested: watch::Receiver<Option<Duration>>,
    alive: CancellationToken,
    /// Ends broker, scanners, promoters and sweepers.
    background: CancellationToken,
    readers: JoinSet<()>,
    tasks: JoinSet<()>,
    /// And the one who finds masters back that settlements wait for.
    settlers: JoinSet<()>,
    heartbeat: Heartbeat,
}

impl Supervisor {
    async fn run(mut self) -> ShutdownReport {
        let (reason, patience) = self.wait().await;
        let core = Arc::clone(&self.core);
        tracing::debug!(service = %core.settings.service, consumer = %core.consumer, %reason, "client is ending");
        // A clock can't name the end of a patience without end.
        let deadline = Instant::now() + patience.min(FOREVER);

        // 1. No new work: the readers end, and hand back what their last reads brought.
        core.closing.cancel();
        self.background.cancel();

        // 2. Meanwhile what is in work may finish.
        let _ = tokio::time::timeout_at(deadline, self.emptied()).await;

        // 3. What is left goes to the others, now: its locks are deleted, not left to expire. A reader that is still blocked
        // would be the first to be given it, only to hand it back once more; so it is waited for, though not for long.
        let _ = tokio::time::timeout(READER_ENDS, all_ended(&mut self.readers)).await;
        self.disown_all();
        let last_call = Instant::now() + LAST_CALL;
        // The readers unblock their reads by themselves. Where they may not, or Redis does not answer, their connections are
        // dropped, which ends the read at the server too; should that be in the middle of an answer, the scan finds what it
        // assigned.
        if tokio::time::timeout_at(last_call, all_ended(&mut self.readers))
            .await
            .is_err()
        {
            self.readers.shutdown().await;
        }
        // What the readers were acquiring meanwhile.
        self.disown_all();
        all_ended(&mut self.tasks).await;
        let _ = tokio::time::timeout_at(last_call, self.emptied()).await;
        let report = core.endings.report(self.partitions.held());

        // 4. Nothing is left that a heartbeat or a settlement could be for.
        self.heartbeat.stop().await;
        self.settlers.shutdown().await;
        let mut goodbyes = JoinSet::new();
        for partition in self.partitions.iter().filter(|partition| partition.leases.len() == 0) {
            let partition = Arc::clone(partition);
            goodbyes.spawn(async move { tokio::time::timeout(LAST_CALL / 2, deregister(&partition)).await });
        }
        all_ended(&mut goodbyes).await;
        // First the network, on which the producers that keep their submits end looking: they would connect once more.
        self.network.close();
        self.lines.close(GOODBYE).await;
        core.metrics.leases_held(0);
        core.metrics.slots_free(0);
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
                Some(Err(e)) = self.settlers.join_next() => return panicked(e),
                Some(Err(e)) = self.tasks.join_next() => return panicked(e),
                () = self.heartbeat.ended() => {
                    return (TerminatedReason::Panicked("the heartbeat thread ended".to_owned()), Duration::ZERO);
                }
                // Without a panic: nobody receives notifications any more. Leases in the user's hands may still finish.
                Some(Err(e)) = self.readers.join_next() => return panicked(e),
                _ = gauge.tick() => {
                    self.core.metrics.leases_held(self.partitions.held());
                    self.core.metrics.slots_free(self.partitions.free());
                }
            }
        }
    }

    /// Hands back every lease that is still held.
    fn disown_all(&self) {
        self.partitions.iter().for_each(|partition| partition.disown_all());
    }

    /// Waits until nothing is held, settling or being handed back. Nothing is added to what was found empty: the readers
    /// have ended, or are about to.
    async fn emptied(&self) {
        for partition in self.partitions.iter() {
            partition.leases.emptied().await;
        }
    }
}

/// # Cancel safety
/// Cancel safe.
async fn all_ended<T: 'static>(tasks: &mut JoinSet<T>) {
    while tasks.join_next().await.is_some() {}
}

/// Removes the consumer's name from the group, which nothing is pending under any more. Tries as long as it is let, as the
/// connection may be about to come back.
async fn deregister(partition: &Partition) {
    while let Err(e) = partition.store.deregister().await {
        tracing::debug!(error = %e, "the consumer's name stays in the group");
        tokio::time::sleep(DEREGISTER_AGAIN).await;
    }
}
