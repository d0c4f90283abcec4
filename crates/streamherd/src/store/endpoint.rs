//! Where Redis is and how to log in, whatever its topology.

use std::fmt;
use std::time::Duration;

use fred::types::RespVersion;
use fred::types::config::{Config, ServerConfig};

use super::connection::{BACKLOG, Connection, EVENT_BACKLOG, Manner};
use super::error::{CONNECT, StoreError};
use super::network::Node;
use crate::config::ClusterMode;
use crate::error::ConnectError;
use crate::metrics::Metrics;

/// Where Redis is and how to log in. Its debug form never shows the password.
#[derive(Clone)]
pub(crate) struct Endpoint {
    config: Config,
    mode: ClusterMode,
    manner: Manner,
}

impl fmt::Debug for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Endpoint")
            .field("address", &self.address())
            .field("mode", &self.mode)
            .finish_non_exhaustive()
    }
}

impl Endpoint {
    /// # Errors
    /// [`ConnectError::Url`] says what is wrong with it, without repeating it.
    pub(crate) fn from_url(url: &str, mode: Option<ClusterMode>) -> Result<Self, ConnectError> {
        let Some((scheme, _)) = url.split_once("://") else {
            return Err(refused("it has no scheme"));
        };
        match scheme {
            "redis" | "redis+unix" | "redis-cluster" | "redis-sentinel" => {}
            "rediss" | "rediss-cluster" | "rediss-sentinel" => return Err(refused("TLS is not supported yet")),
            _ => return Err(refused("its scheme is not one of Redis")),
        }
        let config = Config::from_url(url).map_err(|e| match e.details() {
            port if port.contains("InvalidPort") => refused("its port is not a number from 1 to 65535"),
            host if host.contains("host") || host.contains("Host") => refused("it names no host"),
            other => refused(other),
        })?;
        Self::from_config(config, mode)
    }

    /// # Errors
    /// [`ConnectError::Url`] where the address is not one of that mode.
    pub(crate) fn from_config(mut config: Config, mode: Option<ClusterMode>) -> Result<Self, ConnectError> {
        let of_config = match config.server {
            ServerConfig::Centralized { .. } | ServerConfig::Unix { .. } => ClusterMode::Standalone,
            ServerConfig::Sentinel { .. } => ClusterMode::Sentinel,
            ServerConfig::Clustered { .. } => ClusterMode::Oss,
        };
        let mode = match (of_config, mode) {
            (of_config, None) => of_config,
            (of_config, Some(mode)) if of_config == mode => mode,
            // Any node leads to the others.
            (ClusterMode::Standalone, Some(ClusterMode::Oss))
                if !matches!(config.server, ServerConfig::Unix { .. }) =>
            {
                ClusterMode::Oss
            }
            (_, Some(ClusterMode::Sentinel)) => {
                return Err(refused(
                    "cluster_mode is Sentinel, which needs redis-sentinel://…?sentinelServiceName=<name of the primary>",
                ));
            }
            (_, Some(_)) => return Err(refused("it is of another topology than cluster_mode says")),
        };
        if mode == ClusterMode::Oss && config.database.unwrap_or(0) != 0 {
            return Err(refused("a cluster has no database but 0"));
        }
        // RESP3 gives stream reads as unordered maps, and lets a connection look ready while the server still loads.
        config.version = RespVersion::RESP2;
        Ok(Self {
            config,
            mode,
            manner: Manner {
                timeout: Duration::from_secs(1),
                reconnect: (Duration::from_millis(50), Duration::from_secs(1)),
                metrics: None,
            },
        })
    }

    pub(crate) fn with(mut self, timeout: Duration, reconnect: (Duration, Duration), metrics: Metrics) -> Self {
        self.manner = Manner {
            timeout,
            reconnect,
            metrics: Some(metrics),
        };
        self
    }

    /// The same place, with another timeout.
    pub(crate) const fn within(mut self, timeout: Duration) -> Self {
        self.manner.timeout = timeout;
        self
    }

    pub(crate) const fn mode(&self) -> ClusterMode {
        self.mode
    }

    pub(crate) const fn timeout(&self) -> Duration {
        self.manner.timeout
    }

    pub(crate) fn database(&self) -> u8 {
        self.config.database.unwrap_or(0)
    }

    /// The nodes that the user named: of a cluster any, of Sentinel the sentinels.
    pub(super) fn named(&self) -> Vec<Node> {
        match &self.config.server {
            ServerConfig::Unix { path } => vec![Node::Socket(path.clone())],
            server => server.hosts().into_iter().map(|s| Node::at(&s.host, s.port)).collect(),
        }
    }

    /// The name under which the sentinels know the primary.
    pub(super) fn primary_name(&self) -> &str {
        match &self.config.server {
            ServerConfig::Sentinel { service_name, .. } => service_name,
            _ => "",
        }
    }

    /// One server of this place, with the same login.
    pub(crate) fn at(&self, node: &Node) -> Self {
        let mut one = self.clone();
        one.mode = ClusterMode::Standalone;
        one.config.server = node.server();
        one
    }

    /// One sentinel of this place, with the login that is for sentinels.
    pub(super) fn at_sentinel(&self, node: &Node) -> Self {
        let mut one = self.at(node);
        one.config.database = None;
        (one.config.username, one.config.password) = match &self.config.server {
            ServerConfig::Sentinel { username, password, .. } => (username.clone(), password.clone()),
            _ => (None, None),
        };
        one
    }

    pub(crate) fn address(&self) -> String {
        let named: Vec<String> = self.named().iter().map(ToString::to_string).collect();
        named.join(", ")
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
        match self.named().into_iter().next() {
            Some(Node::At { host, port }) => {
                words.extend(["-h".to_owned(), host, "-p".to_owned(), port.to_string()]);
            }
            Some(Node::Socket(path)) => words.extend(["-s".to_owned(), path.display().to_string()]),
            None => {}
        }
        if self.mode == ClusterMode::Oss {
            words.push("-c".to_owned());
        }
        if self.database() != 0 {
            words.extend(["-n".to_owned(), self.database().to_string()]);
        }
        words
    }

    /// What an attempt to connect for the first time says, which decides between a wrong address, a refused login and a
    /// server that is away.
    pub(crate) fn first_error(&self, source: StoreError) -> ConnectError {
        let address = self.address();
        if source.is_login() {
            ConnectError::Login { address, source }
        } else if source.is_disconnected() || source.is_timeout() {
            ConnectError::Unreachable { address, source }
        } else {
            ConnectError::Store(source)
        }
    }

    /// The same place for one that may look at a server that is unwell: the client library says PING where it has no
    /// password, and a server that can't write its snapshot refuses even that. A user without a password takes any.
    pub(crate) fn with_any_password(mut self) -> Option<Self> {
        if self.config.password.is_some() {
            return None;
        }
        self.config.username = Some(self.user().to_owned());
        self.config.password = Some("none".to_owned());
        Some(self)
    }

    /// Connects to the one server that this is. Its background task runs on the runtime of the caller.
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
        let Self { config, manner, .. } = self.clone();
        tokio::spawn(async move {
            if let Err(Ok(unwanted)) = opened.send(Connection::connect(config, &manner, backlog).await) {
                unwanted.close(Duration::ZERO).await;
            }
        });
        connection
            .await
            .unwrap_or_else(|_| Err(StoreError::interrupted(CONNECT)))
    }
}

fn refused(reason: &str) -> ConnectError {
    ConnectError::Url {
        reason: reason.to_owned(),
    }
}
