use std::time::Duration;

use super::{DeadLetter, LetterId};
use crate::dead_letter::DeadLetterReason;

/// Which dead letters are meant: those that all of its rules are true of. The default has no rule, and means all.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct DeadLetterFilter {
    pub(super) ids: Option<Vec<LetterId>>,
    pub(super) limit: Option<u64>,
    pub(super) after: Option<LetterId>,
    pub(super) looks: Option<u64>,
    reason: Option<DeadLetterReason>,
    older_than: Option<Duration>,
    younger_than: Option<Duration>,
    stream: Option<String>,
}

impl DeadLetterFilter {
    /// Letters with these ids, which are looked up one by one. None are meant if there are none.
    #[must_use]
    pub fn ids<I: Into<LetterId>>(mut self, ids: impl IntoIterator<Item = I>) -> Self {
        let mut unique = Vec::new();
        for id in ids.into_iter().map(Into::into) {
            if !unique.contains(&id) {
                unique.push(id);
            }
        }
        self.ids = Some(unique);
        self
    }

    /// Letters that died of this.
    #[must_use]
    pub const fn reason(mut self, reason: DeadLetterReason) -> Self {
        self.reason = Some(reason);
        self
    }

    /// Letters that died at least so long ago, by the clock of Redis as the walk begins.
    #[must_use]
    pub const fn older_than(mut self, age: Duration) -> Self {
        self.older_than = Some(age);
        self
    }

    /// Letters that died less than so long ago, by the clock of Redis as the walk begins.
    #[must_use]
    pub const fn younger_than(mut self, age: Duration) -> Self {
        self.younger_than = Some(age);
        self
    }

    /// Letters of the data stream with exactly this name.
    #[must_use]
    pub fn stream(mut self, name: impl Into<String>) -> Self {
        self.stream = Some(name.into());
        self
    }

    /// The oldest so many of those that the other rules are true of.
    #[must_use]
    pub const fn limit(mut self, letters: u64) -> Self {
        self.limit = Some(letters);
        self
    }

    /// Letters behind this one in the order in which they are gone through, the oldest of all partitions first; it need not
    /// be there any more. Means nothing for [`ids`](Self::ids).
    #[must_use]
    pub fn after(mut self, letter: impl Into<LetterId>) -> Self {
        self.after = Some(letter.into());
        self
    }

    /// Looks at no more than so many letters, or 16 MiB of them, to find those that are meant. Means nothing for [`ids`](Self::ids).
    #[must_use]
    pub const fn look_at(mut self, letters: u64) -> Self {
        self.looks = Some(letters);
        self
    }

    /// Whether all rules but the bounds are true of a letter; its age is that at its reading.
    pub(super) fn accepts(&self, letter: &DeadLetter) -> bool {
        let age = Duration::from_millis(letter.age_ms);
        self.ids
            .as_ref()
            .is_none_or(|ids| ids.contains(&LetterId::from(letter)))
            && self.reason.is_none_or(|reason| letter.reason == Some(reason))
            && self.older_than.is_none_or(|least| age >= least)
            && self.younger_than.is_none_or(|most| age < most)
            && (self.stream.is_none() || self.stream == letter.stream)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::id::StreamId;

    fn letter(reason: &str, age_ms: u64, stream: &str) -> DeadLetter {
        let input = serde_json::json!({ "DataStreamName": stream }).to_string();
        let fields = [
            ("lbs-input", input.as_str()),
            ("_sh_reason", reason),
            ("_sh_at", "1000000"),
        ];
        let owned = |(name, value): (&str, &str)| (name.as_bytes().to_vec(), value.as_bytes().to_vec());
        let fields = fields.map(owned).to_vec();
        DeadLetter::read(0, StreamId { ms: 1_000_000, seq: 3 }, fields, 1_000_000 + age_ms)
    }

    #[test]
    fn without_rules_all_letters_are_meant() {
        let all = DeadLetterFilter::default();
        assert!(all.accepts(&letter("rejected", 0, "a")));
        assert!(all.accepts(&letter("a reason of the future", 0, "")));
    }

    #[test]
    fn each_rule_refuses_alone() {
        let letter = letter("rejected", 60_000, "a");
        let minute = Duration::from_secs(60);
        let all = DeadLetterFilter::default;
        let (mine, other) = (letter.id, StreamId { ms: 1, seq: 0 });
        for accepted in [
            all().reason(DeadLetterReason::Rejected),
            all().older_than(minute),
            all().younger_than(minute + Duration::from_millis(1)),
            all().stream("a"),
            all().ids([other, mine, mine]),
        ] {
            assert!(accepted.accepts(&letter), "{accepted:?}");
        }
        for refused in [
            all().reason(DeadLetterReason::TooLarge),
            all().older_than(minute + Duration::from_millis(1)),
            all().younger_than(minute),
            all().stream("A"),
            all().ids([other]),
            all().ids::<StreamId>([]),
            all().ids([LetterId { partition: 1, id: mine }]),
            all().stream("a").reason(DeadLetterReason::MaxFailures),
        ] {
            assert!(!refused.accepts(&letter), "{refused:?}");
        }
    }

    proptest! {
        #[test]
        fn a_letter_is_either_older_or_younger_and_never_both(age_ms in 0_u64..1_000_000, bound_ms in 0_u64..1_000_000) {
            let (letter, bound) = (letter("rejected", age_ms, "a"), Duration::from_millis(bound_ms));
            let older = DeadLetterFilter::default().older_than(bound).accepts(&letter);
            let younger = DeadLetterFilter::default().younger_than(bound).accepts(&letter);
            prop_assert!(older != younger);
        }
    }
}
