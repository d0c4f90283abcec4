//! How leases end: one outstanding batch per worker, repeated until Redis answers.

use crate::broken::Broken;
use crate::protocol::Protocol;
use crate::redis::{Id, Judged, Settled, Step};
use crate::seeded::Seeded;
use crate::worker::{Batch, Ending, Phase};
use crate::world::{Reply, Straggler, World};

impl Protocol {
    /// The settler puts a batch together, unless one is outstanding.
    pub(crate) fn post(&self, world: &mut World, w: usize, id: Id) {
        let worker = &mut world.workers[w];
        let (None, Some(epoch), Some(lease)) = (worker.batch, worker.epoch, worker.lease(id).copied()) else {
            return;
        };
        let (Phase::Settling(ending) | Phase::Disowned(ending)) = lease.phase else {
            return;
        };
        worker.number += 1;
        let step = Step {
            consumer: worker.consumer,
            number: worker.number,
            epoch,
            id,
            token: lease.token,
            ending,
            body: lease.body,
            memory: lease.token.is_some() && !lease.known && !self.has(Seeded::NoMemory),
            answered: false,
        };
        worker.batch = Some(Batch { step, counts: false });
    }

    /// Redis carries out the batch that is outstanding.
    pub(crate) fn settle_step(&self, world: &mut World, w: usize, reply: Reply) {
        let World {
            redis,
            drawn,
            workers,
            broken,
            ..
        } = world;
        let worker = &mut workers[w];
        let Some(batch) = &mut worker.batch else { return };
        let step = batch.step;
        if self.has(Seeded::UnlockBeforeXack) && step.ending == Ending::Done && !step.memory {
            if let Some(entry) = redis.entry_mut(step.id) {
                entry.lock = None;
            }
            worker.half_done = Some(step.id);
            return;
        }
        let is_there = step
            .token
            .is_some_and(|token| redis.is_locked_by((step.consumer, token)));
        let (answer, counts) = redis.settle(drawn, self.settle(), step);
        batch.counts |= counts;
        let counts = batch.counts;
        if reply == Reply::Lost {
            return;
        }
        let Judged::Done(outcome) = answer else {
            // Without a receipt: nothing of it was carried out. It is put together anew once another epoch is known.
            if Some(step.epoch) != worker.epoch {
                worker.batch = None;
            }
            return;
        };
        // Nobody has taken over what this very lease has locked.
        if (outcome == Settled::Ok) != counts || outcome == Settled::Disowned && is_there {
            broken.note(Broken::OUTCOME);
        }
        worker.batch = None;
        match step.token {
            Some(token) => worker.leases.retain(|lease| lease.token != Some(token)),
            None => worker.forget(step.id),
        }
    }

    /// A call that was given up is carried out, and nobody hears what it did.
    pub(crate) fn arrive(&self, world: &mut World, n: usize) {
        match world.stragglers.remove(n) {
            Straggler::Call { consumer, ask, epoch } => {
                self.ask(world, consumer, ask, epoch);
            }
            Straggler::Settle(step) => {
                let before = world.redis.entries.len();
                let (_, counts) = world.redis.settle(&mut world.drawn, self.settle(), step);
                // What a copy queues after the answer was heard is queued twice.
                if step.answered && world.redis.entries.len() > before {
                    world.broken.note(Broken::OUTCOME);
                }
                let same = |batch: &&mut Batch| batch.step == step;
                let batches = world.workers.iter_mut().filter_map(|w| w.batch.as_mut());
                for batch in batches.filter(same) {
                    batch.counts |= counts;
                }
            }
        }
    }
}
