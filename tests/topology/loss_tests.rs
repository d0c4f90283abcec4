use std::time::Duration;

use streamherd_ledger::{Answer, Submit};

use super::loss::{Loss, Snapshot, blame, numbers_in};

/// What was acknowledged at 50 ms, by a master whose replica was cut off from it at some time before 100 ms.
fn submit(number: u64, answer: Answer) -> Submit {
    Submit {
        producer: "s".to_owned(),
        number,
        stream: "a".to_owned(),
        partition: 2,
        asked: Duration::from_millis(49),
        answered: Duration::from_millis(50),
        answer,
    }
}

fn snapshot() -> Snapshot {
    Snapshot {
        partition: 2,
        replica_until: Duration::from_millis(100),
        input: "1000-5".parse().unwrap(),
        front: "900-0".parse().unwrap(),
        numbers: [7].into(),
    }
}

fn new(id: &str) -> Answer {
    Answer::New(id.to_owned())
}

#[test]
fn an_entry_beyond_the_replicas_last_was_lost_by_replication() {
    for id in ["1000-6", "1001-0", "front:901-0"] {
        assert_eq!(blame(&submit(1, new(id)), &[snapshot()]), Loss::Replication, "{id}");
    }
}

#[test]
fn an_entry_that_the_replica_had_was_lost_by_us() {
    for id in ["1000-5", "999-9", "front:900-0"] {
        assert_eq!(blame(&submit(1, new(id)), &[snapshot()]), Loss::Ours, "{id}");
    }
}

#[test]
fn without_a_failover_of_its_partition_every_loss_is_ours() {
    let beyond = submit(1, new("1001-0"));
    assert_eq!(blame(&beyond, &[]), Loss::Ours);
    let elsewhere = Snapshot {
        partition: 1,
        ..snapshot()
    };
    assert_eq!(blame(&beyond, &[elsewhere]), Loss::Ours);
}

#[test]
fn what_was_acknowledged_when_the_replica_could_be_promoted_is_ours() {
    let late = Submit {
        answered: Duration::from_millis(101),
        ..submit(1, new("1001-0"))
    };
    assert_eq!(blame(&late, &[snapshot()]), Loss::Ours);
}

#[test]
fn a_wish_that_the_replica_never_heard_of_was_lost_by_replication() {
    let wish = |number, id: &str| submit(number, Answer::Coalesced(id.to_owned()));
    assert_eq!(blame(&wish(8, "999-0"), &[snapshot()]), Loss::Replication);
    assert_eq!(blame(&wish(7, "999-0"), &[snapshot()]), Loss::Ours);
    assert_eq!(blame(&wish(7, "1001-0"), &[snapshot()]), Loss::Replication);
}

#[test]
fn the_numbers_of_submits_are_found_in_whatever_they_are_wrapped_in() {
    assert_eq!(
        numbers_in("\u{fffd}{\"Info\":{\"submit\":17,\"x\":3}}\u{0}{\"submit\":4}"),
        [17, 4]
    );
    assert_eq!(numbers_in("\"submit\":\"17\""), [0; 0]);
}
