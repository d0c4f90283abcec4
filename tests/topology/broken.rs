//! A cluster under a load, and what is done to it.

use std::sync::Arc;
use std::time::Duration;

use streamherd_testkit::{Cluster, RawClient};
use streamherd_tests::SERVICE;

use super::ledger::{At, Ledger, Record, Snapshot};
use super::load::{Load, Plan};
use super::report::{Report, ms};
use super::verdict::holds;

/// The locks' life where a failover is to take longer than that, and where it is to take less.
pub(crate) const SHORT: Duration = Duration::from_secs(2);
pub(crate) const LONG: Duration = Duration::from_secs(8);

/// A key of a partition.
pub(crate) fn key(partition: u16) -> String {
    format!("{{{SERVICE}:{partition}}}:input")
}

/// A cluster and its load.
#[derive(Debug)]
pub(crate) struct Scene {
    pub(crate) cluster: Arc<std::sync::Mutex<Cluster>>,
    pub(crate) load: Load,
    /// When something was done to it, and to which partitions.
    pub(crate) fault: Option<At>,
    pub(crate) hit: Vec<u16>,
    pub(crate) snapshots: Vec<Snapshot>,
    pub(crate) found: Vec<(&'static str, u64)>,
}

impl Scene {
    /// A cluster, and a load that is well under way.
    pub(crate) async fn set(plan: Plan) -> Self {
        Self::over(Cluster::start(), plan).await
    }

    pub(crate) async fn over(cluster: Cluster, plan: Plan) -> Self {
        let load = Load::start(&cluster.url(), plan).await;
        load.under_way(20).await;
        Self {
            cluster: Arc::new(std::sync::Mutex::new(cluster)),
            load,
            fault: None,
            hit: Vec::new(),
            snapshots: Vec::new(),
            found: Vec::new(),
        }
    }

    /// Does something to the cluster, on a thread that may block.
    pub(crate) async fn stage<T: Send + 'static>(
        &self,
        what: impl FnOnce(&mut Cluster, &Ledger) -> T + Send + 'static,
    ) -> T {
        let (cluster, ledger) = (Arc::clone(&self.cluster), Arc::clone(&self.load.ledger));
        let done = tokio::task::spawn_blocking(move || what(&mut cluster.lock().expect("nobody panicked"), &ledger));
        done.await.expect("it does not panic")
    }

    /// The partitions that a node holds.
    pub(crate) async fn held_by(&self, node: usize) -> Vec<u16> {
        let partitions = self.load.plan.partitions;
        self.stage(move |cluster, _| {
            let held = (0..partitions).filter(|partition| cluster.owner_of(key(*partition)) == node);
            held.collect()
        })
        .await
    }

    /// Has a master's replica take over because of what `strike` does to the master, and looks what the replica had.
    pub(crate) async fn failover(&mut self, master: usize, strike: impl FnOnce(&mut Cluster) + Send + 'static) {
        self.hit = self.held_by(master).await;
        assert!(!self.hit.is_empty(), "node {master} holds something");
        self.fault = Some(self.load.ledger.now());
        let hit = self.hit.clone();
        let (snapshots, promoted) = self
            .stage(move |cluster, ledger| {
                let replica = cluster.replica_of(master);
                let at_replica = cluster.client(replica);
                strike(cluster);
                let snapshots = Snapshot::until_promoted(at_replica, &hit, || ledger.now());
                let promoted = ledger.now();
                cluster.wait_for_promotion(replica);
                (snapshots, promoted)
            })
            .await;
        self.snapshots.extend(snapshots);
        self.note("promoted_after_ms", promoted);
    }

    /// Notes how long after the fault something was.
    pub(crate) fn note(&mut self, what: &'static str, at: At) {
        let fault = self.fault.unwrap_or_default();
        self.found.push((what, ms(at.saturating_sub(fault))));
    }

    /// Waits until what was hit works again.
    pub(crate) async fn recovers(&self) {
        let since = self.load.ledger.now();
        for partition in &self.hit {
            self.load.flows_again(*partition, since).await;
        }
    }

    /// Ends the load, writes the report, and judges. Returns also how many acknowledged submits a failover lost.
    pub(crate) async fn ends(self, test: &str) -> (Record, usize) {
        let partitions = self.load.plan.partitions;
        let homes: Vec<RawClient> = self
            .stage(move |cluster, _| {
                let home = |partition| cluster.client_for(key(partition));
                (0..partitions).map(home).collect()
            })
            .await;
        let record = self.load.finish(homes).await;
        let mut report = Report::of(test, &record, self.fault.unwrap_or_default(), partitions, &self.hit);
        for (what, found) in self.found {
            report.set(what, found);
        }
        let (excused, verdict) = holds(&record, &self.snapshots);
        report.set("lost_by_replication", excused);
        report.publish();
        assert!(verdict.is_empty(), "{}", verdict.join("\n"));
        (record, excused)
    }
}
