//! That the model means what it says.

use super::*;

fn wish(info: u8, due: Ms) -> Wish {
    Wish { info, due }
}

fn queued(info: u8, wanted: Option<Wish>) -> Option<Stream> {
    let place = Place::Queued;
    Some(Stream { info, place, wanted })
}

fn delayed(info: u8, due: Ms, wanted: Option<Wish>) -> Option<Stream> {
    let place = Place::Delayed(due);
    Some(Stream { info, place, wanted })
}

/// A model at 100, with `a` wished for like that.
fn after(wishes: &[Wish]) -> Model {
    let mut model = Model::at(100);
    for wish in wishes {
        model.submit('a', *wish);
    }
    model
}

#[test]
fn the_model_merges_wishes_for_a_run_that_has_yet_to_begin() {
    let cases = [
        (vec![wish(1, 0)], queued(1, None)),
        (vec![wish(1, 0), wish(1, 0)], queued(1, None)),
        (vec![wish(1, 0), wish(2, 0)], queued(1, Some(wish(2, 0)))),
        (vec![wish(1, 0), wish(2, 0), wish(3, 0)], queued(1, Some(wish(3, 0)))),
        (vec![wish(1, 0), wish(2, 0), wish(1, 0)], queued(1, None)),
        (vec![wish(1, 0), wish(1, 200)], queued(1, Some(wish(1, 200)))),
        (
            vec![wish(1, 0), wish(2, 200), wish(1, 0)],
            queued(1, Some(wish(1, 200))),
        ),
        (
            vec![wish(1, 0), wish(2, 300), wish(3, 200)],
            queued(1, Some(wish(3, 200))),
        ),
        (vec![wish(1, 200)], delayed(1, 200, None)),
        (vec![wish(1, 200), wish(1, 300)], delayed(1, 200, None)),
        (vec![wish(1, 300), wish(1, 200)], delayed(1, 200, None)),
        (vec![wish(1, 200), wish(2, 300)], delayed(1, 200, Some(wish(2, 300)))),
        (vec![wish(1, 300), wish(2, 200)], delayed(1, 200, Some(wish(2, 200)))),
        (vec![wish(1, 200), wish(1, 0)], queued(1, None)),
        (vec![wish(1, 200), wish(2, 0)], queued(1, Some(wish(2, 0)))),
    ];
    for (wishes, expected) in cases {
        assert_eq!(after(&wishes).stream('a'), expected, "{wishes:?}");
    }
}

#[test]
fn the_model_runs_what_was_wished_for_during_a_run_once_more() {
    let mut model = after(&[wish(1, 0)]);
    let run = model.start('a', 1, true);
    model.submit('a', wish(1, 0));
    assert!(model.end(run, End::Done));
    assert_eq!(model.stream('a'), queued(1, None));
    let run = model.start('a', 1, true);
    model.submit('a', wish(2, 300));
    model.submit('a', wish(1, 400));
    assert!(model.end(run, End::DeadLetter));
    assert_eq!(model.stream('a'), delayed(1, 300, None));
}

#[test]
fn a_model_run_that_is_repeated_serves_what_was_wished_for_meanwhile() {
    for (end, meanwhile, expected) in [
        (End::Retry(0), wish(1, 0), queued(1, None)),
        (End::Release, wish(2, 0), queued(1, Some(wish(2, 0)))),
        (End::Crash, wish(1, 200), queued(1, Some(wish(1, 200)))),
        (End::Retry(50), wish(1, 0), queued(1, None)),
        (End::Retry(50), wish(1, 200), delayed(1, 150, None)),
        (End::Retry(50), wish(2, 120), delayed(1, 120, Some(wish(2, 120)))),
    ] {
        let mut model = after(&[wish(1, 0)]);
        let run = model.start('a', 1, true);
        model.submit('a', meanwhile);
        assert!(model.end(run, end));
        assert_eq!(model.stream('a'), expected, "{end:?} {meanwhile:?}");
    }
}

#[test]
fn the_model_forgets_what_is_deleted_and_not_what_is_wanted_after_it() {
    let mut model = after(&[wish(1, 0), wish(2, 0)]);
    assert_eq!(model.delete('a'), Some(Place::Queued));
    model.sweep();
    assert_eq!(model.stream('a'), queued(2, None));
    assert_eq!(model.delete('a'), Some(Place::Queued));
    model.sweep();
    assert_eq!(model.stream('a'), None);
    model.assert_served();
    let mut model = after(&[wish(1, 0)]);
    model.delete('a');
    assert!(model.submit('a', wish(3, 0)), "at once");
    assert_eq!(model.stream('a'), queued(3, None));
}

#[test]
fn only_a_run_that_begins_later_serves_a_wish_in_the_model() {
    let mut model = after(&[wish(1, 0)]);
    let run = model.start('a', 1, true);
    model.assert_served();
    model.submit('a', wish(2, 0));
    assert_eq!(model.unserved.len(), 1);
    model.end(run, End::Retry(0));
    let run = model.start('a', 1, true);
    assert_eq!(model.unserved.len(), 1, "not with its info");
    model.end(run, End::Done);
    model.start('a', 2, true);
    model.assert_served();
}
