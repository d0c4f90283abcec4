//! A primary and a replica under three Sentinels.

use std::thread::sleep;

use streamherd_testkit::{Sentinels, Server};

use super::{BLINK, Hit, Stage, all, allow_copies, chosen, cut_off};
use crate::schedule::OnServers;

pub(super) fn start() -> Sentinels {
    Sentinels::start()
}

impl Stage for Sentinels {
    fn url(&self) -> String {
        Self::url(self)
    }

    fn partitions(&self) -> u16 {
        2
    }

    fn servers(&self) -> Vec<&Server> {
        vec![self.server(0), self.server(1)]
    }

    fn watchers(&self) -> Vec<&Server> {
        (0..3).map(|number| self.sentinel(number)).collect()
    }

    fn home(&self, _: u16) -> usize {
        self.primary()
    }

    fn freeze(&mut self, server: usize) {
        Self::freeze(self, server);
    }

    fn thaw(&mut self, server: usize) {
        Self::thaw(self, server);
    }

    fn special(&mut self, strike: OnServers) -> Hit {
        // On a busy machine Sentinels may be failing over by themselves just now.
        self.wait_until_whole();
        let primary = self.primary();
        let replica = 1 - primary;
        match strike {
            OnServers::Failover(_) => {
                self.kill(primary);
                self.wait_for_promotion(replica);
                self.restart(primary);
            }
            OnServers::LossyFailover(_, time) => {
                let mut at_replica = self.server(replica).client();
                cut_off(&mut at_replica);
                sleep(time);
                self.kill(primary);
                self.wait_for_promotion(replica);
                // Its connections were closed when it changed sides.
                allow_copies(&mut self.server(replica).client());
                self.restart(primary);
            }
            OnServers::FrozenFailover(_) => {
                Self::freeze(self, primary);
                self.wait_for_promotion(replica);
                Self::thaw(self, primary);
            }
            OnServers::PlannedFailover(_) => {
                // Sentinels may give it up on a busy machine; then nobody takes over.
                let order = format!("SENTINEL FAILOVER {}", self.service());
                let _ = self.sentinel(0).client().cmd(&order);
                sleep(BLINK * 4);
            }
            OnServers::KillSentinel(which, away) => {
                let sentinel = chosen(which, 3);
                self.kill_sentinel(sentinel);
                sleep(away);
                self.restart_sentinel(sentinel);
                self.wait_until_whole();
                return all(false);
            }
            other => panic!("Sentinels can't go through {other:?}"),
        }
        self.wait_until_whole();
        all(true)
    }
}
