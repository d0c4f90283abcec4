use streamherd_ledger::At;

use super::*;

fn line(at_ms: u64, event: Step, worker: &str, token: &str) -> Line {
    Line {
        at: At::from_millis(at_ms),
        event,
        stream: "s".to_owned(),
        consumer: format!("{worker}.abcdefgh"),
        token: token.to_owned(),
    }
}

/// The stream was worked on under this token, and Redis confirmed that it was done.
fn run(lines: &mut Vec<Line>, events: &mut Vec<Event>, stream: &str, token: &str) {
    for step in [Step::Started, Step::Finished] {
        lines.push(Line {
            stream: stream.to_owned(),
            ..line(1, step, "a", token)
        });
    }
    events.push(event(What::Done, stream, token));
}

fn event(event: What, stream: &str, token: &str) -> Event {
    Event {
        at_ms: 1,
        event,
        consumer: "a.abcdefgh".to_owned(),
        stream: stream.to_owned(),
        token: token.to_owned(),
    }
}

/// Counts two streams, when Redis says that nothing is left and the ledger that nothing is wrong.
fn count(lines: &[Line], events: &[Event], restart: Option<&Restart>) -> Tally {
    judge(lines, events, restart, &History::default())
}

fn judge(lines: &[Line], events: &[Event], restart: Option<&Restart>, history: &History) -> Tally {
    let fault = Fault {
        worker: "b".to_owned(),
        at: At::from_millis(1),
    };
    let known = Known {
        submitted: &["s".to_owned(), "t".to_owned()],
        history,
        killed: &fault,
        stopped: &fault,
        restart,
        left: 0,
        unclean_exits: 0,
        took: Duration::ZERO,
    };
    Tally::count(lines, events, &known)
}

#[test]
fn a_stream_that_redis_forgot_and_nobody_ran_is_lost() {
    let restart = Restart { at_ms: 1, back_ms: 2 };
    let (mut lines, mut events) = (Vec::new(), vec![event(What::DataLoss, "", "")]);
    run(&mut lines, &mut events, "s", "1");
    let tally = count(&lines, &events, Some(&restart));
    assert_eq!((tally.ok, tally.done, tally.lost), (false, 1, 1));
    run(&mut lines, &mut events, "t", "2");
    let tally = count(&lines, &events, Some(&restart));
    assert_eq!((tally.ok, tally.done, tally.lost, tally.data_losses), (true, 2, 0, 1));
}

#[test]
fn work_that_redis_did_not_confirm_is_lost_unless_somebody_does_it_again() {
    let (mut lines, mut events) = (Vec::new(), Vec::new());
    run(&mut lines, &mut events, "s", "1");
    run(&mut lines, &mut events, "t", "2");
    events.pop();
    let tally = count(&lines, &events, None);
    assert_eq!((tally.ok, tally.done, tally.lost), (false, 1, 1));
    run(&mut lines, &mut events, "t", "3");
    let tally = count(&lines, &events, None);
    assert_eq!((tally.ok, tally.done, tally.lost), (true, 2, 0));
    assert_eq!(tally.run_again, 1);
}

#[test]
fn a_stream_that_is_done_twice_is_done_once_and_makes_up_for_no_other() {
    let (mut lines, mut events) = (Vec::new(), Vec::new());
    run(&mut lines, &mut events, "s", "1");
    run(&mut lines, &mut events, "s", "2");
    let tally = count(&lines, &events, None);
    assert_eq!((tally.ok, tally.done, tally.lost), (false, 1, 1));
}

#[test]
fn a_dead_letter_is_not_lost_and_not_well() {
    let (mut lines, mut events) = (Vec::new(), Vec::new());
    run(&mut lines, &mut events, "s", "1");
    events.push(event(What::DeadLettered, "t", "2"));
    let tally = count(&lines, &events, None);
    assert_eq!((tally.ok, tally.lost, tally.dead_letters), (false, 0, 1));
}

#[test]
fn a_data_loss_that_nobody_noticed_or_that_did_not_happen_is_not_well() {
    let restart = Restart { at_ms: 1, back_ms: 2 };
    let (mut lines, mut events) = (Vec::new(), Vec::new());
    run(&mut lines, &mut events, "s", "1");
    run(&mut lines, &mut events, "t", "2");
    assert!(!count(&lines, &events, Some(&restart)).ok);
    events.push(event(What::DataLoss, "", ""));
    assert!(!count(&lines, &events, None).ok);
}

#[test]
fn what_is_wrong_with_the_ledger_is_not_well_and_is_told() {
    let (mut lines, mut events) = (Vec::new(), Vec::new());
    run(&mut lines, &mut events, "s", "1");
    run(&mut lines, &mut events, "t", "2");
    let mut history = History::default();
    let note = serde_json::json!({ "at_us": 1, "by": "a.abcdefgh", "event": "settling", "lease": 7, "how": "done" });
    history.apply(serde_json::from_value(note).unwrap());
    let tally = judge(&lines, &events, None, &history);
    assert_eq!(
        (tally.ok, &*tally.violations),
        (false, &["a note without sense".to_owned()][..])
    );
    assert!(tally.to_string().contains("a note without sense"), "{tally}");
}

#[test]
fn no_line_is_wider_than_a_terminal() {
    let recovery = || Recovery {
        worker: "worker-32".to_owned(),
        held: 4,
        reassigned: 4,
        first_ms: Some(99_990),
        last_ms: Some(99_990),
    };
    let tally = Tally {
        ok: false,
        submitted: 100_000,
        done: 100_000,
        requeued: 100_000,
        run_again: 100_000,
        duplicates: 100_000,
        duplicates_by_cause: [("forgotten by Redis (restart without data)".to_owned(), 100_000)].into(),
        lost: 100_000,
        left: 100_000,
        dead_letters: 100_000,
        overlapping: 100_000,
        violations: vec!["acknowledged, and neither done nor dead-lettered".to_owned()],
        data_losses: 100_000,
        killed: recovery(),
        stopped: recovery(),
        restart: Some(Aftermath {
            away_ms: 99_990,
            held: 124,
            went_on: 124,
            noticed_ms: Some(99_990),
            resumed_ms: Some(99_990),
        }),
        unclean_exits: 31,
        seconds: 1_000.0,
    };
    for line in tally.to_string().lines() {
        assert!(line.chars().count() <= 80, "{line}");
    }
}

#[test]
fn only_what_was_in_work_counts_as_held() {
    let fault = Fault {
        worker: "a".to_owned(),
        at: At::from_millis(10),
    };
    let finished = [line(1, Step::Started, "a", "1"), line(9, Step::Finished, "a", "1")];
    let in_work = [line(1, Step::Started, "a", "1"), line(14, Step::Started, "b", "2")];
    let count = |lines: &[Line]| Recovery::of(&fault, &HashMap::from([("s", lines.iter().collect())]));
    assert_eq!(count(&finished).held, 0);
    let recovery = count(&in_work);
    assert_eq!((recovery.held, recovery.reassigned, recovery.first_ms), (1, 1, Some(4)));
}
