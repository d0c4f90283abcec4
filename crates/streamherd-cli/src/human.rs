//! Times and names as people read them.

use std::borrow::Cow;
use std::time::{SystemTime, UNIX_EPOCH};

const UNITS: [(&str, u64); 4] = [("d", 86_400_000), ("h", 3_600_000), ("m", 60_000), ("s", 1_000)];

/// Unix time in milliseconds.
pub(crate) fn now_ms() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}

/// Milliseconds in at most two units, rounded down: `850ms`, `12s`, `3m 10s`, `4d 3h`.
pub(crate) fn span(ms: u64) -> String {
    let Some(first) = UNITS.iter().position(|(_, size)| ms >= *size) else {
        return format!("{ms}ms");
    };
    let mut rest = ms;
    let mut text = Vec::new();
    for (unit, size) in UNITS.iter().skip(first).take(2) {
        if rest >= *size {
            text.push(format!("{}{unit}", rest / size));
        }
        rest %= size;
    }
    text.join(" ")
}

/// A name that anybody may have chosen, without what would move the cursor or break a line.
pub(crate) fn printable(name: &str) -> Cow<'_, str> {
    if !name.contains(char::is_control) {
        return Cow::Borrowed(name);
    }
    let mut text = String::with_capacity(name.len());
    for c in name.chars() {
        if c.is_control() {
            text.extend(c.escape_default());
        } else {
            text.push(c);
        }
    }
    Cow::Owned(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_span_has_its_two_largest_units() {
        let second = 1_000;
        for (ms, text) in [
            (0, "0ms"),
            (999, "999ms"),
            (second, "1s"),
            (59 * second + 999, "59s"),
            (60 * second, "1m"),
            (190 * second, "3m 10s"),
            (3_600 * second + 59 * second, "1h"),
            (7_500 * second, "2h 5m"),
            (99 * 3_600 * second, "4d 3h"),
        ] {
            assert_eq!(span(ms), text);
        }
    }

    #[test]
    fn names_stay_in_their_line() {
        assert_eq!(printable("über 1"), "über 1");
        assert_eq!(printable("a\n\u{1b}[2Jb"), "a\\n\\u{1b}[2Jb");
    }
}
