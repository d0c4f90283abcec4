//! What has to hold in every state, by the guarantees of docs/GUARANTEES.md.

use stateright::Property;

use crate::broken::Broken;
use crate::protocol::Protocol;
use crate::survivor;
use crate::worker::{Lease, Phase};
use crate::world::World;

/// An accepted submit is in exactly one of queued, delayed, pending, done, dead-lettered.
pub const CONSERVATION: &str = "1 conservation";
/// No work is taken from an owner whose lease is valid, nor is such an owner told that it is lost; across failovers too.
pub const ONE_OWNER: &str = "2 one owner";
/// What is valid at a worker is its own in Redis.
pub const VALID_IS_MINE: &str = "2 valid is mine";
/// No two leases of one run are valid at one moment.
pub const INVALID_FIRST: &str = "3 invalid first";
/// A settlement counts and says so, or changes nothing and says so; also where its reply was lost.
pub const TRUE_OUTCOME: &str = "3 true outcome";
/// Each acquisition has a larger token than all before.
pub const TOKENS_GROW: &str = "3 tokens grow";
/// One newcomer alone recovers everything within a `lock_ttl`, by scans.
pub const RECOVERY: &str = "4 recovery without notifications";
/// An orphan is re-queued once.
pub const ONCE: &str = "5 once among rivals";
/// Nothing is acknowledged that no handler has finished.
pub const HANDOVER: &str = "6 handover";
/// What a running worker held when Redis lost writes is not lost.
pub const HELD_IS_KEPT: &str = "7 held is kept";

/// All of them, and some states that have to be reachable for the others to mean anything.
pub(crate) fn all() -> Vec<Property<Protocol>> {
    vec![
        Property::always(CONSERVATION, |_, world: &World| conservation(world)),
        Property::always(ONE_OWNER, |_, world: &World| !world.broken.has(Broken::OWNER)),
        Property::always(VALID_IS_MINE, |_, world: &World| valid_is_mine(world)),
        Property::always(INVALID_FIRST, |_, world: &World| invalid_first(world)),
        Property::always(TRUE_OUTCOME, |_, world: &World| !world.broken.has(Broken::OUTCOME)),
        Property::always(TOKENS_GROW, |_, world: &World| !world.broken.has(Broken::TOKEN)),
        Property::always(RECOVERY, survivor::recovers),
        Property::always(ONCE, |_, world: &World| !world.broken.has(Broken::RIVALS)),
        Property::always(HANDOVER, |_, world: &World| world.redis.done & !world.said_done == 0),
        Property::always(HELD_IS_KEPT, |_, world: &World| held_is_kept(world)),
    ]
}

fn conservation(world: &World) -> bool {
    if world.lossy {
        return true;
    }
    let redis = &world.redis;
    let is_somewhere = |e: &crate::redis::Entry| {
        e.pending.is_some() || redis.is_queued(e) || matches!(e.place, crate::redis::Place::Delayed(_))
    };
    (0..8)
        .filter(|stream| world.submitted & (1 << stream) != 0)
        .all(|stream| {
            let entries = redis.entries.iter().filter(|e| e.body.stream == stream);
            let bit = |set: u8| usize::from(set >> stream & 1);
            let stranded = entries.clone().any(|e| !is_somewhere(e));
            !stranded && entries.count() + bit(redis.done) + bit(redis.dead) == 1
        })
}

fn valid_is_mine(world: &World) -> bool {
    let redis = &world.redis;
    world
        .workers
        .iter()
        .filter(|worker| world.is_settled(worker))
        .all(|worker| {
            let mut held = worker.leases.iter().filter(|lease| lease.is_in_work() && lease.known);
            held.all(|lease| redis.is_mine(lease.id, worker.consumer, lease.token))
        })
}

fn invalid_first(world: &World) -> bool {
    let all: Vec<&Lease> = world.workers.iter().flat_map(|worker| &worker.leases).collect();
    let valid = || all.iter().filter(|lease| lease.is_valid());
    let twice = valid().any(|one| valid().filter(|other| other.body.run == one.body.run).count() > 1);
    // A settlement that was carried out ends a life before its owner hears of it. While nothing is lost no stream has two
    // lives either.
    let in_work = || valid().filter(|lease| lease.phase == Phase::Held);
    let beside = || in_work().any(|one| in_work().filter(|other| other.body.stream == one.body.stream).count() > 1);
    !twice && (world.lossy || !beside())
}

fn held_is_kept(world: &World) -> bool {
    let finished = world.said_done | world.redis.dead;
    world.kept & !(world.in_redis() | world.in_memory() | finished) == 0
}
