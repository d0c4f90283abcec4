//! Hears of expired locks through keyspace notifications, and tells the user which streams are orphaned.
//!
//! # Why a scanner when there are notifications?
//!
//! They are fire and forget, and Redis sends one when it deletes the key, not when its time is over: with 10,000 other
//! keys that have a time to live in the instance, a median 14 s late. So this room only makes recovery sooner; without
//! it nothing is lost.
//!
//! Each server sends only its own: there is a listener per master that holds a partition, and they follow the topology.

pub(crate) mod event;
mod listener;
mod topology;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use self::listener::Listener;
use crate::runtime::Partitions;
use crate::store::{Network, Node, Placement};

pub(crate) struct Broker {
    partitions: Partitions,
    network: Network,
    stop: CancellationToken,
    /// Held by each listener of the start until its subscription stands, or can't be had.
    unconfirmed: Option<mpsc::Sender<()>>,
    warned: Arc<AtomicBool>,
}

impl Broker {
    pub(crate) fn new(
        partitions: Partitions,
        network: Network,
        stop: CancellationToken,
        unconfirmed: mpsc::Sender<()>,
    ) -> Self {
        Self {
            partitions,
            network,
            stop,
            unconfirmed: Some(unconfirmed),
            warned: Arc::default(),
        }
    }

    /// Listens to every server that holds a partition, until stopped.
    pub(crate) async fn run(mut self) {
        let mut changes = self.network.changes();
        let core = Arc::clone(&self.partitions.core);
        let mut tasks = JoinSet::new();
        let mut listening: BTreeMap<Node, CancellationToken> = BTreeMap::new();
        let mut before = Arc::new(Placement::default());
        loop {
            let now = Arc::clone(&changes.borrow_and_update());
            let heard: BTreeSet<Node> = listening.keys().cloned().collect();
            let diff = topology::diff(&heard, &before, &now);
            for node in diff.leave {
                if let Some(stop) = listening.remove(&node) {
                    stop.cancel();
                }
            }
            for partition in diff.moved.into_iter().filter_map(|number| self.partitions.of(number)) {
                partition.health.listening(false);
                partition.scan_now.notify_one();
            }
            for node in diff.listen {
                let stop = self.stop.child_token();
                tasks.spawn(self.listener(&node, stop.clone()).run());
                listening.insert(node, stop);
            }
            self.unconfirmed = None;
            before = now;
            tokio::select! {
                () = self.stop.cancelled() => break,
                changed = changes.changed() => if changed.is_err() { break },
                () = core.resubscribe.notified() => {
                    for stop in std::mem::take(&mut listening).into_values() {
                        stop.cancel();
                    }
                }
                Some(Err(panicked)) = tasks.join_next() => std::panic::resume_unwind(panicked.into_panic()),
            }
        }
        while tasks.join_next().await.is_some() {}
    }

    fn listener(&self, node: &Node, stop: CancellationToken) -> Listener {
        Listener {
            node: node.clone(),
            partitions: self.partitions.clone(),
            network: self.network.clone(),
            stop,
            unconfirmed: self.unconfirmed.clone(),
            warned: Arc::clone(&self.warned),
            ensures: false,
        }
    }
}

/// Told once for all servers.
fn warn(warned: &AtomicBool, service: &impl std::fmt::Display, what: &str) {
    if !warned.swap(true, Ordering::Relaxed) {
        tracing::warn!(
            %service,
            what,
            "expired locks are found by the scan alone, which is correct and a little slower"
        );
    }
}
