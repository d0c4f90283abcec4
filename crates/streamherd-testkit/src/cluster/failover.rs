use std::time::Duration;

use crate::cluster::Cluster;
use crate::node::{must, wait_for};

const TRIES: usize = 4;
/// A replica gives up a failover that it was told to do after 5 s.
const TRY_TIME: Duration = Duration::from_secs(6);

/// How a replica takes its master's place. See [`Cluster::failover`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Failover {
    /// The master stops taking writes, the replica catches up, and then takes over: nothing is lost. The master has to be
    /// alive.
    Graceful,
    /// The replica asks the other masters for their votes at once. The master may be dead or frozen.
    Force,
    /// The replica takes over without asking anybody.
    Takeover,
}

impl Cluster {
    /// Has a replica take its master's place, and [waits](Self::wait_for_promotion) until it has.
    ///
    /// # Panics
    ///
    /// If the node is no replica, or does not take over within 48 s.
    #[track_caller]
    pub fn failover(&self, replica: usize, how: Failover) {
        let mut command = vec!["CLUSTER", "FAILOVER"];
        match how {
            Failover::Graceful => {}
            Failover::Force => command.push("FORCE"),
            Failover::Takeover => command.push("TAKEOVER"),
        }
        must(self.ask(replica, &command));
        for _ in 1..TRIES {
            if wait_for(TRY_TIME, || self.is_promoted(replica)).is_ok() {
                return;
            }
            // Refused where the replica has taken over and only the rest is late.
            let _ = self.ask(replica, &command);
        }
        self.wait_for_promotion(replica);
    }

    /// Waits until all nodes that run agree that this one is a master with slots, and the cluster is
    /// [whole](Self::wait_until_whole) again.
    ///
    /// # Panics
    ///
    /// If it takes longer than 30 s.
    #[track_caller]
    pub fn wait_for_promotion(&self, replica: usize) {
        must(self.wait(|cluster| cluster.is_promoted(replica)));
    }

    fn is_promoted(&self, replica: usize) -> Result<(), String> {
        if self.whole()?.masters().contains(&replica) {
            Ok(())
        } else {
            Err(format!("node {replica} is not promoted"))
        }
    }
}
