//! Which servers are looked at, and what each is asked.

use std::collections::BTreeMap;
use std::time::Duration;

use fred::util::redis_keyslot;
use futures_util::future::join_all;

use super::facts::{Asker, ClusterState, Facts, Found, FoundServer, PartitionFacts, ServiceFacts, Unserved};
use super::{answer, words};
use crate::config::ClusterMode;
use crate::store::hello::NO_ENTRY;
use crate::store::rights::{Need, Role, channel_rule, key_rules};
use crate::store::{Endpoint, Network, Node, Store, StoreError};

/// A connection that broke is made again by then.
const LOOK_AGAIN: Duration = Duration::from_millis(300);

/// Looks at every server that holds a partition, and at what it holds; changes nothing but the servers' own counters.
///
/// # Errors
/// None of them answered.
pub(crate) async fn examine(
    network: &Network,
    stores: &[Store],
    service: &str,
    role: Role,
) -> Result<Found, StoreError> {
    let mut held: BTreeMap<Node, Vec<(u16, &Store)>> = BTreeMap::new();
    let mut unserved = Vec::new();
    for (partition, store) in (0..).zip(stores) {
        match store.line.node() {
            Some(node) => held.entry(node).or_default().push((partition, store)),
            None => unserved.push(Unserved {
                partition,
                slot: redis_keyslot(store.keys.input.as_bytes()),
            }),
        }
    }
    let servers = held.iter().map(|(node, held)| async move {
        let endpoint = network.endpoint().at(node);
        let mut redis_cli = endpoint.redis_cli();
        if network.endpoint().mode() == ClusterMode::Oss {
            redis_cli.insert(1, "-c".to_owned());
        }
        let server = Examined {
            endpoint,
            mode: network.endpoint().mode(),
            held,
        };
        let mut facts = server.facts(redis_cli.clone(), service, role).await;
        // A cluster that goes down under the questions takes the connection along; the next look sees that it is down.
        if matches!(&facts, Err(e) if e.is_disconnected()) {
            tokio::time::sleep(LOOK_AGAIN).await;
            facts = server.facts(redis_cli.clone(), service, role).await;
        }
        FoundServer {
            address: node.to_string(),
            facts,
            redis_cli,
            partitions: held.iter().map(|(number, _)| *number).collect(),
        }
    });
    let mut servers = join_all(servers).await;
    if servers.iter().all(|server| server.facts.is_err()) {
        return Err(match servers.pop().map(|server| server.facts) {
            Some(Err(e)) => e,
            _ => StoreError::homeless(),
        });
    }
    Ok(Found {
        servers,
        unserved,
        partitions: u16::try_from(stores.len()).unwrap_or(u16::MAX),
    })
}

/// One server, and the partitions that it holds.
struct Examined<'a> {
    endpoint: Endpoint,
    mode: ClusterMode,
    held: &'a [(u16, &'a Store)],
}

impl Examined<'_> {
    async fn facts(&self, redis_cli: Vec<String>, service: &str, role: Role) -> Result<Facts, StoreError> {
        // Whichever partition's, the way leads to this server.
        let Some((_, store)) = self.held.first() else {
            return Err(StoreError::homeless());
        };
        let (keys, database) = (&store.keys, self.endpoint.database());
        let info = store.info().await?;
        let cluster = match self.mode {
            ClusterMode::Oss => Some(store.cluster_state().await?),
            _ => None,
        };
        let is = |name: &str, value: &str| {
            let says = |info: &BTreeMap<String, String>| info.get(name).is_some_and(|found| found == value);
            info.as_ref().is_ok_and(says)
        };
        // A cluster's node answers with redirections where nobody follows them, and drops the connection while the cluster
        // is down.
        let elsewhere = is("redis_mode", "sentinel")
            || is("server_mode", "sentinel")
            || (is("cluster_enabled", "1") && self.mode != ClusterMode::Oss)
            || matches!(cluster, Some(Ok(ClusterState { ok: false, .. })));
        Ok(Facts {
            place: Asker {
                mode: self.mode,
                redis_cli,
                address: self.endpoint.address(),
                user: self.endpoint.user().to_owned(),
                service: service.to_owned(),
                role,
                key_rules: key_rules(keys),
                channel_rule: channel_rule(keys, database),
                smallest: role.rules(keys, database, self.mode, |need| need == Need::Required),
            },
            info,
            config: store.settings().await?,
            clock: store.clock().await?,
            cluster,
            service: if elsewhere {
                None
            } else {
                Some(self.service_facts(store, role).await?)
            },
        })
    }

    async fn service_facts(&self, store: &Store, role: Role) -> Result<ServiceFacts, StoreError> {
        let nothing = store.keys.lock(&NO_ENTRY);
        let mut rights = Vec::new();
        for right in role.rights_on(self.mode) {
            let answer = if right.is_subscription() {
                store.may_subscribe(&self.endpoint).await?
            } else {
                let (name, args) = right.probe(&store.keys, &nothing);
                answer(store.ask(name, args).await?.map(drop))
            };
            rights.push((right, answer));
        }
        let script = store.ask("EVAL", words(&["return(1)", "0"])).await?.map(drop);
        let write = store.write_to(&store.keys.input).await?;
        let mut partitions = Vec::new();
        for (number, store) in self.held {
            partitions.push(PartitionFacts {
                number: *number,
                keys: store.key_facts(role).await?,
                lanes: vec![
                    store.lane_fact(&store.keys.input).await?,
                    store.lane_fact(&store.keys.front).await?,
                ],
                lock_ttl: store.lock_ttl().await?,
            });
        }
        Ok(ServiceFacts {
            rights,
            script,
            write,
            partitions,
        })
    }
}
