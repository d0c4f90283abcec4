//! What an entry of the queue says: its wire format, read without trust and written for producers.

use std::borrow::Cow;
use std::fmt;
use std::ops::Range;

use serde::de::value::MapAccessDeserializer;
use serde::de::{MapAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::value::RawValue;

use crate::id::{EntryId, StreamId};

/// The field that names the data stream and carries its info: the Go library's wire format.
pub(crate) const INPUT_FIELD: &str = "lbs-input";
pub(crate) const RETRY_COUNT_FIELD: &str = "_retry_count";
pub(crate) const FAILURES_FIELD: &str = "_sh_failures";
pub(crate) const ABANDONMENTS_FIELD: &str = "_sh_abandonments";
pub(crate) const ORIGIN_FIELD: &str = "_sh_origin";
pub(crate) const FIRST_SEEN_FIELD: &str = "_sh_first_seen";
/// Holds the data stream's name where submits of it are coalesced.
pub(crate) const LIVE_FIELD: &str = "_sh_live";
/// The trace that it was submitted in.
pub(crate) const TRACE_FIELD: &str = "_sh_traceparent";

/// Entries beyond these limits go to the dead-letter stream, packed into one field: a script can't add more than
/// about 3,990 fields to a stream.
pub(crate) const MAX_FIELDS: usize = 1_000;
pub(crate) const MAX_ENTRY_BYTES: usize = 1024 * 1024;
pub(crate) const MAX_NAME_BYTES: usize = 1024;

/// Field names and values as Redis keeps them: bytes, in order, duplicates possible.
pub(crate) type Fields = Vec<(Vec<u8>, Vec<u8>)>;

/// A readable entry.
#[derive(Debug, Clone)]
pub(crate) struct Entry {
    /// The id it was read under.
    pub(crate) id: EntryId,
    /// All it says, so that it can be written anew where Redis loses it.
    pub(crate) fields: Fields,
    pub(crate) name: String,
    /// Where in the input field the info stands.
    info: Option<Range<usize>>,
    /// How often it was handed out before and not finished: failures and abandonments together.
    pub(crate) attempt: u32,
    pub(crate) failures: u32,
    pub(crate) abandonments: u32,
    /// The id it was submitted under.
    pub(crate) origin: StreamId,
    /// When it was submitted, in Unix milliseconds.
    pub(crate) first_seen_ms: u64,
    /// Whether other submits of its name are coalesced with it.
    pub(crate) coalesced: bool,
}

impl Entry {
    /// Whether it was put where it is by a script, after it had been somewhere else.
    pub(crate) fn is_later_life(&self) -> bool {
        self.origin != self.id.id
    }

    /// The info as the JSON that was submitted.
    pub(crate) fn info(&self) -> Option<&str> {
        let input = field(&self.fields, INPUT_FIELD)?;
        std::str::from_utf8(input.get(self.info.clone()?)?).ok()
    }

    /// The fields as they are after a loss: whatever becomes of the entry, where it came from stays told.
    pub(crate) fn fields_of_old(&self) -> Fields {
        let mut fields = self.fields.clone();
        for (name, value) in [
            (ORIGIN_FIELD, self.origin.to_string()),
            (FIRST_SEEN_FIELD, self.first_seen_ms.to_string()),
        ] {
            if field(&fields, name).is_none() {
                fields.push((name.as_bytes().to_vec(), value.into_bytes()));
            }
        }
        fields
    }

    /// The name that other submits are coalesced by, if they are.
    pub(crate) fn coalesced_name(&self) -> Option<String> {
        self.coalesced.then(|| self.name.clone())
    }
}

/// Why an entry can't be handed out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Poison {
    Unparseable(String),
    TooLarge(String),
}

impl Poison {
    pub(crate) fn too_large(fields: impl fmt::Display, bytes: impl fmt::Display) -> Self {
        Self::TooLarge(format!(
            "{fields} fields and {bytes} bytes; the limits are {MAX_FIELDS} and {MAX_ENTRY_BYTES}"
        ))
    }
}

#[derive(Deserialize)]
struct WireIn<'a> {
    #[serde(rename = "DataStreamName", borrow)]
    name: Cow<'a, str>,
    #[serde(rename = "Info", borrow, default)]
    info: Option<&'a RawValue>,
}

/// Go reads keys in any case, and these are what producers in other languages make of it.
#[derive(Deserialize)]
struct WireOfOthers<'a> {
    #[serde(alias = "DataStreamName", alias = "dataStreamName", borrow)]
    datastreamname: Cow<'a, str>,
    #[serde(alias = "Info", borrow, default)]
    info: Option<&'a RawValue>,
}

impl<'a> WireIn<'a> {
    /// All of it is text, as JSON is; the scripts and the library take its digest, and must take the same one.
    fn read(input: &'a [u8]) -> Result<Self, String> {
        let text = std::str::from_utf8(input).map_err(|e| format!("{INPUT_FIELD} is no text: {e}"))?;
        match serde_json::from_str(text) {
            Ok(Object(wire)) => Ok(wire),
            Err(e) => Err(format!("{INPUT_FIELD} is not the expected JSON: {e}")),
        }
    }

    fn read_beside_go(input: &'a [u8]) -> Result<Self, String> {
        Self::read(input).or_else(|strictly| {
            let Ok(Object(WireOfOthers { datastreamname, info })) = serde_json::from_slice(input) else {
                return Err(strictly);
            };
            Ok(Self {
                name: datastreamname,
                info,
            })
        })
    }
}

/// A struct that is written as an object. serde would take a list of its values too, which other readers don't.
struct Object<T>(T);

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Object<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Inside<T>(std::marker::PhantomData<T>);

        impl<'de, T: Deserialize<'de>> Visitor<'de> for Inside<T> {
            type Value = T;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<T, A::Error> {
                T::deserialize(MapAccessDeserializer::new(map))
            }
        }

        deserializer.deserialize_map(Inside(std::marker::PhantomData)).map(Self)
    }
}

#[derive(Serialize)]
struct WireOut<'a, I: ?Sized> {
    #[serde(rename = "DataStreamName")]
    name: &'a str,
    #[serde(rename = "Info")]
    info: &'a I,
}

impl Entry {
    /// # Errors
    /// Everything a foreign producer can do wrong; the text says what, for the dead letter.
    pub(crate) fn parse(id: EntryId, fields: Fields) -> Result<Self, Poison> {
        Self::parse_by(id, fields, |input| WireIn::read(input))
    }

    /// The same of an entry that Go workers read as well.
    ///
    /// # Errors
    /// As [`parse`](Self::parse); and where Go workers would end at it: handed back, it would end one after the other.
    pub(crate) fn parse_beside_go(id: EntryId, fields: Fields) -> Result<Self, Poison> {
        let entry = Self::parse_by(id, fields, |input| WireIn::read_beside_go(input))?;
        if suits_go(entry.info()) {
            return Ok(entry);
        }
        let why = "its info is no object, and Go workers that share the queue end at that";
        Err(Poison::Unparseable(why.to_owned()))
    }

    fn parse_by(id: EntryId, fields: Fields, read: fn(&[u8]) -> Result<WireIn<'_>, String>) -> Result<Self, Poison> {
        let bytes = size(&fields);
        // What a re-queue adds does not count against an entry that was within the limits when it was submitted.
        let (more_fields, more_bytes) = field(&fields, ORIGIN_FIELD).map_or((0, 0), |_| (16, 4096));
        if fields.len() > MAX_FIELDS + more_fields || bytes > MAX_ENTRY_BYTES + more_bytes {
            return Err(Poison::too_large(fields.len(), bytes));
        }
        let input = field(&fields, INPUT_FIELD)
            .ok_or_else(|| Poison::Unparseable(format!("there is no field {INPUT_FIELD}")))?;
        let wire = read(input).map_err(Poison::Unparseable)?;
        check_name(&wire.name).map_err(Poison::Unparseable)?;
        // The info was borrowed from the input, so it stands somewhere in it.
        let info = wire.info.map(|info| {
            let start = info.get().as_ptr().addr() - input.as_ptr().addr();
            start..start + info.get().len()
        });
        let failures = counter(&fields, FAILURES_FIELD);
        let abandonments = counter(&fields, ABANDONMENTS_FIELD);
        let text = |name| field(&fields, name).and_then(|v| std::str::from_utf8(v).ok());
        let origin = text(ORIGIN_FIELD).and_then(|t| t.parse().ok()).unwrap_or(id.id);
        let name = wire.name.into_owned();
        let first_seen_ms = text(FIRST_SEEN_FIELD).and_then(|t| t.parse().ok()).unwrap_or(origin.ms);
        Ok(Self {
            id,
            coalesced: field(&fields, LIVE_FIELD) == Some(name.as_bytes()),
            name,
            info,
            attempt: counter(&fields, RETRY_COUNT_FIELD),
            failures,
            abandonments,
            origin,
            first_seen_ms,
            fields,
        })
    }
}

/// The `lbs-input` value of a new entry.
///
/// # Errors
/// A name that is empty or too long, info that doesn't serialize, or both together beyond an entry's limit.
pub(crate) fn encode<I: Serialize + ?Sized>(name: &str, info: &I) -> Result<String, InvalidEntry> {
    check_name(name).map_err(InvalidEntry::Name)?;
    let text = serde_json::to_string(&WireOut { name, info }).map_err(InvalidEntry::Info)?;
    let bytes = INPUT_FIELD.len() + text.len() + LIVE_FIELD.len() + name.len();
    if bytes > MAX_ENTRY_BYTES {
        return Err(InvalidEntry::TooLarge { bytes });
    }
    Ok(text)
}

/// Whether Go workers go on after reading this info: theirs is an object or nothing, and its numbers fit into doubles.
fn suits_go(info: Option<&str>) -> bool {
    type Theirs = Option<serde_json::Map<String, serde_json::Value>>;
    info.is_none_or(|info| serde_json::from_str::<Theirs>(info).is_ok())
}

/// # Errors
/// Info on which Go workers end.
pub(crate) fn check_for_go(input: &str) -> Result<(), InvalidEntry> {
    let wire = WireIn::read(input.as_bytes()).ok();
    let info = wire.and_then(|wire| wire.info).map(RawValue::get);
    if suits_go(info) {
        Ok(())
    } else {
        Err(InvalidEntry::InfoForGo)
    }
}

/// Something that can't be submitted.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum InvalidEntry {
    /// The data stream's name breaks a rule; the text says which.
    #[error("{0}; choose another name")]
    Name(String),
    /// The info is not representable as JSON.
    #[error("the info could not be written as JSON")]
    Info(#[source] serde_json::Error),
    /// The info is neither an object nor null, and the queue is shared with Go workers, which stop reading at such an entry
    /// ([`GoCompatible`](crate::Layout::GoCompatible)).
    #[error(
        "the info must be a JSON object or null, as Go workers that share this queue stop reading at anything else"
    )]
    InfoForGo,
    /// Name and info together are larger than an entry may be.
    #[error(
        "the entry has {bytes} bytes and the limit is {MAX_ENTRY_BYTES}; keep the payload elsewhere and submit a reference to it"
    )]
    TooLarge {
        /// Size of the encoded entry.
        bytes: usize,
    },
}

fn check_name(name: &str) -> Result<(), String> {
    if name.is_empty() {
        Err("the data stream's name is empty".to_owned())
    } else if name.len() > MAX_NAME_BYTES {
        Err(format!(
            "the data stream's name has {} bytes and the limit is {MAX_NAME_BYTES}",
            name.len()
        ))
    } else {
        Ok(())
    }
}

/// The data stream that an entry names, however large it is; [`None`] if it is unreadable.
pub(crate) fn stream_name(fields: &Fields) -> Option<String> {
    let wire = WireIn::read(field(fields, INPUT_FIELD)?).ok()?;
    Some(wire.name.into_owned())
}

/// The first field of that name, as the scripts read it too.
pub(crate) fn field<'a>(fields: &'a Fields, name: &str) -> Option<&'a [u8]> {
    fields
        .iter()
        .find(|(k, _)| k == name.as_bytes())
        .map(|(_, v)| v.as_slice())
}

/// Bytes of all names and values.
pub(crate) fn size(fields: &Fields) -> usize {
    fields.iter().map(|(name, value)| name.len() + value.len()).sum()
}

/// A counter that is absent or unreadable counts as zero. The scripts read it by the same rule: only digits, at most nine.
pub(crate) fn counter(fields: &Fields, name: &str) -> u32 {
    let digits = field(fields, name).filter(|value| value.len() < 10 && value.iter().all(u8::is_ascii_digit));
    digits
        .and_then(|digits| std::str::from_utf8(digits).ok())
        .and_then(|text| text.parse().ok())
        .unwrap_or(0)
}

#[cfg(test)]
mod tests;
