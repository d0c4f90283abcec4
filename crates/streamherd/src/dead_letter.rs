//! Why an entry is in the dead-letter stream.

use std::fmt;
use std::str::FromStr;

use serde::Serialize;

/// Why an entry is in the dead-letter stream; kept there as `_sh_reason`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum DeadLetterReason {
    /// It could not be read: no `lbs-input`, not the expected JSON, or a bad name.
    Unparseable,
    /// It has more than 1,000 fields or 1 MiB; all its fields are packed into `_sh_packed` (MessagePack).
    TooLarge,
    /// Its handler failed `recovery.max_failures` times.
    MaxFailures,
    /// Its workers died or lost their leases `recovery.max_abandonments` times.
    MaxAbandonments,
    /// Its handler said so.
    Rejected,
}

impl DeadLetterReason {
    /// All that there are in this version.
    pub const ALL: &'static [Self] = &[
        Self::Unparseable,
        Self::TooLarge,
        Self::MaxFailures,
        Self::MaxAbandonments,
        Self::Rejected,
    ];

    /// The reason as the dead letter, the metrics and the command line have it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Unparseable => "unparseable",
            Self::TooLarge => "too_large",
            Self::MaxFailures => "max_failures",
            Self::MaxAbandonments => "max_abandonments",
            Self::Rejected => "rejected",
        }
    }
}

impl fmt::Display for DeadLetterReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for DeadLetterReason {
    type Err = UnknownReason;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let found = Self::ALL.iter().find(|reason| reason.as_str() == text);
        found.copied().ok_or_else(|| UnknownReason(text.to_owned()))
    }
}

/// Text that is not a [`DeadLetterReason`].
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not a reason for a dead letter")]
pub struct UnknownReason(String);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reasons_survive_their_text_form() {
        for reason in DeadLetterReason::ALL {
            assert_eq!(reason.to_string().parse(), Ok(*reason));
            assert_eq!(
                serde_json::to_value(reason).unwrap(),
                reason.as_str(),
                "as it is serialized"
            );
        }
        assert!("rejected ".parse::<DeadLetterReason>().is_err());
    }
}
