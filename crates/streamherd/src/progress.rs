//! How far the work on a stream has come, as its owner says: for those who look on. Nothing is decided by it.

use std::fmt::Write as _;

/// The longest text that is kept, in bytes.
const MAX_TEXT_BYTES: usize = 256;

/// How far the work on a stream has come: a share of it, a text, or both. See [`Lease::report`](crate::Lease::report).
///
/// ```
/// use streamherd::Progress;
///
/// let progress = Progress::of(3.0 / 7.0).with_text("3 of 7 files");
/// assert_eq!(progress.text(), "3 of 7 files");
/// ```
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Progress {
    value: Option<f64>,
    text: String,
}

impl Progress {
    /// A share of the work, from 0 to 1. What is outside is taken for the nearer end, and what is no number for unknown.
    #[must_use]
    pub fn of(value: f64) -> Self {
        Self::default().with_value(value)
    }

    /// A text alone, where no share can be told.
    #[must_use]
    pub fn said(text: impl Into<String>) -> Self {
        Self::default().with_text(text)
    }

    /// With a text beside it, of which the first 256 bytes are kept.
    #[must_use]
    pub fn with_text(mut self, text: impl Into<String>) -> Self {
        self.text = text.into();
        let mut end = self.text.len().min(MAX_TEXT_BYTES);
        while !self.text.is_char_boundary(end) {
            end -= 1;
        }
        self.text.truncate(end);
        self
    }

    fn with_value(mut self, value: f64) -> Self {
        self.value = (!value.is_nan()).then(|| value.clamp(0.0, 1.0));
        self
    }

    /// The share of the work that is done, from 0 to 1, if it was told.
    #[must_use]
    pub const fn value(&self) -> Option<f64> {
        self.value
    }

    /// What was said beside it; empty for nothing.
    #[must_use]
    pub fn text(&self) -> &str {
        &self.text
    }

    /// As Redis keeps it: the share, or `-`, and the text.
    pub(crate) fn encode(&self) -> String {
        let mut encoded = String::with_capacity(self.text.len() + 8);
        match self.value {
            Some(value) => {
                let _ = write!(encoded, "{value:.4} ");
            }
            None => encoded.push_str("- "),
        }
        encoded.push_str(&self.text);
        encoded
    }

    /// What another program has written reads as far as it makes sense.
    pub(crate) fn decode(encoded: &str) -> Self {
        let (value, text) = encoded.split_once(' ').unwrap_or((encoded, ""));
        let progress = Self::said(text);
        match value.parse() {
            Ok(value) => progress.with_value(value),
            Err(_) => progress,
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn shares_stay_between_nothing_and_all() {
        for (told, kept) in [
            (0.5, Some(0.5)),
            (-1.0, Some(0.0)),
            (f64::INFINITY, Some(1.0)),
            (f64::NAN, None),
        ] {
            assert_eq!(Progress::of(told).value(), kept);
        }
    }

    #[test]
    fn what_another_program_wrote_is_read_as_far_as_it_goes() {
        assert_eq!(Progress::decode(""), Progress::default());
        assert_eq!(Progress::decode("NaN x"), Progress::said("x"));
        assert_eq!(Progress::decode("7e300"), Progress::of(1.0));
    }

    proptest! {
        #[test]
        fn what_is_said_comes_back_and_is_never_long(share in proptest::option::of(0u32..=10_000), text in ".{0,400}") {
            let progress = Progress { value: share.map(|n| f64::from(n) / 10_000.0), text: String::new() }.with_text(text.clone());
            prop_assert!(progress.text().len() <= MAX_TEXT_BYTES && text.starts_with(progress.text()));
            prop_assert_eq!(Progress::decode(&progress.encode()), progress);
        }
    }
}
