//! States that differ only by names are the same: which worker is the first, how its consumer is called, and by how much one id,
//! token or run is larger than another.

use crate::redis::{Consumer, Redis};
use crate::worker::{Ask, Worker};
use crate::world::{Straggler, World};

/// More ids, tokens and runs than any bounds allow.
const NAMES: usize = 64;
/// And more consumers.
const CONSUMERS: usize = 16;

/// One of all states that are the same.
#[must_use]
pub(crate) fn canonical(world: &World) -> World {
    let mut world = world.clone();
    forget_notes(&mut world);
    compress(&mut world, World::ids);
    compress(&mut world, World::tokens);
    compress(&mut world, World::runs);
    let mut least = world.clone();
    rename(&mut least);
    for order in orders(world.workers.len()) {
        let mut other = world.clone();
        other.workers = order.iter().map(|at| world.workers[*at].clone()).collect();
        rename(&mut other);
        least = least.min(other);
    }
    least
}

/// Notes of entries that nobody knows any more are never read.
fn forget_notes(world: &mut World) {
    let mut named: Vec<u8> = Vec::new();
    for worker in &world.workers {
        named.extend(worker.leases.iter().map(|lease| lease.id));
        named.extend(worker.in_hand.map(|taken| taken.id));
        named.extend(worker.batch.map(|batch| batch.step.id));
    }
    for straggler in &world.stragglers {
        if let Straggler::Settle(step) = straggler {
            named.push(step.id);
        }
    }
    for redis in std::iter::once(&mut world.redis).chain(&mut world.replica) {
        let entries = &redis.entries;
        redis
            .moved
            .retain(|id, _| named.contains(id) || entries.iter().any(|e| e.id == *id));
    }
}

/// Visits all numbers of a kind.
type Each = fn(&mut World, &mut dyn FnMut(&mut u8));

/// Replaces all numbers of a kind by their ranks.
fn compress(world: &mut World, each: Each) {
    let mut ranks = [0_u8; NAMES];
    each(world, &mut |name| ranks[usize::from(*name)] = 1);
    let mut next = 0;
    ranks[0] = 0;
    for rank in &mut ranks[1..] {
        if *rank == 1 {
            next += 1;
            *rank = next;
        }
    }
    each(world, &mut |name| *name = ranks[usize::from(*name)]);
}

/// All orders of so many workers but the one that they are in.
const fn orders(workers: usize) -> &'static [&'static [usize]] {
    match workers {
        2 => &[&[1, 0]],
        3 => &[&[0, 2, 1], &[1, 0, 2], &[1, 2, 0], &[2, 0, 1], &[2, 1, 0]],
        _ => &[],
    }
}

/// Consumers are called after the order they are met in: first those that run.
fn rename(world: &mut World) {
    const UNKNOWN: u8 = u8::MAX;
    let mut names = [UNKNOWN; CONSUMERS];
    let mut known = 0;
    world.consumers_named(&mut |name| {
        let new = &mut names[usize::from(*name)];
        if *new == UNKNOWN {
            *new = known;
            known += 1;
        }
        *name = *new;
    });
    world.consumers = 0;
    for redis in world.both() {
        let (mut registered, mut others) = (0, 0_u32);
        for (_, new) in names
            .iter()
            .enumerate()
            .filter(|name| redis.registered & (1 << name.0) != 0)
        {
            // Of those that are named nowhere else it only matters that there are some.
            match new {
                &UNKNOWN => others = 1,
                new => registered |= 1 << new,
            }
        }
        redis.registered = registered | others << known;
        if !redis.receipts.is_empty() {
            let receipts = std::mem::take(&mut redis.receipts).into_iter();
            redis.receipts = receipts
                .map(|(name, receipt)| (names[usize::from(name)], receipt))
                .collect();
        }
    }
}

impl World {
    fn both(&mut self) -> impl Iterator<Item = &mut Redis> {
        std::iter::once(&mut self.redis).chain(&mut self.replica)
    }

    fn ids(&mut self, f: &mut dyn FnMut(&mut u8)) {
        for redis in self.both() {
            redis.entries.iter_mut().for_each(|e| f(&mut e.id));
            redis.delivered.iter_mut().for_each(&mut *f);
            if !redis.moved.is_empty() {
                let notes = std::mem::take(&mut redis.moved).into_iter().map(|(mut id, note)| {
                    f(&mut id);
                    (id, note)
                });
                redis.moved = notes.collect();
            }
            let notes = redis.moved.values_mut().chain(redis.written.values_mut());
            notes.filter_map(|note| note.to.as_mut()).for_each(&mut *f);
        }
        for worker in &mut self.workers {
            worker.leases.iter_mut().for_each(|lease| f(&mut lease.id));
            worker.in_hand.iter_mut().for_each(|taken| f(&mut taken.id));
            worker.batch.iter_mut().for_each(|batch| f(&mut batch.step.id));
            worker.half_done.iter_mut().for_each(&mut *f);
            worker.call.iter_mut().for_each(|call| f(call.ask.id_mut()));
        }
        for straggler in &mut self.stragglers {
            match straggler {
                Straggler::Call { ask, .. } => f(ask.id_mut()),
                Straggler::Settle(step) => f(&mut step.id),
            }
        }
    }

    fn tokens(&mut self, f: &mut dyn FnMut(&mut u8)) {
        f(&mut self.drawn.token);
        for redis in self.both() {
            let locks = redis.entries.iter_mut().filter_map(|e| e.lock.as_mut());
            locks.for_each(|lock| f(&mut lock.value.1));
            redis.written.values_mut().for_each(|note| f(&mut note.token));
        }
        for worker in &mut self.workers {
            worker
                .leases
                .iter_mut()
                .filter_map(|l| l.token.as_mut())
                .for_each(&mut *f);
            worker
                .batch
                .iter_mut()
                .filter_map(|b| b.step.token.as_mut())
                .for_each(&mut *f);
            let asked = worker.call.iter_mut().filter_map(|call| call.ask.token_mut());
            asked.for_each(&mut *f);
            if let Some(crate::worker::Answer::Acquired(crate::redis::Judged::Done(
                crate::redis::Acquired::Ok(token) | crate::redis::Acquired::Again(token),
            ))) = worker.call.as_mut().and_then(|call| call.answer.as_mut())
            {
                f(token);
            }
        }
        for straggler in &mut self.stragglers {
            match straggler {
                Straggler::Call { ask, .. } => ask.token_mut().into_iter().for_each(&mut *f),
                Straggler::Settle(step) => step.token.iter_mut().for_each(&mut *f),
            }
        }
    }

    fn runs(&mut self, f: &mut dyn FnMut(&mut u8)) {
        for redis in self.both() {
            redis.entries.iter_mut().for_each(|e| f(&mut e.body.run));
        }
        for worker in &mut self.workers {
            worker.leases.iter_mut().for_each(|lease| f(&mut lease.body.run));
            worker.in_hand.iter_mut().for_each(|taken| f(&mut taken.body.run));
            worker.batch.iter_mut().for_each(|batch| f(&mut batch.step.body.run));
        }
        for straggler in &mut self.stragglers {
            if let Straggler::Settle(step) = straggler {
                f(&mut step.body.run);
            }
        }
    }

    fn consumers_named(&mut self, f: &mut dyn FnMut(&mut Consumer)) {
        for Worker { consumer, batch, .. } in &mut self.workers {
            f(consumer);
            batch.iter_mut().for_each(|batch| f(&mut batch.step.consumer));
        }
        for straggler in &mut self.stragglers {
            match straggler {
                Straggler::Call { consumer, .. } => f(consumer),
                Straggler::Settle(step) => f(&mut step.consumer),
            }
        }
        for redis in self.both() {
            for entry in &mut redis.entries {
                entry.pending.iter_mut().for_each(|p| f(&mut p.consumer));
                entry.lock.iter_mut().for_each(|l| f(&mut l.value.0));
            }
        }
    }
}

impl Ask {
    const fn id_mut(&mut self) -> &mut u8 {
        match self {
            Self::Acquire(id) | Self::Renew(id, _) => id,
        }
    }

    const fn token_mut(&mut self) -> Option<&mut u8> {
        match self {
            Self::Acquire(_) => None,
            Self::Renew(_, token) => Some(token),
        }
    }
}
