//! Connections for one purpose, one to each server that holds a partition, and the way from a partition to its own.

use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use fred::types::Value;
use tokio::sync::OnceCell;

use super::{Network, Node, lock};
use crate::config::ClusterMode;
use crate::error::ConnectError;
use crate::id::ConsumerId;
use crate::keys::Keys;
use crate::store::connection::{Connection, Incarnation};
use crate::store::error::CONNECT;
use crate::store::{Endpoint, Store, StoreError};

/// Connections of one purpose, opened as they are needed, on the runtime of whoever needs one first.
#[derive(Clone)]
pub(crate) struct Lines(Arc<Shared>);

pub(super) struct Shared {
    network: Network,
    endpoint: Endpoint,
    open: Mutex<HashMap<Node, Arc<OnceCell<Connection>>>>,
    vital: bool,
}

/// The way to wherever one partition is held. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Line {
    lines: Lines,
    partition: u16,
}

impl Lines {
    pub(crate) fn new(network: &Network, timeout: Duration) -> Self {
        Self::made(network, timeout, false)
    }

    /// Those of heartbeats: they are not dropped because others get no answer.
    pub(crate) fn vital(network: &Network, timeout: Duration) -> Self {
        Self::made(network, timeout, true)
    }

    fn made(network: &Network, timeout: Duration, vital: bool) -> Self {
        let shared = Arc::new(Shared {
            network: network.clone(),
            endpoint: network.endpoint().clone().within(timeout),
            open: Mutex::default(),
            vital,
        });
        let mut all = lock(&network.shared.lines);
        // What is gone keeps its place in memory until nobody points to it: a producer per request would add up.
        all.retain(|lines| lines.strong_count() > 0);
        all.push(Arc::downgrade(&shared));
        drop(all);
        Self(shared)
    }

    /// Connections of their own to wherever a line may lead.
    pub(crate) fn like(line: Option<&Line>) -> Option<Self> {
        let line = line?;
        Some(Self::new(line.network(), line.lines.0.endpoint.timeout()))
    }

    pub(crate) fn to(&self, partition: u16) -> Line {
        Line {
            lines: self.clone(),
            partition,
        }
    }

    /// A service's partitions over these connections, by number.
    pub(crate) fn stores(&self, keys: &[Arc<Keys>], consumer: &ConsumerId, timeout: Duration) -> Vec<Store> {
        let store = |(number, keys): (u16, &Arc<Keys>)| {
            Store::new(self.to(number), Arc::clone(keys), consumer.clone(), timeout)
        };
        (0..).zip(keys).map(store).collect()
    }

    /// Opens the connections to all servers that hold a partition.
    ///
    /// # Errors
    /// One of them did not let itself be opened, and is named.
    pub(crate) async fn open_all(&self) -> Result<(), ConnectError> {
        let mut nodes: Vec<Node> = self.0.network.placement().0.iter().flatten().cloned().collect();
        nodes.sort_unstable();
        nodes.dedup();
        let opened = nodes.iter().map(|node| async move {
            let opened = self.connection(node).await;
            opened.map_err(|e| self.0.endpoint.at(node).first_error(e))
        });
        futures_util::future::try_join_all(opened).await.map(drop)
    }

    /// Ends all connections: says goodbye for at most `patience`, then drops them.
    pub(crate) async fn close(&self, patience: Duration) {
        let open = std::mem::take(&mut *lock(&self.0.open));
        let connections = open.into_values().filter_map(|cell| cell.get().cloned());
        futures_util::future::join_all(connections.map(|connection| async move { connection.close(patience).await }))
            .await;
    }

    async fn connection(&self, node: &Node) -> Result<Connection, StoreError> {
        let cell = Arc::clone(lock(&self.0.open).entry(node.clone()).or_default());
        let opened = cell.get_or_try_init(|| async { self.0.endpoint.at(node).open().await });
        // Whoever waits behind another attempt waits no longer than for one of its own.
        match tokio::time::timeout(self.0.endpoint.timeout(), opened).await {
            Ok(opened) => opened.cloned(),
            Err(_) => Err(StoreError::no_answer(CONNECT)),
        }
    }
}

impl Shared {
    pub(super) const fn are_vital(&self) -> bool {
        self.vital
    }

    /// Closes what leads to such servers, and forgets what is being opened to them.
    pub(super) fn close_where(&self, of: impl Fn(&Node) -> bool) {
        self.close(|node, _| of(node));
    }

    /// Closes what nothing is heard over; the next call opens another.
    fn close_silent(&self) {
        self.close(|_, cell| cell.get().is_some_and(Connection::is_silent));
    }

    fn close(&self, of: impl Fn(&Node, &OnceCell<Connection>) -> bool) {
        let mut gone = Vec::new();
        lock(&self.open).retain(|node, cell| {
            let closed = of(node, cell);
            if closed {
                gone.extend(cell.get().cloned());
            }
            !closed
        });
        for connection in gone {
            tokio::spawn(async move { connection.close(Duration::ZERO).await });
        }
    }
}

impl fmt::Debug for Lines {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Lines").field(&self.0.endpoint).finish()
    }
}

impl fmt::Debug for Line {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Line").field(&self.partition).finish()
    }
}

impl Line {
    pub(in crate::store) fn over(&self, lines: &Lines) -> Self {
        lines.to(self.partition)
    }

    pub(crate) fn network(&self) -> &Network {
        &self.lines.0.network
    }

    /// The server that holds the partition, as far as is known.
    pub(crate) fn node(&self) -> Option<Node> {
        self.network().placement().of(self.partition).cloned()
    }

    /// The connection to wherever the partition is held now.
    pub(in crate::store) async fn connection(&self) -> Result<Connection, StoreError> {
        let connection = match self.node() {
            Some(node) => self.lines.connection(&node).await,
            None => Err(StoreError::homeless()),
        };
        connection.inspect_err(|_| self.network().suspect())
    }

    /// Connects now rather than at the first command.
    pub(crate) async fn open(&self) -> Result<(), StoreError> {
        self.connection().await.map(drop)
    }

    /// The connection that there is already.
    pub(in crate::store) fn open_connection(&self) -> Option<Connection> {
        let node = self.node()?;
        lock(&self.lines.0.open).get(&node)?.get().cloned()
    }

    /// Which life of which connection leads there; another one than before may have lost replies, or lead to another
    /// server.
    pub(crate) fn incarnation(&self) -> Option<Incarnation> {
        self.open_connection().map(|connection| connection.incarnation())
    }

    /// Whether to try once more: a server that says that the partition is elsewhere has done nothing, and a look at the
    /// topology has told where.
    pub(in crate::store) async fn is_elsewhere<T>(&self, result: &Result<T, StoreError>, timeout: Duration) -> bool {
        let moved = matches!(result, Err(e) if e.is_moved());
        moved && tokio::time::timeout(timeout, self.network().look_again()).await.is_ok()
    }

    /// Sends one command, once: what is to be repeated is for the caller to decide, who knows whether it may be.
    pub(in crate::store) async fn command(
        &self,
        operation: &'static str,
        name: &'static str,
        args: Vec<Value>,
        timeout: Duration,
    ) -> Result<Value, StoreError> {
        let connection = self.connection().await?;
        let result = connection.command(operation, name, args, timeout).await;
        result.inspect_err(|e| self.note(e))
    }

    /// Runs a script at a server that is about to be given the partition. The permission to ask is for the command that
    /// follows it on the connection, so both are sent as one.
    pub(in crate::store) async fn ask(
        &self,
        node: &Node,
        operation: &'static str,
        args: Vec<Value>,
        timeout: Duration,
    ) -> Result<Value, StoreError> {
        self.lines
            .connection(node)
            .await?
            .ask(operation, "EVAL", args, timeout)
            .await
    }

    /// Draws the conclusion from an error that another topology would explain.
    pub(in crate::store) fn note(&self, error: &StoreError) {
        if error.is_disconnected() || error.is_timeout() || error.is_misplaced() {
            self.network().suspect();
        }
        // A worker's are closed by whoever probes its masters, and heartbeats replace theirs by themselves, and only by one
        // that answers: it may be the last to be had.
        if error.is_timeout() && !self.network().is_probed() {
            self.lines.0.close_silent();
        }
        // One address may lead to another server by now, and a connection that stays open keeps to the old one.
        if error.is_misplaced() && self.network().endpoint().mode() == ClusterMode::Standalone {
            let line = self.clone();
            tokio::spawn(async move { line.replace().await });
        }
    }

    /// Opens another connection in place of this one, which does not answer. False where there is none to be had; then
    /// the old one is kept.
    pub(crate) async fn replace(&self) -> bool {
        let Some(node) = self.node() else { return false };
        // Another partition on the same server may have been first.
        let timeout = self.lines.0.endpoint.timeout();
        if self.open_connection().is_some_and(|open| open.age() < timeout) {
            return true;
        }
        let Ok(fresh) = self.lines.0.endpoint.at(&node).open().await else {
            return false;
        };
        let old = lock(&self.lines.0.open).insert(node, Arc::new(OnceCell::new_with(Some(fresh))));
        if let Some(old) = old.and_then(|cell| cell.get().cloned()) {
            old.close(Duration::ZERO).await;
        }
        true
    }
}
