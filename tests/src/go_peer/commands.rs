//! What go-redis sends for each call of the library, and what is in the answers.

use serde_json::Value;
use streamherd_testkit::{RawClient, Reply};

use super::{Entry, GO_IDLE, GO_TTL, Told};

/// Between a data stream and an entry's id in the name of a lock: `MutexKeySep` of configs/consts.go.
pub(super) const SEPARATOR: &str = "<MUTEX_KEY_SEP>";
const CHANNELS: &str = "__keyspace@0__:";
const INPUT: &str = "lbs-input";

/// The keys of a service: impl/helpers.go.
#[derive(Debug)]
pub(super) struct Names {
    pub(super) input: String,
    group: String,
}

impl Names {
    pub(super) fn of(service: &str) -> Self {
        Self {
            input: format!("{service}-input"),
            group: format!("{service}-group"),
        }
    }
}

/// Queues a data stream as Go producers do, with what `json.Marshal` escapes, and returns the entry's id.
///
/// # Panics
/// If Redis refuses it.
pub fn submit(redis: &mut RawClient, service: &str, name: &str, info: &Value) -> String {
    let name = Value::from(name);
    let mut input = format!("{{\"DataStreamName\":{name},\"Info\":{info}}}");
    for (plain, escaped) in [('<', "\\u003c"), ('>', "\\u003e"), ('&', "\\u0026")] {
        input = input.replace(plain, escaped);
    }
    redis
        .call(&["XADD", &Names::of(service).input, "*", INPUT, &input])
        .text()
}

/// All flags that were set, and not by it, are gone then.
pub(super) fn take_notifications(redis: &mut RawClient) {
    redis.cmd("CONFIG GET notify-keyspace-events").ok();
    redis.cmd("CONFIG SET notify-keyspace-events KEx").ok();
}

pub(super) fn subscribe(redis: &mut RawClient) {
    redis.call(&["PSUBSCRIBE", &format!("{CHANNELS}*{SEPARATOR}*")]).ok();
    redis.set_timeout(None).expect("no time is no zero");
}

/// The entry of a message that says that its lock has expired.
pub(super) fn expired(message: &Reply) -> Option<Entry> {
    let words = message.strings();
    let [_, _, channel, payload] = words.as_slice() else {
        return None;
    };
    let parts: Vec<&str> = channel.strip_prefix(CHANNELS)?.split(SEPARATOR).collect();
    match (payload.as_str(), parts.as_slice()) {
        ("expired", [name, id]) => Some(entry(name, id)),
        _ => None,
    }
}

/// New entries only: what was queued before the first worker is never delivered.
pub(super) fn make_group(redis: &mut RawClient, names: &Names) {
    let made = redis.call(&["XGROUP", "CREATE", &names.input, &names.group, "$", "MKSTREAM"]);
    assert!(made.error().is_none_or(|e| e.starts_with("BUSYGROUP")), "{made:?}");
}

/// One step of the recovery at its start, always from the beginning: where the next would begin, and the messages.
pub(super) fn autoclaim(redis: &mut RawClient, names: &Names, consumer: &str) -> (String, Vec<Reply>) {
    let idle = GO_IDLE.as_millis().to_string();
    let words = [
        "XAUTOCLAIM",
        &names.input,
        &names.group,
        consumer,
        &idle,
        "0-0",
        "COUNT",
        "1000",
    ];
    let answer = redis.call(&words).array();
    // Redis 6.2 answers nil for one whose body is gone.
    let messages = answer[1].array().into_iter().filter(|message| !message.is_nil());
    (answer[0].text(), messages.collect())
}

/// Whether it is this consumer's now.
pub(super) fn claim(redis: &mut RawClient, names: &Names, consumer: &str, id: &str) -> bool {
    let idle = GO_TTL.as_millis().to_string();
    let claimed = redis.call(&["XCLAIM", &names.input, &names.group, consumer, &idle, id]);
    // Redis 6.2 answers nil for one whose body is gone.
    claimed.array().iter().any(|message| !message.is_nil())
}

/// All that waits, once there is something. An error if the connection has ended.
pub(super) fn read(redis: &mut RawClient, names: &Names, consumer: &str) -> std::io::Result<Reply> {
    redis.try_call(&[
        "XREADGROUP",
        "GROUP",
        &names.group,
        consumer,
        "BLOCK",
        "0",
        "STREAMS",
        &names.input,
        ">",
    ])
}

pub(super) fn settle(redis: &mut RawClient, names: &Names, id: &str) {
    redis.call(&["XACK", &names.input, &names.group, id]).ok();
    redis.call(&["XDEL", &names.input, id]).ok();
}

/// What a message says, or why the library can't read it.
pub(super) fn parse(message: &Reply) -> Result<Told, String> {
    let parts = message.array();
    let fields = parts[1].pairs();
    let input = fields.iter().find(|(field, _)| field == INPUT);
    let (_, input) = input.ok_or("invalid key for LBS message")?;
    let said: Value = serde_json::from_str(input).map_err(|e| e.to_string())?;
    match said["DataStreamName"].as_str() {
        None | Some("") => Err("no data stream in LBS message".to_owned()),
        Some(name) => Ok(Told::Added(entry(name, &parts[0].text()), said["Info"].clone())),
    }
}

fn entry(name: &str, id: &str) -> Entry {
    Entry {
        name: name.to_owned(),
        id: id.to_owned(),
    }
}
