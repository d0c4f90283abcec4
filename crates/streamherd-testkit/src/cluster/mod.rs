mod builder;
mod failover;
mod form;
mod migration;
mod slot;
mod state;
mod view;

use std::time::Duration;

use crate::builder::ServerBuilder;
pub use crate::cluster::builder::ClusterBuilder;
pub use crate::cluster::failover::Failover;
pub use crate::cluster::migration::Migration;
pub use crate::cluster::slot::slot_of;
pub use crate::cluster::view::View;
use crate::error::StartError;
use crate::node::{self, Node};
use crate::raw::RawClient;
use crate::reply::Reply;
use crate::server::Server;

const DEADLINE: Duration = Duration::from_secs(30);

/// A private Redis Cluster: 3 masters and 3 replicas unless the [builder](Self::builder) says otherwise.
///
/// Nodes are numbered from 0 in the order of their start, and keep their numbers, whatever becomes of their roles. Their
/// data survives a [restart](Self::restart). All are killed when the value is dropped.
///
/// A boot takes 2.1 s or more, because a master waits 2 s before it first says `cluster_state:ok`; so tests that don't
/// break the cluster do well to share one.
///
/// # Examples
///
/// ```
/// use streamherd_testkit::Cluster;
///
/// let cluster = Cluster::start();
/// let mut redis = cluster.client_for("{orders:0}:input");
/// redis.cmd("XADD {orders:0}:input * item teapot").ok();
///
/// let owner = cluster.owner_of("{orders:0}:input");
/// assert_eq!(cluster.view(owner).replicas_of(owner).len(), 1);
/// ```
#[derive(Debug)]
pub struct Cluster {
    nodes: Vec<Node>,
    template: ServerBuilder,
}

impl Cluster {
    /// Starts a cluster and waits until every node says `cluster_state:ok`, all agree on roles and slots, and every
    /// replica is in sync.
    ///
    /// # Panics
    ///
    /// With the message of the [`StartError`].
    #[must_use]
    #[track_caller]
    pub fn start() -> Self {
        Self::builder().start()
    }

    /// A cluster with options.
    pub fn builder() -> ClusterBuilder {
        ClusterBuilder::default()
    }

    /// `redis-cluster://` with every node, or `rediss-cluster://` where they speak TLS.
    #[must_use]
    pub fn url(&self) -> String {
        node::url_of(&self.nodes[0].server.url(), "cluster", &self.nodes[1..])
    }

    /// The URL with the name and password of a [user](ClusterBuilder::user).
    ///
    /// # Panics
    ///
    /// If the builder was given no user of that name.
    #[must_use]
    #[track_caller]
    pub fn url_as(&self, user: &str) -> String {
        node::url_of(&self.nodes[0].server.url_as(user), "cluster", &self.nodes[1..])
    }

    /// How many nodes there are, dead or alive.
    #[expect(clippy::len_without_is_empty, reason = "there is no empty cluster")]
    #[must_use]
    pub fn len(&self) -> usize {
        self.nodes.len()
    }

    /// A node's server. What stops or starts it is done through the cluster, which has to know whom it can ask.
    ///
    /// # Panics
    ///
    /// If there is no such node.
    #[must_use]
    #[track_caller]
    pub fn node(&self, node: usize) -> &Server {
        &self.nodes[node].server
    }

    /// A new blocking connection to a node.
    ///
    /// # Panics
    ///
    /// If the node does not accept it.
    #[must_use]
    #[track_caller]
    pub fn client(&self, node: usize) -> RawClient {
        self.node(node).client()
    }

    /// A new blocking connection to the node that owns a key's slot.
    ///
    /// # Panics
    ///
    /// If nobody owns it, or the owner does not accept the connection.
    #[must_use]
    #[track_caller]
    pub fn client_for(&self, key: impl AsRef<[u8]>) -> RawClient {
        self.client(self.owner_of(key))
    }

    /// Kills a node (`SIGKILL`). The others find out after the node timeout.
    ///
    /// # Panics
    ///
    /// If there is no such node.
    #[track_caller]
    pub fn kill(&mut self, node: usize) {
        self.nodes[node].kill();
    }

    /// Stops a node (`SIGSTOP`): its connections stay open and nobody answers on them.
    ///
    /// # Panics
    ///
    /// If there is no such node, or it is dead.
    #[track_caller]
    pub fn freeze(&mut self, node: usize) {
        self.nodes[node].freeze();
    }

    /// Lets a frozen node run on (`SIGCONT`). Was it a master and another has its slots by now, it takes writes until it
    /// hears of that.
    ///
    /// # Panics
    ///
    /// If there is no such node, or it is dead.
    #[track_caller]
    pub fn thaw(&mut self, node: usize) {
        self.nodes[node].thaw();
    }

    /// Starts a node again on the same port, with its data and what it knew of the cluster; after a kill if it still
    /// runs. It answers when this returns, but may not know yet what became of the cluster: see
    /// [`wait_until_whole`](Self::wait_until_whole).
    ///
    /// # Panics
    ///
    /// If there is no such node, or it does not come back.
    #[track_caller]
    pub fn restart(&mut self, node: usize) {
        self.nodes[node].restart();
    }

    /// Like [`restart`](Self::restart), but the node has lost its data. It still knows the cluster: a master that is back
    /// before it is missed stays a master, and its replica then loses the data too.
    ///
    /// # Panics
    ///
    /// If there is no such node, or it does not come back.
    #[track_caller]
    pub fn restart_empty(&mut self, node: usize) {
        self.nodes[node].restart_empty();
    }

    /// Waits until every node that runs says `cluster_state:ok`, all of them agree on roles and slots, and every replica
    /// among them whose master runs is in sync.
    ///
    /// # Panics
    ///
    /// If it takes longer than 30 s.
    #[track_caller]
    pub fn wait_until_whole(&self) {
        node::must(self.wait(|cluster| cluster.whole().map(drop)));
    }

    pub(crate) fn of(template: ServerBuilder) -> Self {
        Self {
            nodes: Vec::new(),
            template,
        }
    }

    pub(crate) fn start_node(&mut self) -> Result<usize, StartError> {
        self.nodes.push(Node::start(self.template.clone())?);
        Ok(self.len() - 1)
    }

    pub(crate) fn is_up(&self, node: usize) -> bool {
        self.nodes[node].is_up()
    }

    pub(crate) fn up(&self) -> impl Iterator<Item = usize> {
        (0..self.len()).filter(|node| self.is_up(*node))
    }

    /// A node's id, by which the others know it.
    pub(crate) fn id(&self, node: usize) -> Result<String, StartError> {
        Ok(self.ask(node, &["CLUSTER", "MYID"])?.text())
    }

    /// Sends a command that must not fail.
    pub(crate) fn ask<A: AsRef<[u8]>>(&self, node: usize, args: &[A]) -> Result<Reply, StartError> {
        self.nodes[node].ask(args)
    }

    /// Polls `probe`, which tells what is still missing, with the cluster's deadline.
    pub(crate) fn wait<T>(&self, probe: impl Fn(&Self) -> Result<T, String>) -> Result<T, StartError> {
        node::wait_for(DEADLINE, || probe(self))
    }
}
