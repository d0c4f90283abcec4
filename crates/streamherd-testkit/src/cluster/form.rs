//! Making a cluster out of single nodes, as `redis-cli --cluster create` does, which need not be installed.

use crate::cluster::Cluster;
use crate::cluster::slot::SLOTS;
use crate::error::StartError;

/// Makes the first `masters` nodes masters that share the slots, and the others their replicas in turn.
pub(crate) fn form(cluster: &Cluster, masters: usize) -> Result<(), StartError> {
    for node in 0..masters {
        let mut command = vec!["CLUSTER".to_owned(), "ADDSLOTS".to_owned()];
        command.extend(share(node, masters).map(|slot| slot.to_string()));
        cluster.ask(node, &command)?;
    }
    for node in 0..cluster.len() {
        // Without epochs of their own the masters would first have to settle who has which.
        let epoch = (node + 1).to_string();
        cluster.ask(node, &["CLUSTER", "SET-CONFIG-EPOCH", &epoch])?;
        meet(cluster, node)?;
    }
    cluster.wait(|cluster| cluster.views().map(drop))?;
    for replica in masters..cluster.len() {
        let master = &cluster.id(replica % masters)?;
        cluster.ask(replica, &["CLUSTER", "REPLICATE", master])?;
    }
    cluster.wait(|cluster| {
        let view = cluster.whole()?;
        let replicas = view.replicas().len();
        if replicas == cluster.len() - masters {
            Ok(())
        } else {
            Err(format!("only {replicas} nodes are known to be replicas"))
        }
    })
}

/// Introduces a node to all before it. Every pair is introduced, as gossip alone takes longer.
pub(crate) fn meet(cluster: &Cluster, newcomer: usize) -> Result<(), StartError> {
    let port = cluster.node(newcomer).port().to_string();
    for node in (0..newcomer).filter(|node| cluster.is_up(*node)) {
        cluster.ask(node, &["CLUSTER", "MEET", "127.0.0.1", &port])?;
    }
    Ok(())
}

/// The slots of one of `masters` masters.
fn share(node: usize, masters: usize) -> impl Iterator<Item = u16> {
    let bound = |node: usize| node * usize::from(SLOTS) / masters;
    (0..SLOTS).skip(bound(node)).take(bound(node + 1) - bound(node))
}
