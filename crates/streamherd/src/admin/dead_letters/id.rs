use std::fmt;
use std::str::FromStr;

use super::DeadLetter;
use crate::id::{InvalidId, StreamId};

/// Which dead letter: Redis numbers those of each partition on its own, so the same [`StreamId`] can stand in several.
///
/// The text form is `<partition>/<id>`, like `2/1795206880640-0`. Without a partition, as a plain [`StreamId`], it is one of
/// the first partition: of a service that has only that one, every letter.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct LetterId {
    /// The partition that holds it.
    pub partition: u16,
    /// Its id there.
    pub id: StreamId,
}

impl LetterId {
    /// Where a partition is gone on with behind this letter. Letters with one id go by their partitions.
    pub(super) fn cursor_in(self, partition: u16) -> String {
        let id = self.id;
        if partition <= self.partition {
            format!("({id}")
        } else {
            id.to_string()
        }
    }
}

impl From<StreamId> for LetterId {
    fn from(id: StreamId) -> Self {
        Self { partition: 0, id }
    }
}

impl From<&DeadLetter> for LetterId {
    fn from(letter: &DeadLetter) -> Self {
        Self {
            partition: letter.partition,
            id: letter.id,
        }
    }
}

impl fmt::Display for LetterId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.partition, self.id)
    }
}

impl FromStr for LetterId {
    type Err = InvalidId;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let plain = |number: &str| !number.is_empty() && number.bytes().all(|byte| byte.is_ascii_digit());
        match text.split_once('/') {
            Some((partition, id)) if plain(partition) => match partition.parse() {
                Ok(partition) => Ok(Self {
                    partition,
                    id: id.parse()?,
                }),
                Err(_) => text.parse::<StreamId>().map(Self::from),
            },
            // With anything else before the stroke it is no id either.
            _ => text.parse::<StreamId>().map(Self::from),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn a_letter_s_id_survives_its_text_form(partition: u16, ms: u64, seq: u64) {
            let id = LetterId { partition, id: StreamId { ms, seq } };
            prop_assert_eq!(id.to_string().parse::<LetterId>(), Ok(id));
        }

        #[test]
        fn any_text_is_an_id_or_an_error(text in "[0-9/+ -]{0,20}") {
            if let Ok(id) = text.parse::<LetterId>() {
                prop_assert_eq!(id.to_string().parse::<LetterId>(), Ok(id));
            }
        }
    }

    #[test]
    fn a_plain_id_is_one_of_the_first_partition() {
        let id: LetterId = "5-1".parse().unwrap();
        assert_eq!((id.partition, id.id), (0, StreamId { ms: 5, seq: 1 }));
        assert_eq!("0/5-1".parse(), Ok(id));
        for wrong in ["/5-1", "2/", "+2/5-1", "65536/5-1", "1/2/5-1", "2/front:5-1"] {
            assert!(wrong.parse::<LetterId>().is_err(), "{wrong}");
        }
    }
}
