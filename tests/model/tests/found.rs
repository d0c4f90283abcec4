//! What the model has found, with the shortest way to it, and that the repairs it suggests are sound. A test here fails when the
//! model follows a library that is repaired: then the world belongs to `guarantees.rs`.

use std::time::Duration;

use streamherd_model::explore::{exhaust, shortest, walk};
use streamherd_model::properties::{HELD_IS_KEPT, INVALID_FIRST, TOKENS_GROW};
use streamherd_model::{Bounds, Faults, Protocol, Seeded};

const PATIENCE: Duration = Duration::from_secs(600);

/// One worker, one stream, and Redis comes back empty. A lease of two ticks ends with the quiet time, which hides this.
const REWRITTEN: Bounds = Bounds {
    workers: 1,
    streams: 1,
    ttl: 3,
    faults: Faults {
        wipes: 1,
        lost_replies: 1,
        ..Faults::NONE
    },
    ..Bounds::small()
};

/// A service that has just begun when its master fails.
const YOUNG: Bounds = Bounds {
    begun: false,
    streams: 1,
    entries: 2,
    faults: Faults {
        failovers: 1,
        ..Faults::NONE
    },
    ..Bounds::small()
};

const WALKS: u64 = 40_000;
const STEPS: usize = 200;

fn is_repaired(bounds: Bounds) {
    let repaired = exhaust(Protocol::repaired(bounds), PATIENCE);
    assert!(repaired.exhausted && repaired.broken.is_empty(), "{repaired}");
}

/// The store has written a lease anew, the worker has not heard of it, and its deadline passes before it can tell the store
/// again. Then the worker finds an entry of its own that it does not know, under the lock of a lease that it still knows.
#[test]
fn a_write_back_whose_answer_was_lost_is_leased_again_with_the_same_token() {
    let found = shortest(Protocol::new(REWRITTEN), PATIENCE);
    let way = found.broken.get(TOKENS_GROW).unwrap_or_else(|| panic!("{found}"));
    assert!(way.iter().any(|step| step == "Restore(0, Lost)"), "{found}");
    is_repaired(REWRITTEN);
}

/// Between the look whether an entry is known and the look which epoch is current, both may change.
#[test]
fn the_epoch_of_an_acquisition_is_looked_up_first() {
    let protocol = Protocol {
        seeded: Some(Seeded::EpochTakenLate),
        ..Protocol::repaired(REWRITTEN)
    };
    let found = shortest(protocol, PATIENCE);
    assert!(found.broken.contains_key(TOKENS_GROW), "{found}");
}

/// No row has reached the replica, so the first to say hello there takes the service for one without workers.
#[test]
fn a_newcomer_does_not_wait_for_workers_whose_rows_a_failover_has_lost() {
    let found = shortest(Protocol::new(YOUNG), PATIENCE);
    let way = found.broken.get(INVALID_FIRST).unwrap_or_else(|| panic!("{found}"));
    let lagging = way.iter().position(|step| step == "LagBehind");
    let registered = way.iter().position(|step| step.starts_with("Register"));
    assert!(lagging < registered, "{found}");
    is_repaired(YOUNG);
}

/// Somebody who has not been here since all data was lost says the first hello to a server that lacks the last writes of the
/// service as it is by now. That tells it of the loss, and nobody of the failover.
#[test]
fn a_hello_under_a_lost_epoch_hides_a_failover_from_all_others() {
    let bounds = Bounds {
        faults: Faults {
            wipes: 1,
            ..YOUNG.faults
        },
        entries: 3,
        ..YOUNG
    };
    let found = walk(&Protocol::new(bounds), 1, WALKS, STEPS);
    println!("{found}");
    assert!(!found.broken.is_empty(), "{found}");
    let repaired = walk(&Protocol::repaired(bounds), 1, WALKS, STEPS);
    assert!(repaired.broken.is_empty(), "{repaired}");
    // And what it costs: the stream is gone though a running worker had it.
    let lost = (0..WALKS).find(|seed| {
        let found = walk(&Protocol::new(bounds), *seed, 1, STEPS);
        found.broken.contains_key(HELD_IS_KEPT)
    });
    assert!(lost.is_some());
}
