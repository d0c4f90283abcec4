//! What the partitions say together. No I/O, no clock.

use std::collections::BTreeMap;

use super::status::{ConsumerState, ConsumerStatus, Pause, Registration, Status};

impl Status {
    /// Both parts of one service as one.
    pub(super) fn with(self, other: Self) -> Self {
        let mut status = Self {
            service: self.service,
            at_ms: self.at_ms.max(other.at_ms),
            used: self.used || other.used,
            queued: self.queued.saturating_add(other.queued),
            queued_oldest_ms: self.queued_oldest_ms.max(other.queued_oldest_ms),
            // Of a part it would seem to be the whole.
            queued_total: self
                .queued_total
                .zip(other.queued_total)
                .map(|(one, other)| one.saturating_add(other)),
            requeued: self.requeued.saturating_add(other.requeued),
            requeued_oldest_ms: self.requeued_oldest_ms.max(other.requeued_oldest_ms),
            pending: self.pending.saturating_add(other.pending),
            delayed: self.delayed.saturating_add(other.delayed),
            delayed_next_ms: least(self.delayed_next_ms, other.delayed_next_ms),
            dead_letters: self.dead_letters.saturating_add(other.dead_letters),
            paused_ms: self.paused_ms.max(other.paused_ms),
            pauses: pauses(self.pauses, other.pauses),
            consumers: consumers(self.consumers, other.consumers),
            partitions: [self.partitions, other.partitions].concat(),
        };
        // A pause that was written to one partition only is one all the same.
        let paused: Vec<bool> = status
            .consumers
            .iter()
            .map(|one| status.is_paused(&one.consumer))
            .collect();
        for (one, paused) in status.consumers.iter_mut().zip(paused) {
            one.paused = paused;
        }
        status
    }
}

/// By consumer, the longer one.
fn pauses(some: Vec<Pause>, others: Vec<Pause>) -> Vec<Pause> {
    let mut all: BTreeMap<String, u64> = BTreeMap::new();
    for pause in some.into_iter().chain(others) {
        let longest = all.entry(pause.consumer).or_default();
        *longest = pause.paused_ms.max(*longest);
    }
    let pause = |(consumer, paused_ms)| Pause { consumer, paused_ms };
    all.into_iter().map(pause).collect()
}

/// By id.
fn consumers(some: Vec<ConsumerStatus>, others: Vec<ConsumerStatus>) -> Vec<ConsumerStatus> {
    let mut all: BTreeMap<String, ConsumerStatus> = BTreeMap::new();
    for one in some.into_iter().chain(others) {
        let merged = match all.remove(&one.consumer) {
            Some(known) => both(known, one),
            None => one,
        };
        all.insert(merged.consumer.clone(), merged);
    }
    all.into_values().collect()
}

fn both(one: ConsumerStatus, other: ConsumerStatus) -> ConsumerStatus {
    ConsumerStatus {
        consumer: one.consumer,
        state: liveliest(one.state, other.state),
        paused: one.paused || other.paused,
        pending: one.pending.saturating_add(other.pending),
        idle_ms: least(one.idle_ms, other.idle_ms),
        registration: match (one.registration, other.registration) {
            (Some(one), Some(other)) => Some(both_rows(one, other)),
            (one, other) => one.or(other),
        },
    }
}

/// The latest of both; a worker says in each partition what it holds from there, and the same capacity in all.
fn both_rows(one: Registration, other: Registration) -> Registration {
    // Another program may have written any number.
    let held = one.held.saturating_add(other.held);
    let capacity = one.capacity.max(other.capacity);
    let latest = if one.seen_ms <= other.seen_ms { one } else { other };
    Registration {
        held,
        capacity,
        ..latest
    }
}

/// One that lives for one partition lives.
const fn liveliest(one: ConsumerState, other: ConsumerState) -> ConsumerState {
    use ConsumerState::{Alive, Silent, Unregistered};
    match (one, other) {
        (Alive, _) | (_, Alive) => Alive,
        (Silent, _) | (_, Silent) => Silent,
        (Unregistered, Unregistered) => Unregistered,
    }
}

fn least<T: Ord>(one: Option<T>, other: Option<T>) -> Option<T> {
    one.into_iter().chain(other).min()
}

#[cfg(test)]
mod tests {
    use super::super::status::PartitionStatus;
    use super::*;
    use crate::registry::Totals;

    fn empty(number: u16) -> Status {
        Status::unknown("orders", number, None)
    }

    fn consumer(name: &str, state: ConsumerState, pending: u64, seen_ms: u64, held: usize) -> ConsumerStatus {
        ConsumerStatus {
            consumer: name.to_owned(),
            state,
            paused: false,
            pending,
            idle_ms: Some(seen_ms),
            registration: Some(Registration {
                host: format!("h{seen_ms}"),
                pid: 1,
                version: "1".to_owned(),
                started_ms: 1,
                capacity: 60 + held,
                held,
                lock_ttl_ms: 6_000,
                seen_ms,
                totals: Totals::default(),
            }),
        }
    }

    #[test]
    fn counts_are_summed_and_the_oldest_and_the_next_are_told() {
        let mut one = empty(0);
        (one.queued, one.requeued, one.pending, one.delayed, one.dead_letters) = (1, 2, 3, 4, 5);
        (one.queued_oldest_ms, one.requeued_oldest_ms, one.delayed_next_ms) = (Some(7), None, Some(9));
        let mut two = empty(1);
        (two.queued, two.requeued, two.pending, two.delayed, two.dead_letters) = (10, 20, 30, 40, 50);
        (two.queued_oldest_ms, two.requeued_oldest_ms, two.delayed_next_ms) = (Some(8), Some(1), Some(0));
        two.used = true;
        let both = one.with(two).with(empty(2));
        assert_eq!(
            (
                both.queued,
                both.requeued,
                both.pending,
                both.delayed,
                both.dead_letters
            ),
            (11, 22, 33, 44, 55)
        );
        assert_eq!((both.queued_oldest_ms, both.requeued_oldest_ms), (Some(8), Some(1)));
        assert_eq!((both.delayed_next_ms, both.used, both.paused_ms), (Some(0), true, None));
        let numbers: Vec<u16> = both.partitions.iter().map(|one: &PartitionStatus| one.number).collect();
        assert_eq!(numbers, [0, 1, 2]);
    }

    #[test]
    fn a_consumer_of_two_partitions_is_one_with_its_shared_capacity_and_its_latest_sign_of_life() {
        let (mut one, mut two) = (empty(0), empty(1));
        one.consumers = vec![consumer("w", ConsumerState::Silent, 2, 9_000, 2)];
        two.consumers = vec![
            consumer("v", ConsumerState::Alive, 1, 5, 1),
            consumer("w", ConsumerState::Alive, 3, 100, 4),
        ];
        let both = one.with(two);
        let names: Vec<&str> = both.consumers.iter().map(|one| one.consumer.as_str()).collect();
        assert_eq!(names, ["v", "w"]);
        let w = &both.consumers[1];
        assert_eq!((w.state, w.pending, w.idle_ms), (ConsumerState::Alive, 5, Some(100)));
        let about = w.registration.as_ref().unwrap();
        assert_eq!((about.held, about.capacity), (6, 64));
        assert_eq!((about.seen_ms, about.host.as_str()), (100, "h100"));
    }

    #[test]
    fn a_row_that_tells_any_number_is_added_up_all_the_same() {
        let (mut one, mut two) = (empty(0), empty(1));
        one.consumers = vec![consumer("w", ConsumerState::Alive, u64::MAX, 1, usize::MAX - 60)];
        two.consumers = vec![consumer("w", ConsumerState::Alive, 1, 1, usize::MAX - 60)];
        let both = one.with(two);
        assert_eq!(both.consumers[0].registration.as_ref().unwrap().held, usize::MAX);
        assert_eq!(both.consumers[0].pending, u64::MAX);
    }

    #[test]
    fn one_that_registered_in_one_partition_is_registered() {
        let (mut one, mut two) = (empty(0), empty(1));
        let mut foreign = consumer("w", ConsumerState::Unregistered, 2, 5, 0);
        foreign.registration = None;
        one.consumers = vec![foreign];
        two.consumers = vec![consumer("w", ConsumerState::Silent, 0, 70, 0)];
        for both in [one.clone().with(two.clone()), two.with(one)] {
            assert_eq!(both.consumers[0].state, ConsumerState::Silent);
            assert!(both.consumers[0].registration.is_some());
        }
    }

    #[test]
    fn a_pause_of_one_partition_is_told_and_shown_at_consumers_of_all() {
        let pause = |paused_ms| Pause {
            consumer: "w".to_owned(),
            paused_ms,
        };
        let (mut one, mut two) = (empty(0), empty(1));
        one.pauses = vec![pause(5)];
        two.consumers = vec![
            consumer("v.1", ConsumerState::Alive, 0, 1, 0),
            consumer("w.1", ConsumerState::Alive, 0, 1, 0),
        ];
        let both = one.clone().with(two.clone());
        assert_eq!(both.pauses, [pause(5)]);
        assert_eq!(
            both.consumers.iter().map(|one| one.paused).collect::<Vec<_>>(),
            [false, true]
        );
        two.pauses = vec![pause(7)];
        two.paused_ms = Some(3);
        let both = one.with(two);
        assert_eq!((both.pauses.as_slice(), both.paused_ms), (&[pause(7)][..], Some(3)));
        assert!(both.consumers.iter().all(|one| one.paused));
    }
}
