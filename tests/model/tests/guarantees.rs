//! The protocol as it is built, in every state of small worlds and along random walks through larger ones.
//!
//! A worker may stand still between any two of its steps for any time (a pause, a partition, a slow runtime), and be told of an
//! expiry early, late, twice or never; what a test names comes on top of that.

use std::time::Duration;

use streamherd_model::explore::{Explored, exhaust, walk};
use streamherd_model::{Bounds, Endings, Faults, Protocol};

/// No search takes long; one that does would say that it has not seen everything.
const PATIENCE: Duration = Duration::from_secs(600);

const ONE_STREAM: Bounds = Bounds {
    streams: 1,
    entries: 3,
    ..Bounds::small()
};

const ALL_ENDINGS: Endings = Endings {
    retry: true,
    delay: true,
    dead_letter: true,
    release: true,
};

/// Three workers, three streams, a lease of three ticks, calls that take their time.
const LARGE: Bounds = Bounds {
    workers: 3,
    streams: 3,
    entries: 14,
    ttl: 3,
    endings: ALL_ENDINGS,
    slow_calls: true,
    ..Bounds::small()
};

const WALKS: u64 = 15_000;
const STEPS: usize = 400;

fn sound(explored: &Explored) {
    println!("{explored}");
    assert!(explored.broken.is_empty(), "{explored}");
}

/// Every state keeps every guarantee.
fn holds(bounds: Bounds) {
    let explored = exhaust(Protocol::new(bounds), PATIENCE);
    sound(&explored);
    assert!(explored.exhausted, "not everything was seen: {explored}");
}

/// Long walks find nothing.
fn holds_along_walks(protocol: &Protocol) {
    sound(&walk(protocol, 1, WALKS, STEPS));
}

#[test]
fn two_workers_and_two_streams_survive_a_crash_and_any_pauses() {
    holds(Bounds::small().with(Faults {
        crashes: 1,
        starts: 1,
        ..Faults::NONE
    }));
}

#[test]
fn every_ending_survives_a_crash() {
    let bounds = Bounds {
        endings: ALL_ENDINGS,
        entries: 4,
        ..ONE_STREAM
    };
    holds(bounds.with(Faults {
        crashes: 1,
        starts: 1,
        ..Faults::NONE
    }));
}

#[test]
fn a_lost_reply_and_a_straggler_change_nothing() {
    let bounds = Bounds {
        endings: Endings {
            retry: true,
            ..Endings::default()
        },
        ..ONE_STREAM
    };
    holds(bounds.with(Faults {
        crashes: 1,
        lost_replies: 1,
        stragglers: 1,
        ..Faults::NONE
    }));
}

#[test]
fn a_lease_ends_in_time_however_slow_a_call_is_and_though_a_clock_lags() {
    let bounds = Bounds {
        slow_calls: true,
        ..ONE_STREAM
    };
    holds(bounds.with(Faults {
        lags: 1,
        stragglers: 1,
        ..Faults::NONE
    }));
}

#[test]
fn a_shutdown_hands_over() {
    holds(Bounds::small().with(Faults {
        shutdowns: 1,
        ..Faults::NONE
    }));
}

#[test]
fn a_service_begins_from_nothing() {
    let bounds = Bounds {
        begun: false,
        ..ONE_STREAM
    };
    holds(bounds.with(Faults {
        crashes: 1,
        starts: 1,
        lost_replies: 1,
        ..Faults::NONE
    }));
}

#[test]
fn a_failover_that_loses_any_number_of_the_last_writes_costs_no_lease() {
    holds(ONE_STREAM.with(Faults {
        failovers: 1,
        ..Faults::NONE
    }));
}

#[test]
fn a_redis_that_comes_back_empty_costs_no_lease() {
    holds(ONE_STREAM.with(Faults {
        wipes: 1,
        crashes: 1,
        starts: 1,
        ..Faults::NONE
    }));
}

#[test]
fn a_service_that_has_just_begun_survives_a_failover() {
    let bounds = Bounds {
        begun: false,
        entries: 2,
        ..ONE_STREAM
    };
    holds(bounds.with(Faults {
        failovers: 1,
        ..Faults::NONE
    }));
}

#[test]
fn a_write_back_whose_answer_was_lost_is_told_again_in_time() {
    // The lease ends with the quiet time: past its deadline see `seeded.rs`.
    let bounds = Bounds {
        entries: 2,
        ..ONE_STREAM
    };
    holds(bounds.with(Faults {
        wipes: 1,
        lost_replies: 1,
        ..Faults::NONE
    }));
}

#[test]
fn a_copy_of_a_settlement_outlives_its_sender() {
    let bounds = Bounds {
        workers: 1,
        ..ONE_STREAM
    };
    holds(bounds.with(Faults {
        failovers: 1,
        shutdowns: 1,
        stragglers: 1,
        ..Faults::NONE
    }));
}

#[test]
fn walks_through_a_loss_and_a_failover_of_a_service_that_has_just_begun_keep_the_guarantees() {
    let bounds = Bounds {
        begun: false,
        ..ONE_STREAM
    };
    holds_along_walks(&Protocol::new(bounds.with(Faults {
        failovers: 1,
        wipes: 1,
        ..Faults::NONE
    })));
}

#[test]
fn a_clock_that_jumps_ahead_costs_no_lease() {
    holds(ONE_STREAM.with(Faults {
        jumps: 1,
        crashes: 1,
        ..Faults::NONE
    }));
}

#[test]
fn walks_with_every_fault_but_a_loss_keep_the_guarantees() {
    holds_along_walks(&Protocol::new(LARGE.with(Faults {
        crashes: 2,
        starts: 2,
        shutdowns: 1,
        lost_replies: 3,
        stragglers: 2,
        lags: 1,
        ..Faults::NONE
    })));
}

#[test]
fn walks_through_a_jump_of_the_clock_keep_the_guarantees() {
    // Without newcomers, who have nothing to compare the clock with, and stragglers, which set locks anew.
    holds_along_walks(&Protocol::new(LARGE.with(Faults {
        crashes: 2,
        shutdowns: 1,
        lost_replies: 3,
        lags: 1,
        jumps: 1,
        ..Faults::NONE
    })));
}

#[test]
fn walks_through_losses_keep_the_guarantees_where_all_answers_come() {
    for (failovers, wipes) in [(1, 0), (0, 1)] {
        holds_along_walks(&Protocol::new(LARGE.with(Faults {
            crashes: 2,
            starts: 1,
            lags: 1,
            failovers,
            wipes,
            ..Faults::NONE
        })));
    }
}

#[test]
fn walks_through_losses_with_every_other_fault_keep_the_guarantees() {
    for (failovers, wipes) in [(1, 0), (0, 1), (1, 1)] {
        holds_along_walks(&Protocol::new(LARGE.with(Faults {
            crashes: 2,
            starts: 2,
            shutdowns: 1,
            lost_replies: 3,
            stragglers: 2,
            lags: 1,
            failovers,
            wipes,
            ..Faults::NONE
        })));
    }
}
