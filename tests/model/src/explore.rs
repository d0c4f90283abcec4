//! Exploring: all states, or long random walks.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::num::NonZeroUsize;
use std::time::{Duration, Instant};

use rand::rngs::SmallRng;
use rand::{RngExt as _, SeedableRng as _};
use stateright::{Checker, CheckerBuilder, HasDiscoveries, Model as _, Property};

use crate::canonical::canonical;
use crate::protocol::Protocol;
use crate::world::{Action, World};

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

impl fmt::Display for Explored {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let all = if self.exhausted { "all " } else { "" };
        write!(
            f,
            "{all}{} states, {} deep, in {:.1?}",
            self.states, self.depth, self.took
        )?;
        for (name, way) in &self.broken {
            write!(f, "\nbroken: {name}")?;
            way.iter().try_for_each(|step| write!(f, "\n  {step}"))?;
        }
        Ok(())
    }
}

/// Explores every state within the bounds, each only once of those that differ by names; stops at the first broken property.
///
/// # Panics
/// The search panicked.
#[must_use]
pub fn exhaust(protocol: Protocol, patience: Duration) -> Explored {
    let start = Instant::now();
    let threads = std::thread::available_parallelism().map_or(1, NonZeroUsize::get);
    let search = search(protocol, patience).threads(threads);
    let checker = search.symmetry_fn(canonical).spawn_dfs().join();
    explored(&checker, start, patience)
}

/// Explores breadth first, to find the shortest way to a broken property.
///
/// # Panics
/// The search panicked.
#[must_use]
pub fn shortest(protocol: Protocol, patience: Duration) -> Explored {
    let start = Instant::now();
    let mut found = explored(&search(protocol, patience).spawn_bfs().join(), start, patience);
    // The search looks at some more states before it ends, and the last way that it finds is the one it keeps.
    while let Some(steps) = found.broken.values().map(Vec::len).min() {
        let shorter = search(protocol, patience)
            .target_max_depth(steps + 1)
            .spawn_bfs()
            .join();
        let shorter = explored(&shorter, start, patience);
        if shorter.broken.is_empty() {
            break;
        }
        found = shorter;
    }
    found
}

/// Explores breadth first until one of these is broken, whatever else is.
///
/// # Panics
/// The search panicked.
#[must_use]
pub fn until(protocol: Protocol, properties: &[&'static str], patience: Duration) -> Explored {
    let start = Instant::now();
    let wanted = BTreeSet::from_iter(properties.iter().copied());
    let search = search(protocol, patience).finish_when(HasDiscoveries::AnyOf(wanted));
    explored(&search.spawn_bfs().join(), start, patience)
}

fn search(protocol: Protocol, patience: Duration) -> CheckerBuilder<Protocol> {
    protocol
        .checker()
        .timeout(patience)
        .finish_when(HasDiscoveries::AnyFailures)
}

fn explored(checker: &impl Checker<Protocol>, start: Instant, patience: Duration) -> Explored {
    let broken = checker.discoveries().into_iter().map(|(name, path)| {
        let steps = path.into_actions().iter().map(|action| format!("{action:?}")).collect();
        (name, steps)
    });
    Explored {
        states: checker.unique_state_count(),
        depth: checker.max_depth(),
        exhausted: start.elapsed() < patience,
        broken: broken.collect(),
        took: start.elapsed(),
    }
}

/// Walks at random from the beginning, so many times and each time for at most that many steps, until a property is broken. Each
/// walk has a seed of its own, counted from `seed`.
///
/// stateright's own simulation ends a walk at the first state that it has seen before, and time that passes between two
/// renewals leads back to where it was.
#[must_use]
pub fn walk(protocol: &Protocol, seed: u64, walks: u64, steps: usize) -> Explored {
    let start = Instant::now();
    let properties = protocol.properties();
    let mut explored = Explored {
        states: 0,
        depth: 0,
        exhausted: false,
        broken: BTreeMap::new(),
        took: Duration::ZERO,
    };
    for seed in (0..walks).map(|n| seed.wrapping_add(n)) {
        let broken = &mut explored.broken;
        let way = one_walk(protocol, seed, steps, |world, way| {
            let holds = |property: &&Property<Protocol>| (property.condition)(protocol, world);
            for property in properties.iter().filter(|property| !holds(property)) {
                let steps = way.iter().map(|action| format!("{action:?}"));
                broken.insert(
                    property.name,
                    std::iter::once(format!("seed {seed}")).chain(steps).collect(),
                );
            }
            broken.is_empty()
        });
        explored.states += way.len();
        explored.depth = explored.depth.max(way.len());
        if !explored.broken.is_empty() {
            break;
        }
    }
    explored.took = start.elapsed();
    explored
}

/// Walks at random until such a state is reached; then the way to it.
#[must_use]
pub fn find(protocol: &Protocol, seed: u64, walks: u64, steps: usize, such: fn(&World) -> bool) -> Option<Vec<Action>> {
    (0..walks).find_map(|n| {
        let mut found = false;
        let way = one_walk(protocol, seed.wrapping_add(n), steps, |world, _| {
            found = such(world);
            !found
        });
        found.then_some(way)
    })
}

/// Goes a way as far as it is there; then the properties that are broken.
#[must_use]
pub fn follow(protocol: &Protocol, way: &[Action]) -> Vec<&'static str> {
    let mut world = protocol.beginning();
    for step in way {
        let mut actions = Vec::new();
        protocol.actions(&world, &mut actions);
        let next = actions.contains(step).then(|| protocol.next_state(&world, *step));
        let Some(next) = next.flatten() else { break };
        world = next;
    }
    let properties = protocol.properties().into_iter();
    let broken = properties.filter(|property| !(property.condition)(protocol, &world));
    broken.map(|property| property.name).collect()
}

/// One walk, for as long as `goes_on` says so of the state that it came to and the way there.
fn one_walk(
    protocol: &Protocol,
    seed: u64,
    steps: usize,
    mut goes_on: impl FnMut(&World, &[Action]) -> bool,
) -> Vec<Action> {
    let mut rng = SmallRng::seed_from_u64(seed);
    let mut world = protocol.beginning();
    let mut way: Vec<Action> = Vec::new();
    let mut actions = Vec::new();
    while way.len() < steps && protocol.within_boundary(&world) {
        actions.clear();
        protocol.actions(&world, &mut actions);
        // What changes nothing is no step.
        let next = loop {
            if actions.is_empty() {
                return way;
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
        if !goes_on(&world, &way) {
            break;
        }
    }
    way
}
