//! What workers ask of Redis, and what they make of the answers.

use crate::broken::Broken;
use crate::protocol::Protocol;
use crate::redis::{Acquired, Judged, Restorable, Restored, Token};
use crate::seeded::Seeded;
use crate::worker::{Answer, Ask, Batch, Call, Ending, Greeting, Lease, Life, Phase, Taken, Told, Worker};
use crate::world::{Reply, World};

impl Protocol {
    /// `Partition::say_hello`, up to where what is held has to be restored.
    pub(crate) fn hello(&self, world: &mut World, w: usize, reply: Reply) {
        let World {
            redis, drawn, workers, ..
        } = world;
        let worker = &mut workers[w];
        let mut epoch = redis.hello(drawn, worker.epoch, false, self.greet());
        let jumped = Some(epoch) == worker.epoch && redis.clock != worker.clock;
        if jumped && !self.has(Seeded::ClockBelieved) {
            epoch = redis.hello(drawn, worker.epoch, true, self.greet());
        }
        if reply == Reply::Lost {
            return;
        }
        let greeting = Greeting {
            epoch,
            clock: redis.clock,
            with_fields: false,
        };
        // Each hello that is worth it has an era of its own: what an earlier one was told before it broke off says nothing.
        if !self.has(Seeded::EraNotDrawn) {
            worker.leases.iter_mut().for_each(|lease| lease.told = Told::Nothing);
        }
        let is_told = worker.leases.iter().any(is_told);
        if worker.epoch.is_none_or(|known| known == epoch) {
            worker.epoch = Some(epoch);
            worker.clock = greeting.clock;
            worker.greeting = None;
        } else if !is_told || self.has(Seeded::NoRestore) {
            adopt(worker, greeting);
        } else {
            worker.greeting = Some(greeting);
        }
    }

    /// `restore`: one call without fields, and one with those of what is gone. Then the epoch is adopted.
    pub(crate) fn restore(&self, world: &mut World, w: usize, reply: Reply) {
        let World {
            redis, drawn, workers, ..
        } = world;
        let worker = &mut workers[w];
        let Some(greeting) = worker.greeting else { return };
        let mut told = Vec::new();
        for lease in &worker.leases {
            let asked = is_told(lease) && (!greeting.with_fields || lease.told == Told::Missing);
            let Some(token) = lease.token.filter(|_| asked) else {
                continue;
            };
            let is_sent = |batch: &&Batch| batch.step.token == Some(token);
            let restorable = Restorable {
                id: lease.id,
                token,
                valid: lease.left > 0,
                batch: worker
                    .batch
                    .as_ref()
                    .filter(is_sent)
                    .map_or(0, |batch| batch.step.number),
                body: lease.body,
                lane: lease.lane,
                with_fields: greeting.with_fields,
                extends: !self.has(Seeded::RepeatNotExtended),
            };
            match redis.restore(drawn, greeting.epoch, worker.consumer, restorable, self.bounds.ttl) {
                Judged::Done(restored) => told.push((token, restored)),
                // Another loss came meanwhile.
                Judged::Epoch | Judged::Quiet => {
                    worker.greeting = None;
                    return;
                }
            }
        }
        if reply == Reply::Lost {
            worker.greeting = None;
            return;
        }
        for (token, restored) in told {
            self.hear(worker, token, restored);
        }
        let is_missing = |lease: &Lease| lease.told == Told::Missing && is_told(lease);
        let is_missing = worker.leases.iter().any(is_missing);
        if is_missing && !greeting.with_fields {
            worker.greeting = Some(Greeting {
                with_fields: true,
                ..greeting
            });
        } else {
            adopt(worker, greeting);
        }
    }

    fn hear(&self, worker: &mut Worker, token: Token, restored: Restored) {
        let validity = self.validity();
        let Some(lease) = by_token(worker, token) else { return };
        let disowned = matches!(lease.phase, Phase::Disowned(_));
        match restored {
            Restored::Kept | Restored::Written(_) => {
                lease.told = Told::Known;
                if let Restored::Written(new) = restored {
                    lease.id = new;
                }
                if !disowned && lease.left > 0 {
                    lease.left = validity;
                }
            }
            Restored::Settled => lease.told = Told::Known,
            Restored::Missing => lease.told = Told::Missing,
            Restored::Lost => {
                lease.told = Told::Nothing;
                if lease.phase == Phase::Held {
                    worker.leases.retain(|lease| lease.token != Some(token));
                }
            }
        }
    }

    /// The question of an acquisition or a renewal; what it grants counts from here.
    pub(crate) fn call(&self, world: &mut World, w: usize, ask: Ask) {
        let worker = &mut world.workers[w];
        let taken = worker.in_hand.filter(|_| matches!(ask, Ask::Acquire(_)));
        let taken = taken.filter(|_| !self.has(Seeded::EpochTakenLate));
        let Some(epoch) = taken.map(|taken| taken.epoch).or(worker.epoch) else {
            return;
        };
        worker.call = Some(Call {
            ask,
            epoch,
            left: self.validity(),
            answer: None,
        });
    }

    /// Redis carries it out.
    pub(crate) fn serve(&self, world: &mut World, w: usize) {
        let Some(call) = world.workers[w].call else { return };
        let answer = self.ask(world, world.workers[w].consumer, call.ask, call.epoch);
        // An acquisition may be repeated whose reply was lost; a lease may not begin twice.
        if let (Ask::Acquire(id), Answer::Acquired(Judged::Done(Acquired::Again(_)))) = (call.ask, answer)
            && world
                .redis
                .entry(id)
                .and_then(|e| e.lock)
                .is_some_and(|lock| lock.given)
        {
            world.broken.note(Broken::TOKEN);
        }
        if let Some(call) = &mut world.workers[w].call {
            call.answer = Some(answer);
        }
    }

    pub(crate) fn ask(&self, world: &mut World, consumer: u8, ask: Ask, epoch: crate::redis::Epoch) -> Answer {
        let ttl = self.bounds.ttl;
        match ask {
            Ask::Renew(id, token) => Answer::Renewed(world.redis.renew(epoch, consumer, id, token, ttl)),
            Ask::Acquire(id) => {
                let last = world.drawn.token;
                let anew = !self.has(Seeded::TokenNotDrawn);
                let acquired = world.redis.acquire(&mut world.drawn, epoch, consumer, id, ttl, anew);
                if matches!(acquired, Judged::Done(Acquired::Ok(token)) if token <= last) {
                    world.broken.note(Broken::TOKEN);
                }
                Answer::Acquired(acquired)
            }
        }
    }

    /// The worker hears the answer.
    pub(crate) fn answer(&self, world: &mut World, w: usize) {
        let World {
            redis, workers, broken, ..
        } = world;
        let worker = &mut workers[w];
        let Some(call) = worker.call.take() else { return };
        let left = if self.has(Seeded::DeadlineFromReply) {
            self.validity()
        } else {
            call.left
        };
        let is_current = Some(call.epoch) == worker.epoch;
        match (call.ask, call.answer) {
            (Ask::Acquire(id), Some(Answer::Acquired(answer))) => {
                let in_hand = worker.in_hand.take();
                let Some(Taken { body, lane, .. }) = in_hand.filter(|taken| taken.id == id) else {
                    return;
                };
                let Judged::Done(Acquired::Ok(token) | Acquired::Again(token)) = answer else {
                    return;
                };
                redis.give(id, (worker.consumer, token));
                let leaving = worker.life == Life::Leaving;
                worker.leases.push(Lease {
                    id,
                    body,
                    lane,
                    token: Some(token),
                    left,
                    phase: if leaving {
                        Phase::Disowned(Ending::Release)
                    } else {
                        Phase::Held
                    },
                    known: is_current,
                    told: Told::Nothing,
                    survived: false,
                });
            }
            (Ask::Renew(_, token), Some(Answer::Renewed(answer))) => {
                let Some(lease) = by_token(worker, token) else { return };
                match answer {
                    Judged::Done(true) => {
                        lease.known |= is_current;
                        if !matches!(lease.phase, Phase::Disowned(_)) {
                            lease.left = lease.left.max(left);
                        }
                    }
                    Judged::Done(false) if lease.phase == Phase::Held => {
                        // What was acquired before a loss and answered after the hello that followed was never restored.
                        if lease.left > 0 && (lease.known || lease.survived) {
                            broken.note(Broken::OWNER);
                        }
                        if lease.known && is_current {
                            worker.leases.retain(|lease| lease.token != Some(token));
                        } else {
                            lease.phase = Phase::Disowned(Ending::Release);
                        }
                    }
                    Judged::Done(false) | Judged::Epoch | Judged::Quiet => {}
                }
            }
            _ => {}
        }
    }
}

/// Past its deadline a lease may be a peer's: the store is not told of it.
const fn is_told(lease: &Lease) -> bool {
    lease.token.is_some() && lease.left > 0
}

/// Works under what was heard from now on.
fn adopt(worker: &mut Worker, greeting: Greeting) {
    worker.epoch = Some(greeting.epoch);
    worker.clock = greeting.clock;
    worker.greeting = None;
    for lease in &mut worker.leases {
        lease.known = lease.token.is_none() || lease.told == Told::Known;
        lease.told = Told::Nothing;
    }
}

fn by_token(worker: &mut Worker, token: Token) -> Option<&mut Lease> {
    worker.leases.iter_mut().find(|lease| lease.token == Some(token))
}
