//! How findings are put: spans of time, and command lines that can be pasted.

use std::time::Duration;

/// A span of time for people.
pub(super) fn span(span: Duration) -> String {
    let seconds = span.as_secs();
    match seconds {
        0..=9 => format!("{:.1} s", span.as_secs_f64()),
        10..=599 => format!("{seconds} s"),
        600..=35_999 => format!("{} min", seconds / 60),
        36_000..=863_999 => format!("{} h", seconds / 3_600),
        _ => format!("{} days", seconds / 86_400),
    }
}

/// A command line, quoted where a shell would read more than the word.
pub(super) fn shell(words: &[&str]) -> String {
    let words: Vec<String> = words.iter().map(|word| shell_word(word)).collect();
    words.join(" ")
}

pub(crate) fn shell_word(word: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "+-_./:=,@%".contains(c);
    if !word.is_empty() && word.chars().all(plain) {
        return word.to_owned();
    }
    format!("'{}'", word.replace('\'', r"'\''"))
}
