//! Which server holds which partition, found out again whenever that may have changed.
//!
//! A manual failover or a resharding closes no connection, so the topology is also polled. fred's clustered client is not
//! used: while one master is down it stalls commands to the others for longer than a lock lives.

mod lines;
mod lookout;
mod view;

use std::fmt;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::Duration;

use fred::types::config::{Server, ServerConfig};
use fred::util::redis_keyslot;
use tokio::sync::{Notify, oneshot, watch};
use tokio_util::sync::{CancellationToken, DropGuard};

pub(crate) use lines::{Line, Lines};
use lookout::Lookout;
#[cfg(test)]
pub(crate) use view::{merge, of_cluster, of_sentinel};

use super::{Endpoint, StoreError};
use crate::backoff::{Backoff, jittered};
use crate::config::ClusterMode;
use crate::error::ConnectError;
use crate::keys::Keys;

/// Between two looks while something is suspicious: commands fail, or went to the wrong server.
const LOOK_AGAIN: (Duration, Duration) = (Duration::from_millis(20), Duration::from_millis(400));

/// The address of a server.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) enum Node {
    At { host: String, port: u16 },
    Socket(PathBuf),
}

impl Node {
    pub(crate) fn at(host: &str, port: u16) -> Self {
        // In a URL an IPv6 address stands in brackets.
        let bare = host.strip_prefix('[').and_then(|host| host.strip_suffix(']'));
        Self::At {
            host: bare.unwrap_or(host).to_owned(),
            port,
        }
    }

    pub(super) fn server(&self) -> ServerConfig {
        match self {
            Self::At { host, port } => ServerConfig::Centralized {
                server: Server::new(host.as_str(), *port),
            },
            Self::Socket(path) => ServerConfig::Unix { path: path.clone() },
        }
    }
}

impl fmt::Display for Node {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::At { host, port } if host.contains(':') => write!(f, "[{host}]:{port}"),
            Self::At { host, port } => write!(f, "{host}:{port}"),
            Self::Socket(path) => path.display().fmt(f),
        }
    }
}

/// The server of each partition, by number; [`None`] where no server holds its slot at present.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Placement(pub(crate) Vec<Option<Node>>);

impl Placement {
    pub(crate) fn of(&self, partition: u16) -> Option<&Node> {
        self.0.get(usize::from(partition)).and_then(Option::as_ref)
    }

    pub(crate) fn holds(&self, node: &Node) -> bool {
        self.0.iter().flatten().any(|master| master == node)
    }
}

/// Connections that may be dropped.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Which {
    All,
    /// Not those of heartbeats, which may be the last that the server lets stand.
    Spare,
}

/// What all tasks of one client know of the topology. Cheap to clone; the looking ends with the last clone.
#[derive(Clone)]
pub(crate) struct Network {
    shared: Arc<Shared>,
    _alive: Arc<DropGuard>,
}

struct Shared {
    endpoint: Endpoint,
    placement: watch::Sender<Arc<Placement>>,
    suspicion: Notify,
    waiting: Mutex<Vec<oneshot::Sender<()>>>,
    lines: Mutex<Vec<Weak<lines::Shared>>>,
    probed: AtomicBool,
    /// Nobody looks any more.
    closed: CancellationToken,
}

impl fmt::Debug for Network {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Network")
            .field("endpoint", &self.shared.endpoint)
            .finish_non_exhaustive()
    }
}

impl Network {
    /// From now on somebody looks after servers that don't answer, and after the connections to them.
    pub(crate) fn probe_all(&self) {
        self.shared.probed.store(true, Ordering::Relaxed);
    }

    fn is_probed(&self) -> bool {
        self.shared.probed.load(Ordering::Relaxed)
    }

    /// Finds the servers of all partitions for the first time.
    ///
    /// # Errors
    /// Nobody who could know answered.
    pub(crate) async fn find(endpoint: Endpoint, partitions: &[Arc<Keys>]) -> Result<Self, StoreError> {
        let closed = CancellationToken::new();
        let guard = Arc::new(closed.clone().drop_guard());
        let slots: Vec<u16> = partitions
            .iter()
            .map(|keys| redis_keyslot(keys.input.as_bytes()))
            .collect();
        let mut lookout = Lookout::new(endpoint.clone(), slots);
        let found = lookout.first().await?;
        let shared = Arc::new(Shared {
            placement: watch::Sender::new(Arc::new(found)),
            suspicion: Notify::new(),
            waiting: Mutex::default(),
            lines: Mutex::default(),
            probed: AtomicBool::new(false),
            closed: closed.clone(),
            endpoint,
        });
        if shared.endpoint.mode() != ClusterMode::Standalone {
            tokio::spawn(watch_over(Arc::downgrade(&shared), lookout, closed));
        }
        Ok(Self { shared, _alive: guard })
    }

    /// Finds the servers and connects to them.
    ///
    /// # Errors
    /// `Unreachable`, `Login`, or `Store` for whatever else is refused.
    pub(crate) async fn reach(
        endpoint: Endpoint,
        partitions: &[Arc<Keys>],
        timeout: Duration,
    ) -> Result<(Self, Lines), ConnectError> {
        let network = Self::find(endpoint.clone(), partitions)
            .await
            .map_err(|e| endpoint.first_error(e))?;
        let lines = Lines::new(&network, timeout);
        match lines.open_all().await {
            Ok(()) => Ok((network, lines)),
            Err(e) => {
                lines.close(Duration::ZERO).await;
                network.close();
                Err(e)
            }
        }
    }

    pub(crate) fn endpoint(&self) -> &Endpoint {
        &self.shared.endpoint
    }

    pub(crate) fn placement(&self) -> Arc<Placement> {
        Arc::clone(&self.shared.placement.borrow())
    }

    /// Tells of each change from now on.
    pub(crate) fn changes(&self) -> watch::Receiver<Arc<Placement>> {
        self.shared.placement.subscribe()
    }

    /// Something failed that a change of topology would explain.
    fn suspect(&self) {
        self.shared.suspicion.notify_one();
    }

    /// Has the topology looked at, by a look that begins after this call, and waits for it.
    pub(crate) async fn look_again(&self) {
        if self.shared.endpoint.mode() == ClusterMode::Standalone {
            return;
        }
        let (seen, is_seen) = oneshot::channel();
        lock(&self.shared.waiting).push(seen);
        self.suspect();
        tokio::select! {
            _ = is_seen => {}
            () = self.shared.closed.cancelled() => {}
        }
    }

    /// Drops connections to a server. What is needed of them is opened anew, without waiting for its turn to reconnect.
    pub(crate) fn forget(&self, node: &Node, which: Which) {
        for lines in lock(&self.shared.lines).iter().filter_map(Weak::upgrade) {
            if which == Which::All || !lines.are_vital() {
                lines.close_where(|open| open == node);
            }
        }
    }

    /// Asks a server for a key, over a connection of its own.
    ///
    /// # Errors
    /// It can't be reached, or can't serve that.
    pub(crate) async fn probe(&self, node: &Node, key: &str) -> Result<(), StoreError> {
        let endpoint = self.shared.endpoint.at(node);
        let connection = endpoint.open().await?;
        let args = vec![key.into()];
        let said = connection.command("probe", "PTTL", args, endpoint.timeout()).await;
        connection.close(Duration::ZERO).await;
        said.map(drop)
    }

    /// Resolves when it is closed.
    pub(crate) async fn closed(&self) {
        self.shared.closed.cancelled().await;
    }

    /// Ends the looking, also while there are clones.
    pub(crate) fn close(&self) {
        self.shared.closed.cancel();
    }
}

async fn watch_over(shared: Weak<Shared>, mut lookout: Lookout, stop: CancellationToken) {
    let mut backoff = Backoff::new(LOOK_AGAIN.0, LOOK_AGAIN.1);
    loop {
        let Some(network) = shared.upgrade() else { break };
        let suspicion = async {
            network.suspicion.notified().await;
        };
        let wait = jittered(network.endpoint.look_every(), 0.2, &mut rand::rng());
        let suspicious = tokio::select! {
            () = stop.cancelled() => break,
            () = suspicion => true,
            () = tokio::time::sleep(wait) => false,
        };
        let waiting = std::mem::take(&mut *lock(&network.waiting));
        let before = Arc::clone(&network.placement.borrow());
        let looked = tokio::select! {
            () = stop.cancelled() => break,
            looked = lookout.look(&before, suspicious) => looked,
        };
        match looked {
            Ok(found) if found != *before => {
                tracing::info!(from = ?before.0, to = ?found.0, "partitions are held by other servers now");
                let found = Arc::new(found);
                network.placement.send_replace(Arc::clone(&found));
                network.keep_lines_to(&found);
            }
            Ok(_) => {}
            Err(e) => tracing::debug!(error = %e, "nobody could say where the partitions are"),
        }
        drop(waiting);
        drop(network);
        if !suspicious {
            backoff.reset();
            continue;
        }
        // What is suspicious now is likely to stay so for a while: a failover takes seconds.
        tokio::select! {
            () = stop.cancelled() => break,
            () = tokio::time::sleep(backoff.draw()) => {}
        }
    }
    lookout.close().await;
}

impl Shared {
    fn keep_lines_to(&self, placement: &Placement) {
        lock(&self.lines).retain(|lines| {
            let Some(lines) = lines.upgrade() else { return false };
            lines.close_where(|node| !placement.holds(node));
            true
        });
    }
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
