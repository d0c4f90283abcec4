//! Three masters with a replica each.

use std::thread::sleep;

use streamherd_testkit::{Cluster, Failover, Server, slot_of};

use super::{BLINK, Hit, Stage, allow_copies, chosen, cut_off, key, master, on};
use crate::schedule::OnServers;

use streamherd_ledger::Target;

pub(super) fn start() -> Cluster {
    Cluster::start()
}

impl Stage for Cluster {
    fn url(&self) -> String {
        Self::url(self)
    }

    fn partitions(&self) -> u16 {
        6
    }

    fn servers(&self) -> Vec<&Server> {
        (0..self.len()).map(|number| self.node(number)).collect()
    }

    fn watchers(&self) -> Vec<&Server> {
        Vec::new()
    }

    fn home(&self, partition: u16) -> usize {
        self.owner_of(key(partition))
    }

    fn freeze(&mut self, server: usize) {
        Self::freeze(self, server);
    }

    fn thaw(&mut self, server: usize) {
        Self::thaw(self, server);
    }

    fn special(&mut self, strike: OnServers) -> Hit {
        // On a busy machine nodes may be failing over by themselves just now.
        self.wait_until_whole();
        let hit = match strike {
            OnServers::Failover(which) => {
                let node = master(self, which);
                let hit = on(self, node);
                let replica = self.replica_of(node);
                self.kill(node);
                self.wait_for_promotion(replica);
                self.restart(node);
                hit
            }
            OnServers::LossyFailover(which, time) => {
                let node = master(self, which);
                let hit = on(self, node);
                let replica = self.replica_of(node);
                cut_off(&mut self.client(replica));
                sleep(time);
                self.kill(node);
                self.wait_for_promotion(replica);
                allow_copies(&mut self.client(replica));
                self.restart(node);
                hit
            }
            OnServers::FrozenFailover(which) => {
                let node = master(self, which);
                let hit = on(self, node);
                let replica = self.replica_of(node);
                Self::freeze(self, node);
                self.wait_for_promotion(replica);
                Self::thaw(self, node);
                hit
            }
            OnServers::PlannedFailover(which) => {
                let node = master(self, which);
                let hit = on(self, node);
                self.failover(self.replica_of(node), Failover::Graceful);
                hit
            }
            OnServers::RestartEmpty(which, away) => {
                let node = master(self, which);
                let hit = on(self, node);
                self.kill(node);
                // Back before it is missed, or its replica takes over with the data.
                sleep(away.min(BLINK));
                self.restart_empty(node);
                hit
            }
            OnServers::MoveSlot(which, to) => {
                let partition = u16::try_from(chosen(which, usize::from(Stage::partitions(self)))).unwrap_or(0);
                let slot = slot_of(key(partition));
                let from = self.owner_of_slot(slot);
                let others: Vec<usize> = self.masters().into_iter().filter(|node| *node != from).collect();
                self.migrate_slots(slot..=slot, from, others[chosen(to, others.len())]);
                vec![partition]
            }
            other => panic!("a cluster can't go through {other:?}"),
        };
        self.wait_until_whole();
        Hit {
            target: Target::Partitions(hit),
            forgets: true,
        }
    }
}
