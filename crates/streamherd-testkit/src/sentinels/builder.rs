use std::time::Duration;

use crate::builder::ServerBuilder;
use crate::error::StartError;
use crate::launch::Role;
use crate::node::Node;
use crate::sentinels::{SERVICE, Sentinels};
use crate::server::Server;
use crate::tls::Certificates;

/// How [`Sentinels`] are started. See [`Sentinels::builder`].
#[derive(Debug, Clone)]
#[must_use]
pub struct SentinelsBuilder {
    server: ServerBuilder,
    down_after: Duration,
    failover_timeout: Duration,
    tls: bool,
    alone: bool,
}

impl Default for SentinelsBuilder {
    fn default() -> Self {
        Self {
            // The data outlives a server's process but needs not outlive the machine.
            server: Server::builder().persistent().arg("--appendfsync", "no"),
            down_after: Duration::from_secs(1),
            failover_timeout: Duration::from_secs(2),
            tls: false,
            alone: false,
        }
    }
}

impl SentinelsBuilder {
    /// How long the primary may be silent before a Sentinel calls it down (`down-after-milliseconds`). Default: 1 s,
    /// where Redis has 30 s.
    pub fn down_after(mut self, down_after: Duration) -> Self {
        self.down_after = down_after;
        self
    }

    /// After twice this time a failover that did not succeed is tried again (`failover-timeout`). Default: 2 s, where
    /// Redis has 3 min.
    pub fn failover_timeout(mut self, timeout: Duration) -> Self {
        self.failover_timeout = timeout;
        self
    }

    /// Passes an option to the primary and the replica: `arg("--maxmemory", "10mb")`.
    pub fn arg(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.server = self.server.arg(name, value);
        self
    }

    /// Adds an ACL user to the primary, the replica and the Sentinels, as [`ServerBuilder::user`] does; most clients use
    /// one name for all. Not the default user: the testkit itself is that.
    pub fn user(mut self, name: impl Into<String>, password: impl Into<String>, rules: &str) -> Self {
        self.server = self.server.user(name, password, rules);
        self
    }

    /// One Sentinel, over a primary without a replica, for tests in which nothing fails over: two processes instead of five.
    pub fn alone(mut self) -> Self {
        self.alone = true;
        self
    }

    /// Speaks TLS, and nothing else, with clients and among all.
    pub fn tls(mut self) -> Self {
        self.tls = true;
        self
    }

    /// Speaks TLS, and only to who shows a certificate of the same authority, as
    /// [`ServerBuilder::require_client_certificate`] does.
    pub fn require_client_certificate(mut self) -> Self {
        self.server = self.server.require_client_certificate();
        self.tls()
    }

    /// Starts all and waits until the Sentinels know each other and the replica.
    ///
    /// # Panics
    ///
    /// With the message of the [`StartError`].
    #[must_use]
    #[track_caller]
    pub fn start(self) -> Sentinels {
        match self.try_start() {
            Ok(sentinels) => sentinels,
            Err(error) => panic!("{}", crate::server::explain(&error)),
        }
    }

    /// Starts all and waits until the Sentinels know each other and the replica.
    ///
    /// # Errors
    ///
    /// If one of them does not start, or they don't know each other within 30 s.
    pub fn try_start(self) -> Result<Sentinels, StartError> {
        let mut server = self.server.clone();
        if self.tls {
            server = server.tls_with(&Certificates::make()?);
        }
        let primary = Node::start(server.clone())?;
        let port = primary.server.port().to_string();
        let mut servers = vec![primary];
        if !self.alone {
            let replica = Node::start(server.clone())?;
            // Not an option of its start, as the roles change and a restart would bring the first ones back.
            replica.ask(&["REPLICAOF", "127.0.0.1", &port])?;
            replica.server.wait_for_sync(&servers[0].server.contact())?;
            servers.push(replica);
        }

        let mut sentinel = Server::builder().role(Role::Sentinel(self.config(&port)));
        sentinel.users.clone_from(&server.users);
        sentinel.binary.clone_from(&server.binary);
        if let Some(certificates) = servers[0].server.certificates() {
            sentinel = sentinel.tls_with(certificates);
            sentinel.require_client_certificate = server.require_client_certificate;
        }
        let mut sentinels = Vec::new();
        for _ in 0..if self.alone { 1 } else { 3 } {
            sentinels.push(Node::start(sentinel.clone())?);
        }
        let started = Sentinels { servers, sentinels };
        for node in &started.sentinels {
            super::hasten(node);
        }
        started.wait(|sentinels| sentinels.whole().map(drop))?;
        Ok(started)
    }

    fn config(&self, port: &str) -> String {
        let quorum = if self.alone { 1 } else { 2 };
        let (down_after, timeout) = (self.down_after.as_millis(), self.failover_timeout.as_millis());
        let mut config = format!(
            "sentinel monitor {SERVICE} 127.0.0.1 {port} {quorum}\n\
             sentinel down-after-milliseconds {SERVICE} {down_after}\n\
             sentinel failover-timeout {SERVICE} {timeout}\n"
        );
        for user in &self.server.users {
            let words: Vec<_> = user.words().map(|word| quoted(&word)).collect();
            config.push_str(&format!("user {}\n", words.join(" ")));
        }
        config
    }
}

/// A word of a configuration file.
fn quoted(word: &str) -> String {
    format!("\"{}\"", word.replace('\\', "\\\\").replace('"', "\\\""))
}
