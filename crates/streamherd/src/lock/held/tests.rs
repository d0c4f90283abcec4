use super::*;
use crate::entry::{INPUT_FIELD, encode};

fn at(ms: u64) -> Moment {
    Moment::default() + Duration::from_millis(ms)
}

fn held() -> Held {
    let fields = vec![(INPUT_FIELD.into(), encode("s", &()).unwrap().into_bytes())];
    let entry = Entry::parse("5-0".parse().unwrap(), fields).unwrap();
    Held::new(entry, Token(7), 0, at(0), at(1_000))
}

#[test]
fn a_lease_is_invalid_from_its_deadline_on() {
    let held = held();
    assert!(held.is_valid(at(999)));
    assert!(!held.is_valid(at(1_000)));
    assert_eq!(held.begin_settling(at(1_000)), Err(DisownedReason::DeadlinePassed));
}

#[test]
fn a_late_answer_does_not_shorten_a_lease() {
    let held = held();
    held.extend(at(500), at(1_500));
    held.extend(at(100), at(1_100));
    assert_eq!(held.deadline(), at(1_500));
}

#[test]
fn disowned_is_final() {
    let held = held();
    assert!(held.disown(DisownedReason::TakenOver));
    assert!(!held.disown(DisownedReason::DeadlinePassed));
    assert!(held.lost().is_cancelled(), "made after the loss");
    held.extend(at(500), at(9_000));
    assert!(!held.is_valid(at(1)));
    assert_eq!(held.begin_settling(at(1)), Err(DisownedReason::TakenOver));
}

#[test]
fn a_lease_is_invalid_from_its_hold_limit_on_however_often_it_is_renewed() {
    let held = held();
    let limit = |ms| {
        held.limit(Some(HoldLimit {
            until: at(ms),
            retry_after: Duration::from_secs(1),
        }));
    };
    limit(500);
    held.extend(at(400), at(1_400));
    assert!(held.is_valid(at(499)));
    assert_eq!(held.end(), at(500));
    assert!(!held.is_valid(at(500)));
    assert_eq!(held.begin_settling(at(500)), Err(DisownedReason::HeldTooLong));
    limit(600);
    assert!(held.is_valid(at(500)), "the last limit counts");
    held.limit(None);
    assert_eq!(held.end(), at(1_400));
    assert!(held.is_valid(at(1_399)));
}

#[test]
fn a_settlement_may_outlast_the_hold_limit() {
    let held = held();
    held.limit(Some(HoldLimit {
        until: at(500),
        retry_after: Duration::ZERO,
    }));
    held.begin_settling(at(499)).unwrap();
    assert!(held.is_valid(at(999)), "it is renewed until Redis has answered");
    assert!(!held.is_valid(at(1_000)));
}

#[test]
fn a_lease_that_is_settling_can_not_be_disowned() {
    let held = held();
    held.begin_settling(at(1)).unwrap();
    assert!(!held.disown(DisownedReason::DeadlinePassed));
    assert!(!held.lost().is_cancelled());
}

#[test]
fn a_loss_fires_also_where_somebody_listens_already() {
    let held = held();
    let lost = held.lost().clone();
    assert!(!lost.is_cancelled());
    held.disown(DisownedReason::TakenOver);
    assert!(lost.is_cancelled());
}

#[test]
fn whoever_asks_for_the_loss_in_the_moment_of_it_hears_of_it() {
    for _ in 0..200 {
        let held = held();
        std::thread::scope(|scope| {
            let asked = scope.spawn(|| held.lost().clone());
            held.disown(DisownedReason::TakenOver);
            assert!(asked.join().unwrap().is_cancelled());
        });
    }
}
