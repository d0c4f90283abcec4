//! Ids as Redis, operators and other programs write them.

use std::fmt::{Debug, Display};
use std::str::FromStr;

use bolero::check;

use super::shape::Text;
use crate::admin::LetterId;
use crate::id::{EntryId, InvalidId, Reference, StreamId};

#[test]
fn any_text_is_one_id_or_none() {
    check!(name = "id").with_iterations(10_000).for_each(is_one_or_none);
}

#[test]
fn what_looks_like_an_id_is_one_or_none() {
    let pieces = &[
        "front:",
        "delayed:",
        "-",
        "/",
        ":",
        "0",
        "5",
        "1795206880640",
        "18446744073709551615",
        "00",
        "+",
        " ",
        "٣",
    ];
    check!(name = "id_shaped")
        .with_iterations(20_000)
        .with_generator(Text { pieces, most: 6 })
        .for_each(|text| is_one_or_none(text));
}

fn is_one_or_none(text: &[u8]) {
    let Ok(text) = std::str::from_utf8(text) else { return };
    let id = stays_itself::<StreamId>(text);
    assert_eq!(id, digits(text), "{text:?}");
    let entry = stays_itself::<EntryId>(text);
    assert_eq!(
        entry.map(|entry| entry.id),
        digits(text.strip_prefix("front:").unwrap_or(text))
    );
    let reference = stays_itself::<Reference>(text);
    assert!(entry.is_none() || reference == entry.map(Reference::Queued));
    let letter = stays_itself::<LetterId>(text);
    assert!(id.is_none() || letter.is_some_and(|letter| letter.partition == 0 && Some(letter.id) == id));
}

/// What it is written as is read as the same.
fn stays_itself<T>(text: &str) -> Option<T>
where
    T: FromStr<Err = InvalidId> + Display + Debug + PartialEq,
{
    match text.parse::<T>() {
        Ok(id) => {
            assert_eq!(id.to_string().parse::<T>().as_ref(), Ok(&id));
            Some(id)
        }
        Err(e) => {
            assert!(e.to_string().contains("is not an entry id"));
            None
        }
    }
}

/// A second reader, by hand.
fn digits(text: &str) -> Option<StreamId> {
    let number = |part: &str| {
        let mut number = None;
        for byte in part.bytes() {
            let digit = byte.is_ascii_digit().then(|| u128::from(byte - b'0'))?;
            number = Some((number.unwrap_or(0) * 10 + digit).min(1 << 64));
        }
        u64::try_from(number?).ok()
    };
    let (ms, seq) = text.split_once('-')?;
    Some(StreamId {
        ms: number(ms)?,
        seq: number(seq)?,
    })
}

#[test]
fn ids_are_ordered_as_numbers() {
    type Two = (u64, u64);
    check!(name = "id_order")
        .with_iterations(10_000)
        .with_type::<(Two, Two)>()
        .for_each(|(a, b)| {
            let id = |(ms, seq): (u64, u64)| StreamId { ms, seq };
            let number = |(ms, seq): (u64, u64)| u128::from(ms) << 64 | u128::from(seq);
            assert_eq!(id(*a).cmp(&id(*b)), number(*a).cmp(&number(*b)));
        });
}
