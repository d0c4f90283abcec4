//! The model: which steps a state allows.

use stateright::{Model, Property};

use crate::bounds::{Bounds, Ticks};
use crate::redis::{Hello, Id, Place, Requeue, Settle};
use crate::seeded::Seeded;
use crate::worker::{Ask, Ending, Life, Phase, Worker};
use crate::world::{Action, Reply, World};

/// The protocol within some bounds, as it is built or with a mistake planted.
#[derive(Debug, Clone, Copy)]
pub struct Protocol {
    /// How large a world.
    pub bounds: Bounds,
    /// The mistake.
    pub seeded: Option<Seeded>,
}

impl Protocol {
    /// As it is built.
    #[must_use]
    pub const fn new(bounds: Bounds) -> Self {
        Self { bounds, seeded: None }
    }

    /// With a mistake.
    #[must_use]
    pub const fn with(bounds: Bounds, seeded: Seeded) -> Self {
        Self {
            bounds,
            seeded: Some(seeded),
        }
    }

    /// The first state.
    #[must_use]
    pub fn beginning(&self) -> World {
        let mut world = World::new(self.bounds.workers, self.bounds.faults);
        if self.bounds.begun {
            (0..world.workers.len()).for_each(|w| {
                self.step(&mut world, Action::Hello(w, Reply::Heard));
                self.step(&mut world, Action::Register(w));
            });
            (0..self.bounds.streams).for_each(|stream| world.submit(stream));
        }
        world
    }

    pub(crate) fn has(&self, seeded: Seeded) -> bool {
        self.seeded == Some(seeded)
    }

    pub(crate) fn validity(&self) -> Ticks {
        self.bounds.validity(Ticks::from(!self.has(Seeded::NoMargin)))
    }

    pub(crate) fn greet(&self) -> Hello {
        Hello {
            quiet: if self.has(Seeded::NoQuietTime) {
                0
            } else {
                self.bounds.ttl
            },
            newcomers_wait: !self.has(Seeded::NewcomerDoesNotWait),
            failover_first: !self.has(Seeded::LossHidesFailover),
        }
    }

    pub(crate) fn requeue(&self, worker: &Worker, least_idle: Ticks) -> Requeue {
        Requeue {
            least_idle,
            max_abandonments: self.bounds.max_abandonments,
            clock: worker.clock,
            asks_epoch: !self.has(Seeded::ClaimWithoutEpoch),
            asks_lock: !self.has(Seeded::ClaimWithoutLock),
        }
    }

    pub(crate) fn settle(&self) -> Settle {
        Settle {
            max_failures: self.bounds.max_failures,
            guarded: !self.has(Seeded::SettleWithoutGuard),
            receipts: !self.has(Seeded::NoReceipts),
            finds_own_copy: !self.has(Seeded::OwnCopyNotFound),
            notes_all: !self.has(Seeded::SettledUnnoted),
            keeps_newer: !self.has(Seeded::NewerNoteLost),
        }
    }

    fn worker_actions(&self, world: &World, w: usize, actions: &mut Vec<Action>) {
        let worker = &world.workers[w];
        let faults = &world.faults;
        if worker.life == Life::Dead {
            if faults.starts > 0 {
                actions.push(Action::Start(w));
            }
            return;
        }
        if faults.crashes > 0 {
            actions.push(Action::Crash(w));
        }
        let mut replies = vec![Reply::Heard];
        if faults.lost_replies > 0 {
            replies.push(Reply::Lost);
        }
        let with_replies = |actions: &mut Vec<Action>, action: fn(usize, Reply) -> Action| {
            actions.extend(replies.iter().map(|reply| action(w, *reply)));
        };
        if needs_hello(world, worker) {
            with_replies(actions, Action::Hello);
        }
        if worker.greeting.is_some() {
            with_replies(actions, Action::Restore);
        }
        if worker.epoch.is_none() {
            return;
        }
        if !worker.started {
            actions.push(Action::Register(w));
            return;
        }
        if worker.life == Life::Running {
            if faults.shutdowns > 0 {
                actions.push(Action::Shutdown(w));
            }
            if worker.in_hand.is_none() {
                with_replies(actions, Action::Read);
                let unknown = self.unknown(world, worker);
                actions.extend(unknown.map(|id| Action::Audit(w, id)));
            }
            for entry in &world.redis.entries {
                match entry.place {
                    Place::In(_) if entry.pending.is_some() && worker.half_done.is_none() => {
                        actions.push(Action::Requeue(w, entry.id));
                    }
                    Place::Delayed(_) => actions.push(Action::Promote(w, entry.id)),
                    Place::In(_) => {}
                }
            }
        } else {
            actions.extend(self.unknown(world, worker).map(|id| Action::HandBack(w, id)));
            if worker.leases.is_empty() && worker.in_hand.is_none() && worker.batch.is_none() {
                actions.push(Action::Leave(w));
            }
        }
        self.calls(world, w, &replies, actions);
        self.endings(world, w, &replies, actions);
    }

    /// Acquisitions and renewals.
    fn calls(&self, world: &World, w: usize, replies: &[Reply], actions: &mut Vec<Action>) {
        let worker = &world.workers[w];
        if let Some(call) = &worker.call {
            actions.push(if call.answer.is_none() {
                Action::Serve(w)
            } else {
                Action::Answer(w)
            });
            let may_fail = if call.answer.is_none() {
                world.faults.stragglers > 0
            } else {
                world.faults.lost_replies > 0
            };
            if may_fail {
                actions.push(Action::GiveUp(w));
            }
            return;
        }
        let acquire = worker.in_hand.map(|taken| Ask::Acquire(taken.id));
        let renewals = worker.leases.iter().filter(|lease| lease.is_valid());
        let renewals = renewals.filter_map(|lease| Some(Ask::Renew(lease.id, lease.token?)));
        for ask in acquire.into_iter().chain(renewals) {
            if self.bounds.slow_calls {
                actions.push(Action::Call(w, ask));
            } else {
                actions.extend(replies.iter().map(|reply| Action::Ask(w, ask, *reply)));
            }
        }
    }

    /// How leases end.
    fn endings(&self, world: &World, w: usize, replies: &[Reply], actions: &mut Vec<Action>) {
        let worker = &world.workers[w];
        let may = self.bounds.endings;
        for lease in &worker.leases {
            if lease.phase == Phase::Held && lease.left == 0 {
                actions.push(Action::Expire(w, lease.id));
            }
            if lease.is_in_work() {
                let endings = [
                    (true, Ending::Done),
                    (may.retry, Ending::Retry { delayed: false }),
                    (may.delay, Ending::Retry { delayed: true }),
                    (may.dead_letter, Ending::DeadLetter),
                    (may.release, Ending::Release),
                ];
                let endings = endings.into_iter().filter(|(may, _)| *may);
                actions.extend(endings.map(|(_, ending)| Action::End(w, lease.id, ending)));
            }
            if lease.phase != Phase::Held && worker.batch.is_none() {
                actions.push(Action::Post(w, lease.id));
            }
        }
        if worker.half_done.is_some() {
            actions.push(Action::SecondHalf(w));
        } else if worker.batch.is_some() {
            actions.extend(replies.iter().map(|reply| Action::Settle(w, *reply)));
            if world.faults.stragglers > 0 {
                actions.push(Action::Duplicate(w));
            }
        }
    }

    /// Entries pending under a worker's name that it does not know.
    pub(crate) fn unknown<'a>(&self, world: &'a World, worker: &'a Worker) -> impl Iterator<Item = Id> + use<'a> {
        let takes_disowned = self.has(Seeded::AuditTakesDisowned);
        let disowned = move |id| {
            let phase = worker.lease(id).map(|lease| lease.phase);
            takes_disowned && matches!(phase, Some(Phase::Disowned(_)))
        };
        let entries = world.redis.entries.iter();
        let mine = entries.filter(|e| e.pending.is_some_and(|p| p.consumer == worker.consumer));
        let unknown = mine.filter(move |e| !worker.knows(e.id) || disowned(e.id));
        let in_hand = worker.in_hand.map(|taken| taken.id);
        unknown.map(|e| e.id).filter(move |id| Some(*id) != in_hand)
    }
}

/// Whether a hello would tell a worker anything new.
pub(crate) fn needs_hello(world: &World, worker: &Worker) -> bool {
    let heard = worker.greeting.map(|greeting| greeting.epoch).or(worker.epoch);
    heard.is_none() || heard != world.redis.epoch || !world.redis.is_known_server() || worker.clock != world.redis.clock
}

impl Model for Protocol {
    type State = World;
    type Action = Action;

    fn init_states(&self) -> Vec<World> {
        vec![self.beginning()]
    }

    fn actions(&self, world: &World, actions: &mut Vec<Action>) {
        // Nothing is to be learnt from what follows a broken guarantee.
        if world.broken.any() {
            return;
        }
        let faults = &world.faults;
        actions.push(Action::Tick);
        if faults.lags > 0 {
            actions.extend((0..world.workers.len()).map(Action::LaggingTick));
        }
        // Streams differ in nothing, so they are submitted in order.
        let next = world.submitted.trailing_ones() as u8;
        if next < self.bounds.streams {
            actions.push(Action::Submit(next));
        }
        for w in 0..world.workers.len() {
            self.worker_actions(world, w, actions);
        }
        actions.extend((0..world.stragglers.len()).map(Action::Arrive));
        if faults.failovers > 0 {
            match &world.replica {
                Some(_) => actions.push(Action::Failover),
                // A service that is so new that the replica has no epoch yet is not known there to be one.
                None if world.redis.epoch.is_some() => actions.push(Action::LagBehind),
                None => {}
            }
        }
        if faults.wipes > 0 {
            actions.push(Action::Wipe);
        }
        if faults.jumps > 0 {
            actions.push(Action::Jump);
        }
    }

    fn next_state(&self, last: &World, action: Action) -> Option<World> {
        let mut world = last.clone();
        self.step(&mut world, action);
        world.normalize();
        (world != *last).then_some(world)
    }

    fn properties(&self) -> Vec<Property<Self>> {
        crate::properties::all()
    }

    fn within_boundary(&self, world: &World) -> bool {
        world.drawn.id <= self.bounds.entries
    }
}
