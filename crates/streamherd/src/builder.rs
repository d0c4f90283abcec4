//! Configuration, in one chain.

use std::time::Duration;

use crate::client::Client;
use crate::config::{ClusterMode, KeyspaceEvents, Raw, Recovery, Settings, default_consumer};
use crate::error::{ConnectError, SettingError};
use crate::keys::Layout;
use crate::metrics::Metrics;
use crate::notification::Notifications;
use crate::producer::Producer;
use crate::runtime;
use crate::store::{Access, Credentials, Endpoint, Tls};

const DEFAULT_URL: &str = "redis://127.0.0.1:6379";

/// Configures a worker or a producer. Everything has a default; everything is checked before anything starts.
#[derive(Debug, Clone)]
#[must_use = "a builder does nothing until it connects"]
pub struct Builder {
    raw: Raw,
    at: At,
    access: Access,
}

#[derive(Clone)]
enum At {
    Url(String),
    Config(Box<fred::types::config::Config>),
}

impl std::fmt::Debug for At {
    /// Both may hold a password.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("…")
    }
}

impl Builder {
    pub(crate) fn new(service: String) -> Self {
        Self {
            raw: Raw::new(service),
            at: At::Url(DEFAULT_URL.to_owned()),
            access: Access::default(),
        }
    }

    /// Where Redis is. Default: `redis://127.0.0.1:6379`.
    ///
    /// - `redis://[user:password@]host:port[/db]` or `redis+unix:///path`: one server;
    /// - `redis-cluster://[user:password@]host:port[?node=host:port&node=…]`: an OSS cluster, by any of its nodes;
    /// - `redis-sentinel://[user:password@]host:port[/db]?sentinelServiceName=name[&node=host:port…]`: the primary of that
    ///   name, by its sentinels; with `&sentinelUsername=…&sentinelPassword=…` where these have a login of their own;
    /// - the same with `rediss` in place of `redis`: over TLS, see [`tls`](Self::tls).
    ///
    /// What has a meaning in URLs is percent-encoded in users, passwords and options: `p@ss` is `p%40ss`.
    pub fn url(mut self, url: impl Into<String>) -> Self {
        self.at = At::Url(url.into());
        self
    }

    /// Where Redis is, as a configuration of the fred client, for what a URL can't say. Its protocol version, timeouts and
    /// reconnect policy are set by streamherd. TLS stays as it is configured there, with its names of servers.
    pub fn redis(mut self, config: fred::types::config::Config) -> Self {
        self.at = At::Config(Box::new(config));
        self
    }

    /// How to speak TLS, where the URL begins with `rediss`. Default: the system's authorities are trusted, and no
    /// certificate is shown.
    ///
    /// The server's certificate must be for the host in the URL. A cluster's nodes and Sentinels tell where servers are by
    /// their IP addresses; there a certificate will also do that is for the host name that the node announces
    /// (`cluster-announce-hostname`), or for one of those in the URL.
    ///
    /// Connecting refuses this setting with a URL that does not begin with `rediss`, rather than send anything as plain
    /// text.
    pub fn tls(mut self, tls: Tls) -> Self {
        self.access.tls = Some(tls);
        self
    }

    /// Who logs in, in place of what the URL says, or with the user that it names. Default: what the URL says.
    pub fn credentials(mut self, login: Credentials) -> Self {
        self.access.login = login;
        self
    }

    /// Who logs in at the sentinels, in place of what the URL says. Default: what the URL says in `sentinelUsername` and
    /// `sentinelPassword`; the login for the servers is not used there. Means nothing without sentinels.
    pub fn sentinel_credentials(mut self, login: Credentials) -> Self {
        self.access.sentinel_login = login;
        self
    }

    /// How the servers belong together. Default: what the URL says. With [`ClusterMode::Oss`] a `redis://` URL names a node
    /// of a cluster, which leads to the others.
    pub fn cluster_mode(mut self, mode: ClusterMode) -> Self {
        self.access.mode = Some(mode);
        self
    }

    /// Into how many parts the service's queue is divided. Default: 1; from 1 to 256. An [`Admin`](crate::Admin) that is not
    /// told takes the number from Redis.
    ///
    /// Each part has keys in one cluster slot of its own, so that a service's load spreads over the masters of a cluster; a
    /// data stream's name decides where it belongs ([`partition_of`](crate::partition_of)). All workers and producers of a
    /// service use the same number: Redis keeps the first, and refuses who comes with another. A worker reads from all parts
    /// into the same slots.
    pub fn partitions(mut self, partitions: u16) -> Self {
        self.raw.partitions = Some(partitions);
        self
    }

    /// By which names the service is kept in Redis. Default: [`Layout::Native`]. All who have to do with a service use the same;
    /// [`Layout::GoCompatible`] is for a fleet that shares its queue with workers of redis-stream-client-go, and connecting
    /// refuses it on a cluster, and with more than one partition.
    pub const fn layout(mut self, layout: Layout) -> Self {
        self.raw.layout = layout;
        self
    }

    /// The consumer's name, to which a random incarnation is added. Default: `POD_NAME`, else `HOSTNAME`, else the host's
    /// name.
    pub fn consumer(mut self, name: impl Into<String>) -> Self {
        self.raw.consumer = Some(name.into());
        self
    }

    /// How long a lock lives without a heartbeat, and so about how long a dead worker's streams wait. Default: 6 s; from
    /// 600 ms to a day.
    pub fn lock_ttl(mut self, ttl: Duration) -> Self {
        self.raw.lock_ttl = ttl;
        self
    }

    /// Time between two heartbeats. Default and most: a third of `lock_ttl`; from 10 ms.
    pub fn heartbeat(mut self, interval: Duration) -> Self {
        self.raw.heartbeat = Some(interval);
        self
    }

    /// How orphans are found and what becomes of work that keeps failing.
    pub fn recovery(mut self, recovery: Recovery) -> Self {
        self.raw.recovery = recovery;
        self
    }

    /// How many streams this worker may hold. Default: 64; from 1 to 1,000,000.
    pub fn max_in_flight(mut self, streams: usize) -> Self {
        self.raw.max_in_flight = streams;
        self
    }

    /// How many streams one read takes at most; small batches spread a backlog over the workers. Default: 16; from 1 to
    /// 1,000.
    pub fn read_batch(mut self, entries: usize) -> Self {
        self.raw.read_batch = entries;
        self
    }

    /// How long a read waits for work before it asks again. Default: 5 s; from 10 ms to a minute.
    pub fn read_block(mut self, wait: Duration) -> Self {
        self.raw.read_block = wait;
        self
    }

    /// Whether to use keyspace notifications. Default: [`KeyspaceEvents::Ensure`].
    pub fn keyspace_events(mut self, events: KeyspaceEvents) -> Self {
        self.raw.keyspace_events = events;
        self
    }

    /// How often an idle worker makes sure that the store is still the one it knows, and that it tells of expired locks.
    /// Default: 30 s; from 100 ms to an hour, 0 = only after errors and reconnects.
    pub fn health_interval(mut self, interval: Duration) -> Self {
        self.raw.health_interval = interval;
        self
    }

    /// The first and the longest wait between two attempts to reconnect. Default: 50 ms and 1 s; from 1 ms to a minute, and the
    /// first is at most the longest. Never more than a sixth of `lock_ttl`, or a short outage would cost the leases.
    pub fn reconnect(mut self, first: Duration, longest: Duration) -> Self {
        self.raw.reconnect = (first, longest);
        self
    }

    /// How long a command may take. Default: 1 s; from 50 ms to a minute. Scripts that leases wait for take at most a sixth of
    /// `lock_ttl`.
    pub fn command_timeout(mut self, timeout: Duration) -> Self {
        self.raw.command_timeout = timeout;
        self
    }

    /// Connects, checks the store, and starts reading, heartbeats and the scan on the current tokio runtime (heartbeats on
    /// a thread of their own).
    ///
    /// # Errors
    /// Each says what is wrong and what to do. Nothing is left running then.
    ///
    /// # Cancel safety
    /// Dropping the future before it is ready ends what it had started. That takes a moment, as what is being opened is
    /// opened first.
    ///
    /// # Panics
    /// Outside of a tokio runtime.
    pub async fn connect(self) -> Result<(Client, Notifications), ConnectError> {
        let (settings, endpoint) = self.checked()?;
        Ok(Client::new(runtime::start(settings, endpoint).await?))
    }

    /// Connects a producer only: it submits, and neither reads nor holds anything.
    ///
    /// # Errors
    /// As [`connect`](Self::connect).
    ///
    /// # Cancel safety
    /// As [`connect`](Self::connect).
    pub async fn connect_producer(self) -> Result<Producer, ConnectError> {
        let (settings, endpoint) = self.checked()?;
        Producer::open(&settings, endpoint).await
    }

    /// Connects to look at a service without taking part in it.
    ///
    /// # Errors
    /// As [`connect`](Self::connect).
    ///
    /// # Cancel safety
    /// As [`connect`](Self::connect).
    pub async fn connect_admin(self) -> Result<crate::Admin, ConnectError> {
        let (settings, endpoint) = self.checked()?;
        crate::Admin::open(&settings, endpoint).await
    }

    /// Connects to move a service from the layout that Go workers share to the native one, on the same Redis; what
    /// [`layout`](Self::layout) was set to means nothing here. The native queue has as many partitions as Redis keeps for
    /// it, or as [`partitions`](Self::partitions) says.
    ///
    /// # Errors
    /// As [`connect`](Self::connect); on a cluster there is no such service.
    ///
    /// # Cancel safety
    /// As [`connect`](Self::connect).
    pub async fn connect_migration(self) -> Result<crate::Migration, ConnectError> {
        let mut from = self.clone().layout(Layout::GoCompatible);
        from.raw.partitions = None;
        let from = from.connect_admin().await?;
        match self.layout(Layout::Native).connect_admin().await {
            Ok(to) => Ok(crate::Migration::new(from, to)),
            Err(e) => {
                from.close().await;
                Err(e)
            }
        }
    }

    fn checked(self) -> Result<(Settings, Endpoint), ConnectError> {
        let settings = Settings::check(self.raw, default_consumer)?;
        let endpoint = match self.at {
            At::Url(url) => Endpoint::from_url(&url, self.access)?,
            At::Config(config) => Endpoint::from_config(*config, self.access)?,
        };
        if settings.layout == Layout::GoCompatible && endpoint.mode() == ClusterMode::Oss {
            return Err(ConnectError::Setting(SettingError::new(
                "layout",
                "GoCompatible",
                "the keys of Go workers have no hash tag and fall into different slots of a cluster, so that no script can change \
                 them together; Go and Rust workers share a queue on one server or under Sentinel only",
                "Native",
            )));
        }
        let metrics = Metrics::new(&settings.service);
        let endpoint = endpoint
            .with(settings.command_timeout, settings.reconnect, metrics)
            .looked_at_within(settings.lock_ttl);
        Ok((settings, endpoint))
    }
}
