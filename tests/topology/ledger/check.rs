//! Judges what a load left in its ledger. Nothing here asks Redis, or a clock.

use std::collections::{BTreeMap, HashMap};

use super::{Answer, At, End, Held, Record, Submit};

impl Record {
    /// The acknowledged submits after which their stream did not end, done or dead-lettered, in a run that was handed out
    /// after they were asked for.
    pub(crate) fn unfinished(&self) -> Vec<&Submit> {
        let mut last_run: HashMap<&str, At> = HashMap::new();
        for held in &self.leases {
            if matches!(held.ended, Some((_, End::Done | End::DeadLettered))) {
                let last = last_run.entry(&held.stream).or_default();
                *last = held.handed_out.max(*last);
            }
        }
        let finished = |submit: &Submit| last_run.get(&*submit.stream).is_some_and(|run| *run >= submit.asked);
        let acknowledged = self.submits.iter().filter(|submit| submit.acknowledged().is_some());
        acknowledged.filter(|submit| !finished(submit)).collect()
    }

    /// Pairs of leases of one stream that were both certainly valid at one moment. All submits of the loads coalesce, so
    /// that holds for streams as it does for entries.
    pub(crate) fn overlapping(&self) -> Vec<(&Held, &Held)> {
        let mut pairs = Vec::new();
        let mut of_entry: BTreeMap<_, Vec<&Held>> = BTreeMap::new();
        let mut of_stream: BTreeMap<_, Vec<&Held>> = BTreeMap::new();
        for held in &self.leases {
            of_entry.entry((held.partition, held.entry)).or_default().push(held);
            of_stream.entry(&held.stream).or_default().push(held);
        }
        for leases in of_entry.into_values().chain(of_stream.into_values()) {
            for (n, one) in leases.iter().enumerate() {
                for other in &leases[n + 1..] {
                    if one.overlaps(other) && !pairs.contains(&(*one, *other)) {
                        pairs.push((*one, *other));
                    }
                }
            }
        }
        pairs
    }

    /// Pairs of leases of which the later has not the larger token.
    ///
    /// The later of two leases of a stream is the one that was handed out later. Of two streams of a partition it is
    /// certain only where one was not even submitted when the other was handed out: two workers may learn of their leases
    /// in another order than they got them.
    pub(crate) fn tokens_out_of_order(&self) -> Vec<(&Held, &Held)> {
        let mut pairs = self.equal_tokens();
        let mut last: HashMap<&str, &Held> = HashMap::new();
        let mut leases: Vec<&Held> = self.leases.iter().collect();
        leases.sort_by_key(|held| held.handed_out);
        for held in &leases {
            if let Some(before) = last.insert(&held.stream, held)
                && before.token >= held.token
            {
                pairs.push((before, held));
            }
        }
        let mut submitted: HashMap<&str, At> = HashMap::new();
        for submit in &self.submits {
            let first = submitted.entry(&submit.stream).or_insert(submit.asked);
            *first = submit.asked.min(*first);
        }
        let mut partitions: BTreeMap<u16, Vec<&Held>> = BTreeMap::new();
        for held in leases {
            partitions.entry(held.partition).or_default().push(held);
        }
        for leases in partitions.into_values() {
            // By the time of the submit, so that each earlier lease is looked at once.
            let mut later: Vec<(At, &Held)> = leases
                .iter()
                .filter_map(|held| Some((*submitted.get(&*held.stream)?, *held)))
                .collect();
            later.sort_by_key(|(submitted, _)| *submitted);
            let mut earlier = leases.into_iter().peekable();
            let mut largest: Option<&Held> = None;
            for (submitted, held) in later {
                while let Some(before) = earlier.next_if(|before| before.handed_out < submitted) {
                    if largest.is_none_or(|largest| largest.token < before.token) {
                        largest = Some(before);
                    }
                }
                if let Some(largest) = largest.filter(|largest| largest.token >= held.token) {
                    pairs.push((largest, held));
                }
            }
        }
        pairs
    }

    fn equal_tokens(&self) -> Vec<(&Held, &Held)> {
        let mut known: HashMap<(u16, u64), &Held> = HashMap::new();
        let mut pairs = Vec::new();
        for held in &self.leases {
            if let Some(before) = known.insert((held.partition, held.token), held) {
                pairs.push((before, held));
            }
        }
        pairs
    }

    /// Settlements that Redis let count although the stream had been handed to another before they were asked for: the
    /// one that counted, and the other lease.
    pub(crate) fn settled_too_late(&self) -> Vec<(&Held, &Held)> {
        let mut of_stream: BTreeMap<_, Vec<&Held>> = BTreeMap::new();
        for held in &self.leases {
            of_stream.entry(&held.stream).or_default().push(held);
        }
        let mut pairs = Vec::new();
        for leases in of_stream.into_values() {
            for held in &leases {
                let counted = matches!(held.ended, Some((_, End::Done | End::DeadLettered | End::Requeued)));
                let Some(asked) = held.asked.filter(|_| counted) else {
                    continue;
                };
                let taken = leases
                    .iter()
                    .find(|other| other.handed_out > held.handed_out && other.handed_out < asked);
                pairs.extend(taken.map(|other| (*held, *other)));
            }
        }
        pairs
    }

    /// Submits that were said to be certainly not queued, and were: the first answers to a name that nobody else submits
    /// were refusals, and then it was there already.
    pub(crate) fn wrongly_refused(&self) -> Vec<&Submit> {
        let mut of_stream: BTreeMap<_, Vec<&Submit>> = BTreeMap::new();
        for submit in &self.submits {
            of_stream.entry(&submit.stream).or_default().push(submit);
        }
        let mut wrong = Vec::new();
        for submits in of_stream.into_values() {
            let is_one = submits.iter().all(|submit| submit.number == submits[0].number);
            let unsure = submits.iter().any(|submit| submit.answer == Answer::Maybe);
            let coalesced = submits
                .iter()
                .any(|submit| matches!(submit.answer, Answer::Coalesced(_)));
            if is_one && !unsure && coalesced {
                wrong.push(submits[0]);
            }
        }
        wrong
    }

    /// Leases of whose end nothing is known.
    pub(crate) fn open(&self) -> Vec<&Held> {
        self.leases.iter().filter(|held| held.ended.is_none()).collect()
    }

    /// How many leases ended so.
    pub(crate) fn count(&self, end: End) -> usize {
        let ends = self.leases.iter().filter_map(|held| held.ended);
        ends.filter(|(_, how)| *how == end).count()
    }
}

impl Held {
    fn overlaps(&self, other: &Self) -> bool {
        match (self.valid, other.valid) {
            (Some((from, until)), Some((other_from, other_until))) => from <= other_until && other_from <= until,
            _ => false,
        }
    }
}
