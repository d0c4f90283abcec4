//! No wake-up and no info is lost, and no name is worked on twice at a time: the protocol against a model of it.
//!
//! [`scripts`] goes through all short sequences of steps, on the scripts themselves and with a clock of its own. [`workers`]
//! draws long ones for real workers and producers.

mod model;
mod scripts;
mod workers;

use model::{Picture, Place, Stream, Wish};
use serde_json::{Value, json};
use streamherd_testkit::{RawClient, Reply};

/// A key of a service's only partition.
fn key(service: &str, name: &str) -> String {
    format!("{{{service}:0}}:{name}")
}

fn wire(name: char, info: u8) -> String {
    json!({ "DataStreamName": name, "Info": info }).to_string()
}

fn parse(wire: &str) -> (char, u8) {
    let parsed: Value = serde_json::from_str(wire).unwrap_or_default();
    let name = parsed["DataStreamName"].as_str().and_then(|name| name.chars().next());
    let info = parsed["Info"].as_u64().and_then(|info| u8::try_from(info).ok());
    (name.unwrap_or('?'), info.unwrap_or_default())
}

/// What a store looks like, compared with a model's [`Picture`]. What should not be there at all is another entry named `!`.
fn look(redis: &mut RawClient, service: &str) -> Picture {
    let mut words = vec![
        "EVAL".to_owned(),
        include_str!("coalescing/look.lua").to_owned(),
        "6".to_owned(),
    ];
    words.extend(["input", "front", "delayed", "delayed:body", "live", "dlq"].map(|name| key(service, name)));
    words.push(key(service, "lock:"));
    let all = redis.call(&words).ok().array();
    let number = |at: usize| usize::try_from(all[at].int()).expect("a count");
    let mut picture = Picture {
        dead: number(2),
        locks: number(3),
        ..Picture::default()
    };
    let mut referents = std::collections::BTreeMap::new();
    for entry in all[0].array().iter().map(Reply::strings) {
        let [id, input, live, place, due] = <[String; 5]>::try_from(entry).expect("five columns");
        let place = match place.as_str() {
            "held" => Place::Held,
            "stranded" => Place::Stranded,
            "delayed" => Place::Delayed(due.parse().expect("a time")),
            _ => Place::Queued,
        };
        let (name, info) = parse(&input);
        if live.is_empty() {
            picture.others.push((name, info, place));
        } else {
            assert_eq!(live, name.to_string());
            referents.insert(id, (name, info, place));
        }
    }
    for row in all[1].array().iter().map(Reply::strings) {
        let [name, reference, wanted, due] = <[String; 4]>::try_from(row).expect("four columns");
        let name = name.chars().next().expect("a name");
        let wanted = (!wanted.is_empty()).then(|| Wish {
            info: parse(&wanted).1,
            due: due.parse().expect("a time"),
        });
        let (info, place) = match referents.remove(&reference) {
            Some((of, info, place)) if of == name => (info, place),
            _ => (0, Place::Deleted),
        };
        picture.streams.insert(name, Stream { info, place, wanted });
    }
    // Coalesced, and no name refers to it; and bodies that nothing will ever promote.
    picture
        .others
        .extend(referents.into_values().map(|(_, info, place)| ('!', info, place)));
    picture
        .others
        .extend((0..all[4].int().unsigned_abs()).map(|_| ('!', 0, Place::Deleted)));
    picture
}
