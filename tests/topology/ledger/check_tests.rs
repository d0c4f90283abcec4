use super::*;

fn ms(ms: u64) -> At {
    Duration::from_millis(ms)
}

/// A lease of the stream's entry that was valid from one moment to another, and done then.
fn held(stream: &str, entry: &str, token: u64, from: u64, until: u64) -> Held {
    Held {
        stream: stream.to_owned(),
        partition: 0,
        entry: entry.parse().unwrap(),
        token,
        worker: 0,
        handed_out: ms(from),
        valid: Some((ms(from), ms(until))),
        lost: None,
        asked: Some(ms(until)),
        ended: Some((ms(until), End::Done)),
    }
}

fn submit(stream: &str, asked: u64, entry: &str) -> Submit {
    Submit {
        number: 0,
        stream: stream.to_owned(),
        partition: 0,
        asked: ms(asked),
        answered: ms(asked + 1),
        answer: Answer::New(entry.parse().unwrap()),
    }
}

fn record(leases: Vec<Held>, submits: Vec<Submit>) -> Record {
    Record {
        leases,
        submits,
        ..Record::default()
    }
}

#[test]
fn what_ended_after_its_submit_is_finished() {
    let dead = Held {
        ended: Some((ms(9), End::DeadLettered)),
        ..held("b", "2-0", 2, 5, 9)
    };
    let submits = vec![submit("a", 1, "1-0"), submit("b", 1, "2-0")];
    assert!(
        record(vec![held("a", "1-0", 1, 5, 9), dead], submits)
            .unfinished()
            .is_empty()
    );
}

#[test]
fn a_run_that_was_handed_out_before_the_submit_does_not_count_for_it() {
    let record = record(vec![held("a", "1-0", 1, 5, 9)], vec![submit("a", 6, "3-0")]);
    assert_eq!(record.unfinished().len(), 1);
}

#[test]
fn what_only_went_back_to_the_queue_is_not_finished() {
    for end in [End::Requeued, End::Refused, End::Lost, End::Unknown] {
        let lease = Held {
            ended: Some((ms(9), end)),
            ..held("a", "1-0", 1, 5, 9)
        };
        assert_eq!(
            record(vec![lease], vec![submit("a", 1, "1-0")]).unfinished().len(),
            1,
            "{end:?}"
        );
    }
}

#[test]
fn who_got_no_acknowledgement_is_owed_nothing() {
    let maybe = Submit {
        answer: Answer::Maybe,
        ..submit("a", 1, "1-0")
    };
    assert!(record(vec![], vec![maybe]).unfinished().is_empty());
}

#[test]
fn two_leases_of_one_entry_must_not_overlap() {
    let one_after_the_other = vec![held("a", "1-0", 1, 5, 9), held("a", "1-0", 2, 10, 12)];
    assert!(record(one_after_the_other, vec![]).overlapping().is_empty());
    let both = vec![held("a", "1-0", 1, 5, 10), held("a", "1-0", 2, 10, 12)];
    assert_eq!(record(both, vec![]).overlapping().len(), 1, "counted once");
}

#[test]
fn two_leases_of_one_stream_must_not_overlap_whatever_their_entries() {
    let both = vec![held("a", "1-0", 1, 5, 20), held("a", "front:7-0", 2, 10, 12)];
    assert_eq!(record(both, vec![]).overlapping().len(), 1);
    let others = vec![held("a", "1-0", 1, 5, 20), held("b", "2-0", 2, 10, 12)];
    assert!(record(others, vec![]).overlapping().is_empty());
}

#[test]
fn a_lease_that_never_was_certainly_valid_overlaps_nothing() {
    let late = Held {
        valid: None,
        ..held("a", "1-0", 2, 6, 8)
    };
    assert!(
        record(vec![held("a", "1-0", 1, 5, 9), late], vec![])
            .overlapping()
            .is_empty()
    );
}

#[test]
fn the_later_lease_of_a_stream_has_the_larger_token() {
    let well = vec![held("a", "1-0", 1, 5, 9), held("a", "front:7-0", 2, 10, 12)];
    assert!(record(well, vec![]).tokens_out_of_order().is_empty());
    let back = vec![held("a", "1-0", 3, 5, 9), held("a", "front:7-0", 2, 10, 12)];
    assert_eq!(record(back, vec![]).tokens_out_of_order().len(), 1);
    let equal = vec![held("a", "1-0", 3, 5, 9), held("b", "2-0", 3, 10, 12)];
    assert_eq!(record(equal, vec![]).tokens_out_of_order().len(), 1);
}

#[test]
fn a_stream_that_was_submitted_after_a_lease_was_handed_out_has_the_larger_token() {
    let leases = |token| vec![held("a", "1-0", 5, 5, 9), held("b", "2-0", token, 20, 21)];
    let after = vec![submit("a", 1, "1-0"), submit("b", 6, "2-0")];
    assert_eq!(record(leases(4), after.clone()).tokens_out_of_order().len(), 1);
    assert!(record(leases(6), after).tokens_out_of_order().is_empty());
    // Submitted before: the two may have been acquired in either order.
    let before = vec![submit("a", 1, "1-0"), submit("b", 4, "2-0")];
    assert!(record(leases(4), before).tokens_out_of_order().is_empty());
}

#[test]
fn tokens_of_two_partitions_are_not_compared() {
    let elsewhere = Held {
        partition: 1,
        ..held("b", "2-0", 5, 20, 21)
    };
    let submits = vec![submit("a", 1, "1-0"), submit("b", 6, "2-0")];
    assert!(
        record(vec![held("a", "1-0", 5, 5, 9), elsewhere], submits)
            .tokens_out_of_order()
            .is_empty()
    );
}

#[test]
fn a_settlement_must_not_count_when_the_stream_was_another_workers_before() {
    let late = Held {
        asked: Some(ms(12)),
        ..held("a", "1-0", 1, 5, 9)
    };
    let taken = held("a", "front:7-0", 2, 10, 14);
    assert_eq!(
        record(vec![late.clone(), taken.clone()], vec![])
            .settled_too_late()
            .len(),
        1
    );
    let refused = Held {
        ended: Some((ms(13), End::Refused)),
        ..late.clone()
    };
    assert!(
        record(vec![refused, taken.clone()], vec![])
            .settled_too_late()
            .is_empty()
    );
    let in_time = Held {
        asked: Some(ms(9)),
        ..late
    };
    assert!(record(vec![in_time, taken], vec![]).settled_too_late().is_empty());
}

#[test]
fn a_refused_submit_must_not_have_been_queued() {
    let again = |answer| Submit {
        answer,
        ..submit("a", 9, "1-0")
    };
    let coalesced = again(Answer::Coalesced("1-0".parse().unwrap()));
    let refused = vec![again(Answer::Refused), coalesced.clone()];
    assert_eq!(record(vec![], refused).wrongly_refused().len(), 1);
    let unsure = vec![again(Answer::Refused), again(Answer::Maybe), coalesced.clone()];
    assert!(record(vec![], unsure).wrongly_refused().is_empty());
    let another = Submit { number: 7, ..coalesced };
    assert!(
        record(vec![], vec![submit("a", 1, "1-0"), another])
            .wrongly_refused()
            .is_empty(),
        "it was another submit that it met"
    );
}
