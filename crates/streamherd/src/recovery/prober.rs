//! Finds out when a master that is away is back: asks it now and then over a connection of its own, has what is held there
//! restored, and lets everybody else ask it again.

use std::collections::BTreeSet;

use futures_util::future::join_all;
use tokio::task::JoinSet;

use crate::backoff::Backoff;
use crate::clock::Moment;
use crate::recovery::BreakerState;
use crate::runtime::{Complaints, Partitions};
use crate::store::{Network, Node, StoreError, Which};

pub(crate) struct Prober {
    partitions: Partitions,
    network: Network,
}

impl Prober {
    pub(crate) fn new(partitions: Partitions, network: Network) -> Self {
        network.probe_all();
        Self { partitions, network }
    }

    /// Looks after every master that is away, until it is dropped.
    pub(crate) async fn run(self) {
        let mut looked_after: BTreeSet<Node> = BTreeSet::new();
        let mut tasks = JoinSet::new();
        let mut changes = self.network.changes();
        loop {
            let masters = &self.partitions.core.masters;
            for node in masters.away() {
                if looked_after.insert(node.clone()) {
                    tasks.spawn(bring_back(self.partitions.clone(), self.network.clone(), node));
                }
            }
            tokio::select! {
                () = masters.opened.notified() => {}
                changed = changes.changed() => match changed {
                    Ok(()) => masters.keep(&changes.borrow_and_update()),
                    Err(_) => return,
                },
                Some(ended) = tasks.join_next() => match ended {
                    Ok(node) => drop(looked_after.remove(&node)),
                    Err(panicked) => std::panic::resume_unwind(panicked.into_panic()),
                },
            }
        }
    }
}

/// Resolves when the master is asked again, or holds nothing any more.
async fn bring_back(partitions: Partitions, network: Network, node: Node) -> Node {
    let core = &partitions.core;
    let masters = &core.masters;
    let master = masters.of(&node);
    let (shortest, longest) = core.settings.reconnect;
    let mut backoff = Backoff::new(shortest, longest.min(core.settings.lease_timeout));
    // They would try to come back each for itself, all the time.
    network.forget(&node, Which::Spare);
    let mut complaints = Complaints::new();
    let mut half_open = true;
    let mut asked = Moment::now();
    while !master.is_asked() {
        let here = || {
            partitions
                .iter()
                .filter(|one| one.store.line.node().as_ref() == Some(&node))
        };
        let Some(first) = here().next() else {
            masters.forget(&node);
            break;
        };
        // A question that was not answered has waited already.
        let wait = backoff.draw().saturating_sub(asked.elapsed()).max(shortest);
        tokio::select! {
            () = tokio::time::sleep(wait) => {}
            // A heartbeat got through.
            () = master.becomes(|state| state != BreakerState::Open) => {}
        }
        asked = Moment::now();
        if let Err(e) = network.probe(&node, first.keys.control()).await
            && e.is_unheard()
        {
            complaints.about(&e, "Redis is still away; trying again");
            masters.failed(&node, &e);
            half_open = true;
            continue;
        }
        masters.answered(&node);
        // Connections that the outage left half-open would swallow what is asked next; it lets new ones stand again.
        if std::mem::take(&mut half_open) {
            network.forget(&node, Which::All);
        }
        let greeted = join_all(here().map(|partition| partition.hello())).await;
        match greeted.into_iter().filter_map(Result::err).find(StoreError::is_unheard) {
            Some(e) => masters.failed(&node, &e),
            None => masters.greeted(&node),
        }
    }
    node
}
