//! Counts what servers are asked to do, and by how many connections.

use std::collections::BTreeSet;
use std::time::Instant;

use streamherd_testkit::{Cluster, RawClient, Sentinels, Server};

/// All servers of a topology, each with a connection of its own for the counting.
#[derive(Debug)]
pub(super) struct Servers(Vec<(Part, RawClient)>);

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Part {
    Primary,
    /// Repeats what its primary did, which is no cost of a worker's.
    Replica,
    Sentinel,
}

/// How much was asked for in some time.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Count {
    /// Scripts.
    pub(super) scripts: f64,
    /// Commands, of the clients and of their scripts.
    pub(super) commands: f64,
    pub(super) seconds: f64,
}

impl Count {
    /// What was more than another count, as if that had taken so long.
    pub(super) fn less(self, other: &Self, seconds: f64) -> Self {
        let share = seconds / other.seconds;
        Self {
            scripts: self.scripts - other.scripts * share,
            commands: self.commands - other.commands * share,
            seconds: self.seconds,
        }
    }

    pub(super) fn per(self, number: f64) -> Self {
        Self {
            scripts: self.scripts / number,
            commands: self.commands / number,
            seconds: self.seconds,
        }
    }
}

/// The connections to all servers, by the server and the id that it gave.
#[derive(Debug)]
pub(super) struct Connections(BTreeSet<(usize, String)>);

impl Connections {
    pub(super) fn without(&self, others: &Self) -> usize {
        self.0.difference(&others.0).count()
    }
}

impl Servers {
    pub(super) fn of(server: &Server) -> Self {
        Self(vec![(Part::Primary, server.client())])
    }

    pub(super) fn of_sentinels(sentinels: &Sentinels) -> Self {
        let mut all = vec![
            (Part::Primary, sentinels.server(0).client()),
            (Part::Replica, sentinels.server(1).client()),
        ];
        all.extend((0..3).map(|sentinel| (Part::Sentinel, sentinels.sentinel(sentinel).client())));
        Self(all)
    }

    pub(super) fn of_cluster(cluster: &Cluster) -> Self {
        let masters = cluster.masters();
        let part = |node: &usize| {
            if masters.contains(node) {
                Part::Primary
            } else {
                Part::Replica
            }
        };
        Self(
            (0..cluster.len())
                .map(|node| (part(&node), cluster.client(node)))
                .collect(),
        )
    }

    pub(super) fn connections(&mut self) -> Connections {
        let mut all = BTreeSet::new();
        for (number, (_, client)) in self.0.iter_mut().enumerate() {
            let list = client.cmd("CLIENT LIST").text();
            // Not those of the servers among each other, which come and go.
            let others = ["name=sentinel-", "flags=S", "flags=M"];
            let clients = list
                .lines()
                .filter(|line| !others.iter().any(|other| line.contains(other)));
            for line in clients {
                let id = line.split(' ').next().unwrap_or_default();
                all.insert((number, id.to_owned()));
            }
        }
        Connections(all)
    }

    /// Counts while something happens.
    pub(super) async fn during(&mut self, what: impl AsyncFnOnce()) -> Count {
        let (scripts, commands) = self.asked();
        let start = Instant::now();
        what().await;
        let seconds = start.elapsed().as_secs_f64();
        let (more_scripts, more_commands) = self.asked();
        Count {
            scripts: more_scripts - scripts,
            commands: more_commands - commands,
            seconds,
        }
    }

    /// How many scripts and how many commands there were since the servers began, as `INFO commandstats` tells.
    fn asked(&mut self) -> (f64, f64) {
        let (mut scripts, mut commands) = (0.0, 0.0);
        for (part, client) in &mut self.0 {
            for line in client.cmd("INFO commandstats").text().lines() {
                let Some((command, stats)) = line.strip_prefix("cmdstat_").and_then(|line| line.split_once(':')) else {
                    continue;
                };
                let calls = stats.split(',').find_map(|stat| stat.strip_prefix("calls="));
                let calls: f64 = calls.and_then(|calls| calls.parse().ok()).expect("a number of calls");
                match command {
                    "evalsha" | "eval" if *part == Part::Primary => scripts += calls,
                    "cluster|nodes" | "sentinel|master" => commands += calls,
                    _ if *part == Part::Primary => commands += calls,
                    _ => {}
                }
            }
        }
        (scripts, commands + scripts)
    }
}
