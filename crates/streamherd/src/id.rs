//! Identities: entries, consumers, epochs and fencing tokens.

use std::fmt;
use std::str::FromStr;

use rand::RngExt as _;

/// The id Redis gives a stream entry: milliseconds and a sequence number.
///
/// Ordered as Redis orders it, which the text form is not (`5-10` comes after `5-9`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct StreamId {
    /// Unix time in milliseconds by the server's clock, unless a producer chose the id itself.
    pub ms: u64,
    /// Position among the entries of the same millisecond.
    pub seq: u64,
}

impl fmt::Display for StreamId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}", self.ms, self.seq)
    }
}

impl serde::Serialize for StreamId {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl FromStr for StreamId {
    type Err = InvalidId;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let invalid = || InvalidId(text.to_owned());
        let (ms, seq) = text.split_once('-').ok_or_else(invalid)?;
        Ok(Self {
            ms: decimal(ms).ok_or_else(invalid)?,
            seq: decimal(seq).ok_or_else(invalid)?,
        })
    }
}

/// Which of a partition's two streams an entry waits in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Lane {
    /// Work that was handed out before: re-queues and releases. Read first.
    Front,
    /// New work.
    Input,
}

impl Lane {
    pub(crate) const ALL: [Self; 2] = [Self::Front, Self::Input];

    /// The lane as one word, as keys and metrics have it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Front => "front",
            Self::Input => "input",
        }
    }
}

/// An entry of a service's queue, unique within its partition.
///
/// Redis numbers the entries of each stream on its own, so the same [`StreamId`] can stand in both lanes at once; the
/// text form is therefore `<id>` for an entry of the input stream and `front:<id>` for one of the front stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct EntryId {
    /// The stream that holds the entry.
    pub lane: Lane,
    /// Its id in that stream.
    pub id: StreamId,
}

const FRONT_PREFIX: &str = "front:";

impl fmt::Display for EntryId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.lane {
            Lane::Front => write!(f, "{FRONT_PREFIX}{}", self.id),
            Lane::Input => self.id.fmt(f),
        }
    }
}

impl FromStr for EntryId {
    type Err = InvalidId;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let (lane, id) = match text.strip_prefix(FRONT_PREFIX) {
            Some(id) => (Lane::Front, id),
            None => (Lane::Input, text),
        };
        Ok(Self { lane, id: id.parse()? })
    }
}

/// Where a data stream waits or is held. The text form of an entry is its own; a delayed one is `delayed:<id>`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Reference {
    /// An entry of the queue, not handed out yet or held.
    Queued(EntryId),
    /// It waits until it is due, and becomes an entry of the queue then.
    Delayed(StreamId),
}

pub(crate) const DELAYED_PREFIX: &str = "delayed:";

impl fmt::Display for Reference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Queued(id) => id.fmt(f),
            Self::Delayed(id) => write!(f, "{DELAYED_PREFIX}{id}"),
        }
    }
}

impl FromStr for Reference {
    type Err = InvalidId;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text.strip_prefix(DELAYED_PREFIX) {
            Some(id) => id.parse().map(Self::Delayed),
            None => text.parse().map(Self::Queued),
        }
    }
}

/// Text that is not an entry id.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not an entry id of the form <milliseconds>-<sequence>")]
pub struct InvalidId(String);

/// Text that is not a [`Cursor`](crate::Cursor).
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is no place of a list; take `next` of the page before as it is, or none for the first page")]
pub struct InvalidCursor(pub(crate) String);

/// A number drawn at each acquisition, growing per partition.
///
/// Send it along with every side effect and have the target reject a smaller one than it has seen: that is the only
/// protection between a check of the lease and the effect itself. Store it as a number; it does not order as text.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Token(pub(crate) u64);

impl Token {
    /// The token as a number.
    #[must_use]
    pub const fn get(self) -> u64 {
        self.0
    }
}

impl fmt::Display for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// A running client: its name and a random incarnation, e.g. `pod-7.k3f9x2m1`.
///
/// A restart under the same name is another consumer, so that it can't keep its predecessor's dead leases alive.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct ConsumerId(String);

const INCARNATION_LENGTH: usize = 8;

impl ConsumerId {
    pub(crate) fn new(name: &str) -> Self {
        Self(format!("{name}.{}", random_text(INCARNATION_LENGTH)))
    }

    /// The name without the incarnation: the same after a restart.
    #[must_use]
    pub fn name(&self) -> &str {
        self.0.rsplit_once('.').map_or(&self.0, |(name, _)| name)
    }

    /// The id as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for ConsumerId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// Proves that the store is the one that was set up: a random id, new whenever the group was missing; and behind a dot its
/// generation, another one whenever the last writes may be missing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Epoch(pub(crate) String);

const EPOCH_LENGTH: usize = 16;

impl Epoch {
    /// The random part.
    pub(crate) fn id(&self) -> &str {
        self.0.split('.').next().unwrap_or(&self.0)
    }

    pub(crate) fn draw() -> Self {
        Self(random_text(EPOCH_LENGTH))
    }
}

pub(crate) fn random_text(length: usize) -> String {
    let mut rng = rand::rng();
    (0..length)
        .filter_map(|_| char::from_digit(rng.random_range(0..36), 36))
        .collect()
}

/// Only plain digits: `u64::from_str` would take `+5` too.
fn decimal(text: &str) -> Option<u64> {
    if text.bytes().all(|b| b.is_ascii_digit()) {
        text.parse().ok()
    } else {
        None
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn an_entry_id_survives_its_text_form(front: bool, ms: u64, seq: u64) {
            let lane = if front { Lane::Front } else { Lane::Input };
            let id = EntryId { lane, id: StreamId { ms, seq } };
            prop_assert_eq!(id.to_string().parse::<EntryId>(), Ok(id));
        }

        #[test]
        fn any_text_is_an_id_or_an_error(text in ".{0,40}") {
            if let Ok(id) = text.parse::<EntryId>() {
                prop_assert_eq!(id.to_string().parse::<EntryId>(), Ok(id));
            }
        }
    }

    #[test]
    fn a_reference_survives_its_text_form() {
        for text in ["5-1", "front:5-1", "delayed:5-1000000001"] {
            assert_eq!(text.parse::<Reference>().unwrap().to_string(), text);
        }
        assert!("delayed:front:5-1".parse::<Reference>().is_err());
    }

    #[test]
    fn a_consumer_keeps_its_name() {
        assert_eq!(ConsumerId::new("pod.7").name(), "pod.7");
    }

    #[test]
    fn ids_order_as_redis_orders_them() {
        let id = |text: &str| text.parse::<StreamId>().unwrap();
        assert!(id("5-9") < id("5-10"));
        assert!(id("9-0") < id("10-0"));
    }

    #[test]
    fn signs_and_blanks_are_refused() {
        for text in ["+1-0", "1-+0", " 1-0", "1-", "-1", "1", "", "front:", "back:1-0"] {
            assert!(text.parse::<EntryId>().is_err(), "{text:?}");
        }
    }

    #[test]
    fn two_incarnations_of_a_name_differ() {
        assert_ne!(ConsumerId::new("pod"), ConsumerId::new("pod"));
        assert_eq!(ConsumerId::new("pod").as_str().len(), "pod.".len() + 8);
    }
}
