//! Recovery without notifications, as something that can be checked in every state.
//!
//! "Eventually" is beyond a search that takes a cycle for a join. What is promised is more than that anyway, and simpler to look
//! at: whatever has happened, one newcomer that does what every worker does, and nobody else ever doing anything again, brings
//! all that Redis has to its end, by scans alone, within one `lock_ttl`.

use crate::bounds::Faults;
use crate::protocol::{Protocol, needs_hello};
use crate::redis::{Id, Place};
use crate::seeded::Seeded;
use crate::worker::{Ask, Ending, Worker};
use crate::world::{Action, Reply, World};

/// Whether a newcomer finishes everything that Redis has, all others being dead.
#[must_use]
pub fn recovers(protocol: &Protocol, world: &World) -> bool {
    // Without writes from now on there is nothing that a fault could hit.
    if world.broken.any() {
        return true;
    }
    let mut world = World {
        faults: Faults::NONE,
        replica: None,
        stragglers: Vec::new(),
        ..world.clone()
    };
    world.consumers += 1;
    world.workers.push(Worker::new(world.consumers));
    let newcomer = world.workers.len() - 1;
    for _ in 0..protocol.bounds.ttl {
        work(protocol, &mut world, newcomer);
        protocol.step(&mut world, Action::Tick);
    }
    work(protocol, &mut world, newcomer);
    world.redis.entries.is_empty()
}

/// All that can be done at one moment.
fn work(protocol: &Protocol, world: &mut World, w: usize) {
    if needs_hello(world, &world.workers[w]) {
        protocol.step(world, Action::Hello(w, Reply::Heard));
        protocol.step(world, Action::Register(w));
    }
    let ids = |world: &World, delayed: bool| -> Vec<Id> {
        let entries = world.redis.entries.iter();
        let some = entries.filter(|e| matches!(e.place, Place::Delayed(_)) == delayed);
        some.map(|e| e.id).collect()
    };
    for id in ids(world, true) {
        protocol.step(world, Action::Promote(w, id));
    }
    // A scan looks at what has been idle for a tick longer than a claim does.
    let is_old = |world: &World, id: Id| world.redis.pending(id).is_some_and(|p| p.idle >= protocol.bounds.ttl);
    for id in ids(world, false) {
        if is_old(world, id) && !protocol.has(Seeded::NoScan) {
            protocol.step(world, Action::Requeue(w, id));
            protocol.step(world, Action::SecondHalf(w));
        }
    }
    let unknown: Vec<Id> = protocol.unknown(world, &world.workers[w]).collect();
    for id in unknown {
        protocol.step(world, Action::Audit(w, id));
        finish(protocol, world, w);
    }
    loop {
        let before = world.redis.delivered;
        protocol.step(world, Action::Read(w, Reply::Heard));
        if world.redis.delivered == before {
            return;
        }
        finish(protocol, world, w);
    }
}

/// From what is in hand to `done`.
fn finish(protocol: &Protocol, world: &mut World, w: usize) {
    let Some(id) = world.workers[w].in_hand.map(|taken| taken.id) else {
        return;
    };
    protocol.step(world, Action::Ask(w, Ask::Acquire(id), Reply::Heard));
    protocol.step(world, Action::End(w, id, Ending::Done));
    protocol.step(world, Action::Post(w, id));
    protocol.step(world, Action::Settle(w, Reply::Heard));
    protocol.step(world, Action::SecondHalf(w));
}
