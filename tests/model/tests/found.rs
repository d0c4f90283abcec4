//! What the model has found and the library has not repaired, with a way to it, and that what the model suggests is
//! sound. A test here fails when the model follows a library that is repaired: then the world belongs to `guarantees.rs`.

use std::time::Duration;

use streamherd_model::explore::{exhaust, follow, shortest};
use streamherd_model::properties::TOKENS_GROW;
use streamherd_model::worker::Ask::Acquire;
use streamherd_model::world::Reply::{Heard, Lost};
use streamherd_model::{Action, Bounds, Faults, Protocol};

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

/// The store has written a lease anew, the worker has not heard of it, and its deadline passes before it can tell the store
/// again. A settlement finds the entry. But between the end of the quiet time and that of the entry's lock the reader may be
/// first: it acquires the entry, and is given the token of the lease that its worker still knows.
#[test]
fn a_reader_overtakes_the_settlement_of_a_write_back_whose_answer_was_lost() {
    let found = shortest(Protocol::new(REWRITTEN), PATIENCE);
    let way = found.broken.get(TOKENS_GROW).unwrap_or_else(|| panic!("{found}"));
    assert!(way.iter().any(|step| step == "Restore(0, Lost)"), "{found}");
    assert!(!way.iter().any(|step| step.starts_with("Settle")), "{found}");
    let suggested = exhaust(Protocol::suggested(REWRITTEN), PATIENCE);
    assert!(suggested.exhausted && suggested.broken.is_empty(), "{suggested}");
}

/// A failover has lost that a peer took the entry over. The peer writes it anew and does not hear of it; the earlier owner finds
/// the entry where it was, hands it back, and notes that in place of the peer's own note. So the peer, told to restore once more,
/// writes it anew once more, and holds two entries by one token.
#[test]
fn an_earlier_owner_overwrites_the_note_of_a_newer_one() {
    let bounds = Bounds {
        streams: 1,
        entries: 5,
        ttl: 3,
        ..Bounds::small().with(Faults {
            failovers: 1,
            lost_replies: 1,
            ..Faults::NONE
        })
    };
    let way = [
        Action::Read(0, Heard),
        Action::Ask(0, Acquire(1), Heard),
        Action::LagBehind,
        Action::Tick,
        Action::Tick,
        Action::Tick,
        Action::Requeue(1, 1),
        Action::Read(1, Heard),
        Action::Ask(1, Acquire(2), Heard),
        Action::Failover,
        Action::Hello(1, Heard),
        Action::Restore(1, Heard),
        Action::Tick,
        Action::Restore(1, Lost),
        Action::Expire(0, 1),
        Action::Hello(0, Heard),
        Action::Settle(0, Heard),
        Action::Post(0, 1),
        Action::Settle(0, Heard),
        Action::Hello(1, Heard),
        Action::Restore(1, Heard),
        Action::Restore(1, Heard),
        Action::Tick,
        Action::Tick,
        Action::Audit(1, 3),
        Action::Ask(1, Acquire(3), Heard),
    ];
    assert_eq!(follow(&Protocol::new(bounds), &way), [TOKENS_GROW]);
    assert!(follow(&Protocol::suggested(bounds), &way).is_empty());
}
