//! The servers, and what is done to them. A strike returns when it is over and the servers are whole again.

mod cluster;
mod sentinel;
mod standalone;

use std::thread::sleep;
use std::time::Duration;

use streamherd_ledger::Target;
use streamherd_testkit::{RawClient, Server};
use streamherd_tests::SERVICE;

use crate::schedule::{OnServers, Topology};

/// Servers that belong together. Each partition is on one of their masters.
pub(crate) trait Stage: Send {
    fn url(&self) -> String;
    fn partitions(&self) -> u16;
    /// Those with data, in the order of their numbers.
    fn servers(&self) -> Vec<&Server>;
    /// Those that only watch.
    fn watchers(&self) -> Vec<&Server>;
    /// The number of the server that holds a partition.
    fn home(&self, partition: u16) -> usize;
    fn freeze(&mut self, server: usize);
    fn thaw(&mut self, server: usize);
    /// What only this topology can go through.
    fn special(&mut self, strike: OnServers) -> Hit;
}

/// Who was hit, and whether Redis may have forgotten writes that it had acknowledged: it is another process, or its clock
/// jumped, and a producer that keeps what it submitted can't tell what was finished since its last look from what is lost.
#[derive(Debug)]
pub(crate) struct Hit {
    pub(crate) target: Target,
    pub(crate) forgets: bool,
}

pub(crate) fn start(topology: Topology) -> Box<dyn Stage> {
    match topology {
        Topology::Standalone => Box::new(standalone::start()),
        Topology::Sentinel => Box::new(sentinel::start()),
        Topology::Cluster => Box::new(cluster::start()),
    }
}

/// Does it, and waits until it is over.
pub(crate) fn strike(stage: &mut dyn Stage, strike: OnServers) -> Hit {
    match strike {
        OnServers::Freeze(which, time) => {
            let server = master(stage, which);
            stage.freeze(server);
            sleep(time);
            stage.thaw(server);
            hit(stage, server, false)
        }
        OnServers::Flush(which) => {
            let server = master(stage, which);
            stage.servers()[server].client().cmd("FLUSHALL").ok();
            hit(stage, server, true)
        }
        OnServers::DropGroup(which) => {
            let partition = chosen(which, usize::from(stage.partitions()));
            let partition = u16::try_from(partition).unwrap_or(0);
            // There is none yet if all was lost a moment ago.
            let destroy = format!("XGROUP DESTROY {} workers", key(partition));
            let _ = client_for(stage, partition).cmd(&destroy);
            Hit {
                target: Target::Partitions(vec![partition]),
                forgets: true,
            }
        }
        OnServers::ForgetScripts => everywhere(stage, "SCRIPT FLUSH"),
        OnServers::DropClients => {
            everywhere(stage, "CLIENT KILL TYPE pubsub");
            everywhere(stage, "CLIENT KILL TYPE normal SKIPME yes")
        }
        OnServers::NoEvents => {
            for server in stage.servers() {
                server
                    .client()
                    .call(&["CONFIG", "SET", "notify-keyspace-events", ""])
                    .ok();
            }
            all(false)
        }
        OnServers::FullMemory(time) => {
            everywhere(stage, "CONFIG SET maxmemory 1");
            sleep(time);
            everywhere(stage, "CONFIG SET maxmemory 0")
        }
        special => stage.special(special),
    }
}

/// The key that a partition is placed by.
pub(crate) fn key(partition: u16) -> String {
    format!("{{{SERVICE}:{partition}}}:input")
}

/// A connection to where a partition is.
pub(crate) fn client_for(stage: &dyn Stage, partition: u16) -> RawClient {
    stage.servers()[stage.home(partition)].client()
}

/// One of the servers that hold partitions.
fn master(stage: &dyn Stage, which: u64) -> usize {
    let mut homes: Vec<usize> = (0..stage.partitions()).map(|partition| stage.home(partition)).collect();
    homes.sort_unstable();
    homes.dedup();
    homes[chosen(which, homes.len())]
}

fn chosen(which: u64, of: usize) -> usize {
    usize::try_from(which).unwrap_or(0) % of
}

/// The partitions that are on a server.
fn on(stage: &dyn Stage, server: usize) -> Vec<u16> {
    let partitions = 0..stage.partitions();
    partitions
        .filter(|partition| stage.home(*partition) == server)
        .collect()
}

fn hit(stage: &dyn Stage, server: usize, forgets: bool) -> Hit {
    let target = Target::Partitions(on(stage, server));
    Hit { target, forgets }
}

fn all(forgets: bool) -> Hit {
    let target = Target::All;
    Hit { target, forgets }
}

fn everywhere(stage: &dyn Stage, command: &str) -> Hit {
    for server in stage.servers() {
        server.client().cmd(command).ok();
    }
    all(false)
}

/// Has a replica copy nothing from its master any more, and nobody notice.
fn cut_off(replica: &mut RawClient) {
    // Its master asks for no password, so it takes none either.
    replica.cmd("CONFIG SET masterauth nonsense").ok();
    replica.cmd("CLIENT KILL TYPE master").ok();
}

fn allow_copies(server: &mut RawClient) {
    server.call(&["CONFIG", "SET", "masterauth", ""]).ok();
}

/// Less than anybody calls a server dead for.
const BLINK: Duration = Duration::from_millis(500);
