//! Servers under a load, and what is done to them.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use streamherd_ledger::{At, History, Target, now};
use streamherd_testkit::{Cluster, RawClient, Sentinels};
use streamherd_tests::SERVICE;

use super::load::{Load, Plan};
use super::loss::Snapshot;
use super::report::{Report, ms};
use super::verdict::holds;

/// The locks' life where a failover is to take longer than that, and where it is to take less.
pub(crate) const SHORT: Duration = Duration::from_secs(2);
pub(crate) const LONG: Duration = Duration::from_secs(8);

/// A key of a partition.
pub(crate) fn key(partition: u16) -> String {
    format!("{{{SERVICE}:{partition}}}:input")
}

/// Servers that belong together. One of them holds a partition; another takes over when that one is gone.
pub(crate) trait Topology: Send + 'static {
    fn url(&self) -> String;
    /// The node that holds a partition.
    fn home(&self, partition: u16) -> usize;
    /// A connection to where a partition is.
    fn to(&self, partition: u16) -> RawClient;
    /// Who is to take a node's place, and a connection to it.
    fn successor(&self, node: usize) -> (usize, RawClient);
    fn wait_for_promotion(&self, node: usize);
}

impl Topology for Cluster {
    fn url(&self) -> String {
        Self::url(self)
    }

    fn home(&self, partition: u16) -> usize {
        self.owner_of(key(partition))
    }

    fn to(&self, partition: u16) -> RawClient {
        self.client_for(key(partition))
    }

    fn successor(&self, node: usize) -> (usize, RawClient) {
        let replica = self.replica_of(node);
        (replica, self.client(replica))
    }

    fn wait_for_promotion(&self, node: usize) {
        Self::wait_for_promotion(self, node);
    }
}

impl Topology for Sentinels {
    fn url(&self) -> String {
        Self::url(self)
    }

    fn home(&self, _: u16) -> usize {
        self.primary()
    }

    fn to(&self, _: u16) -> RawClient {
        self.client()
    }

    fn successor(&self, node: usize) -> (usize, RawClient) {
        (1 - node, self.server(1 - node).client())
    }

    fn wait_for_promotion(&self, node: usize) {
        Self::wait_for_promotion(self, node);
    }
}

/// Servers and their load.
#[derive(Debug)]
pub(crate) struct Scene<T> {
    servers: Arc<Mutex<T>>,
    pub(crate) load: Load,
    /// When something was done to them, and to which partitions.
    pub(crate) fault: At,
    pub(crate) hit: Vec<u16>,
    snapshots: Vec<Snapshot>,
    found: Vec<(&'static str, u64)>,
}

impl<T: Topology> Scene<T> {
    /// A load that is well under way.
    pub(crate) async fn set(servers: T, plan: Plan) -> Self {
        let load = Load::start(&servers.url(), plan).await;
        load.under_way(20).await;
        Self {
            fault: now(),
            servers: Arc::new(Mutex::new(servers)),
            load,
            hit: Vec::new(),
            snapshots: Vec::new(),
            found: Vec::new(),
        }
    }

    /// What follows is the fault.
    pub(crate) fn begins(&mut self) {
        self.fault = now();
    }

    /// Does something to the servers, on a thread that may block.
    pub(crate) async fn stage<R: Send + 'static>(&self, what: impl FnOnce(&mut T) -> R + Send + 'static) -> R {
        let servers = Arc::clone(&self.servers);
        let done = tokio::task::spawn_blocking(move || what(&mut servers.lock().expect("nobody panicked")));
        done.await.expect("it does not panic")
    }

    /// The partitions that a node holds.
    pub(crate) async fn held_by(&self, node: usize) -> Vec<u16> {
        let partitions = self.load.plan.partitions;
        self.stage(move |servers| {
            let held = (0..partitions).filter(|partition| servers.home(*partition) == node);
            held.collect()
        })
        .await
    }

    /// Has a node's replica take over because of what `strike` does to the node, and looks what the replica had.
    pub(crate) async fn failover(&mut self, node: usize, strike: impl FnOnce(&mut T) + Send + 'static) {
        self.hit = self.held_by(node).await;
        assert!(!self.hit.is_empty(), "node {node} holds something");
        let hit = self.hit.clone();
        let (fault, snapshots, promoted) = self
            .stage(move |servers| {
                let (successor, connection) = servers.successor(node);
                let fault = now();
                strike(servers);
                let snapshots = Snapshot::until_promoted(connection, &hit);
                let promoted = now();
                servers.wait_for_promotion(successor);
                (fault, snapshots, promoted)
            })
            .await;
        self.fault = fault;
        self.snapshots.extend(snapshots);
        self.note("promoted_after_ms", promoted);
    }

    /// Notes how long after the fault something was.
    pub(crate) fn note(&mut self, what: &'static str, at: At) {
        self.found.push((what, ms(at.saturating_sub(self.fault))));
    }

    /// Waits until what was hit works again.
    pub(crate) async fn recovers(&self) {
        let since = now();
        for partition in &self.hit {
            self.load.flows_again(*partition, since).await;
        }
    }

    /// Ends the load, writes the report, and judges. Returns also how many acknowledged submits a failover lost.
    pub(crate) async fn ends(self, test: &str) -> (History, usize) {
        let partitions = self.load.plan.partitions;
        let homes: Vec<RawClient> = self
            .stage(move |servers| (0..partitions).map(|partition| servers.to(partition)).collect())
            .await;
        // Whatever this was, from then on work may be done twice because of it.
        self.load.ledger.fault("scene", test, Target::All, self.fault, true);
        let record = self.load.finish(homes).await;
        let mut report = Report::of(test, &record, self.fault, partitions, &self.hit);
        for (what, found) in self.found {
            report.set(what, found);
        }
        let (excused, verdict) = holds(&record, &self.snapshots);
        report.set("lost_by_replication", excused);
        report.publish();
        assert!(verdict.is_empty(), "{verdict}");
        (record, excused)
    }
}
