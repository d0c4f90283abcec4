//! What happens when, drawn from a seed. Does nothing itself.

use std::ops::Range;
use std::time::Duration;

use rand::rngs::StdRng;
use rand::seq::IndexedRandom as _;
use rand::{RngExt as _, SeedableRng as _};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Topology {
    Standalone,
    Sentinel,
    Cluster,
}

/// Who is struck. The strikes of a lane come one after another, those of different lanes at any time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Lane {
    Worker(u64),
    Producer(u64),
    Servers,
}

/// What is done, with its numbers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Strike {
    Worker(OnWorker),
    Network(OnNetwork, Duration),
    Servers(OnServers),
}

/// To a worker's process.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum OnWorker {
    /// `SIGKILL`, and a new process after this time.
    Kill(Duration),
    /// `SIGSTOP` for this time.
    Stop(Duration),
    /// `SIGTERM`, and a new process after this time.
    HandOver(Duration),
}

/// To the network between one process and all servers, for a time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum OnNetwork {
    /// Replies come later by this.
    Latency(Duration),
    /// So many bytes per second.
    Narrow(u64),
    /// Nothing gets through, and nobody is told.
    BlackHole,
    /// Requests get through, replies don't.
    HalfOpen,
    /// Connections are closed as they are opened.
    Refuse,
    /// All connections are closed once.
    Reset,
}

/// To the servers. `u64`s choose among several.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum OnServers {
    /// `SIGKILL`, and back with its data after this time.
    Restart(Duration),
    /// `SIGKILL`, and back without any data after this time.
    RestartEmpty(u64, Duration),
    /// `SIGSTOP` for this time, less than anybody would call it dead for.
    Freeze(u64, Duration),
    /// A master is killed, and another takes its place.
    Failover(u64),
    /// The same, of a master whose replica has had no writes for this time.
    LossyFailover(u64, Duration),
    /// A master stands still, another takes its place, and it comes back.
    FrozenFailover(u64),
    /// As an operator orders it.
    PlannedFailover(u64),
    /// A partition moves to another master.
    MoveSlot(u64, u64),
    /// `FLUSHALL`.
    Flush(u64),
    /// `XGROUP DESTROY`.
    DropGroup(u64),
    /// `SCRIPT FLUSH`.
    ForgetScripts,
    /// `CLIENT KILL` of everybody.
    DropClients,
    /// `CONFIG SET notify-keyspace-events ""`.
    NoEvents,
    /// `CONFIG SET maxmemory`, less than is used, for this time.
    FullMemory(Duration),
    /// The server's clock is ahead by so much more.
    ClockAhead(Duration),
    /// A Sentinel dies, and is back after this time.
    KillSentinel(u64, Duration),
}

impl Strike {
    pub(crate) const fn kind(self) -> &'static str {
        match self {
            Self::Worker(OnWorker::Kill(_)) => streamherd_ledger::KILL,
            Self::Worker(OnWorker::Stop(_)) => "stop",
            Self::Worker(OnWorker::HandOver(_)) => "hand over",
            Self::Network(OnNetwork::Latency(_), _) => "latency",
            Self::Network(OnNetwork::Narrow(_), _) => "narrow network",
            Self::Network(OnNetwork::BlackHole, _) => "black hole",
            Self::Network(OnNetwork::HalfOpen, _) => "half-open network",
            Self::Network(OnNetwork::Refuse, _) => "refused connections",
            Self::Network(OnNetwork::Reset, _) => "reset",
            Self::Servers(strike) => match strike {
                OnServers::Restart(_) => "restart",
                OnServers::RestartEmpty(..) => "restart without data",
                OnServers::Freeze(..) => "freeze",
                OnServers::Failover(_) => "failover",
                OnServers::LossyFailover(..) => "failover that loses writes",
                OnServers::FrozenFailover(_) => "failover of a frozen master",
                OnServers::PlannedFailover(_) => "planned failover",
                OnServers::MoveSlot(..) => "moved slot",
                OnServers::Flush(_) => "FLUSHALL",
                OnServers::DropGroup(_) => "XGROUP DESTROY",
                OnServers::ForgetScripts => "SCRIPT FLUSH",
                OnServers::DropClients => "CLIENT KILL",
                OnServers::NoEvents => "no keyspace events",
                OnServers::FullMemory(_) => "full memory",
                OnServers::ClockAhead(_) => "clock ahead",
                OnServers::KillSentinel(..) => "killed Sentinel",
            },
        }
    }
}

/// The strikes of a lane, each with the time that passes before it.
pub(crate) fn schedule(seed: u64, lane: Lane, topology: Topology) -> impl Iterator<Item = (Duration, Strike)> + Send {
    let number = match lane {
        Lane::Servers => 0,
        Lane::Worker(number) => 1 + 2 * number,
        Lane::Producer(number) => 2 + 2 * number,
    };
    // Lanes of one seed, and one lane of two seeds, have nothing in common.
    let mut rng = StdRng::seed_from_u64(seed.rotate_left(32) ^ number);
    std::iter::from_fn(move || {
        let pause = match lane {
            Lane::Worker(_) => 6_000..18_000,
            Lane::Producer(_) => 15_000..30_000,
            Lane::Servers => 5_000..13_000,
        };
        let pause = span(&mut rng, pause);
        let strike = match lane {
            Lane::Worker(_) if rng.random_bool(0.55) => Strike::Worker(on_worker(&mut rng)),
            Lane::Worker(_) | Lane::Producer(_) => on_network(&mut rng),
            Lane::Servers => Strike::Servers(on_servers(&mut rng, topology)),
        };
        Some((pause, strike))
    })
}

fn on_worker(rng: &mut StdRng) -> OnWorker {
    match rng.random_range(0..5) {
        0 | 1 => OnWorker::Kill(span(rng, 100..2_500)),
        2 | 3 => OnWorker::Stop(span(rng, 200..7_000)),
        _ => OnWorker::HandOver(span(rng, 0..1_500)),
    }
}

fn on_network(rng: &mut StdRng) -> Strike {
    let strike = match rng.random_range(0..6) {
        0 => OnNetwork::Latency(span(rng, 20..900)),
        1 => OnNetwork::Narrow(rng.random_range(500..50_000)),
        2 => OnNetwork::BlackHole,
        3 => OnNetwork::HalfOpen,
        4 => OnNetwork::Refuse,
        _ => OnNetwork::Reset,
    };
    Strike::Network(strike, span(rng, 200..6_000))
}

fn on_servers(rng: &mut StdRng, topology: Topology) -> OnServers {
    let everywhere = ["flush", "group", "scripts", "clients", "events", "memory", "freeze"];
    let here: &[&str] = match topology {
        Topology::Standalone => &["restart", "restart", "empty", "freeze", "clock"],
        Topology::Sentinel => &["failover", "lossy", "frozen", "planned", "sentinel"],
        Topology::Cluster => &["failover", "lossy", "frozen", "planned", "slot", "slot", "empty"],
    };
    // What is special to a topology as often as what is not.
    let all = if rng.random_bool(0.5) { here } else { &everywhere };
    let which: u64 = rng.random_range(0..1_000);
    match *all.choose(rng).unwrap_or(&"scripts") {
        "restart" => OnServers::Restart(span(rng, 0..5_000)),
        "empty" => OnServers::RestartEmpty(which, span(rng, 0..4_000)),
        "failover" => OnServers::Failover(which),
        "lossy" => OnServers::LossyFailover(which, span(rng, 100..1_500)),
        "frozen" => OnServers::FrozenFailover(which),
        "planned" => OnServers::PlannedFailover(which),
        "slot" => OnServers::MoveSlot(which, rng.random_range(0..1_000)),
        "sentinel" => OnServers::KillSentinel(which, span(rng, 500..4_000)),
        "clock" => OnServers::ClockAhead(span(rng, 600..8_000)),
        "flush" => OnServers::Flush(which),
        "group" => OnServers::DropGroup(which),
        "clients" => OnServers::DropClients,
        "events" => OnServers::NoEvents,
        "memory" => OnServers::FullMemory(span(rng, 200..2_500)),
        "freeze" => OnServers::Freeze(which, freeze(rng, topology)),
        _ => OnServers::ForgetScripts,
    }
}

fn freeze(rng: &mut StdRng, topology: Topology) -> Duration {
    match topology {
        Topology::Standalone => span(rng, 200..5_000),
        Topology::Sentinel | Topology::Cluster => span(rng, 100..700),
    }
}

fn span(rng: &mut StdRng, ms: Range<u64>) -> Duration {
    Duration::from_millis(rng.random_range(ms))
}

#[test]
fn a_seed_draws_the_same_faults_again_and_another_seed_others() {
    let drawn = |seed, lane| schedule(seed, lane, Topology::Cluster).take(50).collect::<Vec<_>>();
    assert_eq!(drawn(7, Lane::Servers), drawn(7, Lane::Servers));
    assert_ne!(drawn(7, Lane::Servers), drawn(8, Lane::Servers));
    assert_ne!(drawn(7, Lane::Worker(1)), drawn(7, Lane::Worker(2)));
    assert_ne!(drawn(7, Lane::Worker(1)), drawn(6, Lane::Worker(1)));
}

#[test]
fn every_kind_of_fault_is_drawn_where_it_is_possible() {
    let kinds = |topology| {
        let lanes = [Lane::Servers, Lane::Worker(0)];
        let strikes = lanes.map(|lane| schedule(1, lane, topology).take(1_000));
        let kinds = strikes.into_iter().flatten().map(|(_, strike)| strike.kind());
        kinds.collect::<std::collections::BTreeSet<_>>()
    };
    let counts = [Topology::Standalone, Topology::Sentinel, Topology::Cluster].map(|topology| kinds(topology).len());
    // Nine for workers and their networks, seven for all servers, and what is special to a topology.
    assert_eq!(counts, [9 + 7 + 3, 9 + 7 + 5, 9 + 7 + 6]);
}
