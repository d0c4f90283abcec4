//! Where Redis is and how to log in, whatever its topology.

use std::fmt;
use std::time::Duration;

use fred::types::RespVersion;
use fred::types::config::{Config, ServerConfig};

use super::connection::{BACKLOG, Connection, EVENT_BACKLOG, Manner};
use super::error::{CONNECT, StoreError};
use super::login::Credentials;
use super::network::Node;
use super::tls::{self, Tls};
use super::url::{self, refused};
use crate::config::ClusterMode;
use crate::error::{ConnectError, SettingError};
use crate::metrics::Metrics;

/// What the builder was told beside the address.
#[derive(Debug, Clone, Default)]
pub(crate) struct Access {
    pub(crate) mode: Option<ClusterMode>,
    pub(crate) tls: Option<Tls>,
    pub(crate) login: Credentials,
    pub(crate) sentinel_login: Credentials,
}

const LOOK_EVERY: Duration = Duration::from_secs(2);

/// Where Redis is and how to log in. Its debug form never shows the password.
#[derive(Clone)]
pub(crate) struct Endpoint {
    config: Config,
    mode: ClusterMode,
    manner: Manner,
    /// How often the topology is looked at without a reason to suspect a change.
    look_every: Duration,
    tls: Option<tls::Session>,
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
    /// [`ConnectError::Url`] says what is wrong with it, without repeating it; [`ConnectError::Setting`] names a file that
    /// can't be used.
    pub(crate) fn from_url(url: &str, access: Access) -> Result<Self, ConnectError> {
        let (config, wants_tls) = url::parse(url)?;
        let tls = match &access.tls {
            Some(_) if !wants_tls => {
                let rule = "the URL is one of plain connections, which show all to whoever listens in";
                return Err(SettingError::new("tls", "set", rule, "a URL that begins with rediss").into());
            }
            _ if !wants_tls => None,
            tls => Some(tls::Session::ours(&tls.clone().unwrap_or_default(), &config.server)?),
        };
        Self::of(config, tls, access)
    }

    /// # Errors
    /// [`ConnectError::Url`] where the address is not one of that mode; [`ConnectError::Setting`] where TLS is configured
    /// twice or names a file that can't be used.
    pub(crate) fn from_config(config: Config, access: Access) -> Result<Self, ConnectError> {
        let tls = match (&config.tls, &access.tls) {
            (None, None) => None,
            (Some(theirs), None) => Some(tls::Session::theirs(theirs, &config.server)),
            (None, Some(ours)) => Some(tls::Session::ours(ours, &config.server)?),
            (Some(_), Some(_)) => {
                let rule = "the configuration of the fred client has TLS of its own";
                return Err(SettingError::new("tls", "set", rule, "one of the two").into());
            }
        };
        Self::of(config, tls, access)
    }

    fn of(mut config: Config, tls: Option<tls::Session>, access: Access) -> Result<Self, ConnectError> {
        let mode = access.mode;
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
        log_in(&mut config, access.login, access.sentinel_login)?;
        Ok(Self {
            config,
            mode,
            tls: tls.map(|tls| tls.leading_on(mode != ClusterMode::Standalone)),
            manner: Manner {
                timeout: Duration::from_secs(1),
                reconnect: (Duration::from_millis(50), Duration::from_secs(1)),
                metrics: None,
            },
            look_every: LOOK_EVERY,
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

    /// For locks that live that long: a server that is no master any more must be left before they would expire there.
    pub(crate) fn looked_at_within(mut self, lock_ttl: Duration) -> Self {
        self.look_every = LOOK_EVERY.min(lock_ttl / 3);
        self
    }

    pub(super) const fn look_every(&self) -> Duration {
        self.look_every
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
        if let Some(tls) = &self.tls {
            tls.apply(&mut one.config);
        }
        one
    }

    /// Keeps the host names that a cluster's nodes announce, which their certificates may be for.
    pub(super) fn learn(&self, names: &[(Node, String)]) {
        if let Some(tls) = &self.tls {
            tls.learn(names);
        }
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
        if let Some(tls) = &self.tls {
            words.extend(tls.redis_cli());
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
        if let Some((found, scheme)) = source.other_mode(self.mode) {
            ConnectError::OtherMode { address, found, scheme }
        } else if source.is_login() {
            ConnectError::Login { address, source }
        } else if let Some(advice) = source.tls_advice() {
            ConnectError::Tls {
                address,
                advice,
                source,
            }
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

/// The login of the builder in place of the URL's. The client library logs in only where there is a password, so a user
/// without one would be somebody else.
fn log_in(config: &mut Config, login: Credentials, of_sentinels: Credentials) -> Result<(), SettingError> {
    login.put_into("credentials", &mut config.username, &mut config.password)?;
    name_needs_password(&config.username, &mut config.password);
    if let ServerConfig::Sentinel { username, password, .. } = &mut config.server {
        of_sentinels.put_into("sentinel_credentials", username, password)?;
        name_needs_password(username, password);
    }
    Ok(())
}

fn name_needs_password(user: &Option<String>, password: &mut Option<String>) {
    if user.is_some() {
        password.get_or_insert_default();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn endpoint(url: &str) -> Result<Endpoint, ConnectError> {
        Endpoint::from_url(url, Access::default())
    }

    #[test]
    fn what_stands_in_a_url_is_percent_encoded() {
        let endpoint =
            endpoint("redis-sentinel://a%40b:p%2F%3Fw@[::1]:7/3?sentinelServiceName=m&sentinelPassword=q%26%40r")
                .unwrap();
        assert_eq!(
            (endpoint.user(), endpoint.config.password.as_deref()),
            ("a@b", Some("p/?w"))
        );
        assert_eq!((endpoint.address().as_str(), endpoint.database()), ("[::1]:7", 3));
        let at_sentinel = endpoint.at_sentinel(&Node::at("::1", 7));
        assert_eq!(at_sentinel.config.password.as_deref(), Some("q&@r"));
    }

    #[test]
    fn a_user_without_a_password_is_that_user() {
        let endpoint = endpoint("redis://u@h").unwrap();
        assert_eq!((endpoint.user(), endpoint.config.password.as_deref()), ("u", Some("")));
    }
}
