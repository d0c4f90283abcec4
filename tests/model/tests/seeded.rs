//! Each planted mistake is found, by the property that names what it breaks; without it the same world is sound.

use std::time::Duration;

use streamherd_model::explore::{exhaust, follow, shortest, walk};
use streamherd_model::properties::{
    CONSERVATION, HANDOVER, HELD_IS_KEPT, INVALID_FIRST, ONCE, ONE_OWNER, RECOVERY, TOKENS_GROW, TRUE_OUTCOME,
};
use streamherd_model::worker::Ask::Acquire;
use streamherd_model::world::Reply::{Heard, Lost};
use streamherd_model::{Action, Bounds, Endings, Faults, Protocol, Seeded};

const PATIENCE: Duration = Duration::from_secs(600);

const ONE_STREAM: Bounds = Bounds {
    streams: 1,
    entries: 3,
    ..Bounds::small()
};

/// The shortest way to a broken guarantee breaks this one, by way of these steps.
fn breaks(seeded: Seeded, bounds: Bounds, property: &str, by: &[&str]) {
    breaks_in(Protocol::new(bounds), seeded, property, by);
}

/// The same of a protocol that is not quite as it is built.
fn breaks_in(sound: Protocol, seeded: Seeded, property: &str, by: &[&str]) {
    let planted = Protocol {
        seeded: Some(seeded),
        ..sound
    };
    let found = shortest(planted, PATIENCE);
    println!("{seeded:?}: {found}");
    let way = found.broken.get(property);
    let way = way.unwrap_or_else(|| panic!("{seeded:?} breaks {property}, and this was found: {found}"));
    for step in by {
        assert!(
            way.iter().any(|taken| taken.contains(step)),
            "{seeded:?} goes without {step}: {found}"
        );
    }
    let sound = exhaust(sound, PATIENCE);
    assert!(
        sound.exhausted && sound.broken.is_empty(),
        "the world of {seeded:?} is not sound: {sound}"
    );
}

const fn with(faults: Faults) -> Bounds {
    ONE_STREAM.with(faults)
}

const fn after_a_failover() -> Bounds {
    let bounds = with(Faults {
        failovers: 1,
        ..Faults::NONE
    });
    Bounds { entries: 2, ..bounds }
}

#[test]
fn xack_and_xadd_as_two_steps_lose_an_entry() {
    breaks(Seeded::XackThenXadd, ONE_STREAM, CONSERVATION, &["Requeue"]);
}

#[test]
fn xadd_and_xack_as_two_steps_requeue_twice() {
    // In between it is in two places already; that a rival adds it once more is what this is about.
    let protocol = Protocol::with(ONE_STREAM, Seeded::XaddThenXack);
    let found = streamherd_model::explore::until(protocol, &[ONCE], PATIENCE);
    let way = found.broken.get(ONCE).unwrap_or_else(|| panic!("no rival: {found}"));
    let requeues = way.iter().filter(|step| step.starts_with("Requeue")).count();
    assert!(requeues >= 2, "{found}");
}

#[test]
fn unlocking_before_xack_lets_a_peer_take_finished_work() {
    breaks(
        Seeded::UnlockBeforeXack,
        ONE_STREAM,
        ONE_OWNER,
        &["End(", "Settle", "Requeue"],
    );
}

#[test]
fn a_claim_that_does_not_look_at_the_lock_takes_work_from_its_owner() {
    breaks(Seeded::ClaimWithoutLock, ONE_STREAM, ONE_OWNER, &["Requeue"]);
}

#[test]
fn a_claim_that_does_not_look_at_the_epoch_takes_work_from_its_owner() {
    let bounds = after_a_failover();
    breaks(Seeded::ClaimWithoutEpoch, bounds, ONE_OWNER, &["Failover", "Requeue"]);
}

#[test]
fn a_token_that_is_not_drawn_does_not_grow() {
    breaks(Seeded::TokenNotDrawn, ONE_STREAM, TOKENS_GROW, &["Ask"]);
}

#[test]
fn a_deadline_without_a_margin_outlives_the_lock_where_a_clock_lags() {
    let bounds = with(Faults {
        lags: 1,
        ..Faults::NONE
    });
    breaks(Seeded::NoMargin, bounds, ONE_OWNER, &["LaggingTick", "Requeue"]);
}

#[test]
fn a_deadline_that_counts_from_the_reply_outlives_the_lock() {
    let bounds = Bounds {
        slow_calls: true,
        ..ONE_STREAM
    };
    breaks(
        Seeded::DeadlineFromReply,
        bounds,
        ONE_OWNER,
        &["Serve", "Tick", "Answer", "Requeue"],
    );
}

#[test]
fn without_a_quiet_time_a_failover_gives_a_stream_two_owners() {
    let bounds = after_a_failover();
    breaks(Seeded::NoQuietTime, bounds, INVALID_FIRST, &["Failover", "Hello"]);
}

#[test]
fn a_settlement_without_a_guard_says_that_it_counts_when_it_does_not() {
    breaks(
        Seeded::SettleWithoutGuard,
        ONE_STREAM,
        TRUE_OUTCOME,
        &["Requeue", "Settle"],
    );
}

#[test]
fn without_receipts_a_lost_reply_turns_done_into_disowned() {
    let bounds = with(Faults {
        lost_replies: 1,
        ..Faults::NONE
    });
    breaks(Seeded::NoReceipts, bounds, TRUE_OUTCOME, &["Settle", ", Lost)"]);
}

#[test]
fn without_a_restore_a_valid_lease_is_lost() {
    let bounds = with(Faults {
        wipes: 1,
        ..Faults::NONE
    });
    breaks(Seeded::NoRestore, bounds, ONE_OWNER, &["Wipe", "Hello"]);
}

#[test]
fn without_memory_what_was_suspended_is_lost() {
    let bounds = with(Faults {
        wipes: 1,
        ..Faults::NONE
    });
    breaks(Seeded::NoMemory, bounds, HELD_IS_KEPT, &["Wipe", "Settle"]);
}

#[test]
fn a_shutdown_that_acknowledges_loses_unfinished_work() {
    let bounds = with(Faults {
        shutdowns: 1,
        ..Faults::NONE
    });
    breaks(Seeded::ShutdownAcknowledges, bounds, HANDOVER, &["Shutdown"]);
}

#[test]
fn an_audit_that_takes_what_was_disowned_begins_a_lease_twice() {
    breaks(
        Seeded::AuditTakesDisowned,
        ONE_STREAM,
        TOKENS_GROW,
        &["Expire", "Audit"],
    );
}

#[test]
fn without_a_scan_an_orphan_stays() {
    breaks(Seeded::NoScan, ONE_STREAM, RECOVERY, &["Read"]);
}

#[test]
fn a_clock_that_is_believed_takes_all_locks_at_once() {
    let bounds = with(Faults {
        jumps: 1,
        ..Faults::NONE
    });
    breaks(Seeded::ClockBelieved, bounds, ONE_OWNER, &["Jump", "Requeue"]);
}

/// Two losses, and a hello that breaks off between them: too large a world to see all of it, so these walks are chosen.
#[test]
fn what_a_broken_off_hello_was_told_does_not_count_at_the_next() {
    let large = Bounds {
        workers: 3,
        streams: 3,
        entries: 14,
        ttl: 3,
        endings: Endings {
            retry: true,
            delay: true,
            dead_letter: true,
            release: true,
        },
        ..Bounds::small()
    };
    let bounds = large.with(Faults {
        crashes: 2,
        starts: 2,
        shutdowns: 1,
        lost_replies: 3,
        stragglers: 2,
        lags: 1,
        failovers: 1,
        wipes: 1,
        ..Faults::NONE
    });
    let found = walk(&Protocol::with(bounds, Seeded::EraNotDrawn), 2_179_800, 1_000, 400);
    assert!(found.broken.contains_key(HELD_IS_KEPT), "{found}");
    let sound = walk(&Protocol::new(bounds), 2_179_800, 1_000, 400);
    assert!(sound.broken.is_empty(), "{sound}");
}

/// One worker, one stream, and Redis comes back empty. A lease of two ticks ends with the quiet time, which hides most.
const fn rewritten() -> Protocol {
    Protocol::new(Bounds {
        workers: 1,
        ttl: 3,
        ..with(WRITTEN_ANEW)
    })
}

const WRITTEN_ANEW: Faults = Faults {
    wipes: 1,
    lost_replies: 1,
    ..Faults::NONE
};

#[test]
fn a_settlement_that_does_not_find_its_own_write_back_does_not_count() {
    breaks_in(
        rewritten(),
        Seeded::OwnCopyNotFound,
        TRUE_OUTCOME,
        &["Restore(0, Lost)", "Settle"],
    );
}

#[test]
fn an_acquisition_under_an_epoch_that_is_looked_up_last_begins_a_lease_twice() {
    breaks_in(
        rewritten(),
        Seeded::EpochTakenLate,
        TOKENS_GROW,
        &["Restore(0, Lost)", "Ask"],
    );
}

#[test]
fn a_repeated_write_back_that_does_not_extend_its_lock_is_outlived_by_its_lease() {
    let bounds = Bounds {
        ttl: 4,
        ..with(WRITTEN_ANEW)
    };
    breaks_in(
        Protocol::new(bounds),
        Seeded::RepeatNotExtended,
        ONE_OWNER,
        &["Restore(0, Lost)", "Requeue"],
    );
}

#[test]
fn a_newcomer_that_does_not_wait_for_workers_without_rows_takes_their_work() {
    let bounds = Bounds {
        begun: false,
        ..after_a_failover()
    };
    breaks(Seeded::NewcomerDoesNotWait, bounds, INVALID_FIRST, &["Failover"]);
}

#[test]
fn what_is_settled_from_memory_without_a_note_is_queued_twice_by_a_late_copy() {
    let bounds = Bounds {
        workers: 1,
        ..with(Faults {
            failovers: 1,
            shutdowns: 1,
            stragglers: 1,
            ..Faults::NONE
        })
    };
    breaks(
        Seeded::SettledUnnoted,
        bounds,
        TRUE_OUTCOME,
        &["Duplicate", "Leave", "Arrive"],
    );
}

/// All is lost, a newcomer begins anew, its server fails over, and somebody who was away all the time says the first hello: too
/// many steps for a search, so these walks are chosen.
#[test]
fn a_hello_under_a_lost_epoch_that_hides_a_failover_loses_held_work() {
    let bounds = Bounds {
        begun: false,
        ..with(Faults {
            failovers: 1,
            wipes: 1,
            ..Faults::NONE
        })
    };
    let found = walk(&Protocol::with(bounds, Seeded::LossHidesFailover), 8_300, 100, 200);
    assert!(found.broken.contains_key(HELD_IS_KEPT), "{found}");
    let sound = walk(&Protocol::new(bounds), 8_300, 20_000, 200);
    assert!(sound.broken.is_empty(), "{sound}");
}

#[test]
fn what_was_written_back_unheard_and_is_leased_once_more_has_one_token_twice() {
    breaks_in(
        rewritten(),
        Seeded::CopyLeasedAgain,
        TOKENS_GROW,
        &["Restore(0, Lost)", "Ask"],
    );
}

/// A failover has lost that a peer took the entry over. The peer writes it anew and does not hear of it; the earlier owner finds
/// the entry where it was, and hands it back. Did it note that in place of the peer's own note, the peer, told to restore once
/// more, would write it anew once more, and hold two entries by one token.
#[test]
fn an_earlier_owner_that_overwrites_the_note_of_a_newer_one_has_it_written_anew_twice() {
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
    assert_eq!(
        follow(&Protocol::with(bounds, Seeded::NewerNoteLost), &way),
        [TOKENS_GROW]
    );
    assert!(follow(&Protocol::new(bounds), &way).is_empty());
}
