//! Entries of the queue and of the dead-letter stream, as any producer can add them.

use bolero::{ValueGenerator as _, check};
use serde_json::value::RawValue;
use serde_json::{Map, Value};

use super::shape::Text;
use crate::admin::DeadLetter;
use crate::entry::{self, Entry, Fields, INPUT_FIELD, Poison, counter, field};
use crate::id::{EntryId, Lane, StreamId};
use crate::name::name_of;
use crate::trace;

const ID: EntryId = EntryId {
    lane: Lane::Front,
    id: StreamId {
        ms: 1_795_206_880_640,
        seq: 3,
    },
};

/// Dead letters hold the error's text beside the entry.
const LONGEST_REASON: usize = 512;

#[test]
fn any_input_is_an_entry_or_poison() {
    check!(name = "input")
        .with_iterations(20_000)
        .for_each(is_read_or_refused);
}

#[test]
fn what_looks_like_an_input_is_an_entry_or_poison() {
    let pieces = &[
        "{\"DataStreamName\":",
        "{\"Info\":",
        ",\"Info\":",
        ",\"DataStreamName\":",
        "\"DataStreamName\"",
        "\"Info\"",
        "{",
        "}",
        "[",
        "]",
        ",",
        ":",
        "\"",
        "\"s\"",
        "\"\"",
        "null",
        "true",
        "0",
        "-0.0",
        "1e400",
        "1E-7",
        "\\ud800",
        "\"\\ud83d\\ude00\"",
        "\\u0000",
        "\\",
        " ",
        "\n",
        "\"x\":",
        "}}",
        "{}",
        "[]",
        "\u{feff}",
        "\"a\\/b\"",
    ];
    let text = Text { pieces, most: 10 };
    check!(name = "input_shaped")
        .with_iterations(20_000)
        .with_generator(text)
        .for_each(|input| is_read_or_refused(input));
}

fn is_read_or_refused(input: &[u8]) {
    let fields = vec![(INPUT_FIELD.as_bytes().to_vec(), input.to_vec())];
    let beginning = name_of(&input[..input.len().min(8_192)]);
    match Entry::parse(ID, fields.clone()) {
        Ok(entry) => {
            let text = std::str::from_utf8(input).expect("an entry is text, which its digest is taken of");
            assert!(
                is_object_with_a_name(text),
                "{text:?} is no object, as all other readers have it"
            );
            assert!(!entry.name.is_empty() && entry.name.len() <= entry::MAX_NAME_BYTES);
            assert!(
                beginning.is_none_or(|name| name == entry.name),
                "its beginning tells another name"
            );
            assert_eq!(entry::stream_name(&fields).as_ref(), Some(&entry.name));
            let info = entry.info().unwrap_or("null");
            assert!(text.contains(info) || info == "null");
            // What is handed out, submitted again, is handed out again.
            let info: &RawValue = serde_json::from_str(info).expect("what is handed out is JSON");
            let again = entry::encode(&entry.name, info);
            let Ok(again) = again else {
                panic!("it can't be submitted again: {again:?}");
            };
            let again = Entry::parse(ID, vec![(INPUT_FIELD.as_bytes().to_vec(), again.into_bytes())])
                .expect("what is submitted is readable");
            assert_eq!((&again.name, again.info().unwrap_or("null")), (&entry.name, info.get()));
            assert_eq!(entry.fields, fields);
        }
        Err(Poison::Unparseable(why)) => {
            assert!(!why.is_empty() && why.len() < LONGEST_REASON, "{why:?}");
            assert!(!is_plainly_an_entry(input), "{why}");
        }
        Err(Poison::TooLarge(_)) => assert!(input.len() > entry::MAX_ENTRY_BYTES - INPUT_FIELD.len()),
    }
}

/// What a second reader of JSON says, which takes objects for what they are.
fn is_object_with_a_name(text: &str) -> bool {
    text.trim_start_matches([' ', '\t', '\n', '\r']).starts_with('{')
}

/// Whether a second reader, which has no doubt, takes it: an object with one short name, of which no key stands twice.
fn is_plainly_an_entry(input: &[u8]) -> bool {
    let Ok(object) = serde_json::from_slice::<Map<String, Value>>(input) else {
        return false;
    };
    let Some(Value::String(name)) = object.get("DataStreamName") else {
        return false;
    };
    let short = (1..=entry::MAX_NAME_BYTES).contains(&name.len());
    // The second reader takes the last of several; and a key may be written with escapes.
    let once = |word: &str| {
        input
            .windows(word.len())
            .filter(|part| *part == word.as_bytes())
            .count()
            <= 1
    };
    short && once("DataStreamName") && once("Info") && !input.contains(&b'\\')
}

/// Fields as lines of the form `name=value`, which is how the corpus has them.
fn lines(text: &[u8]) -> Fields {
    let pair = |line: &[u8]| {
        let mut parts = line.splitn(2, |byte| *byte == b'=');
        let mut part = || parts.next().unwrap_or_default().to_vec();
        (part(), part())
    };
    text.split(|byte| *byte == b'\n')
        .filter(|line| !line.is_empty())
        .map(pair)
        .collect()
}

#[test]
fn any_fields_are_an_entry_or_poison_and_a_dead_letter() {
    check!(name = "fields")
        .with_iterations(10_000)
        .for_each(|text| are_read(&lines(text)));
}

#[test]
fn what_look_like_fields_are_an_entry_or_poison_and_a_dead_letter() {
    let pieces = &[
        "\nlbs-input={\"DataStreamName\":\"s\",\"Info\":1}",
        "\nlbs-input=",
        "\n_retry_count=",
        "\n_sh_failures=",
        "\n_sh_abandonments=",
        "\n_sh_origin=",
        "\n_sh_first_seen=",
        "\n_sh_live=s",
        "\n_sh_live=",
        "\n_sh_reason=rejected",
        "\n_sh_reason=",
        "\n_sh_error=",
        "\n_sh_at=",
        "\n_sh_redriven=",
        "\n_sh_last_id=",
        "\n_sh_packed=",
        "\n_sh_traceparent=00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
        "\n_sh_traceparent=",
        "5-1",
        "front:5-1",
        "-",
        "\n",
        "=",
        "0",
    ];
    let fields = Text { pieces, most: 12 }.map_gen(|text| lines(&text));
    check!(name = "fields_shaped")
        .with_iterations(20_000)
        .with_generator(fields)
        .for_each(are_read);
}

fn are_read(fields: &Fields) {
    for name in ["_retry_count", "_sh_failures", "_sh_abandonments"] {
        assert_eq!(counter(fields, name), counter_of_scripts(fields, name), "{name}");
    }
    let letter = DeadLetter::read(7, ID.id, fields.clone(), 1_800_000_000_000);
    assert_eq!(&letter.fields, fields);
    assert_eq!(letter.bytes, entry::size(fields));
    let shown: Value = serde_json::to_value(&letter).expect("a letter can be shown");
    assert_eq!(shown["fields"].as_array().map(Vec::len), Some(fields.len()));
    for ((name, value), shown) in fields.iter().zip(shown["fields"].as_array().into_iter().flatten()) {
        assert_eq!(
            (&bytes(&shown[0]), &bytes(&shown[1])),
            (name, value),
            "it is shown as it is"
        );
    }
    if let Ok(entry) = Entry::parse(ID, fields.clone()) {
        assert_eq!(
            letter.stream.as_ref(),
            Some(&entry.name),
            "dead or alive it has one name"
        );
        assert_eq!(
            (letter.failures, letter.abandonments),
            (entry.failures, entry.abandonments)
        );
        assert_eq!(
            entry.coalesced,
            field(fields, "_sh_live") == Some(entry.name.as_bytes())
        );
        let old = entry.fields_of_old();
        assert!(old.starts_with(fields) && old.len() <= fields.len() + 2);
        let again = Entry::parse(ID, old).expect("what is written back is readable");
        assert_eq!((again.origin, again.first_seen_ms), (entry.origin, entry.first_seen_ms));
        assert_eq!(again.name, entry.name);
        assert_eq!(
            trace::of(&again.fields),
            letter.trace_context(),
            "dead or alive it is of one trace"
        );
    }
}

/// The rule of the scripts: `^%d+$`, and fewer than ten of them.
fn counter_of_scripts(fields: &Fields, name: &str) -> u32 {
    match field(fields, name) {
        Some(digits @ [_, ..]) if digits.len() < 10 && digits.iter().all(u8::is_ascii_digit) => digits
            .iter()
            .fold(0, |number, digit| number * 10 + u32::from(digit - b'0')),
        _ => 0,
    }
}

/// What is shown of bytes, read back.
fn bytes(shown: &Value) -> Vec<u8> {
    match shown {
        Value::String(text) => text.clone().into_bytes(),
        other => {
            let hex = other["hex"].as_str().expect("text or hex");
            let digit = |at: usize| u8::from_str_radix(&hex[at..at + 2], 16).expect("two hex digits");
            (0..hex.len()).step_by(2).map(digit).collect()
        }
    }
}
