//! Fuzz targets: what operators type and pipe in, and what commands say. As in the library's `fuzz` module, `cargo test` replays
//! the inputs of `__fuzz__/<target>/corpus` and draws others; a coverage-guided engine runs the same targets, like
//! `cargo +nightly bolero test -p streamherd-cli --sanitizer NONE -T 10min fuzz::any_line_is_a_stream_or_refused`.

use std::ffi::OsString;
use std::os::unix::ffi::OsStringExt as _;
use std::time::Duration;

use bolero::{Driver, ValueGenerator, check};
use clap::Parser as _;
use serde_json::value::RawValue;
use serde_json::{Map, Value};

use crate::args::{Cli, at_least_one, duration, json};
use crate::dlq::args::Named;
use crate::dlq::{cut, readable};
use crate::human::{printable, span};
use crate::submit::item;

/// Text of up to so many pieces.
struct Text(&'static [&'static str], usize);

impl ValueGenerator for Text {
    type Output = Vec<u8>;

    fn generate<D: Driver>(&self, driver: &mut D) -> Option<Vec<u8>> {
        let mut text = Vec::new();
        for _ in 0..driver.gen_variant(self.1 + 1, 0)? {
            match driver.gen_variant(8, 7)? {
                0 => text.push(driver.produce::<u8>()?),
                1 => text.extend(driver.produce::<char>()?.to_string().into_bytes()),
                _ => text.extend(self.0[driver.gen_variant(self.0.len(), 0)?].as_bytes()),
            }
        }
        Some(text)
    }
}

#[test]
fn any_line_is_a_stream_or_refused() {
    check!(name = "line")
        .with_iterations(10_000)
        .for_each(is_a_stream_or_refused);
}

#[test]
fn what_looks_like_a_line_is_a_stream_or_refused() {
    let pieces = &[
        "{\"stream\":",
        "{\"info\":",
        ",\"info\":",
        "\"a\"",
        "\"\"",
        "}",
        "{",
        "[",
        "]",
        ",",
        ":",
        "null",
        "1e400",
        "{}",
        "18446744073709551616",
        "\"\\ud800\"",
        "\"\\u0000\"",
        " ",
        "\r",
        ",\"stream\":",
        ",\"inof\":",
        "\u{feff}",
    ];
    check!(name = "line_shaped")
        .with_iterations(10_000)
        .with_generator(Text(pieces, 8))
        .for_each(|line| is_a_stream_or_refused(line));
}

fn is_a_stream_or_refused(line: &[u8]) {
    let object = serde_json::from_slice::<Map<String, Value>>(line);
    match item(line) {
        Ok(item) => {
            let info = item.info.as_deref().map_or("null", RawValue::get);
            assert!(serde_json::from_str::<&RawValue>(info).is_ok());
            // A second reader, which knows only half as many forms of numbers and escapes.
            if let Ok(object) = object {
                assert_eq!(object.get("stream"), Some(&Value::String(item.stream)));
                assert!(object.keys().all(|key| ["stream", "info"].contains(&key.as_str())));
            }
            assert_eq!(line.trim_ascii_start().first(), Some(&b'{'), "it is an object");
        }
        Err(problem) => {
            assert!(
                problem.starts_with("not an object of the form") && problem.len() < line.len() + 300,
                "{problem}"
            );
            let known =
                |object: &Map<String, Value>| object.keys().all(|key| ["stream", "info"].contains(&key.as_str()));
            let plain = object.is_ok_and(|object| known(&object) && object.get("stream").is_some_and(Value::is_string));
            // Of two fields of one name the second reader takes the last.
            let once = |word: &str| line.windows(word.len()).filter(|part| *part == word.as_bytes()).count() <= 1;
            assert!(
                !(plain && once("\"stream\"") && once("\"info\"") && !line.contains(&b'\\')),
                "{problem}"
            );
        }
    }
}

#[test]
fn any_word_is_a_time_a_count_an_id_a_json_or_refused() {
    let pieces = &[
        "0",
        "1",
        "9",
        "007",
        "18446744073709551615",
        "18446744073709551616",
        "ms",
        "s",
        "m",
        "h",
        "d",
        "-",
        "+",
        "/",
        ".",
        " ",
        "٣",
    ];
    check!(name = "word")
        .with_iterations(20_000)
        .with_generator(Text(pieces, 5))
        .for_each(|word| {
            let Ok(word) = std::str::from_utf8(word) else { return };
            let unit = word.trim_start_matches(|c: char| c.is_ascii_digit());
            let number: Option<u128> = word.strip_suffix(unit).and_then(|number| number.parse().ok());
            let units = [
                ("", 1),
                ("ms", 1),
                ("s", 1_000),
                ("m", 60_000),
                ("h", 3_600_000),
                ("d", 86_400_000),
            ];
            let size = units.iter().find(|(name, _)| *name == unit).map(|(_, size)| *size);
            let year = 365 * 86_400_000;
            // A second reader.
            let wanted = number
                .filter(|number| *number <= u128::from(u64::MAX))
                .zip(size)
                .map(|(number, size)| Duration::from_millis(number.saturating_mul(size).min(year) as u64));
            assert_eq!(duration(word).ok(), wanted, "{word}");
            assert!(at_least_one(word).is_ok_and(|count| count > 0) || at_least_one(word).is_err());
            assert_eq!(json(word).is_ok(), serde_json::from_str::<&RawValue>(word).is_ok());
            assert!(word.parse::<Named>().is_err() || word.contains('-'));
            if let Some(time) = wanted {
                assert!(!span(time.as_millis() as u64).is_empty());
            }
        });
}

#[test]
fn any_words_are_a_command_or_refused_without_telling_a_password() {
    const WORDS: [&str; 40] = [
        "worker",
        "submit",
        "status",
        "top",
        "dlq",
        "list",
        "show",
        "redrive",
        "purge",
        "requeue",
        "pause",
        "resume",
        "doctor",
        "demo",
        "--url",
        "redis://u:gehe1m@h",
        "--service",
        "a",
        "--partitions",
        "65536",
        "--layout",
        "--output",
        "json",
        "--exec",
        "exit 1",
        "--info",
        "{\"a\":",
        "--delay",
        "5s",
        "--file",
        "-",
        "--dry-run",
        "--yes",
        "--older-than",
        "7d",
        "--reason",
        "rejected",
        "2/5-1",
        "--",
        "",
    ];
    let words = (
        0..40_usize,
        0..40_usize,
        0..40_usize,
        0..40_usize,
        0..40_usize,
        Text(&["--", "=", "-"], 3),
    );
    check!(name = "command_line")
        .with_iterations(3_000)
        .with_generator(words)
        .for_each(|(a, b, c, d, e, rest)| {
            let words = [a, b, c, d, e].map(|at| OsString::from(WORDS[*at]));
            // Nothing else on this line has a password, and nothing takes this for a word of its own.
            let first = ["streamherd", "--url", "redis://u:gehe1m@h"].map(OsString::from);
            let rest = OsString::from_vec(rest.iter().copied().filter(|byte| *byte != 0).collect());
            let positional = words.iter().any(|word| word == "redis://u:gehe1m@h");
            if let Err(e) = Cli::try_parse_from(first.into_iter().chain(words).chain([rest])) {
                let told = e.to_string();
                assert!(!told.is_empty());
                assert!(positional || !told.contains("gehe1m"), "{told}");
            }
        });
}

#[test]
fn any_text_is_shown_on_one_line_of_bounded_length() {
    check!(name = "shown").with_iterations(10_000).for_each(|bytes| {
        let text = String::from_utf8_lossy(bytes);
        for shown in [printable(&text).into_owned(), printable(&readable(bytes)).into_owned()] {
            assert!(!shown.contains(char::is_control), "{shown:?}");
            // A control character takes at most the six letters of `\u{9f}`.
            assert!(shown.len() <= 6 * text.len().max(bytes.len()), "{shown:?}");
        }
        let cell = printable(&cut(&text)).into_owned();
        assert!(!cell.contains(char::is_control) && cell.chars().count() <= 8 * 60 + 1);
        assert!(text.chars().count() > 60 || cell == printable(&text));
    });
}
