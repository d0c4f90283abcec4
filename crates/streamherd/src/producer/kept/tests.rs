use super::*;
use crate::id::{EntryId, Lane};

mod laws;

const TTL: Duration = Duration::from_secs(60);

fn at(seconds: u64) -> Moment {
    Moment::default() + Duration::from_secs(seconds)
}

fn store(epoch: &str, run: &str) -> Identity {
    let some = |text: &str| (!text.is_empty()).then(|| text.to_owned());
    Identity {
        epoch: some(epoch),
        run: some(run),
    }
}

fn shelf(identity: Identity, max: usize) -> Shelf {
    Shelf::new([identity], TTL, max)
}

fn entry(ms: u64) -> Reference {
    Reference::Queued(EntryId {
        lane: Lane::Input,
        id: StreamId { ms, seq: 0 },
    })
}

/// Accepted at the moment that its id says.
fn kept(shelf: &Shelf, name: &str, info: &str, ms: u64, answer: Answer) -> Kept {
    Kept {
        reference: entry(ms),
        answer,
        name: (!name.is_empty()).then(|| Arc::from(name)),
        input: Arc::from(format!("{name}{info}")),
        digest: Arc::from(format!("{name}{info}")),
        due: Due::Now,
        trace: None,
        accepted: at(ms),
        era: shelf.era(0),
    }
}

fn new(ms: u64) -> Answer {
    Answer::New(StreamId { ms, seq: 0 })
}

fn numbers(shelf: &Shelf) -> Vec<Number> {
    shelf
        .page(0, 0, usize::MAX, usize::MAX)
        .into_iter()
        .map(|(number, _)| number)
        .collect()
}

fn lost(shelf: &Shelf) -> Vec<Number> {
    shelf.lost(0).into_iter().map(|(number, _)| number).collect()
}

/// Keeps streams of the names, one second after the other.
fn with(identity: Identity, names: &[&str]) -> Shelf {
    let mut shelf = shelf(identity, 100);
    for (ms, name) in (1..).zip(names) {
        let kept = kept(&shelf, name, "", ms, new(ms));
        shelf.keep(0, kept);
    }
    shelf
}

#[test]
fn what_is_gone_from_the_same_store_is_finished() {
    let mut shelf = with(store("e", "r"), &["a", "b"]);
    assert_eq!(shelf.hear(0, &store("e", "r"), at(5)), News::Nothing);
    shelf.judge(0, 1, Stands::Gone, at(5));
    shelf.judge(0, 2, Stands::Held, at(5));
    assert_eq!((numbers(&shelf), lost(&shelf)), (vec![2], vec![]));
}

#[test]
fn what_is_gone_from_another_store_is_lost_until_it_is_seen() {
    for other in [store("f", "r"), store("", "r"), store("e", "s"), store("e.1", "s")] {
        let mut shelf = with(store("e", "r"), &["a", "b", "c"]);
        assert_eq!(shelf.hear(0, &other, at(5)), News::MaybeLost, "{other:?}");
        shelf.judge(0, 1, Stands::Gone, at(5));
        shelf.judge(0, 2, Stands::Queued, at(5));
        assert_eq!((lost(&shelf), shelf.lost_since(0)), (vec![1, 3], Some(at(5))));
        assert_eq!(shelf.hear(0, &other, at(7)), News::Nothing, "it is told once");
        shelf.judge(0, 3, Stands::Held, at(7));
        assert_eq!(lost(&shelf), [1]);
        // It is not lost twice: what was seen there and is gone then is finished.
        shelf.judge(0, 2, Stands::Gone, at(9));
        let finished = other.epoch.is_some();
        assert_eq!(
            numbers(&shelf),
            if finished { vec![1, 3] } else { vec![1, 2, 3] },
            "{other:?}"
        );
    }
}

#[test]
fn the_first_worker_to_come_is_no_loss() {
    let mut shelf = with(store("", "r"), &["a", "b"]);
    assert_eq!(shelf.hear(0, &store("e", "r"), at(5)), News::Nothing);
    shelf.judge(0, 1, Stands::Gone, at(5));
    assert_eq!((numbers(&shelf), lost(&shelf)), (vec![2], vec![]));
}

#[test]
fn what_is_gone_where_no_worker_has_ever_been_is_lost() {
    let mut shelf = with(store("", "r"), &["a", "b"]);
    assert_eq!(shelf.hear(0, &store("", "r"), at(5)), News::Nothing);
    shelf.judge(0, 1, Stands::Gone, at(5));
    shelf.judge(0, 2, Stands::Gone, at(6));
    assert_eq!((lost(&shelf), shelf.lost_since(0)), (vec![1, 2], Some(at(5))));
    // Whoever comes now may write back what it holds: that is waited for.
    shelf.hear(0, &store("e", "r"), at(8));
    assert_eq!(shelf.lost_since(0), Some(at(8)));
}

#[test]
fn a_server_that_does_not_tell_which_process_it_is_is_known_by_its_epoch() {
    let mut shelf = with(store("e", "r"), &["a"]);
    assert_eq!(shelf.hear(0, &store("e", ""), at(1)), News::Nothing);
    assert_eq!(shelf.hear(0, &store("e", "r"), at(2)), News::Nothing);
    assert_eq!(shelf.hear(0, &store("e", "s"), at(3)), News::MaybeLost);
}

#[test]
fn what_was_sent_before_a_loss_was_noticed_may_be_lost() {
    let mut shelf = with(store("e", "r"), &[]);
    let sent = kept(&shelf, "a", "", 1, new(1));
    shelf.hear(0, &store("f", "r"), at(2));
    shelf.keep(0, sent);
    assert_eq!(lost(&shelf), [1]);
    let sent = kept(&shelf, "b", "", 3, new(3));
    shelf.keep(0, sent);
    assert_eq!(lost(&shelf), [1], "the second one was sent to the store that is known");
}

#[test]
fn a_wish_is_not_taken_for_served_by_the_run_that_it_is_to_follow() {
    let mut shelf = shelf(store("e", "r"), 100);
    for (ms, answer) in [(1, new(1)), (2, Answer::Noted), (3, Answer::Served)] {
        let kept = kept(&shelf, &format!("n{ms}"), "", ms, answer);
        shelf.keep(0, kept);
    }
    shelf.hear(0, &store("f", "r"), at(5));
    for number in 1..=3 {
        shelf.judge(0, number, Stands::Held, at(5));
    }
    assert_eq!(lost(&shelf), [2]);
    shelf.judge(0, 2, Stands::Noted, at(6));
    assert!(lost(&shelf).is_empty());
}

#[test]
fn a_wish_whose_run_waits_is_served_by_that_run() {
    let mut shelf = shelf(store("e", "r"), 100);
    let wish = kept(&shelf, "a", "", 1, Answer::Noted);
    shelf.keep(0, wish);
    shelf.judge(0, 1, Stands::Queued, at(2));
    shelf.hear(0, &store("f", "r"), at(3));
    shelf.judge(0, 1, Stands::Held, at(4));
    assert!(lost(&shelf).is_empty());
}

#[test]
fn the_newest_submit_of_a_name_replaces_an_older_one_unless_that_would_lose_one() {
    let (now, later) = (Due::Now, Due::Local(at(90)));
    let cases = [
        // Older and newer: answer, info, due; and whether the older one is kept.
        ((new(1), "x", now), (new(2), "x", now), false),
        ((new(1), "x", now), (new(2), "y", now), true),
        ((new(1), "x", now), (Answer::Served, "x", now), true),
        ((Answer::Served, "x", now), (Answer::Noted, "x", now), false),
        ((Answer::Served, "x", now), (new(2), "x", now), false),
        ((Answer::Noted, "x", now), (Answer::Noted, "y", now), true),
        ((new(1), "x", now), (new(2), "x", later), true),
        ((new(1), "x", later), (new(2), "x", now), false),
    ];
    for (older, newer, stays) in cases {
        let mut shelf = shelf(store("e", "r"), 100);
        for (ms, (answer, info, due)) in [(1, older), (2, newer)] {
            let mut kept = kept(&shelf, "n", info, ms, answer);
            kept.due = due;
            shelf.keep(0, kept);
        }
        let wanted = if stays { vec![1, 2] } else { vec![2] };
        assert_eq!(numbers(&shelf), wanted, "{older:?} {newer:?}");
    }
    let parallel = with(store("e", "r"), &["", ""]);
    assert_eq!(parallel.len(), 2, "parallel runs are as many as there were submits");
}

#[test]
fn what_is_lost_comes_with_what_was_submitted_before_under_its_name() {
    let mut shelf = shelf(store("e", "r"), 100);
    for (ms, (name, info)) in (1..).zip([("n", "1"), ("m", "1"), ("n", "2"), ("n", "3")]) {
        let kept = kept(&shelf, name, info, ms, new(ms));
        shelf.keep(0, kept);
    }
    shelf.hear(0, &store("f", "r"), at(9));
    shelf.judge(0, 3, Stands::Queued, at(9));
    let lost: Vec<_> = shelf.lost(0);
    let lost: Vec<_> = lost.iter().map(|(number, older)| (*number, older.as_deref())).collect();
    assert_eq!(lost, [(1, None), (2, None), (4, Some("n2"))]);
}

#[test]
fn the_oldest_are_given_up_beyond_the_maximum_whatever_their_partition() {
    let mut shelf = Shelf::new([store("e", "r"), store("e", "r")], TTL, 3);
    let mut dropped = 0;
    for ms in 1..=5 {
        let kept = kept(&shelf, &format!("n{ms}"), "", ms, new(ms));
        dropped += shelf.keep(usize::from(ms % 2 == 0), kept);
    }
    assert_eq!((dropped, shelf.len()), (2, 3));
    let left = |partition| -> Vec<Number> {
        let page = shelf.page(partition, 0, 10, usize::MAX);
        page.into_iter().map(|(number, _)| number).collect()
    };
    assert_eq!((left(0), left(1)), (vec![3, 5], vec![4]));
}

#[test]
fn what_is_old_goes_and_what_may_be_lost_stays() {
    let mut shelf = with(store("e", "r"), &["a", "b", "c"]);
    shelf.expire(0, at(61));
    assert_eq!(numbers(&shelf), [2, 3]);
    shelf.hear(0, &store("f", "r"), at(62));
    shelf.judge(0, 3, Stands::Queued, at(62));
    shelf.expire(0, at(200));
    assert_eq!(numbers(&shelf), [2], "nobody knows yet whether it is lost");
    shelf.resubmitted(0, 2, shelf.era(0), &Resubmitted::New(entry(200)));
    shelf.expire(0, at(200));
    assert_eq!(shelf.len(), 0);
}

#[test]
fn a_delayed_one_waits_for_the_rest_of_its_delay() {
    let due = Due::of(When::After(Duration::from_secs(10)), at(1));
    assert_eq!(due.when(at(4)), When::After(Duration::from_secs(7)));
    assert_eq!(due.when(at(11)), When::Now);
    assert_eq!(Due::of(When::Now, at(1)).when(at(4)), When::Now);
}

#[test]
fn a_run_that_was_submitted_again_is_known_by_its_first_id() {
    let mut shelf = with(store("e", "r"), &["a"]);
    shelf.hear(0, &store("f", "r"), at(5));
    shelf.resubmitted(0, 1, shelf.era(0), &Resubmitted::New(entry(7)));
    let kept = shelf.get(0, 1).unwrap();
    assert_eq!((kept.reference, kept.answer), (entry(7), new(1)));
    assert!(lost(&shelf).is_empty());
}

#[test]
fn an_answer_of_an_era_that_is_over_proves_nothing() {
    let mut shelf = with(store("e", "r"), &["a"]);
    shelf.hear(0, &store("f", "r"), at(5));
    let asked_in = shelf.era(0);
    shelf.hear(0, &store("g", "r"), at(6));
    shelf.resubmitted(0, 1, asked_in, &Resubmitted::There);
    assert_eq!(lost(&shelf), [1]);
}
