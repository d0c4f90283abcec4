//! Histories that are well, and histories with a violation of each kind planted in them.

use serde_json::{Value, json};

use super::*;
use crate::line::Line;

/// Notes of a well-kept ledger, by when they were taken.
#[derive(Default)]
struct Notes(Vec<Value>);

impl Notes {
    fn note(mut self, at_us: u64, by: &str, event: &str, mut rest: Value) -> Self {
        rest["at_us"] = at_us.into();
        rest["by"] = by.into();
        rest["event"] = event.into();
        self.0.push(rest);
        self
    }

    fn submit(self, number: u64, stream: &str, at: u64) -> Self {
        let answer = json!({ "new": format!("{at}-0") });
        self.answered(number, stream, at, &answer)
    }

    fn answered(self, number: u64, stream: &str, at: u64, answer: &Value) -> Self {
        let asked = json!({ "submit": number, "stream": stream, "partition": 0 });
        self.note(at, "p", "submitting", asked).note(
            at + 1,
            "p",
            "submitted",
            json!({ "submit": number, "answer": answer, "why": null }),
        )
    }

    /// A lease that is seen to be valid at two moments. Its entry, and its origin, are the number that is its token.
    fn held(self, lease: u64, worker: &str, stream: &str, from: u64, until: u64) -> Self {
        self.entry(
            lease,
            worker,
            stream,
            &format!("{lease}-0"),
            &format!("{lease}-0"),
            from,
            until,
        )
    }

    #[expect(clippy::too_many_arguments, reason = "it is what a lease has")]
    fn entry(self, lease: u64, worker: &str, stream: &str, entry: &str, origin: &str, from: u64, until: u64) -> Self {
        let added = json!({
            "lease": lease, "stream": stream, "partition": 0, "entry": entry, "origin": origin,
            "token": lease.to_string(), "attempt": 0,
        });
        self.note(from, worker, "added", added)
            .note(from, worker, "valid", json!({ "lease": lease, "since_us": from }))
            .note(until, worker, "valid", json!({ "lease": lease, "since_us": until }))
    }

    fn settles(self, lease: u64, worker: &str, at: u64, how: &str, end: &str) -> Self {
        self.asks(lease, worker, at, how)
            .note(at + 1, worker, "ended", json!({ "lease": lease, "end": end }))
    }

    fn asks(self, lease: u64, worker: &str, at: u64, how: &str) -> Self {
        self.note(at, worker, "settling", json!({ "lease": lease, "how": how }))
    }

    fn fault(self, kind: &str, target: &Value, since: u64, until: u64, forgets: bool) -> Self {
        let fault = json!({ "kind": kind, "target": target, "since_us": since, "forgets": forgets });
        self.note(until, "chaos", "fault", fault)
    }

    fn history(self) -> History {
        let mut history = History::default();
        for note in self.0 {
            history.apply(serde_json::from_value::<Line>(note).unwrap());
        }
        history
    }

    fn verdict(self) -> Verdict {
        Verdict::on(&self.history())
    }

    /// The kinds of what is wrong.
    fn wrong(self) -> Vec<&'static str> {
        self.verdict().violations.iter().map(Violation::kind).collect()
    }
}

/// Worker `a.1` is handed a stream, and does it.
fn done() -> Notes {
    Notes::default()
        .submit(1, "s", 10)
        .held(1, "a.1", "s", 20, 30)
        .settles(1, "a.1", 31, "done", "done")
}

const LOST: &str = "acknowledged, and neither done nor dead-lettered";
const TWO_OWNERS: &str = "two valid leases of one stream at one time";
const TOKENS: &str = "tokens that don't tell the order";
const LATE: &str = "settled after another had it";
const TWICE: &str = "an entry that was done twice";
const UNEXPLAINED: &str = "work done twice without a reason";
const OPEN: &str = "a lease that never ended";

#[test]
fn a_history_in_which_all_went_well_has_nothing_wrong() {
    let verdict = done().verdict();
    assert_eq!((verdict.violations, verdict.duplicates), (vec![], vec![]));
}

#[test]
fn what_was_acknowledged_and_not_finished_is_lost() {
    assert_eq!(done().submit(2, "t", 40).wrong(), [LOST]);
    let given_back = |end: &str| {
        let notes = Notes::default().submit(1, "s", 10).held(1, "a.1", "s", 20, 30);
        notes.settles(1, "a.1", 31, "retry", end)
    };
    for end in ["requeued", "refused", "lost"] {
        assert_eq!(given_back(end).wrong(), [LOST], "{end}");
    }
}

#[test]
fn a_run_that_began_before_the_submit_does_not_count_for_it() {
    assert_eq!(done().submit(2, "s", 25).wrong(), [LOST]);
}

#[test]
fn who_got_no_acknowledgement_is_owed_nothing() {
    for answer in ["maybe", "refused"] {
        assert_eq!(done().answered(2, "t", 40, &json!(answer)).wrong(), [""; 0], "{answer}");
    }
    let unanswered = json!({ "submit": 2, "stream": "t", "partition": 0 });
    assert_eq!(done().note(40, "p", "submitting", unanswered).wrong(), [""; 0]);
}

#[test]
fn what_a_killed_worker_asked_for_last_may_be_what_redis_did() {
    let asked = || {
        let notes = Notes::default().submit(1, "s", 10).held(1, "a.1", "s", 20, 30);
        notes.asks(1, "a.1", 31, "done")
    };
    assert_eq!(asked().wrong(), [LOST, OPEN]);
    let killed = asked()
        .fault("kill", &json!({ "worker": "a" }), 32, 33, false)
        .verdict();
    assert_eq!((killed.violations, killed.died_settling), (vec![], 1));
    let another = asked().fault("kill", &json!({ "worker": "b" }), 32, 33, false);
    assert_eq!(another.wrong(), [LOST, OPEN]);
    let stopped = asked().fault("stop", &json!({ "worker": "a" }), 32, 33, false);
    assert_eq!(stopped.wrong(), [LOST, OPEN], "who was only stopped can tell");
}

#[test]
fn two_leases_of_a_stream_or_an_entry_are_not_valid_at_one_time() {
    let two = |second: u64, stream: &str, entry: &str| {
        let notes = done().submit(2, "t", 15);
        notes
            .entry(2, "b.1", stream, entry, "9-0", second, 60)
            .settles(2, "b.1", 61, "done", "done")
    };
    assert!(!two(40, "t", "1-0").wrong().contains(&TWO_OWNERS));
    assert!(two(30, "t", "1-0").wrong().contains(&TWO_OWNERS), "one entry");
    assert!(two(30, "s", "front:7-0").wrong().contains(&TWO_OWNERS), "one stream");
    assert!(!two(30, "t", "2-0").wrong().contains(&TWO_OWNERS), "nothing in common");
}

#[test]
fn a_lease_that_was_lost_when_its_worker_woke_up_is_nobodys_rival() {
    let added = json!({
        "lease": 1, "stream": "s", "partition": 0, "entry": "1-0", "origin": "1-0", "token": "1", "attempt": 0,
    });
    let notes = Notes::default()
        .submit(1, "s", 10)
        .held(2, "b.1", "s", 20, 30)
        .settles(2, "b.1", 31, "done", "done")
        .note(25, "a.1", "added", added)
        .note(25, "a.1", "invalid", json!({ "lease": 1 }))
        .note(26, "a.1", "ended", json!({ "lease": 1, "end": "lost" }));
    assert_eq!(notes.wrong(), [""; 0]);
}

#[test]
fn the_later_lease_has_the_larger_token() {
    let again = |token: u64| {
        let notes = Notes::default().submit(1, "s", 10).held(5, "a.1", "s", 20, 30);
        let notes = notes.settles(5, "a.1", 31, "retry", "requeued");
        notes
            .held(token, "b.1", "s", 40, 50)
            .settles(token, "b.1", 51, "done", "done")
    };
    assert_eq!(again(6).wrong(), [""; 0]);
    assert_eq!(again(4).wrong(), [TOKENS, LATE], "by its token it was handed out first");
    assert_eq!(again(5).wrong(), [TOKENS], "no two are equal");
}

#[test]
fn a_stream_that_was_submitted_after_a_lease_was_handed_out_has_the_larger_token() {
    let two = |submitted: u64| {
        let notes = Notes::default().submit(1, "s", 10).held(5, "a.1", "s", 20, 30);
        let notes = notes.settles(5, "a.1", 31, "done", "done").submit(2, "t", submitted);
        notes.held(4, "a.1", "t", 40, 50).settles(4, "a.1", 51, "done", "done")
    };
    assert_eq!(two(22).wrong(), [TOKENS]);
    assert_eq!(
        two(15).wrong(),
        [""; 0],
        "the two may have been acquired in either order"
    );
}

#[test]
fn a_settlement_does_not_count_once_another_had_the_stream() {
    let late = |end: &str| {
        let notes = Notes::default().submit(1, "s", 10).held(1, "a.1", "s", 20, 30);
        notes
            .entry(2, "b.1", "s", "front:3-0", "1-0", 40, 50)
            .settles(2, "b.1", 51, "retry", "requeued")
            .settles(1, "a.1", 45, "done", end)
            .fault("stop", &json!({ "worker": "a" }), 32, 44, false)
    };
    assert_eq!(late("done").wrong(), [LATE]);
    assert!(!late("refused").wrong().contains(&LATE));
}

#[test]
fn an_entry_is_done_once_unless_redis_forgot() {
    let twice = || {
        done()
            .entry(2, "b.1", "s", "1-0", "1-0", 50, 60)
            .settles(2, "b.1", 61, "done", "done")
    };
    assert_eq!(twice().wrong(), [TWICE]);
    let failover = twice()
        .fault("failover", &json!({ "partitions": [0] }), 33, 40, true)
        .verdict();
    assert_eq!(failover.violations, []);
    assert_eq!(failover.duplicates[0].cause, Cause::Forgotten);
    for (partition, forgets) in [(1, true), (0, false)] {
        let other = json!({ "partitions": [partition] });
        assert_eq!(twice().fault("failover", &other, 33, 40, forgets).wrong(), [TWICE]);
    }
}

#[test]
fn work_is_done_twice_only_where_a_fault_says_why() {
    let twice = |end: &str| {
        let notes = Notes::default().submit(1, "s", 10).held(1, "a.1", "s", 20, 30);
        notes
            .settles(1, "a.1", 31, "done", end)
            .entry(2, "b.1", "s", "front:3-0", "1-0", 50, 60)
            .settles(2, "b.1", 61, "done", "done")
    };
    assert_eq!(twice("refused").wrong(), [UNEXPLAINED]);
    assert_eq!(twice("done").wrong(), [UNEXPLAINED], "done under its first id");
    let stopped = |worker: &str, since: u64, until: u64| {
        let target = json!({ "worker": worker });
        twice("refused").fault("stop", &target, since, until, false).verdict()
    };
    let explained = stopped("a", 22, 28);
    assert_eq!(explained.violations, []);
    let duplicate = &explained.duplicates[0];
    assert_eq!((duplicate.cause, &*duplicate.fault), (Cause::Disowned, "stop"));
    assert_eq!(stopped("b", 22, 28).violations.len(), 1, "another worker");
    assert_eq!(stopped("a", 40, 45).violations.len(), 1, "later");
}

#[test]
fn what_was_taken_over_and_counted_all_the_same_when_redis_had_forgotten_that_is_explained_by_what_cut_its_worker_off()
{
    let twice = || {
        let notes = Notes::default().submit(1, "s", 10).held(1, "a.1", "s", 20, 30);
        let notes = notes.asks(1, "a.1", 31, "done");
        notes
            .entry(2, "b.1", "s", "front:3-0", "1-0", 50, 60)
            .settles(2, "b.1", 61, "done", "done")
            .note(90, "a.1", "ended", json!({ "lease": 1, "end": "done" }))
            .fault("FLUSHALL", &json!("all"), 80, 81, true)
    };
    assert_eq!(twice().wrong(), [UNEXPLAINED]);
    let cut_off = twice()
        .fault("black hole", &json!({ "worker": "a" }), 25, 85, false)
        .verdict();
    assert_eq!(
        (cut_off.violations, cut_off.duplicates[0].cause),
        (vec![], Cause::Disowned)
    );
}

#[test]
fn a_run_that_was_to_be_tried_again_is_no_duplicate() {
    let notes = Notes::default().submit(1, "s", 10).held(1, "a.1", "s", 20, 30);
    let verdict = notes
        .settles(1, "a.1", 31, "retry", "requeued")
        .entry(2, "b.1", "s", "front:3-0", "1-0", 50, 60)
        .settles(2, "b.1", 61, "done", "done")
        .verdict();
    assert_eq!((verdict.violations, verdict.duplicates), (vec![], vec![]));
}

#[test]
fn a_lease_ends_unless_its_worker_was_killed() {
    let open = || done().submit(2, "t", 15).held(2, "a.1", "t", 40, 50);
    let rest = |notes: Notes| notes.held(3, "b.1", "t", 70, 80).settles(3, "b.1", 81, "done", "done");
    assert_eq!(rest(open()).wrong(), [OPEN]);
    let kill = |since: u64, until: u64| open().fault("kill", &json!({ "worker": "a" }), since, until, false);
    assert_eq!(rest(kill(55, 56)).wrong(), [""; 0]);
    assert_eq!(rest(kill(30, 35)).wrong(), [OPEN], "it was handed out later");
}

#[test]
fn a_submit_that_was_certainly_refused_is_not_there() {
    let then = |first: &str| {
        let notes = Notes::default().answered(1, "s", 10, &json!(first));
        notes
            .answered(1, "s", 13, &json!({ "coalesced": "1-0" }))
            .held(1, "a.1", "s", 20, 30)
            .settles(1, "a.1", 31, "done", "done")
    };
    assert_eq!(then("refused").wrong(), ["certainly refused, and queued"]);
    assert_eq!(then("maybe").wrong(), [""; 0]);
}

#[test]
fn a_settlement_without_an_outcome_is_told_of() {
    let unknown = json!({ "lease": 2, "end": "unknown", "why": "who knows" });
    let notes = done().submit(2, "t", 12).held(2, "a.1", "t", 40, 50);
    let notes = notes.note(60, "a.1", "ended", unknown);
    let again = |notes: Notes| notes.held(3, "a.1", "t", 70, 80).settles(3, "a.1", 81, "done", "done");
    let away = json!({ "partitions": [0] });
    let explained = notes.fault("restart", &away, 55, 65, true);
    assert_eq!(again(explained).wrong(), [""; 0], "Redis was away");
    let unexplained = Notes::default().submit(2, "t", 12).held(2, "a.1", "t", 40, 50);
    let unexplained = unexplained.note(60, "a.1", "ended", json!({ "lease": 2, "end": "unknown" }));
    assert_eq!(again(unexplained).wrong(), ["a settlement without an outcome"]);
}

#[test]
fn what_nobody_knows_the_outcome_of_may_be_what_redis_did() {
    let notes = Notes::default().submit(1, "s", 10).held(1, "a.1", "s", 20, 30);
    let notes = notes.settles(1, "a.1", 31, "done", "unknown");
    let verdict = notes.fault("restart", &json!("all"), 30, 40, false).verdict();
    assert_eq!((verdict.violations, verdict.died_settling), (vec![], 1));
}

#[test]
fn who_was_cut_off_from_redis_submits_again_what_was_finished_meanwhile() {
    let twice = || {
        let notes = Notes::default().submit(1, "s", 1_000_000);
        notes
            .held(1, "a.1", "s", 19_999_000, 19_999_900)
            .settles(1, "a.1", 20_000_000, "done", "done")
            .entry(2, "b.1", "s", "front:3-0", "1-0", 25_000_000, 25_000_001)
            .settles(2, "b.1", 25_000_002, "done", "done")
            .fault("restart", &json!({ "partitions": [0] }), 8_000_000, 9_000_000, true)
    };
    assert_eq!(twice().wrong(), [UNEXPLAINED], "that was eleven seconds before");
    let cut_off = |who: &str| twice().fault("black hole", &json!({ "worker": who }), 8_500_000, 18_000_000, false);
    assert_eq!(cut_off("p").wrong(), [""; 0]);
    assert_eq!(cut_off("q").wrong(), [UNEXPLAINED]);
}

#[test]
fn notes_without_sense_are_told_of() {
    let stray = done().note(50, "a.1", "settling", json!({ "lease": 7, "how": "done" }));
    assert_eq!(stray.wrong(), ["a note without sense"]);
    let answer = json!({ "submit": 9, "answer": "maybe" });
    assert_eq!(
        done().note(50, "p", "submitted", answer).wrong(),
        ["a note without sense"]
    );
}

#[test]
fn the_longest_recovery_is_the_longest_time_without_an_owner() {
    let notes = Notes::default().submit(1, "s", 10).held(1, "a.1", "s", 20, 30_000);
    let history = notes
        .fault("kill", &json!({ "worker": "a" }), 31_000, 31_000, false)
        .entry(2, "b.1", "s", "front:3-0", "1-0", 90_000, 95_000)
        .settles(2, "b.1", 96_000, "done", "done")
        .history();
    let figures = crate::Figures::of(&history, &Verdict::on(&history));
    assert_eq!(
        (figures.longest_recovery_ms, figures.violations, figures.lost),
        (60, 0, 0)
    );
    assert_eq!(figures.ends["died_with_its_worker"], 1);
}
