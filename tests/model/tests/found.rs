//! What the model has found and the library has not repaired, with the shortest way to it, and that what the model suggests is
//! sound. A test here fails when the model follows a library that is repaired: then the world belongs to `guarantees.rs`.

use std::time::Duration;

use streamherd_model::explore::{exhaust, shortest};
use streamherd_model::properties::TOKENS_GROW;
use streamherd_model::{Bounds, Faults, Protocol};

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
    let withholding = exhaust(Protocol::withholding(REWRITTEN), PATIENCE);
    assert!(withholding.exhausted && withholding.broken.is_empty(), "{withholding}");
}
