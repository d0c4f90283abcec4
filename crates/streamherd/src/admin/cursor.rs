//! Where a list goes on.

use std::fmt;
use std::str::FromStr;

use crate::id::{InvalidCursor, Lane};

/// Where the next page of a list begins, as the page before has told. Its text form is for whoever keeps it between two
/// requests, and for no other use.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Cursor {
    pub(super) partition: u16,
    pub(super) place: Place,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) enum Place {
    /// Behind that many.
    Delayed(u64),
    /// At that place of a lane's pending entries; [`None`] at the first.
    Pending(Lane, Option<String>),
}

impl fmt::Display for Cursor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.partition)?;
        match &self.place {
            Place::Delayed(skip) => write!(f, ".delayed.{skip}"),
            // Redis wants a bracket before the id, which no URL takes as it is.
            Place::Pending(lane, at) => {
                write!(
                    f,
                    ".{}.{}",
                    lane.as_str(),
                    at.as_deref().unwrap_or_default().trim_start_matches('(')
                )
            }
        }
    }
}

impl serde::Serialize for Cursor {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl FromStr for Cursor {
    type Err = InvalidCursor;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let invalid = || InvalidCursor(text.to_owned());
        let mut parts = text.splitn(3, '.');
        let (Some(partition), Some(kind), Some(at)) = (parts.next(), parts.next(), parts.next()) else {
            return Err(invalid());
        };
        let lane = |lane: Lane| {
            let at = match at {
                "" => None,
                id => Some(format!(
                    "({}",
                    id.parse::<crate::id::StreamId>().map_err(|_| invalid())?
                )),
            };
            Ok(Place::Pending(lane, at))
        };
        Ok(Self {
            partition: partition.parse().map_err(|_| invalid())?,
            place: match kind {
                "delayed" => Place::Delayed(at.parse::<u32>().map_err(|_| invalid())?.into()),
                "front" => lane(Lane::Front)?,
                "input" => lane(Lane::Input)?,
                _ => return Err(invalid()),
            },
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cursor_comes_back_from_its_text() {
        for text in ["0.delayed.100", "3.front.", "65535.input.1795-7"] {
            assert_eq!(text.parse::<Cursor>().unwrap().to_string(), text);
        }
    }

    #[test]
    fn what_is_no_cursor_is_refused() {
        for text in [
            "",
            "0",
            "0.input",
            "x.input.",
            "0.input.*",
            "0.delayed.-1",
            "70000.front.",
            "0.dlq.1",
            "0.input.(1-1",
        ] {
            assert!(text.parse::<Cursor>().is_err(), "{text}");
        }
    }
}
