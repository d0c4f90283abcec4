use serde::ser::SerializeSeq as _;
use serde::{Serialize, Serializer};

use crate::dead_letter::DeadLetterReason;
use crate::entry::{self, ABANDONMENTS_FIELD, FAILURES_FIELD, FIRST_SEEN_FIELD, Fields, ORIGIN_FIELD, counter, field};
use crate::id::StreamId;

/// A dead letter: an entry that will not be handed out any more, unless it is redriven.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct DeadLetter {
    /// The partition that holds it.
    pub partition: u16,
    /// Its id among the dead letters of its partition. It never changes and never stands for another one there; see
    /// [`LetterId`](super::LetterId).
    pub id: StreamId,
    /// The data stream; [`None`] where it is unreadable or packed away.
    pub stream: Option<String>,
    /// Why it is here; [`None`] where another program has written something else.
    pub reason: Option<DeadLetterReason>,
    /// The last error text, at most 4 KiB.
    pub error: Option<String>,
    /// Who had it last.
    pub consumer: Option<String>,
    /// How often its handler failed, since it was last redriven.
    pub failures: u32,
    /// How often its workers died or lost their leases, since it was last redriven.
    pub abandonments: u32,
    /// How often it was redriven before.
    pub redriven: u32,
    /// When it died: Unix time in milliseconds by the clock of Redis.
    pub at_ms: u64,
    /// How long ago that was by the clock of Redis when it was read, in milliseconds.
    pub age_ms: u64,
    /// When it was submitted, in Unix milliseconds.
    pub first_seen_ms: u64,
    /// The id it was submitted under.
    pub origin: StreamId,
    /// The id it had when it died.
    pub last_id: Option<StreamId>,
    /// Whether its fields are packed into one (`_sh_packed`), as it was too large. It can't be redriven then.
    pub packed: bool,
    /// The size of its fields in bytes.
    pub bytes: usize,
    /// All fields as Redis has them, in order. Serialized as pairs, in which what is not UTF-8 stands as `{"hex": "…"}`.
    #[serde(serialize_with = "readable")]
    pub fields: Vec<(Vec<u8>, Vec<u8>)>,
}

impl DeadLetter {
    pub(crate) fn read(partition: u16, id: StreamId, fields: Fields, now_ms: u64) -> Self {
        let text = |name| field(&fields, name).map(|value| String::from_utf8_lossy(value).into_owned());
        let number = |name| text(name).and_then(|text| text.parse::<u64>().ok());
        let at_ms = number("_sh_at").unwrap_or(id.ms);
        let origin = text(ORIGIN_FIELD).and_then(|text| text.parse().ok()).unwrap_or(id);
        Self {
            partition,
            id,
            stream: entry::stream_name(&fields),
            reason: text("_sh_reason").and_then(|text| text.parse().ok()),
            error: text("_sh_error"),
            consumer: text("_sh_consumer"),
            failures: counter(&fields, FAILURES_FIELD),
            abandonments: counter(&fields, ABANDONMENTS_FIELD),
            redriven: counter(&fields, "_sh_redriven"),
            at_ms,
            age_ms: now_ms.saturating_sub(at_ms),
            first_seen_ms: number(FIRST_SEEN_FIELD).unwrap_or(origin.ms),
            origin,
            last_id: text("_sh_last_id").and_then(|text| text.parse().ok()),
            packed: field(&fields, "_sh_packed").is_some(),
            bytes: fields.iter().map(|(name, value)| name.len() + value.len()).sum(),
            fields,
        }
    }
}

fn readable<S: Serializer>(fields: &Fields, serializer: S) -> Result<S::Ok, S::Error> {
    let mut pairs = serializer.serialize_seq(Some(fields.len()))?;
    for (name, value) in fields {
        pairs.serialize_element(&(Readable::of(name), Readable::of(value)))?;
    }
    pairs.end()
}

/// Text as itself, and what is none unmistakably as something else.
#[derive(Serialize)]
#[serde(untagged)]
enum Readable<'a> {
    Text(&'a str),
    Bytes { hex: String },
}

impl<'a> Readable<'a> {
    fn of(bytes: &'a [u8]) -> Self {
        std::str::from_utf8(bytes).map_or_else(
            |_| Self::Bytes {
                hex: bytes.iter().map(|byte| format!("{byte:02x}")).collect(),
            },
            Self::Text,
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fields(pairs: &[(&str, &[u8])]) -> Fields {
        let owned = |(name, value): &(&str, &[u8])| (name.as_bytes().to_vec(), value.to_vec());
        pairs.iter().map(owned).collect()
    }

    #[test]
    fn a_letter_without_anything_readable_is_still_a_letter() {
        let id = StreamId { ms: 5_000, seq: 1 };
        let letter = DeadLetter::read(0, id, fields(&[("lbs-input", b"\xff"), ("_sh_at", b"soon")]), 7_000);
        assert_eq!((letter.stream, letter.reason), (None, None));
        assert_eq!(
            (letter.at_ms, letter.age_ms, letter.first_seen_ms),
            (5_000, 2_000, 5_000)
        );
        assert_eq!((letter.origin, letter.failures, letter.redriven), (id, 0, 0));
    }

    #[test]
    fn bytes_that_are_no_text_are_written_as_such() {
        let letter = DeadLetter::read(2, StreamId::default(), fields(&[("a", b"text"), ("b", b"\xff\x00")]), 0);
        let json = serde_json::to_value(&letter).unwrap();
        assert_eq!(
            json["fields"],
            serde_json::json!([["a", "text"], ["b", { "hex": "ff00" }]])
        );
        assert_eq!((&json["id"], &json["partition"]), (&"0-0".into(), &2.into()));
    }
}
