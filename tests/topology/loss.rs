//! Whose loss it was when an acknowledged submit never surfaced.

use std::collections::BTreeSet;
use std::time::Duration;

use streamherd::{EntryId, Lane, Reference, StreamId};
use streamherd_testkit::RawClient;
use streamherd_tests::SERVICE;

use streamherd_ledger::{Answer, At, Submit, now};

const PROMOTED: Duration = Duration::from_secs(30);

/// What a replica had of a partition when it could get nothing more from its dead master and was not promoted yet: all
/// that a failover can keep.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Snapshot {
    pub(crate) partition: u16,
    /// It was certainly still a replica then: whatever was acknowledged by then was acknowledged by the master.
    pub(crate) replica_until: At,
    /// The last ids of the two lanes.
    pub(crate) input: StreamId,
    pub(crate) front: StreamId,
    /// The numbers of the submits of which there is any trace.
    pub(crate) numbers: BTreeSet<u64>,
}

/// Who lost an acknowledged submit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Loss {
    /// The master acknowledged it and died, and the replica that took its place never had it.
    Replication,
    /// Anything else.
    Ours,
}

impl Snapshot {
    /// Looks at a replica whose master is dead or cut off. [`None`] if it is a replica no more: Sentinels then close all its
    /// connections.
    fn take(replica: &mut RawClient, partition: u16) -> Option<Self> {
        let mut ask = |line: &str| {
            let words: Vec<_> = line.split(' ').collect();
            replica.try_call(&words).ok()
        };
        let key = |name: &str| format!("{{{SERVICE}:{partition}}}:{name}");
        let mut last = |lane: &str| {
            let info = ask(&format!("XINFO STREAM {}", key(lane)))?;
            if info.is_error() {
                return Some(StreamId::default());
            }
            let pairs = info.array();
            let last = pairs.chunks(2).find(|pair| pair[0].text() == "last-generated-id");
            last.map(|pair| pair[1].text().parse().expect("a stream id"))
        };
        let (input, front) = (last("input")?, last("front")?);
        let mut numbers = BTreeSet::new();
        for lane in ["input", "front"] {
            for entry in ask(&format!("XRANGE {} - +", key(lane)))?.array() {
                for (_, value) in entry.array()[1].pairs() {
                    numbers.extend(numbers_in(&value));
                }
            }
        }
        for (_, record) in ask(&format!("HGETALL {}", key("live")))?.pairs() {
            numbers.extend(numbers_in(&record));
        }
        let replica_until = now();
        let still = ask("ROLE")?.array()[0].text() == "slave";
        still.then_some(Self {
            partition,
            replica_until,
            input,
            front,
            numbers,
        })
    }

    /// Looks at a replica again and again, until it is promoted, and returns what it had last.
    ///
    /// # Panics
    /// If it is not promoted.
    pub(crate) fn until_promoted(mut replica: RawClient, partitions: &[u16]) -> Vec<Self> {
        // Refused where there is no cluster, and not needed there.
        let _ = replica.cmd("READONLY");
        let _ = replica.cmd("CONFIG SET cluster-allow-reads-when-down yes");
        let mut last = Vec::new();
        let started = now();
        loop {
            let taken: Option<Vec<_>> = partitions
                .iter()
                .map(|partition| Self::take(&mut replica, *partition))
                .collect();
            match taken {
                Some(taken) => last = taken,
                None => return last,
            }
            assert!(now() - started < PROMOTED, "it is not promoted within {PROMOTED:?}");
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    fn had(&self, entry: EntryId) -> bool {
        entry.id
            <= match entry.lane {
                Lane::Input => self.input,
                Lane::Front => self.front,
            }
    }

    /// Who lost this submit, which was acknowledged and never surfaced.
    pub(crate) fn blame(&self, submit: &Submit) -> Loss {
        let is_new = matches!(submit.answer, Answer::New(_));
        let never_copied = match submit.acknowledged() {
            // What a wish shares an entry with may be lost, or the wish that was noted beside that entry.
            Some(Reference::Queued(entry)) => !self.had(entry) || !is_new && !self.numbers.contains(&submit.number),
            _ => false,
        };
        if submit.partition == self.partition && submit.answered <= self.replica_until && never_copied {
            Loss::Replication
        } else {
            Loss::Ours
        }
    }
}

/// Who lost a submit that never surfaced; `snapshots` are those of all failovers.
pub(crate) fn blame(submit: &Submit, snapshots: &[Snapshot]) -> Loss {
    let excused = snapshots
        .iter()
        .any(|snapshot| snapshot.blame(submit) == Loss::Replication);
    if excused { Loss::Replication } else { Loss::Ours }
}

/// The numbers of submits in a piece of JSON, however it is wrapped: `"submit":17`.
pub(crate) fn numbers_in(text: &str) -> Vec<u64> {
    let mut numbers = Vec::new();
    for (_, rest) in text
        .match_indices("\"submit\":")
        .map(|(at, mark)| text.split_at(at + mark.len()))
    {
        let digits: String = rest.chars().take_while(char::is_ascii_digit).collect();
        numbers.extend(digits.parse::<u64>());
    }
    numbers
}
