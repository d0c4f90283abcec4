//! The states that the guarantees are about are there: a property of states that nobody comes to would always hold.

use streamherd_model::explore::find;
use streamherd_model::worker::Phase;
use streamherd_model::{Bounds, Faults, Protocol, World};

const EVERYTHING: Bounds = Bounds {
    entries: 8,
    ttl: 3,
    ..Bounds::small().with(Faults {
        crashes: 1,
        starts: 1,
        shutdowns: 1,
        lost_replies: 2,
        stragglers: 1,
        lags: 0,
        failovers: 1,
        wipes: 1,
        jumps: 0,
    })
};

/// Walks come to such a state.
fn is_reached(such: fn(&World) -> bool) {
    let way = find(&Protocol::new(EVERYTHING), 1, 20_000, 200, such);
    println!("{way:#?}");
    assert!(way.is_some());
}

#[test]
fn a_worker_that_stood_still_finds_its_work_taken() {
    is_reached(|world| {
        let all = world.workers.iter().flat_map(|worker| &worker.leases);
        let mut late = all.filter(|lease| lease.phase == Phase::Held && lease.left == 0);
        late.any(|lease| world.redis.moved.contains_key(&lease.id) && world.redis.entry(lease.id).is_none())
    });
}

#[test]
fn a_lease_is_invalid_while_its_lock_lives() {
    is_reached(|world| {
        let all = world.workers.iter().flat_map(|worker| &worker.leases);
        let mut late = all.filter(|lease| lease.phase == Phase::Held && lease.left == 0);
        late.any(|lease| world.redis.lock(lease.id).is_some())
    });
}

#[test]
fn a_failover_loses_an_entry_and_its_owner_writes_it_anew() {
    is_reached(|world| {
        let mut held = world.workers.iter().flat_map(|worker| &worker.leases);
        let is_back = world.redis.epoch.is_some_and(|epoch| epoch.generation > 0) && !world.redis.written.is_empty();
        is_back && held.any(|lease| lease.is_in_work() && lease.known && lease.survived)
    });
}

#[test]
fn a_stream_is_finished_from_memory_after_redis_came_back_empty() {
    is_reached(|world| world.faults.wipes == 0 && world.redis.done & world.kept != 0 && world.redis.entries.is_empty());
}

#[test]
fn two_epochs_are_worked_under_at_one_moment() {
    is_reached(|world| {
        let lives = world.workers.iter().filter(|worker| worker.lives());
        let epochs: Vec<_> = lives.filter_map(|worker| worker.epoch).collect();
        epochs.len() == 2 && epochs[0].id != epochs[1].id && world.redis.quiet > 0
    });
}
