//! The Redis that a test runs on: one server, or several that belong together.

use std::collections::BTreeSet;

use streamherd::{Builder, LetterId, StreamId};
use streamherd_testkit::{Cluster, Matcher, Proxy, RawClient, Sentinels, Server};

use crate::{Address, Reachable, SERVICE, partition};

/// What belongs together.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Topology {
    /// One server.
    Standalone,
    /// A primary under a Sentinel.
    Sentinel,
    /// Three masters.
    Cluster {
        /// How many partitions the service has.
        partitions: u16,
    },
}

impl Topology {
    /// How many cases of a table to run at a time, given how many where each has one server: in a cluster each has three
    /// to start, on the same processors.
    #[must_use]
    pub const fn at_a_time(self, on_one_server: usize) -> usize {
        match self {
            Self::Standalone | Self::Sentinel => on_one_server,
            Self::Cluster { .. } => on_one_server.div_ceil(3),
        }
    }
}

/// A private Redis of some topology, and the faults to put through the servers that hold the service's work. Nothing fails
/// over by itself: those who notice are given a minute to do so.
#[derive(Debug)]
pub struct Redis {
    servers: Servers,
    address: Address,
    /// The numbers of the servers that hold the service's work.
    homes: BTreeSet<usize>,
}

#[derive(Debug)]
enum Servers {
    Standalone(Box<Server>),
    Sentinel(Sentinels),
    Cluster(Cluster),
}

/// Longer than any test.
const UNNOTICED: std::time::Duration = std::time::Duration::from_secs(60);

impl Redis {
    /// Starts one. Its data outlives its processes.
    #[must_use]
    pub fn start(topology: Topology) -> Self {
        Self::with(topology, &[])
    }

    /// Starts one whose servers have these options.
    #[must_use]
    pub fn with(topology: Topology, options: &[(&str, &str)]) -> Self {
        let (servers, url, partitions) = match topology {
            Topology::Standalone => {
                let mut server = Server::builder().persistent().arg("--appendfsync", "no");
                for (name, value) in options {
                    server = server.arg(*name, *value);
                }
                let server = server.start();
                let url = server.url();
                (Servers::Standalone(Box::new(server)), url, 1)
            }
            Topology::Sentinel => {
                let mut sentinels = Sentinels::builder().alone().down_after(UNNOTICED);
                for (name, value) in options {
                    sentinels = sentinels.arg(*name, *value);
                }
                let sentinels = sentinels.start();
                let url = sentinels.url();
                (Servers::Sentinel(sentinels), url, 1)
            }
            Topology::Cluster { partitions } => {
                let mut cluster = Cluster::builder().replicas_per_master(0).node_timeout(UNNOTICED);
                for (name, value) in options {
                    cluster = cluster.arg(*name, *value);
                }
                let cluster = cluster.start();
                let url = cluster.url();
                (Servers::Cluster(cluster), url, partitions)
            }
        };
        let mut redis = Self {
            servers,
            address: Address { url, partitions },
            homes: BTreeSet::new(),
        };
        redis.homes = (0..partitions)
            .map(|partition| redis.home(SERVICE, partition))
            .collect();
        redis
    }

    /// Where clients find it.
    #[must_use]
    pub fn address(&self) -> Address {
        self.address.clone()
    }

    /// A client of a service here, with the library's own settings.
    pub fn service(&self, service: &str) -> Builder {
        self.address.service(service)
    }

    /// The same place for a user with these rules, made on every server. Sentinels have logins of their own.
    #[must_use]
    pub fn user(&self, name: &str, rules: &[String]) -> Address {
        let mut words = vec!["ACL", "SETUSER", name, "reset", "on", ">secret"];
        words.extend(rules.iter().map(String::as_str));
        for server in self.all() {
            server.client().call(&words).ok();
        }
        self.address.logged_in(&format!("{name}:secret"))
    }

    /// A connection to the server that holds a key.
    #[must_use]
    pub fn client_for(&self, key: &str) -> RawClient {
        self.connect(self.owner_of(key))
    }

    /// The partition that a stream belongs to.
    #[must_use]
    pub fn partition_of(&self, stream: &str) -> u16 {
        partition::of(stream, self.address.partitions)
    }

    /// Of the requests that match, those for the partition of a stream: the first one of these need not be the first of all.
    #[must_use]
    pub fn at_home(&self, stream: &str, matcher: Matcher) -> Matcher {
        matcher.about(&key(SERVICE, self.partition_of(stream), ""))
    }

    /// A name in each partition.
    #[must_use]
    pub fn each_partition(&self) -> Vec<String> {
        let partitions = self.address.partitions;
        let name = |partition| partition::name_in(partition, partitions, "s");
        (0..partitions).map(name).collect()
    }

    /// A dead letter in the partition of a stream.
    #[must_use]
    pub fn letter_of(&self, stream: &str, id: StreamId) -> LetterId {
        let partition = self.partition_of(stream);
        LetterId { partition, id }
    }

    /// Names that begin as these do and share the partition of the first, which stays as it is.
    #[must_use]
    pub fn neighbours<N: AsRef<str>>(&self, names: impl IntoIterator<Item = N>) -> Vec<String> {
        let names: Vec<N> = names.into_iter().collect();
        let first = names[0].as_ref().to_owned();
        self.beside(&first, names)
    }

    /// Names that begin as these do and share the partition of another.
    #[must_use]
    pub fn beside<N: AsRef<str>>(&self, stream: &str, names: impl IntoIterator<Item = N>) -> Vec<String> {
        let home = self.partition_of(stream);
        let beside = |name: N| partition::name_in(home, self.address.partitions, name.as_ref());
        names.into_iter().map(beside).collect()
    }

    /// Names as [`names`](crate::names) has them that share a partition.
    #[must_use]
    pub fn together(&self, prefix: &str, count: usize) -> Vec<String> {
        self.neighbours(crate::names(prefix, count))
    }

    /// Stops the servers that hold the service's work, with all connections open.
    pub fn freeze(&mut self) {
        self.each_home(|servers, home| match servers {
            Servers::Standalone(server) => server.freeze(),
            Servers::Sentinel(sentinels) => sentinels.freeze(home),
            Servers::Cluster(cluster) => cluster.freeze(home),
        });
    }

    /// Lets them run on.
    pub fn thaw(&mut self) {
        self.each_home(|servers, home| match servers {
            Servers::Standalone(server) => server.thaw(),
            Servers::Sentinel(sentinels) => sentinels.thaw(home),
            Servers::Cluster(cluster) => cluster.thaw(home),
        });
    }

    /// Kills the servers that hold the service's work.
    pub fn kill(&mut self) {
        self.each_home(|servers, home| match servers {
            Servers::Standalone(server) => server.kill(),
            Servers::Sentinel(sentinels) => sentinels.kill(home),
            Servers::Cluster(cluster) => cluster.kill(home),
        });
    }

    /// Kills them if they run, and starts them again with their data.
    pub fn restart(&mut self) {
        self.each_home(|servers, home| match servers {
            Servers::Standalone(server) => server.restart(),
            Servers::Sentinel(sentinels) => sentinels.restart(home),
            Servers::Cluster(cluster) => cluster.restart(home),
        });
        self.wait_until_whole();
    }

    /// Kills them if they run, and starts them again without their data.
    pub fn restart_empty(&mut self) {
        self.each_home(|servers, home| match servers {
            Servers::Standalone(server) => server.restart_empty(),
            Servers::Sentinel(sentinels) => sentinels.restart_empty(home),
            Servers::Cluster(cluster) => cluster.restart_empty(home),
        });
        self.wait_until_whole();
    }

    /// Keys expire, and are told of, only when something touches them.
    pub fn stop_active_expire(&self) {
        for server in self.holders() {
            server.stop_active_expire();
        }
    }

    /// Something between the clients and all servers, which puts those that hold the service's work through faults.
    pub async fn proxy(&self) -> Proxied {
        let holders: Vec<_> = self.holders().collect();
        let others: Vec<_> = self.all().chain(self.sentinels()).collect();
        let others: Vec<_> = others
            .into_iter()
            .filter(|one| !holders.iter().any(|holder| holder.port() == one.port()))
            .collect();
        let proxy = Proxy::in_front_of(&holders, &others).await;
        let mut address = self.address();
        for server in holders.into_iter().chain(others) {
            let (theirs, ours) = (server.port(), proxy.port_to(server));
            address.url = address.url.replace(&format!(":{theirs}"), &format!(":{ours}"));
        }
        Proxied { proxy, address }
    }

    /// The number of the server that holds a partition.
    pub(crate) fn home(&self, service: &str, partition: u16) -> usize {
        self.owner_of(&key(service, partition, "input"))
    }

    /// A connection that can be told from those of clients.
    pub(crate) fn connect(&self, server: usize) -> RawClient {
        let mut client = self.server(server).client();
        client.cmd("CLIENT SETNAME test");
        client
    }

    fn owner_of(&self, key: &str) -> usize {
        match &self.servers {
            Servers::Cluster(cluster) => cluster.owner_of(key),
            Servers::Standalone(_) | Servers::Sentinel(_) => 0,
        }
    }

    fn server(&self, number: usize) -> &Server {
        match &self.servers {
            Servers::Standalone(server) => server,
            Servers::Sentinel(sentinels) => sentinels.server(number),
            Servers::Cluster(cluster) => cluster.node(number),
        }
    }

    /// The servers that hold partitions, each once.
    fn holders(&self) -> impl Iterator<Item = &Server> {
        self.homes.iter().map(|home| self.server(*home))
    }

    fn all(&self) -> impl Iterator<Item = &Server> {
        let count = match &self.servers {
            Servers::Standalone(_) | Servers::Sentinel(_) => 1,
            Servers::Cluster(cluster) => cluster.len(),
        };
        (0..count).map(|number| self.server(number))
    }

    fn sentinels(&self) -> impl Iterator<Item = &Server> {
        let sentinels = match &self.servers {
            Servers::Sentinel(sentinels) => Some(sentinels),
            Servers::Standalone(_) | Servers::Cluster(_) => None,
        };
        sentinels.into_iter().map(|all| all.sentinel(0))
    }

    fn each_home(&mut self, act: impl Fn(&mut Servers, usize)) {
        for home in &self.homes {
            act(&mut self.servers, *home);
        }
    }

    fn wait_until_whole(&self) {
        match &self.servers {
            Servers::Standalone(_) => {}
            Servers::Sentinel(sentinels) => sentinels.wait_until_whole(),
            Servers::Cluster(cluster) => cluster.wait_until_whole(),
        }
    }
}

/// The name of a key of a service.
pub(crate) fn key(service: &str, partition: u16, name: &str) -> String {
    format!("{{{service}:{partition}}}:{name}")
}

impl Reachable for Redis {
    fn address(&self) -> Address {
        self.address.clone()
    }
}

/// A Redis whose clients come through a [`Proxy`].
#[derive(Debug)]
pub struct Proxied {
    proxy: Proxy,
    address: Address,
}

impl Reachable for Proxied {
    fn address(&self) -> Address {
        self.address.clone()
    }
}

impl std::ops::Deref for Proxied {
    type Target = Proxy;

    fn deref(&self) -> &Proxy {
        &self.proxy
    }
}
