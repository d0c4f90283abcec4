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

/// Text that anybody may have chosen, as a part of one line: without what would move the cursor, break the line, colour a
/// terminal, or show its letters in another order than they have.
pub(crate) fn printable(text: &str) -> Cow<'_, str> {
    if !text.contains(is_unsafe) {
        return Cow::Borrowed(text);
    }
    let mut safe = String::with_capacity(text.len() + 16);
    for c in text.chars() {
        if is_unsafe(c) {
            safe.extend(c.escape_default());
        } else {
            safe.push(c);
        }
    }
    Cow::Owned(safe)
}

/// Control characters (C0, DEL, C1), and those of Unicode that are not seen themselves and change how others are.
fn is_unsafe(c: char) -> bool {
    c.is_control()
        || matches!(c,
            // Soft hyphen; marks, embeddings, overrides and isolates of direction.
            '\u{ad}' | '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}'
            // No width: two names that look the same may not be.
            | '\u{180e}' | '\u{200b}'..='\u{200d}' | '\u{2060}'..='\u{2065}' | '\u{206a}'..='\u{206f}' | '\u{feff}'
            // Line and paragraph separators; annotations; tags.
            | '\u{2028}' | '\u{2029}' | '\u{fff9}'..='\u{fffb}' | '\u{e0000}'..='\u{e007f}'
        )
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
        for (text, shown) in [
            ("\r\u{7}\u{8}\0\u{7f}", "\\r\\u{7}\\u{8}\\u{0}\\u{7f}"),
            (
                "\u{9b}2J\u{9d}0;title\u{9c}\u{85}",
                "\\u{9b}2J\\u{9d}0;title\\u{9c}\\u{85}",
            ),
            ("a\u{2028}b\u{2029}", "a\\u{2028}b\\u{2029}"),
            (
                "\u{202e}gpj.exe\u{2066}\u{200f}\u{61c}",
                "\\u{202e}gpj.exe\\u{2066}\\u{200f}\\u{61c}",
            ),
            (
                "a\u{200b}b\u{feff}\u{2060}\u{e0041}",
                "a\\u{200b}b\\u{feff}\\u{2060}\\u{e0041}",
            ),
        ] {
            assert_eq!(printable(text), shown);
            assert_eq!(printable(shown), shown, "what is safe stays as it is");
        }
    }
}
