//! Asks the servers themselves: a cluster's nodes, or sentinels.

use std::collections::{BTreeSet, HashMap};
use std::time::Duration;

use fred::types::Value;
use tokio::task::JoinSet;

use super::view::{self, View};
use super::{Node, Placement};
use crate::config::ClusterMode;
use crate::store::connection::Connection;
use crate::store::error::CONNECT;
use crate::store::reply::Reply;
use crate::store::{Endpoint, StoreError};

pub(super) struct Lookout {
    endpoint: Endpoint,
    slots: Vec<u16>,
    /// Who may be asked.
    known: BTreeSet<Node>,
    /// Open only for whom was asked last, and for more while something is suspicious.
    open: HashMap<Node, Connection>,
}

impl Lookout {
    pub(super) fn new(endpoint: Endpoint, slots: Vec<u16>) -> Self {
        Self {
            known: endpoint.named().into_iter().collect(),
            endpoint,
            slots,
            open: HashMap::new(),
        }
    }

    pub(super) async fn first(&mut self) -> Result<Placement, StoreError> {
        if self.endpoint.mode() == ClusterMode::Standalone {
            let node = self.endpoint.named().into_iter().next();
            return Ok(Placement(vec![node; self.slots.len()]));
        }
        self.ask_many().await
    }

    /// Asks whoever was asked last; and where that gives another picture than `before`, or the old one is suspicious,
    /// the others too: a server that was cut off or stood still does not know yet what it missed.
    pub(super) async fn look(&mut self, before: &Placement, suspicious: bool) -> Result<Placement, StoreError> {
        // One sentinel alone may be cut off from the others, and name a primary that is none any more.
        let one_will_do = !suspicious && self.endpoint.mode() == ClusterMode::Oss;
        if one_will_do && let Some((node, connection)) = self.open.iter().next() {
            let (node, connection) = (node.clone(), connection.clone());
            if let Ok(view) = self.ask_over(&node, &connection).await {
                self.learn(&view);
                if view::merge(&[view], &self.slots) == *before {
                    self.close_all_but(&node);
                    return Ok(before.clone());
                }
            }
        }
        self.ask_many().await
    }

    /// Asks all at once, and believes a majority of them: of what contradicts itself, the latest configuration.
    async fn ask_many(&mut self) -> Result<Placement, StoreError> {
        let mut asked = JoinSet::new();
        for node in self.known.iter().cloned() {
            let (endpoint, open, slots) = (self.one(&node), self.open.get(&node).cloned(), self.slots.clone());
            let (mode, name) = (self.endpoint.mode(), self.endpoint.primary_name().to_owned());
            asked.spawn(async move {
                let connection = match open {
                    Some(connection) => connection,
                    None => endpoint.open().await?,
                };
                match ask(&connection, mode, &name, &node, &slots, endpoint.timeout()).await {
                    Ok(view) => Ok((node, connection, view)),
                    Err(e) => {
                        connection.close(Duration::ZERO).await;
                        Err(e)
                    }
                }
            });
        }
        let enough = self.known.len() / 2 + 1;
        let mut views = Vec::new();
        let mut open = HashMap::new();
        let mut problem = StoreError::not_connected(CONNECT);
        while views.len() < enough
            && let Some(answer) = asked.join_next().await
        {
            match answer {
                Ok(Ok((node, connection, view))) => {
                    self.learn(&view);
                    open.insert(node, connection);
                    views.push(view);
                }
                Ok(Err(e)) => problem = e,
                Err(_) => {}
            }
        }
        // Whoever has not answered by now is asked over a new connection the next time.
        for (node, connection) in std::mem::replace(&mut self.open, open) {
            if !self.open.contains_key(&node) {
                connection.close(Duration::ZERO).await;
            }
        }
        if views.is_empty() {
            return Err(problem);
        }
        // Servers that are gone must not count for the majority for ever.
        self.known = self.endpoint.named().into_iter().collect();
        self.known
            .extend(views.iter().flat_map(|view| view.others.iter().cloned()));
        Ok(view::merge(&views, &self.slots))
    }

    fn learn(&mut self, view: &View) {
        self.known.extend(view.others.iter().cloned());
        self.endpoint.learn(&view.names);
    }

    fn one(&self, node: &Node) -> Endpoint {
        match self.endpoint.mode() {
            ClusterMode::Sentinel => self.endpoint.at_sentinel(node),
            _ => self.endpoint.at(node),
        }
    }

    async fn ask_over(&self, node: &Node, connection: &Connection) -> Result<View, StoreError> {
        let (mode, name) = (self.endpoint.mode(), self.endpoint.primary_name());
        ask(connection, mode, name, node, &self.slots, self.endpoint.timeout()).await
    }

    fn close_all_but(&mut self, node: &Node) {
        self.open.retain(|open, connection| {
            let kept = open == node;
            if !kept {
                let connection = connection.clone();
                tokio::spawn(async move { connection.close(Duration::ZERO).await });
            }
            kept
        });
    }

    pub(super) async fn close(self) {
        for connection in self.open.into_values() {
            connection.close(Duration::ZERO).await;
        }
    }
}

async fn ask(
    connection: &Connection,
    mode: ClusterMode,
    primary: &str,
    asked: &Node,
    slots: &[u16],
    timeout: Duration,
) -> Result<View, StoreError> {
    if mode == ClusterMode::Sentinel {
        let args: Vec<Value> = vec!["MASTER".into(), primary.into()];
        let said = connection.command("topology", "SENTINEL", args, timeout).await?;
        let reply = Reply::new("topology", &said);
        let mut words = reply.list()?;
        let mut pairs = HashMap::new();
        while let (Some(name), Some(value)) = (words.next(), words.next()) {
            pairs.insert(name.text()?.to_owned(), value.text()?.to_owned());
        }
        let primary = view::of_sentinel(&pairs, slots.len()).ok_or_else(|| reply.unexpected("a primary"))?;
        return Ok(primary);
    }
    let said = connection
        .command("topology", "CLUSTER", vec!["NODES".into()], timeout)
        .await?;
    Ok(view::of_cluster(Reply::new("topology", &said).text()?, asked, slots))
}
