//! Where the service is: what its servers are to each other, and which holds what.

use std::collections::BTreeMap;

use super::words::shell;
use super::{Check, Judge, failure, ok, warning};
use crate::config::ClusterMode;
use crate::store::{ClusterState, Facts, Found, FoundServer, StoreError};

const TOPOLOGY: &str = "topology";

impl Judge<'_> {
    pub(super) fn topology(&self) -> Check {
        let refused = self
            .facts
            .service
            .as_ref()
            .and_then(|service| service.write.as_ref().ok());
        let refused = refused.map_or("", |text| text);
        let is_cluster = |found: &str| self.cluster_by_another_url(found);
        match (self.place.mode, &self.facts.cluster) {
            (ClusterMode::Oss, Some(Ok(ClusterState { ok: false, .. }))) => {
                return self.cluster_down("cluster_state:fail");
            }
            (ClusterMode::Oss, _) if refused.starts_with("CLUSTERDOWN") => return self.cluster_down(refused),
            (ClusterMode::Oss, _) if refused.starts_with("MOVED") => {
                return warning(TOPOLOGY, refused, "a slot has just gone to another server").mend("ask again");
            }
            _ if refused.starts_with("MOVED") || refused.starts_with("CLUSTERDOWN") => return is_cluster(refused),
            _ => {}
        }
        let info = match &self.facts.info {
            Ok(info) => info,
            Err(_) if refused.starts_with("READONLY") => return self.replica(&BTreeMap::new()),
            Err(refusal) => return self.not_checked(TOPOLOGY, refusal, "a master is needed"),
        };
        let says = |name: &str| info.get(name).map_or("", |value| value);
        // Valkey's name for it is the second.
        if [says("redis_mode"), says("server_mode")].contains(&"sentinel") {
            return failure(
                TOPOLOGY,
                "a Sentinel",
                "a Sentinel keeps no data, and a redis:// URL is one of a master; redis-sentinel://HOST:PORT?\
                 sentinelServiceName=NAME follows the master of that name through failovers. This lists the names",
            )
            .mend(self.place.redis_cli(&["SENTINEL", "MASTERS"]));
        }
        if says("cluster_enabled") == "1" && self.place.mode != ClusterMode::Oss {
            return is_cluster("cluster-enabled yes");
        }
        if says("role") == "slave" {
            return self.replica(info);
        }
        let kind = match self.place.mode {
            ClusterMode::Standalone => "a standalone master",
            ClusterMode::Sentinel => "the master that the Sentinels name",
            ClusterMode::Oss => "a master of a cluster",
        };
        let found = match says("connected_slaves") {
            "" | "0" if self.place.mode != ClusterMode::Standalone => {
                return warning(
                    TOPOLOGY,
                    format!("{kind}, without a replica"),
                    "when it dies nothing takes over: what it holds waits until it is back",
                )
                .mend("bring its replica back, or add one");
            }
            "" | "0" => kind.to_owned(),
            "1" => format!("{kind} with 1 replica"),
            replicas => format!("{kind} with {replicas} replicas"),
        };
        ok(TOPOLOGY, found, "takes reads and writes")
    }

    /// A node of a cluster by a URL that stays at that node.
    fn cluster_by_another_url(&self, found: &str) -> Check {
        let url = format!("redis-cluster://{}", self.place.address);
        let (service, role) = (self.place.service.as_str(), self.place.role.as_str());
        failure(
            TOPOLOGY,
            found,
            "a redis:// URL is one of a standalone server, and nothing works over it on the nodes of a cluster; with \
             redis-cluster:// any node leads to the others",
        )
        .mend(shell(&[
            "streamherd",
            "--url",
            &url,
            "--service",
            service,
            "doctor",
            "--role",
            role,
        ]))
    }

    fn cluster_down(&self, found: &str) -> Check {
        failure(
            TOPOLOGY,
            found,
            "the cluster is down for this node: slots are not served, or it is cut off from most of the masters. It takes \
             nothing until that is over, unless the others are set to cluster-require-full-coverage no",
        )
        .mend(self.place.cluster_manager("check"))
    }

    fn replica(&self, info: &BTreeMap<String, String>) -> Check {
        let check = failure(
            TOPOLOGY,
            "a replica",
            "nothing can be submitted, leased or finished here: a replica takes no writes, and sends no expiry events",
        );
        if self.place.mode != ClusterMode::Standalone {
            return check.mend("ask again: a failover is under way, and clients follow it by themselves");
        }
        match (info.get("master_host"), info.get("master_port")) {
            (Some(host), Some(port)) => {
                let url = format!("redis://{host}:{port}");
                check.mend(shell(&[
                    "streamherd",
                    "--url",
                    &url,
                    "--service",
                    &self.place.service,
                    "doctor",
                ]))
            }
            _ => check.mend("connect to its master"),
        }
    }
}

/// A server that holds partitions and does not answer, while others do.
pub(super) fn silent(found: &Found, server: &FoundServer, error: &StoreError) -> Check {
    let others = found.servers.iter().find(|other| other.facts.is_ok());
    let ask: Vec<&str> = others
        .map_or(&server.redis_cli, |other| &other.redis_cli)
        .iter()
        .map(String::as_str)
        .collect();
    let mut check = failure(
        TOPOLOGY,
        format!("no answer: {error}"),
        "what it holds is neither handed out nor taken in until it is back, or a replica has taken over",
    )
    .mend(shell(&[&ask[..], &["CLUSTER", "NODES"]].concat()));
    check.servers.push(server.address.clone());
    check.partitions.clone_from(&server.partitions);
    check
}

const PARTITIONS: &str = "partitions";

/// Where the partitions are; nothing of a service that has one, on one server.
pub(super) fn of_partitions(found: &Found, facts: &Facts, unsure: Option<&StoreError>) -> Vec<Check> {
    let cluster = facts.place.mode == ClusterMode::Oss;
    if !cluster && found.partitions == 1 {
        return Vec::new();
    }
    let mut checks = vec![match unsure {
        Some(why) => warning(
            PARTITIONS,
            format!("not known how many there are ({why})"),
            "only the first one was looked at",
        )
        .mend("mend what else is wrong, and ask again; or say how many there are, with --partitions"),
        None => spread(found, cluster),
    }];
    if !found.unserved.is_empty() {
        let slots: Vec<String> = found.unserved.iter().map(|one| one.slot.to_string()).collect();
        let many = if slots.len() == 1 { "" } else { "s" };
        let mut check = failure(
            PARTITIONS,
            format!("no server holds slot{many} {}", slots.join(", ")),
            "what is there is neither handed out nor taken in: submits of the names that belong there fail",
        )
        .mend(facts.place.cluster_manager("fix"));
        check.partitions = found.unserved.iter().map(|one| one.partition).collect();
        checks.push(check);
    }
    checks
}

/// How the partitions lie on the servers.
fn spread(found: &Found, cluster: bool) -> Check {
    let answers = found.servers.iter().filter_map(|server| server.facts.as_ref().ok());
    let told = answers.filter_map(|facts| Some(facts.cluster.as_ref()?.as_ref().ok()?.masters));
    let masters = told.max().unwrap_or(0).max(found.servers.len() as u64);
    let held = found.servers.iter().map(|server| server.partitions.len() as u64);
    let lopsided = lopsided(&held.collect::<Vec<_>>(), u64::from(found.partitions), masters);
    match lopsided.and_then(|server| found.servers.get(server)) {
        Some(server) if cluster => warning(
            PARTITIONS,
            places(found),
            format!(
                "{} of {} partitions are on {}, one of {masters} masters, which does most of the work. Where a partition \
                 is follows from its keys' slot",
                server.partitions.len(),
                found.partitions,
                server.address
            ),
        )
        .mend("divide the service into more partitions while its queue is empty, or move some slots to other masters"),
        _ if found.partitions == 1 && masters > 1 => ok(
            PARTITIONS,
            format!("{}: one master of {masters} does all the work", places(found)),
            "more partitions would spread it",
        ),
        _ => ok(
            PARTITIONS,
            places(found),
            "each is handed out by the server that holds it",
        ),
    }
}

/// `6 partitions: 0, 3 on a:1; 1, 2, 4, 5 on b:2`.
fn places(found: &Found) -> String {
    if let ([server], 1) = (&found.servers[..], found.partitions) {
        return format!("1 partition, on {}", server.address);
    }
    let places = found.servers.iter().map(|server| {
        let numbers: Vec<String> = server.partitions.iter().map(u16::to_string).collect();
        format!("{} on {}", numbers.join(", "), server.address)
    });
    let places: Vec<String> = places.collect();
    format!("{} partitions: {}", found.partitions, places.join("; "))
}

/// Which server holds too many: all of several, though there are others, or more than twice its even share.
fn lopsided(held: &[u64], partitions: u64, masters: u64) -> Option<usize> {
    let most = (0..held.len()).rev().max_by_key(|server| held.get(*server))?;
    let its = *held.get(most)?;
    let even = partitions.div_ceil(masters.max(1));
    let all = its == partitions && partitions > 1 && masters > 1;
    (all || its > 2 * even).then_some(most)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_master_with_more_than_twice_its_even_share_holds_too_many() {
        for (held, partitions, masters, wanted) in [
            (&[2, 2, 2][..], 6, 3, None),
            (&[4, 1, 1], 6, 3, None),
            (&[1, 5], 6, 3, Some(1)),
            (&[6], 6, 3, Some(0)),
            (&[6], 6, 1, None),
            (&[1, 1], 2, 3, None),
            (&[2], 2, 3, Some(0)),
            (&[2, 1], 3, 3, None),
            (&[3], 3, 3, Some(0)),
            (&[1], 1, 3, None),
            (&[2, 5, 9], 16, 4, Some(2)),
            (&[2, 6, 8], 16, 4, None),
            (&[], 2, 3, None),
            (&[2], 2, 0, None),
        ] {
            assert_eq!(
                lopsided(held, partitions, masters),
                wanted,
                "{held:?} of {partitions} on {masters}"
            );
        }
    }
}
