//! What each step does.

use crate::broken::Broken;
use crate::protocol::Protocol;
use crate::redis::{Entry, Id, Judged, Lane, Place, Requeued};
use crate::seeded::Seeded;
use crate::worker::{Ask, Call, Ending, Lease, Life, Phase, Taken, Told, Worker};
use crate::world::{Action, Reply, Straggler, World};

impl Protocol {
    /// Takes one step.
    pub(crate) fn step(&self, world: &mut World, action: Action) {
        if let Some(w) = lost_by(action) {
            world.faults.lost_replies -= 1;
            debug_assert!(w < world.workers.len(), "a worker that is not there lost a reply");
        }
        match action {
            Action::Tick => self.tick(world, None),
            Action::LaggingTick(w) => {
                world.faults.lags -= 1;
                self.tick(world, Some(w));
            }
            Action::Submit(stream) => world.submit(stream),
            Action::Hello(w, reply) => self.hello(world, w, reply),
            Action::Register(w) => {
                world.redis.register(world.workers[w].consumer);
                world.workers[w].started = true;
            }
            Action::Restore(w, reply) => self.restore(world, w, reply),
            Action::Read(w, reply) => self.read(world, w, reply),
            Action::Audit(w, id) => {
                let worker = &mut world.workers[w];
                worker.in_hand = world.redis.entry(id).and_then(|entry| self.taken(worker, entry));
            }
            Action::Ask(w, ask, reply) => {
                self.call(world, w, ask);
                self.serve(world, w);
                match reply {
                    Reply::Heard => self.answer(world, w),
                    Reply::Lost => give_up(world, w),
                }
            }
            Action::Call(w, ask) => self.call(world, w, ask),
            Action::Serve(w) => self.serve(world, w),
            Action::Answer(w) => self.answer(world, w),
            Action::GiveUp(w) => {
                let answered = world.workers[w].call.is_some_and(|call| call.answer.is_some());
                let fault = if answered {
                    &mut world.faults.lost_replies
                } else {
                    &mut world.faults.stragglers
                };
                *fault -= 1;
                give_up(world, w);
            }
            Action::Expire(w, id) => {
                if let Some(lease) = world.workers[w].lease_mut(id) {
                    lease.phase = Phase::Disowned(Ending::Release);
                }
                self.post(world, w, id);
            }
            Action::End(w, id, ending) => {
                if let Some(lease) = world.workers[w].lease_mut(id) {
                    lease.phase = Phase::Settling(ending);
                    if ending == Ending::Done {
                        world.said_done |= 1 << lease.body.stream;
                    }
                }
                self.post(world, w, id);
            }
            Action::Post(w, id) => self.post(world, w, id),
            Action::Settle(w, reply) => self.settle_step(world, w, reply),
            Action::Duplicate(w) => {
                if let Some(batch) = world.workers[w].batch {
                    world.faults.stragglers -= 1;
                    world.stragglers.push(Straggler::Settle(batch.step));
                }
            }
            Action::Requeue(w, id) => self.requeue_step(world, w, id),
            Action::SecondHalf(w) => self.second_half(world, w),
            Action::Promote(w, id) => {
                if let Some(epoch) = world.workers[w].epoch {
                    world.redis.promote(&mut world.drawn, epoch, id);
                }
            }
            Action::Crash(w) => {
                world.faults.crashes -= 1;
                world.kill(w);
            }
            Action::Start(w) => {
                world.faults.starts -= 1;
                world.consumers += 1;
                world.workers[w] = Worker::new(world.consumers);
            }
            Action::Shutdown(w) => {
                world.faults.shutdowns -= 1;
                self.shutdown(&mut world.workers[w]);
            }
            Action::HandBack(w, id) => {
                let worker = &mut world.workers[w];
                let taken = world.redis.entry(id).and_then(|entry| self.taken(worker, entry));
                worker.leases.extend(taken.map(unleased));
            }
            Action::Leave(w) => {
                let left = world.workers[w].consumer;
                world.redis.deregister(left);
                world.kill(w);
                // Its receipt is gone too. Acquisitions and renewals that are still on their way arrive before, or never.
                world.stragglers.retain_mut(|straggler| match straggler {
                    Straggler::Settle(step) => {
                        step.answered |= step.consumer == left;
                        true
                    }
                    Straggler::Call { consumer, .. } => *consumer != left,
                });
            }
            Action::Arrive(n) => self.arrive(world, n),
            Action::LagBehind => world.replica = Some(world.redis.clone()),
            Action::Failover => {
                if let Some(mut replica) = world.replica.take() {
                    world.faults.failovers -= 1;
                    lose(world);
                    replica.run_id = world.redis.run_id + 1;
                    replica.clock = world.redis.clock;
                    world.redis = replica;
                }
            }
            Action::Wipe => {
                world.faults.wipes -= 1;
                lose(world);
                world.redis = crate::redis::Redis {
                    run_id: world.redis.run_id + 1,
                    clock: world.redis.clock,
                    ..Default::default()
                };
                world.replica = None;
            }
            Action::Jump => {
                world.faults.jumps -= 1;
                world.redis.clock += 1;
                for _ in 0..self.bounds.ttl {
                    world.redis.tick(self.bounds.ttl);
                }
            }
        }
    }

    fn tick(&self, world: &mut World, lagging: Option<usize>) {
        world.redis.tick(self.bounds.ttl);
        if let Some(replica) = &mut world.replica {
            replica.tick(self.bounds.ttl);
        }
        for (w, worker) in world.workers.iter_mut().enumerate() {
            // A call times out before the second tick; only an answer that is there already may be heard later.
            let given_up = |call: &Call| call.answer.is_none() && call.left < self.validity();
            if let Some(call) = worker.call.take_if(|call| given_up(call))
                && matches!(call.ask, Ask::Acquire(_))
            {
                worker.in_hand = None;
            }
            if lagging != Some(w) {
                worker.tick();
            }
        }
    }

    fn requeue_step(&self, world: &mut World, w: usize, id: Id) {
        let worker = &world.workers[w];
        let Some(epoch) = worker.epoch else { return };
        // A claim may come a little before the ttl is over, and does what a scan does.
        let how = self.requeue(worker, self.bounds.ttl - 1);
        let Some(entry) = world.redis.entry(id).copied() else {
            return;
        };
        if world.redis.may_requeue(epoch, how, id) != Judged::Done(Requeued::Ok(id)) {
            return;
        }
        if is_held(world, entry.body.run) {
            world.broken.note(Broken::OWNER);
        }
        if self.has(Seeded::XackThenXadd) || self.has(Seeded::XaddThenXack) {
            self.first_half(world, w, entry);
            return;
        }
        world.redis.requeue(&mut world.drawn, epoch, how, id);
    }

    fn first_half(&self, world: &mut World, w: usize, entry: Entry) {
        world.workers[w].half_done = Some(entry.id);
        if self.has(Seeded::XackThenXadd) {
            if let Some(entry) = world.redis.entry_mut(entry.id) {
                entry.pending = None;
            }
            return;
        }
        let others = world.redis.entries.iter();
        if others
            .clone()
            .any(|e| e.body.stream == entry.body.stream && e.id != entry.id)
        {
            world.broken.note(Broken::RIVALS);
        }
        world
            .redis
            .put_again(&mut world.drawn, entry.body, Place::In(Lane::Front));
    }

    fn second_half(&self, world: &mut World, w: usize) {
        let worker = &mut world.workers[w];
        let Some(id) = worker.half_done.take() else { return };
        let there = world.redis.entry(id).copied();
        if self.has(Seeded::UnlockBeforeXack) {
            if let Some(entry) = there {
                world.redis.done |= 1 << entry.body.stream;
            } else {
                world.broken.note(Broken::OUTCOME);
            }
            worker.batch = None;
            worker.forget(id);
        } else if let (Some(entry), true) = (there, self.has(Seeded::XackThenXadd)) {
            world
                .redis
                .put_again(&mut world.drawn, entry.body, Place::In(Lane::Front));
        }
        world.redis.finish(id);
    }

    fn read(&self, world: &mut World, w: usize, reply: Reply) {
        let worker = &mut world.workers[w];
        let Some(entry) = world.redis.read(worker.consumer) else {
            return;
        };
        if reply == Reply::Heard && !worker.knows(entry.id) {
            worker.in_hand = self.taken(worker, &entry);
        }
    }

    /// What a read or an audit brings.
    fn taken(&self, worker: &Worker, entry: &Entry) -> Option<Taken> {
        let (Place::In(lane) | Place::Delayed(lane)) = entry.place;
        let may_be_its = |lease: &Lease| !lease.known && lease.body.stream == entry.body.stream;
        if worker.leases.iter().any(may_be_its) && !self.has(Seeded::CopyLeasedAgain) {
            return None;
        }
        Some(Taken {
            id: entry.id,
            body: entry.body,
            lane,
            epoch: worker.epoch?,
        })
    }

    fn shutdown(&self, worker: &mut Worker) {
        worker.life = Life::Leaving;
        let ending = if self.has(Seeded::ShutdownAcknowledges) {
            Ending::Done
        } else {
            Ending::Release
        };
        for lease in worker.leases.iter_mut().filter(|lease| lease.phase == Phase::Held) {
            lease.phase = Phase::Disowned(ending);
        }
        if let Some(read) = worker.in_hand.take() {
            worker.leases.push(unleased(read));
        }
    }
}

/// What is handed back without ever having been leased.
const fn unleased(Taken { id, body, lane, .. }: Taken) -> Lease {
    Lease {
        id,
        body,
        lane,
        token: None,
        left: 0,
        phase: Phase::Disowned(Ending::Release),
        known: true,
        told: Told::Nothing,
        survived: false,
    }
}

/// Whether a living worker works on that run with a valid lease.
fn is_held(world: &World, run: u8) -> bool {
    let leases = world.workers.iter().flat_map(|w| &w.leases);
    leases
        .into_iter()
        .any(|lease| lease.body.run == run && lease.is_valid())
}

/// Writes were lost: what a process holds is to be kept, and nothing else can be.
fn lose(world: &mut World) {
    world.lossy = true;
    world.kept = 0;
    for worker in &mut world.workers {
        let mine = |lease: &&mut Lease| world.redis.is_mine(lease.id, worker.consumer, lease.token);
        for lease in worker
            .leases
            .iter_mut()
            .filter(|lease| lease.token.is_some())
            .filter(mine)
        {
            lease.survived = true;
            world.kept |= 1 << lease.body.stream;
        }
    }
}

fn give_up(world: &mut World, w: usize) {
    let worker = &mut world.workers[w];
    let Some(call) = worker.call.take() else { return };
    if matches!(call.ask, Ask::Acquire(_)) {
        // What was read and not acquired is left to the audit.
        worker.in_hand = None;
    }
    if call.answer.is_none() {
        let consumer = worker.consumer;
        world.stragglers.push(Straggler::Call {
            consumer,
            ask: call.ask,
            epoch: call.epoch,
        });
    }
}

const fn lost_by(action: Action) -> Option<usize> {
    match action {
        Action::Hello(w, Reply::Lost)
        | Action::Restore(w, Reply::Lost)
        | Action::Read(w, Reply::Lost)
        | Action::Ask(w, _, Reply::Lost)
        | Action::Settle(w, Reply::Lost) => Some(w),
        _ => None,
    }
}
