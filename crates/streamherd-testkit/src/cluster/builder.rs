use std::time::Duration;

use crate::builder::ServerBuilder;
use crate::cluster::{Cluster, form};
use crate::error::StartError;
use crate::launch::Role;
use crate::server::Server;
use crate::tls::Certificates;

const NODE_TIMEOUT: Duration = Duration::from_secs(2);

/// How a [`Cluster`] is started. See [`Cluster::builder`].
#[derive(Debug, Clone)]
#[must_use]
pub struct ClusterBuilder {
    server: ServerBuilder,
    masters: usize,
    replicas: usize,
    node_timeout: Duration,
    tls: bool,
}

impl Default for ClusterBuilder {
    fn default() -> Self {
        Self {
            // The data outlives a node's process but needs not outlive the machine.
            server: Server::builder()
                .role(Role::ClusterNode)
                .persistent()
                .arg("--appendfsync", "no"),
            masters: 3,
            replicas: 1,
            node_timeout: NODE_TIMEOUT,
            tls: false,
        }
    }
}

impl ClusterBuilder {
    /// How many masters share the slots. Default: 3, the fewest that can agree on a failover when one dies.
    pub fn masters(mut self, masters: usize) -> Self {
        self.masters = masters;
        self
    }

    /// How many replicas each master has. Default: 1.
    pub fn replicas_per_master(mut self, replicas: usize) -> Self {
        self.replicas = replicas;
        self
    }

    /// How long a node may be silent before the others call it dead (`cluster-node-timeout`). Default: 2 s, where Redis has
    /// 15 s.
    pub fn node_timeout(mut self, timeout: Duration) -> Self {
        self.node_timeout = timeout;
        self
    }

    /// Passes an option to every node: `arg("--cluster-require-full-coverage", "no")`.
    pub fn arg(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.server = self.server.arg(name, value);
        self
    }

    /// Adds an ACL user to every node, as [`ServerBuilder::user`] does. Not the default user: the testkit itself is that.
    pub fn user(mut self, name: impl Into<String>, password: impl Into<String>, rules: &str) -> Self {
        self.server = self.server.user(name, password, rules);
        self
    }

    /// Speaks TLS, and nothing else, with clients and among the nodes.
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

    /// Starts the nodes and waits until the cluster is whole.
    ///
    /// # Panics
    ///
    /// With the message of the [`StartError`].
    #[must_use]
    #[track_caller]
    pub fn start(self) -> Cluster {
        match self.try_start() {
            Ok(cluster) => cluster,
            Err(error) => panic!("{}", crate::server::explain(&error)),
        }
    }

    /// Starts the nodes and waits until the cluster is whole.
    ///
    /// # Errors
    ///
    /// If a node does not start, or the cluster is not whole within 30 s.
    pub fn try_start(self) -> Result<Cluster, StartError> {
        let mut server = self.server;
        if self.tls {
            server = server.tls_with(&Certificates::make()?);
        }
        // Before the caller's own options, which thereby win.
        let timeout = self.node_timeout.as_millis().to_string();
        server.args.splice(0..0, ["--cluster-node-timeout".to_owned(), timeout]);
        let binary = match &server.binary {
            Some(binary) => binary.clone(),
            None => Server::find_binary()?,
        };
        // Else a master that has lost its last slot becomes a replica by itself, and replicas change sides.
        if crate::launch::version_of(&binary)? >= (7, 0, 0) {
            let off = ["--cluster-allow-replica-migration", "no"].map(str::to_owned);
            server.args.splice(0..0, off);
        }
        let mut cluster = Cluster::of(server);
        for _ in 0..self.masters * (1 + self.replicas) {
            cluster.start_node()?;
        }
        form::form(&cluster, self.masters)?;
        Ok(cluster)
    }
}
