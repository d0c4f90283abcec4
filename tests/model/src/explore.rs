//! Exploring: all states, or long random walks.

use std::collections::BTreeMap;
use std::num::NonZeroUsize;
use std::time::{Duration, Instant};

use rand::rngs::SmallRng;
use rand::{RngExt as _, SeedableRng as _};
use stateright::{Checker, CheckerBuilder, HasDiscoveries, Model as _};

use crate::protocol::Protocol;
use crate::canonical::canonical;
use crate::world::Action;

/// A walk that has drawn a fault draws again but for one time in so many.
const FAULTS_ARE_RARE: u32 = 8;

/// What an exploration has found.
#[derive(Debug)]
pub struct Explored {
    /// States that differ; of walks, steps.
    pub states: usize,
    /// The longest way that was gone.
    pub depth: usize,
    /// Whether there was nothing left to explore within the bounds.
    pub exhausted: bool,
    /// Broken properties, each with the way to it.
    pub broken: BTreeMap<&'static str, Vec<String>>,
    /// How long it took.
    pub took: Duration,
}

impl Explored {
    /// The names of what was broken.
    #[must_use]
    pub fn names(&self) -> Vec<&'static str> {
        self.broken.keys().copied().collect()
    }
}

/// Explores every state within the bounds, each only once of those that differ by names; stops at the first broken property.
///
/// # Panics
/// The search panicked.
#[must_use]
pub fn exhaust(protocol: Protocol, patience: Duration) -> Explored {
    let start = Instant::now();
    let checker = search(protocol, patience).symmetry_fn(canonical).spawn_dfs().join();
    explored(&checker, start, patience)
}

/// Explores breadth first, to find the shortest way to a broken property.
///
/// # Panics
/// The search panicked.
#[must_use]
pub fn shortest(protocol: Protocol, patience: Duration) -> Explored {
    let start = Instant::now();
    let checker = search(protocol, patience).spawn_bfs().join();
    explored(&checker, start, patience)
}

fn search(protocol: Protocol, patience: Duration) -> CheckerBuilder<Protocol> {
    let threads = std::thread::available_parallelism().map_or(1, NonZeroUsize::get);
    let search = protocol.checker().threads(threads).timeout(patience);
    search.finish_when(HasDiscoveries::AnyFailures)
}

fn explored(checker: &impl Checker<Protocol>, start: Instant, patience: Duration) -> Explored {
    let broken = checker.discoveries().into_iter().map(|(name, path)| {
        let steps = path.into_actions().iter().map(|action| format!("{action:?}")).collect();
        (name, steps)
    });
    Explored {
        states: checker.unique_state_count(),
        depth: checker.max_depth(),
        broken: broken.collect(),
        exhausted: start.elapsed() < patience,
        took: start.elapsed(),
    }
}

/// Walks at random from the beginning, each time for at most that many steps, until the time is over or a property is broken.
/// Each walk has a seed of its own, counted from `seed`.
///
/// stateright's own simulation ends a walk at the first state that it has seen before, and time that passes between two
/// renewals leads back to where it was.
#[must_use]
pub fn walk(protocol: &Protocol, seed: u64, walks: u64, steps: usize) -> Explored {
    let start = Instant::now();
    let mut explored = Explored {
        states: 0,
        depth: 0,
        exhausted: false,
        broken: BTreeMap::new(),
        took: Duration::ZERO,
    };
    for n in 0..walks {
        let way = one_walk(protocol, seed.wrapping_add(n), steps, &mut explored.broken);
        explored.states += way;
        explored.depth = explored.depth.max(way);
        if !explored.broken.is_empty() {
            break;
        }
    }
    explored.took = start.elapsed();
    explored
}

fn one_walk(protocol: &Protocol, seed: u64, steps: usize, broken: &mut BTreeMap<&'static str, Vec<String>>) -> usize {
    let mut rng = SmallRng::seed_from_u64(seed);
    let properties = protocol.properties();
    let mut world = protocol.beginning();
    let mut way: Vec<Action> = Vec::new();
    let mut actions = Vec::new();
    while way.len() < steps && protocol.within_boundary(&world) {
        actions.clear();
        protocol.actions(&world, &mut actions);
        // What changes nothing is no step.
        let next = loop {
            if actions.is_empty() {
                return way.len();
            }
            let mut at = rng.random_range(0..actions.len());
            // Faults that all strike at once leave nothing for them to hit later.
            if actions[at].is_fault() && rng.random_range(0..FAULTS_ARE_RARE) > 0 {
                at = rng.random_range(0..actions.len());
            }
            let action = actions.swap_remove(at);
            if let Some(next) = protocol.next_state(&world, action) {
                break (action, next);
            }
        };
        way.push(next.0);
        world = next.1;
        for property in properties.iter().filter(|property| !(property.condition)(protocol, &world)) {
            let mut steps = vec![format!("seed {seed}")];
            steps.extend(way.iter().map(|action| format!("{action:?}")));
            broken.insert(property.name, steps);
        }
        if !broken.is_empty() {
            break;
        }
    }
    way.len()
}
