//! A connection to one server, and the commands that go over it.

use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use fred::clients::{Client, Pipeline};
use fred::interfaces::{ClientLike, EventInterface};
use fred::types::config::{Config, Options, ReconnectPolicy, Server, TcpConfig, UnresponsiveConfig};
use fred::types::{Builder, ClusterHash, CustomCommand, Value};
use tokio::sync::broadcast;

use super::error::{CONNECT, StoreError};
use crate::metrics::Metrics;

/// How connections are made, wherever to.
#[derive(Clone)]
pub(super) struct Manner {
    pub(super) timeout: Duration,
    pub(super) reconnect: (Duration, Duration),
    pub(super) metrics: Option<Metrics>,
}

/// Events that a connection keeps for a slow listener. The client library allocates that much for each of its kinds of
/// events at once.
pub(super) const BACKLOG: usize = 32;
/// Beyond this a burst of expiries is cut short, which a scan makes up for. 65,536 made a worker 36 MB larger, of 13.
pub(super) const EVENT_BACKLOG: usize = 4_096;

static OPENED: AtomicU64 = AtomicU64::new(0);

/// One life of a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Incarnation(u64, u64);

/// One connection, reconnecting for ever with jittered waits. Cheap to clone; [`Connection::close`] ends it for all.
#[derive(Clone)]
pub(crate) struct Connection {
    pub(super) client: Client,
    router: Arc<Router>,
    metrics: Option<Metrics>,
    /// Which connection of this process it is, and how often it was made again.
    number: u64,
    born: Instant,
    again: Arc<Mutex<(broadcast::Receiver<Server>, u64)>>,
    silence: Arc<Mutex<Silence>>,
}

/// Whether anything is heard over a connection. The client library looks at the last command that it wrote: one that is
/// used all the time never is too old for it, however silent its server.
#[derive(Debug, Default)]
struct Silence {
    /// When a call first went without an answer, if none was answered since.
    since: Option<Instant>,
    /// So did one that was sent after that.
    confirmed: bool,
}

/// The client library's task goes on, with its connection, when every handle is dropped; so it ends with the last.
struct Router(fred::types::ConnectHandle);

impl Drop for Router {
    fn drop(&mut self) {
        self.0.abort();
    }
}

impl fmt::Debug for Connection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Connection").finish_non_exhaustive()
    }
}

impl Connection {
    /// Connects, by a future that must not be dropped half-way: the client library would go on trying for ever.
    pub(super) async fn connect(config: Config, manner: &Manner, backlog: usize) -> Result<Self, StoreError> {
        let mut builder = Builder::from_config(config);
        let millis = |span: Duration| u32::try_from(span.as_millis()).unwrap_or(u32::MAX);
        // Without a policy the client stops for ever at its first disconnect, and says it is connected.
        builder.set_policy(ReconnectPolicy::new_exponential(
            0,
            millis(manner.reconnect.0),
            millis(manner.reconnect.1),
            2,
        ));
        builder.with_connection_config(|c| {
            // The default of three sends commands again whose reply was lost: a second XADD, an XREADGROUP whose
            // entries nobody sees.
            c.max_command_attempts = 1;
            c.connection_timeout = manner.timeout;
            c.internal_command_timeout = manner.timeout;
            c.unresponsive = UnresponsiveConfig {
                max_timeout: Some(manner.timeout * 3),
                interval: (manner.timeout / 2).max(Duration::from_millis(50)),
            };
            c.tcp = TcpConfig {
                nodelay: Some(true),
                ..TcpConfig::default()
            };
        });
        builder.with_performance_config(|c| {
            c.default_command_timeout = manner.timeout;
            c.broadcast_channel_capacity = backlog;
        });
        let client = builder.build().map_err(|e| StoreError::new(CONNECT, e))?;
        let router = client.init().await.map_err(|e| StoreError::new(CONNECT, e))?;
        let again = client.reconnect_rx();
        Ok(Self {
            client,
            router: Arc::new(Router(router)),
            metrics: manner.metrics.clone(),
            born: Instant::now(),
            number: OPENED.fetch_add(1, Ordering::Relaxed),
            again: Arc::new(Mutex::new((again, 0))),
            silence: Arc::default(),
        })
    }

    /// Whether two calls, one after the other, went without an answer, and none was answered since.
    pub(super) fn is_silent(&self) -> bool {
        self.silence().confirmed
    }

    fn listened(&self, sent: Instant, answer: Option<&StoreError>) {
        let mut silence = self.silence();
        if !answer.is_some_and(StoreError::is_timeout) {
            *silence = Silence::default();
            return;
        }
        match silence.since {
            None => silence.since = Some(Instant::now()),
            // Those that were sent together are one.
            Some(since) => silence.confirmed |= sent >= since,
        }
    }

    fn silence(&self) -> MutexGuard<'_, Silence> {
        self.silence.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn age(&self) -> Duration {
        self.born.elapsed()
    }

    /// Which connection this is and how often it was made again: whatever the server forgets with a connection is
    /// forgotten when this changes.
    pub(super) fn incarnation(&self) -> Incarnation {
        let mut again = self.again.lock().unwrap_or_else(PoisonError::into_inner);
        use broadcast::error::TryRecvError;
        while matches!(again.0.try_recv(), Ok(_) | Err(TryRecvError::Lagged(_))) {
            again.1 += 1;
        }
        Incarnation(self.number, again.1)
    }

    /// Sends one command, once: what is to be repeated is for the caller to decide, who knows whether it may be.
    pub(super) async fn command(
        &self,
        operation: &'static str,
        name: &'static str,
        args: Vec<Value>,
        timeout: Duration,
    ) -> Result<Value, StoreError> {
        // Which the server may answer much later without being unwell.
        let blocks = name.starts_with("WAIT");
        let command = CustomCommand::new_static(name, ClusterHash::FirstKey, blocks);
        let client = self.client.with_options(&options(timeout));
        self.timed(operation, client.custom(command, args)).await
    }

    /// Sends ASKING and a command, with nothing in between.
    pub(super) async fn ask(
        &self,
        operation: &'static str,
        name: &'static str,
        args: Vec<Value>,
        timeout: Duration,
    ) -> Result<Value, StoreError> {
        let both = Pipeline::from(self.client.with_options(&options(timeout)));
        let command = |name| CustomCommand::new_static(name, ClusterHash::FirstKey, false);
        self.timed(operation, async {
            both.custom::<(), Value>(command("ASKING"), vec![]).await?;
            both.custom::<(), Value>(command(name), args).await?;
            both.last().await
        })
        .await
    }

    pub(super) async fn timed<T>(
        &self,
        operation: &'static str,
        call: impl Future<Output = Result<T, fred::error::Error>>,
    ) -> Result<T, StoreError> {
        let start = Instant::now();
        let result = call.await.map_err(|e| StoreError::new(operation, e));
        self.listened(start, result.as_ref().err());
        if let Some(metrics) = &self.metrics {
            metrics.store_call(operation, start.elapsed(), result.as_ref().err());
        }
        result
    }

    /// Resolves at each reconnect from now on; [`None`] once the connection is closed.
    pub(crate) fn reconnects(&self) -> Reconnects {
        Reconnects(self.client.reconnect_rx())
    }

    /// Ends the connection: says goodbye for at most `patience`, then drops it.
    pub(crate) async fn close(&self, patience: Duration) {
        // QUIT waits for a blocked read, which nobody should be in any more; should one be, the abort ends it.
        let _ = tokio::time::timeout(patience, self.client.quit()).await;
        self.router.0.abort();
    }
}

pub(crate) struct Reconnects(broadcast::Receiver<Server>);

impl Reconnects {
    pub(crate) async fn next(&mut self) -> Option<()> {
        use broadcast::error::RecvError;
        match self.0.recv().await {
            Ok(_) | Err(RecvError::Lagged(_)) => Some(()),
            Err(RecvError::Closed) => None,
        }
    }
}

/// Fail fast: a command that can't be sent now says so at once and is not carried out at some later time.
pub(super) fn options(timeout: Duration) -> Options {
    Options {
        max_attempts: Some(1),
        timeout: Some(timeout),
        fail_fast: true,
        ..Options::default()
    }
}
