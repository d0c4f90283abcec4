//! Names of services, and the keys and channels that are made of them and recognised again.

use bolero::{ValueGenerator as _, check};

use super::shape::Text;
use crate::broker::event::{lock_expired, with_expired};
use crate::id::{EntryId, Lane, StreamId};
use crate::keys::{Keys, Service, literal, partition_of_key};

const ID: EntryId = EntryId {
    lane: Lane::Front,
    id: StreamId { ms: 5, seq: 1 },
};

#[test]
fn any_name_is_a_service_of_its_own_or_refused() {
    check!(name = "service").with_iterations(5_000).for_each(|text| {
        if let Ok(text) = std::str::from_utf8(text) {
            is_a_service_or_refused(text);
        }
    });
}

fn is_a_service_or_refused(name: &str) {
    let service = match Service::parse(name) {
        Ok(service) => service,
        Err(e) => {
            // It is shown in the form in which Rust shows texts, of which JSON reads all but some escapes.
            match serde_json::from_str::<String>(&e.suggestion) {
                Ok(other) => assert!(Service::parse(&other).is_ok(), "{name:?} -> {other:?}"),
                Err(_) => assert!(e.suggestion.contains('\\'), "{name:?} -> {}", e.suggestion),
            }
            return;
        }
    };
    assert!(matches_glob(literal(name).as_bytes(), name.as_bytes()));
    for partition in [0, 7, 65_535] {
        let keys = Keys::new(&service, partition);
        let lock = keys.lock(&ID);
        assert_eq!(keys.entry_of_lock(&lock), Some(ID));
        assert_eq!(partition_of_key(&lock), Some(partition));
        assert!(matches_glob(
            keys.lock_channel_pattern(3).as_bytes(),
            format!("__keyspace@3__:{lock}").as_bytes()
        ));
        let slot = hash_tag(&lock);
        for key in keys.all() {
            assert!(
                keys.patterns()
                    .iter()
                    .any(|pattern| matches_glob(pattern.as_bytes(), key.as_bytes())),
                "{key}"
            );
            assert_eq!(hash_tag(key), slot, "a partition is in one slot");
            assert_eq!(partition_of_key(key), Some(partition));
        }
    }
}

#[test]
fn no_service_is_told_of_the_locks_of_another() {
    let pieces = &[
        "orders", "*", "?", "[a-z]", "[", "]", "\\", "^", ":", "0", ":0", "-", "a", "ü",
    ];
    let two = (Text { pieces, most: 4 }, Text { pieces, most: 4 });
    check!(name = "two_services")
        .with_iterations(20_000)
        .with_generator(two.map_gen(|(a, b)| (String::from_utf8(a).ok(), String::from_utf8(b).ok())))
        .for_each(|(a, b)| {
            let (Some(a), Some(b)) = (a, b) else { return };
            let (Ok(one), Ok(other)) = (Service::parse(a), Service::parse(b)) else {
                return;
            };
            is_a_service_or_refused(a);
            let (keys, others) = (Keys::new(&one, 0), Keys::new(&other, 0));
            let heard = lock_expired(std::slice::from_ref(&keys), "expired", &others.lock(&ID));
            assert_eq!(heard.is_some(), a == b, "{a:?} hears of {b:?}");
            // Glob can't say "digits only": what it matches beyond is a service that is named like a partition.
            let like_a_partition = b.strip_prefix(a.as_str()).is_some_and(|rest| {
                rest.strip_prefix(':')
                    .is_some_and(|rest| rest.starts_with(|c: char| c.is_ascii_digit()))
            });
            if a != b && !like_a_partition {
                assert!(
                    !keys
                        .patterns()
                        .iter()
                        .any(|pattern| matches_glob(pattern.as_bytes(), others.input.as_bytes())),
                    "{a:?} has {b:?}"
                );
            }
        });
}

#[test]
fn any_event_is_the_expiry_of_one_lock_or_nothing() {
    let keys = [0, 1].map(|partition| Keys::new(&Service::parse("orders").unwrap(), partition));
    let tells = |operation: &str, key: &str| {
        let Some((partition, id)) = lock_expired(&keys, operation, key) else {
            return;
        };
        assert_eq!(operation, "expired");
        let prefix = keys[usize::from(partition)].lock_prefix();
        assert_eq!(
            key.strip_prefix(prefix).and_then(|id| id.parse().ok()),
            Some(id),
            "{key:?}"
        );
    };
    let pieces = &[
        "{orders:0}:lock:",
        "{orders:",
        "0",
        "1",
        "2",
        "}:",
        "lock:",
        "front:",
        "5-1",
        "-",
        "{",
        "}",
        "+1",
    ];
    check!(name = "event")
        .with_iterations(20_000)
        .with_generator(Text { pieces, most: 8 })
        .for_each(|key| {
            if let Ok(key) = std::str::from_utf8(key) {
                tells("expired", key);
                tells(key, "{orders:0}:lock:5-1");
                let _ = partition_of_key(key);
                let wanted = with_expired(key).unwrap_or_else(|| key.to_owned());
                assert!(wanted.starts_with(key) && wanted.len() <= key.len() + 2);
                assert_eq!(with_expired(&wanted), None);
            }
        });
}

/// What a cluster makes a slot of.
fn hash_tag(key: &str) -> &str {
    let tag = key.split_once('{').and_then(|(_, rest)| rest.split_once('}'));
    tag.map_or(key, |(tag, _)| if tag.is_empty() { key } else { tag })
}

/// The rules of Redis's `stringmatchlen`.
fn matches_glob(pattern: &[u8], text: &[u8]) -> bool {
    match (pattern, text) {
        ([], text) => text.is_empty(),
        ([b'*', rest @ ..], text) => (0..=text.len()).any(|skipped| matches_glob(rest, &text[skipped..])),
        (_, []) => false,
        ([b'?', rest @ ..], [_, text @ ..]) => matches_glob(rest, text),
        ([b'[', class @ ..], [byte, text @ ..]) => {
            let (matched, rest) = in_class(class, *byte);
            matched && matches_glob(rest, text)
        }
        ([b'\\', escaped, rest @ ..], [byte, text @ ..]) => escaped == byte && matches_glob(rest, text),
        ([literal, rest @ ..], [byte, text @ ..]) => literal == byte && matches_glob(rest, text),
    }
}

/// Whether a byte is in the class that begins the pattern, and what follows the class.
fn in_class(pattern: &[u8], byte: u8) -> (bool, &[u8]) {
    let (negated, mut rest) = match pattern {
        [b'^', rest @ ..] => (true, rest),
        rest => (false, rest),
    };
    let mut matched = false;
    loop {
        rest = match rest {
            [] => return (matched != negated, rest),
            [b']', rest @ ..] => return (matched != negated, rest),
            [b'\\', one, rest @ ..] => {
                matched |= *one == byte;
                rest
            }
            [from, b'-', to, rest @ ..] => {
                matched |= (*from.min(to)..=*from.max(to)).contains(&byte);
                rest
            }
            [one, rest @ ..] => {
                matched |= *one == byte;
                rest
            }
        };
    }
}
