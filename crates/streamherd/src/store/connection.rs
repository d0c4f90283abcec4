//! Opening, using and closing connections.

use std::fmt;
use std::sync::Arc;
use std::time::{Duration, Instant};

use fred::clients::Client;
use fred::interfaces::{ClientLike, EventInterface};
use fred::types::config::{Config, Options, ReconnectPolicy, ServerConfig, TcpConfig, UnresponsiveConfig};
use fred::types::{Builder, ClusterHash, CustomCommand, Value};

use super::error::{CONNECT, StoreError};
use crate::error::ConnectError;
use crate::metrics::Metrics;

/// Where Redis is and how to log in. Its debug form never shows the password.
#[derive(Clone)]
pub(crate) struct Endpoint {
    config: Config,
    timeout: Duration,
    reconnect: (Duration, Duration),
    metrics: Option<Metrics>,
}

impl fmt::Debug for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Endpoint")
            .field("address", &self.address())
            .finish_non_exhaustive()
    }
}

impl Endpoint {
    /// # Errors
    /// [`ConnectError::Url`] says what is wrong with it, without repeating it.
    pub(crate) fn from_url(url: &str) -> Result<Self, ConnectError> {
        let refused = |reason: &str| ConnectError::Url {
            reason: reason.to_owned(),
        };
        let Some((scheme, _)) = url.split_once("://") else {
            return Err(refused("it has no scheme"));
        };
        match scheme {
            "redis" | "redis+unix" => {}
            "rediss" => return Err(refused("TLS is not supported yet")),
            _ if scheme.starts_with("redis") => {
                return Err(refused(
                    "only a standalone Redis is supported so far, not Sentinel or Cluster",
                ));
            }
            _ => return Err(refused("its scheme is not one of Redis")),
        }
        let config = Config::from_url(url).map_err(|e| match e.details() {
            port if port.contains("InvalidPort") => refused("its port is not a number from 1 to 65535"),
            host if host.contains("host") || host.contains("Host") => refused("it names no host"),
            other => refused(other),
        })?;
        Ok(Self::new(config))
    }

    /// # Errors
    /// [`ConnectError::Url`] for a topology that is not supported yet.
    pub(crate) fn from_config(config: Config) -> Result<Self, ConnectError> {
        match config.server {
            ServerConfig::Centralized { .. } | ServerConfig::Unix { .. } => Ok(Self::new(config)),
            _ => Err(ConnectError::Url {
                reason: "only a standalone Redis is supported so far, not Sentinel or Cluster".to_owned(),
            }),
        }
    }

    fn new(mut config: Config) -> Self {
        // RESP3 gives stream reads as unordered maps, and lets a connection look ready while the server still loads.
        config.version = fred::types::RespVersion::RESP2;
        Self {
            config,
            timeout: Duration::from_secs(1),
            reconnect: (Duration::from_millis(50), Duration::from_secs(1)),
            metrics: None,
        }
    }

    pub(crate) fn with(mut self, timeout: Duration, reconnect: (Duration, Duration), metrics: Metrics) -> Self {
        self.metrics = Some(metrics);
        self.timeout = timeout;
        self.reconnect = reconnect;
        self
    }

    /// The same place, with another timeout.
    pub(crate) const fn within(mut self, timeout: Duration) -> Self {
        self.timeout = timeout;
        self
    }

    pub(crate) fn database(&self) -> u8 {
        self.config.database.unwrap_or(0)
    }

    pub(crate) fn address(&self) -> String {
        match &self.config.server {
            ServerConfig::Centralized { server } => format!("{}:{}", server.host, server.port),
            ServerConfig::Unix { path } => path.display().to_string(),
            _ => "its nodes".to_owned(),
        }
    }

    /// The user that logs in; without one it is Redis's own.
    pub(crate) fn user(&self) -> &str {
        match self.config.username.as_deref() {
            None | Some("") => "default",
            Some(user) => user,
        }
    }

    /// The command that talks to the same place, without a login.
    pub(crate) fn redis_cli(&self) -> Vec<String> {
        let mut words = vec!["redis-cli".to_owned()];
        match &self.config.server {
            ServerConfig::Centralized { server } => words.extend([
                "-h".to_owned(),
                server.host.to_string(),
                "-p".to_owned(),
                server.port.to_string(),
            ]),
            ServerConfig::Unix { path } => words.extend(["-s".to_owned(), path.display().to_string()]),
            _ => {}
        }
        if self.database() != 0 {
            words.extend(["-n".to_owned(), self.database().to_string()]);
        }
        words
    }

    /// Connects for the first time, which decides between a wrong address, a refused login and a server that is away.
    ///
    /// # Errors
    /// `Unreachable`, `Login`, or `Store` for whatever else it refuses.
    pub(crate) async fn open_first(&self) -> Result<Connection, ConnectError> {
        self.open().await.map_err(|source| {
            let address = self.address();
            if source.is_login() {
                ConnectError::Login { address, source }
            } else if source.is_disconnected() || source.is_timeout() {
                ConnectError::Unreachable { address, source }
            } else {
                ConnectError::Store(source)
            }
        })
    }

    /// Connects to a server that may be unwell, and says how: the client library says PING where it has no password, and a
    /// server that can't write its snapshot refuses even that. A user without a password takes any.
    ///
    /// # Errors
    /// As [`open_first`](Self::open_first).
    pub(crate) async fn open_to_look(mut self) -> Result<(Connection, Self), ConnectError> {
        let opened = match self.open_first().await {
            Err(ConnectError::Store(e)) if e.says("MISCONF") && self.config.password.is_none() => {
                self.config.username = Some(self.user().to_owned());
                self.config.password = Some("none".to_owned());
                self.open_first().await
            }
            other => other,
        };
        opened.map(|connection| (connection, self))
    }

    /// Connects. Its background task runs on the runtime of the caller.
    ///
    /// # Cancel safety
    /// Cancel safe: a connection that nobody waits for any more is closed. The client library's own future, dropped
    /// half-way, would go on trying for ever.
    pub(crate) async fn open(&self) -> Result<Connection, StoreError> {
        self.open_with(BACKLOG).await
    }

    /// Connects for a subscription, with room for a burst of events.
    ///
    /// # Cancel safety
    /// As [`open`](Self::open).
    pub(crate) async fn open_for_events(&self) -> Result<Connection, StoreError> {
        self.open_with(EVENT_BACKLOG).await
    }

    async fn open_with(&self, backlog: usize) -> Result<Connection, StoreError> {
        let (opened, connection) = tokio::sync::oneshot::channel();
        let endpoint = self.clone();
        tokio::spawn(async move {
            if let Err(Ok(unwanted)) = opened.send(endpoint.connect(backlog).await) {
                unwanted.close(Duration::ZERO).await;
            }
        });
        connection
            .await
            .unwrap_or_else(|_| Err(StoreError::interrupted(CONNECT)))
    }

    async fn connect(&self, backlog: usize) -> Result<Connection, StoreError> {
        let mut builder = Builder::from_config(self.config.clone());
        let millis = |span: Duration| u32::try_from(span.as_millis()).unwrap_or(u32::MAX);
        // Without a policy the client stops for ever at its first disconnect, and says it is connected.
        builder.set_policy(ReconnectPolicy::new_exponential(
            0,
            millis(self.reconnect.0),
            millis(self.reconnect.1),
            2,
        ));
        builder.with_connection_config(|c| {
            // The default of three sends commands again whose reply was lost: a second XADD, an XREADGROUP whose
            // entries nobody sees.
            c.max_command_attempts = 1;
            c.connection_timeout = self.timeout;
            c.internal_command_timeout = self.timeout;
            c.unresponsive = UnresponsiveConfig {
                max_timeout: Some(self.timeout * 3),
                interval: (self.timeout / 2).max(Duration::from_millis(50)),
            };
            c.tcp = TcpConfig {
                nodelay: Some(true),
                ..TcpConfig::default()
            };
        });
        builder.with_performance_config(|c| {
            c.default_command_timeout = self.timeout;
            c.broadcast_channel_capacity = backlog;
        });
        let client = builder.build().map_err(|e| StoreError::new(CONNECT, e))?;
        let router = client.init().await.map_err(|e| StoreError::new(CONNECT, e))?;
        Ok(Connection {
            client,
            router: Arc::new(Router(router)),
            metrics: self.metrics.clone(),
        })
    }
}

/// Events that a connection keeps for a slow listener. The client library allocates that much for each of its kinds of
/// events at once.
const BACKLOG: usize = 32;
/// Beyond this a burst of expiries is cut short, which a scan makes up for. 65,536 made a worker 36 MB larger, of 13.
const EVENT_BACKLOG: usize = 4_096;

/// One connection, reconnecting for ever with jittered waits. Cheap to clone; [`Connection::close`] ends it for all.
#[derive(Clone)]
pub(crate) struct Connection {
    pub(super) client: Client,
    router: Arc<Router>,
    metrics: Option<Metrics>,
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
    /// Sends one command, once: what is to be repeated is for the caller to decide, who knows whether it may be.
    pub(super) async fn command(
        &self,
        operation: &'static str,
        name: &'static str,
        args: Vec<Value>,
        timeout: Duration,
    ) -> Result<Value, StoreError> {
        let command = CustomCommand::new_static(name, ClusterHash::FirstKey, false);
        self.timed(
            operation,
            self.client.with_options(&options(timeout)).custom(command, args),
        )
        .await
    }

    pub(super) async fn timed<T>(
        &self,
        operation: &'static str,
        call: impl Future<Output = Result<T, fred::error::Error>>,
    ) -> Result<T, StoreError> {
        let start = Instant::now();
        let result = call.await.map_err(|e| StoreError::new(operation, e));
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

pub(crate) struct Reconnects(tokio::sync::broadcast::Receiver<fred::types::config::Server>);

impl Reconnects {
    /// Whether there was a reconnect since the last call.
    pub(crate) fn happened(&mut self) -> bool {
        use tokio::sync::broadcast::error::TryRecvError;
        let mut happened = false;
        while matches!(self.0.try_recv(), Ok(_) | Err(TryRecvError::Lagged(_))) {
            happened = true;
        }
        happened
    }

    pub(crate) async fn next(&mut self) -> Option<()> {
        use tokio::sync::broadcast::error::RecvError;
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
