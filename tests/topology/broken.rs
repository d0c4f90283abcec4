//! A cluster under a load, and where the load's partitions are.

use std::time::Duration;

use streamherd_testkit::{Cluster, RawClient};
use streamherd_tests::SERVICE;

use super::load::Load;

/// A key of a partition.
pub(crate) fn key(partition: u16) -> String {
    format!("{{{SERVICE}:{partition}}}:input")
}

/// The partitions that a node holds.
pub(crate) fn held_by(cluster: &Cluster, node: usize, partitions: u16) -> Vec<u16> {
    (0..partitions)
        .filter(|partition| cluster.owner_of(key(*partition)) == node)
        .collect()
}

/// Connections to where the partitions are.
pub(crate) fn homes(cluster: &Cluster, partitions: u16) -> Vec<RawClient> {
    (0..partitions)
        .map(|partition| cluster.client_for(key(partition)))
        .collect()
}

/// Something that blocks the thread that waits for it, done on one of its own.
pub(crate) async fn blocking<T: Send + 'static>(
    cluster: Cluster,
    what: impl FnOnce(&mut Cluster) -> T + Send + 'static,
) -> (Cluster, T) {
    let mut cluster = cluster;
    let done = tokio::task::spawn_blocking(move || {
        let result = what(&mut cluster);
        (cluster, result)
    });
    done.await.expect("it does not panic")
}

/// The locks' life in a load that is to lose its leases in a failover, and in one that is to keep them.
pub(crate) const SHORT: Duration = Duration::from_secs(2);
pub(crate) const LONG: Duration = Duration::from_secs(8);

/// Waits until partitions that were hit work again.
pub(crate) async fn recover(load: &Load, hit: &[u16]) {
    let since = load.ledger.now();
    for partition in hit {
        load.flows_again(*partition, since).await;
    }
}
