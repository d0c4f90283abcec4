//! What a server answers: from a socket, through the client library, into every call of the store.

use std::io::{BufReader, Write as _};
use std::net::{TcpListener, TcpStream};
use std::panic::AssertUnwindSafe;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant, SystemTime};

use bolero::check;
use serde_json::{Value, json};

use super::shape::Spoilt;
use crate::Admin;
use crate::entry::Fields;
use crate::id::{ConsumerId, EntryId, Epoch, Lane, Reference, StreamId, Token};
use crate::keys::{Keys, Service};
use crate::progress::Progress;
use crate::store::{
    Access, Asked, Durability, Endpoint, Gate, Greeting, Identity, Judged, Lines, Lost, Network, Operation, Place,
    RequeueLimits, Restorable, Resubmission, SettleLimits, SettleStep, Store, StoreError, Submission, Swept, Taken,
    TakenEntry, When,
};
use crate::trace::TraceContext;

/// No call has to wait for anything but its answer.
const SOON: Duration = Duration::from_secs(5);
const ID: EntryId = EntryId {
    lane: Lane::Front,
    id: StreamId { ms: 5, seq: 1 },
};

/// What servers answer to each of the calls, as the scripts and Redis have it.
fn real_replies() -> Vec<Value> {
    let consumers = json!([["name", "w.1", "pending", 1, "idle", 5, "inactive", 5]]);
    let row = r#"5 {"host":"h","pid":1,"version":"1","started_ms":1,"capacity":64,"held":2,"lock_ttl_ms":6000}"#;
    let largest =
        r#"5 {"capacity":18446744073709551615,"held":18446744073709551615,"lock_ttl_ms":18446744073709551615}"#;
    let lane = json!([3, 1, "5-2", consumers, "4"]);
    let status = |row: &str| {
        json!([
            "ok",
            "1795206880640",
            1,
            2,
            3,
            "1795206880641",
            [["", "5"], ["w", "6"]],
            [["w.1", row]],
            lane,
            lane
        ])
    };
    let entry = json!([
        "5-1",
        ["lbs-input", r#"{"DataStreamName":"s","Info":1}"#, "_retry_count", "2"]
    ]);
    let taken = json!(["5-1", entry[1], 1_795_206_880_640_000_u64]);
    let lease = json!([
        "5-1",
        "w.1",
        7,
        8,
        "9",
        "name",
        "s",
        "5",
        "5-1",
        "1",
        "1",
        "0",
        "5 0.4300 3 of 7 files"
    ]);
    let calls = [
        ("hello", json!(["ok", "k3f9.1", "0", "1795206880640000"])),
        ("hello", json!(["wrong_type", "{s:0}:input", "string", "stream"])),
        ("hello", json!(["fleet_ttl", "9000"])),
        ("hello", json!(["partitions", 7])),
        ("join", json!(["ok", 3])),
        ("take", json!(["ok", {"packed": [[taken], [taken, taken]]}])),
        (
            "take",
            json!(["ok", {"packed": [[["5-1", ["1", "2000000"], -2]], [["5-1", entry[1], -1], ["5-2", entry[1], 0]]]}]),
        ),
        ("take", json!(["paused"])),
        ("wait", json!([["{s:0}:front", [entry]], ["{s:0}:input", [entry]]])),
        ("wait", Value::Null),
        ("audit", json!([["5-1", "w.1", 7, 1]])),
        ("body", json!([entry])),
        ("acquire", json!(["ok", ["ok", "9"], ["held"]])),
        ("acquire", json!(["ok", ["gone"], ["error", "ERR no"]])),
        ("acquire", json!(["quiet", 5])),
        ("renew", json!(["ok", 2, 1, "lost"])),
        ("renew", json!(["ok", 2, 1, "reacquired", 2, ["error", "ERR no"]])),
        ("renew_one", json!("kept")),
        ("restore", json!(["ok", ["kept"], ["written", "front:6-0"]])),
        ("restore", json!(["ok", ["settled"], ["missing"]])),
        ("settle", json!(["ok", [], ["ok", "front:6-0"]])),
        (
            "settle",
            json!(["ok", ["1", ["lost"]], ["dead", "7-0", "max_failures", 0]]),
        ),
        ("settle", json!(["ok", ["1", ["ok"]], ["nogroup"]])),
        ("settle", json!(["epoch"])),
        ("requeue", json!(["ok", ["requeued", "front:6-0", 5], ["early", 5]])),
        ("requeue", json!(["ok", ["dead", "7-0", "too_large", 1], ["vanished"]])),
        (
            "requeue",
            json!([
                "ok",
                [
                    "requeued",
                    "front:6-0",
                    5,
                    "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
                ],
                ["dead", "7-0", "too_large", 1, "none"]
            ]),
        ),
        ("list", json!(["ok", "(5-1", 1, "7", ["5-1"], 2, 30, 40, -1])),
        ("list", json!(["gate", 5])),
        ("look", json!(["ok", ["orphan", "w.1", 5, entry[1]], ["alive"]])),
        ("submit", json!(["ok", {"packed": ["new 5-1", "new delayed:5-1"]}])),
        ("submit", json!(["ok", {"packed": ["noted front:5-1", "error ERR no"]}])),
        ("add", json!("5-1")),
        (
            "promote",
            json!([
                "ok",
                ["a", ["ok", "front:5-1"]],
                ["b", ["dead", "7-0", "unparseable", 0]],
                5
            ]),
        ),
        ("register", json!(["ok", 1])),
        ("registry", json!(["ok", "5", [["w.1", row]], ["w.2"], consumers, []])),
        ("reap", json!(["ok", ["reaped"], ["pending"]])),
        ("sweep", json!(["ok", "(5-1", "7", ["5-1", ["requeued", "front:6-0"]]])),
        ("sweep_live", json!(["ok", 1, 2, 3, "4"])),
        ("deregister", json!(["ok", 0])),
        ("leases", json!(["ok", "", "1795206880640", [lease]])),
        (
            "delayed",
            json!([
                "ok",
                "2",
                "1795206880640",
                [["a", "1795206880641", "json", "{\"DataStreamName\":\"s\"", 1, 1, 0]]
            ]),
        ),
        ("delayed", json!(["ok", "", "5", [["a", "5", "gone", "", 0, 0, 0]]])),
        ("progress", json!(["ok"])),
        (
            "find",
            json!([
                "ok",
                "(5-1",
                [
                    ["front:5-1", "json", "{\"DataStreamName\":\"s\""],
                    ["delayed:x", "gone", ""]
                ]
            ]),
        ),
        ("kick", json!(["requeued", "front:6-0"])),
        ("kick", json!(["held", "w.1", 5])),
        ("letters", json!(["ok", "5", "5-1", "(5-1", [entry]])),
        ("redrive", json!(["ok", ["new", "front:6-0"], ["coalesced", "6-0"]])),
        ("purge", json!(["ok", ["purged"], ["gone"]])),
        ("census", json!(["ok", "5", "", 1, 2, 3, 4, 5, 1, 3, 0])),
        ("look_for", json!(["ok", "k3f9", "", 5, 6, ["queued", "gone"]])),
        ("resubmit", json!(["ok", ["new", "front:6-0"], ["coalesced", "6-0", 1]])),
        ("resubmit", json!(["changed"])),
        ("wait_aof", json!([1, 1])),
        (
            "server",
            json!("# Server\r\nredis_version:7.2.5\r\nredis_mode:standalone\r\n"),
        ),
        ("flags", json!(["notify-keyspace-events", "xK"])),
        ("status", status(row)),
        ("status", status(largest)),
        ("doctor", json!(["5", "6"])),
        ("doctor", json!(INFO)),
    ];
    calls.map(|(call, reply)| json!([call, reply])).into()
}

/// What doctor wants to know of it.
const INFO: &str = "redis_version:7.2.5\r\nredis_mode:standalone\r\nuptime_in_seconds:18446744073709551615\r\n\
    maxmemory:18446744073709551615\r\nused_memory:18446744073709551615\r\nmaxmemory_policy:noeviction\r\n\
    connected_slaves:-1\r\nrole:master\r\nloading:0\r\nrdb_last_bgsave_status:ok\r\naof_enabled:1\r\n";

const WORDS: &[&str] = &[
    "ok",
    "epoch",
    "quiet",
    "paused",
    "gate",
    "nogroup",
    "again",
    "gone",
    "lost",
    "kept",
    "error",
    "dead",
    "later",
    "changed",
    "rejected",
    "5-1",
    "front:5-1",
    "delayed:5-1",
    "(5-1",
    "",
    "name",
    "pending",
    "idle",
    "{s:0}:front",
    "\u{fffd}",
];

#[test]
fn what_a_real_server_answers_is_understood() {
    let client = Hostile::start();
    for (number, said) in real_replies().into_iter().enumerate() {
        let (call, reply) = (said[0].as_str().unwrap(), &said[1]);
        let heard = client.call(call, reply);
        assert!(heard.is_ok(), "{number}: {call} {reply}: {heard:?}");
    }
}

#[test]
fn any_answer_is_a_value_or_an_error_and_never_the_end() {
    let client = AssertUnwindSafe(Hostile::start());
    // The corpus is what was answered once, as JSON: the name of the call and the reply.
    check!(name = "reply").with_iterations(1_000).for_each(|text| {
        let client = &client;
        if let Ok(said) = serde_json::from_slice::<Value>(text) {
            client.hears(&said);
        }
    });
}

#[test]
fn what_looks_like_an_answer_is_a_value_or_an_error_and_never_the_end() {
    let client = AssertUnwindSafe(Hostile::start());
    let spoilt = Spoilt {
        of: real_replies(),
        words: WORDS,
    };
    check!(name = "reply_shaped")
        .with_iterations(8_000)
        .with_shrink_time(Duration::from_secs(5))
        .with_generator(spoilt)
        .for_each(|said| {
            let client = &client;
            client.hears(said);
        });
}

/// Clients of a server that answers everything with whatever it is told to.
struct Hostile {
    answer: Arc<Mutex<Vec<u8>>>,
    runtime: tokio::runtime::Runtime,
    store: Store,
    admin: Admin,
}

impl Hostile {
    fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let port = listener.local_addr().expect("a port").port();
        let answer = Arc::new(Mutex::new(wire(&json!(["ok", 2]))));
        let said = Arc::clone(&answer);
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let said = Arc::clone(&said);
                std::thread::spawn(move || serve(stream, &said));
            }
        });
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .expect("a runtime");
        let url = format!("redis://127.0.0.1:{port}");
        let (store, admin) = runtime.block_on(async {
            let admin = crate::Client::builder("s").url(&url).command_timeout(SOON);
            let admin = admin.connect_admin().await.expect("it answers as a server does");
            let endpoint = Endpoint::from_url(&url, Access::default()).expect("a URL").within(SOON);
            let keys = [Arc::new(Keys::new(&Service::parse("s").expect("a name"), 0))];
            let network = Network::find(endpoint, &keys).await.expect("it is where it is");
            let mut stores = Lines::new(&network, SOON).stores(&keys, &ConsumerId::new("w"), SOON);
            (stores.remove(0), admin)
        });
        Self {
            answer,
            runtime,
            store,
            admin,
        }
    }

    fn hears(&self, said: &Value) {
        let Some((call, reply)) = said[0].as_str().zip(said.get(1)) else {
            return;
        };
        if let Err(e) = self.call(call, reply) {
            // It has answered, and the connection is good for the next call.
            assert!(!e.is_timeout() && !e.is_disconnected(), "{call} {reply}: {e:?}");
            let told = e.to_string();
            assert!(told.len() <= reply.to_string().len() + 300, "{told}");
        }
    }

    fn call(&self, call: &str, reply: &Value) -> Result<(), StoreError> {
        *self.answer.lock().unwrap_or_else(PoisonError::into_inner) = wire(reply);
        let start = Instant::now();
        let heard = self
            .runtime
            // With room for every call it is large.
            .block_on(async { tokio::time::timeout(SOON, Box::pin(self.asks(call))).await });
        let heard = heard.unwrap_or_else(|_| panic!("{call} does not end: {reply}"));
        assert!(start.elapsed() < SOON, "{call}: {reply}");
        heard
    }

    async fn asks(&self, call: &str) -> Result<(), StoreError> {
        let (store, admin) = (&self.store, &self.admin);
        let epoch = &Epoch("k3f9.1".to_owned());
        let second = Duration::from_secs(1);
        let input = ("lbs-input", r#"{"DataStreamName":"s","Info":1}"#);
        let fields: Fields = vec![(input.0.into(), input.1.into())];
        let two = [ID, ID];
        let letters = two.map(|id| id.id);
        let asked = Asked {
            reference: Reference::Queued(ID),
            name: Some("s"),
            digest: "d",
        };
        let now = || Submission {
            input: input.1.to_owned(),
            when: When::Now,
            coalesce: None,
            trace: None,
        };
        match call {
            "hello" => {
                let greeting = Greeting {
                    lock_ttl: second,
                    min_idle: None,
                    partitions: None,
                    known: None,
                    jumped: false,
                };
                store.hello(greeting).await.map(drop)
            }
            "join" => store.join(None).await.map(drop),
            "take" => {
                if let Judged::Ok(Taken::Entries(entries)) = store.take(epoch, second, 9).await? {
                    for TakenEntry { id, fields, .. } in entries {
                        let _ = fields.and_then(|fields| crate::entry::Entry::parse(id, fields));
                    }
                }
                Ok(())
            }
            "wait" => store.wait_for_one(&Lane::ALL, second, None).await.map(drop),
            "audit" => store.pending_of_mine(Lane::Front, None, 9).await.map(drop),
            "body" => {
                let body = store.body(ID).await?;
                assert!(body.is_none_or(|raw| raw.id == ID));
                Ok(())
            }
            "acquire" => one_each(store.acquire(epoch, second, &two).await?),
            "renew" => {
                let renewed = store.renew(epoch, second, &two.map(|id| (id, Token(9)))).await?;
                if let Judged::Ok(others) = renewed {
                    assert!(
                        others.iter().all(|(at, _)| *at < two.len()) && others.is_sorted_by(|(a, _), (b, _)| a < b)
                    );
                }
                Ok(())
            }
            "renew_one" => store.renew_one(second, ID, Token(9)).await.map(drop),
            "restore" => {
                let lease = || Restorable {
                    id: ID,
                    token: Token(9),
                    valid: true,
                    batch: 0,
                    fields: &fields,
                };
                one_each(store.restore(epoch, second, &[lease(), lease()], true).await?)
            }
            "settle" => {
                let step = SettleStep {
                    id: ID,
                    token: None,
                    coalesced: None,
                    operation: Operation::Done,
                    memory: None,
                };
                let limits = SettleLimits {
                    max_failures: 5,
                    dlq_max_len: 0,
                };
                let plain = SettleStep {
                    token: Some(Token(9)),
                    ..step.clone()
                };
                one_each(store.settle(epoch, 1, limits, &[step, plain]).await?)
            }
            "requeue" => {
                let limits = RequeueLimits {
                    min_idle: second,
                    max_abandonments: 5,
                    forgive_after: second,
                    dlq_max_len: 0,
                };
                one_each(store.requeue(epoch, limits, 0, &two).await?)
            }
            "list" => {
                let gate = Gate {
                    keep: second,
                    respect: true,
                };
                store
                    .list(epoch, Lane::Front, gate, None, second, second)
                    .await
                    .map(drop)
            }
            "look" => one_each(store.look(epoch, &two).await?),
            "submit" => {
                let stream = || Submission {
                    input: input.1.to_owned(),
                    when: When::At(SystemTime::now()),
                    coalesce: Some("s".to_owned()),
                    trace: TraceContext::new([1; 16], [2; 8], 1).ok(),
                };
                let submitted = store.submit(&[stream(), stream()]).await?;
                assert!((1..=2).contains(&submitted.len()));
                Ok(())
            }
            "add" => store.submit(&[now()]).await.map(drop),
            "promote" => store.promote(epoch, 9, 0, 0).await.map(drop),
            "delayed" => store.delayed(0, 9).await.map(drop),
            "progress" => {
                let said = [(ID, Progress::of(0.5).encode())];
                store.tell_progress(second, &[ID], &said).await
            }
            "register" => store.register("{}", second).await.map(drop),
            "registry" => {
                let registry = store.registry().await?;
                let _ = crate::registry::dead(&registry, second);
                Ok(())
            }
            "reap" => one_each(
                store
                    .reap(epoch, second, second, &["a".to_owned(), "b".to_owned()])
                    .await?,
            ),
            "sweep" => {
                let swept = store.sweep(epoch, Lane::Front, None, 0, None).await?;
                let _ = matches!(swept, Judged::Ok(Swept::TooEarly));
                Ok(())
            }
            "sweep_live" => store.sweep_live(epoch, 9).await.map(drop),
            "deregister" => store.deregister().await.map(drop),
            "leases" => store
                .leases(Lane::Front, crate::store::Wanted::default(), None, 9)
                .await
                .map(drop),
            "find" => store.find(Place::Delayed, None, 9).await.map(drop),
            "kick" => store.kick("s", Some(Reference::Queued(ID)), true).await.map(drop),
            "letters" => {
                for (id, fields) in store.letters(None, None).await?.letters {
                    let _ = crate::admin::DeadLetter::read(0, id, fields, 5);
                }
                Ok(())
            }
            "redrive" => {
                assert_eq!(store.redrive(true, &letters).await?.len(), 2);
                Ok(())
            }
            "purge" => {
                assert_eq!(store.purge(&letters).await?.len(), 2);
                Ok(())
            }
            "census" => store.census(second).await.map(drop),
            "look_for" => store.look_for(true, &[asked, asked]).await.map(drop),
            "resubmit" => {
                let lost = || Lost {
                    asked,
                    origin: Some(ID.id),
                    noted: false,
                    older: None,
                    when: When::Now,
                    input: input.1,
                    trace: None,
                };
                let resubmitted = store.resubmit(&Identity::default(), &[lost()]).await?;
                let _ = matches!(resubmitted, Resubmission::Changed);
                Ok(())
            }
            "wait_aof" => {
                // The submit before it takes the same answer for an id, or doesn't.
                let within = Duration::from_millis(1);
                let durability = Durability::Disk { replicas: 1, within };
                let _ = store.submit_durably(&[now()], durability).await;
                Ok(())
            }
            "server" => store.server_kind().await.map(drop),
            "flags" => store.keyspace_flags().await.map(drop),
            // Two partitions say the same, and are added up.
            "status" => {
                let status = admin.status().await?;
                assert_eq!(status.partitions.len(), 2);
                let _ = serde_json::to_string(&status).expect("it can be shown");
                Ok(())
            }
            "doctor" => admin.doctor().await.map(drop),
            _ => Ok(()),
        }
    }
}

/// As many outcomes as there were entries.
fn one_each<T>(judged: Judged<Vec<T>>) -> Result<(), StoreError> {
    if let Judged::Ok(outcomes) = judged {
        assert_eq!(outcomes.len(), 2);
    }
    Ok(())
}

/// Answers the client library's own questions, and everything else with `answer`.
fn serve(mut stream: TcpStream, answer: &Mutex<Vec<u8>>) {
    let Ok(input) = stream.try_clone() else { return };
    let mut input = BufReader::new(input);
    let _ = stream.set_nodelay(true);
    while let Some(command) = command(&mut input) {
        let first = command
            .first()
            .map(|word| word.to_ascii_uppercase())
            .unwrap_or_default();
        let reply = match first.as_slice() {
            b"PING" => b"+PONG\r\n".to_vec(),
            b"CLIENT" => b":1\r\n".to_vec(),
            b"QUIT" | b"SELECT" => b"+OK\r\n".to_vec(),
            _ => answer.lock().unwrap_or_else(PoisonError::into_inner).clone(),
        };
        if stream.write_all(&reply).is_err() {
            return;
        }
    }
}

fn command(input: &mut impl std::io::BufRead) -> Option<Vec<Vec<u8>>> {
    let length = |input: &mut dyn std::io::BufRead| {
        let mut line = String::new();
        input.read_line(&mut line).ok().filter(|read| *read > 0)?;
        line.trim_end().get(1..)?.parse::<usize>().ok()
    };
    let mut words = Vec::new();
    for _ in 0..length(input)? {
        let mut word = vec![0; length(input)? + 2];
        input.read_exact(&mut word).ok()?;
        word.truncate(word.len() - 2);
        words.push(word);
    }
    Some(words)
}

/// RESP2 of what the JSON says: texts are bulk strings, `{"hex": …}` those that are no text, `{"error": …}` an error.
/// As a script packs it.
fn pack(value: &Value, bytes: &mut Vec<u8>) {
    use rmp::encode::{write_array_len, write_bool, write_f64, write_nil, write_sint, write_str, write_uint};
    match value {
        Value::Null => write_nil(bytes).map(drop).expect("a Vec takes all"),
        Value::Bool(yes) => write_bool(bytes, *yes).expect("a Vec takes all"),
        Value::Number(number) => {
            if let Some(number) = number.as_u64() {
                write_uint(bytes, number).map(drop).expect("a Vec takes all");
            } else if let Some(number) = number.as_i64() {
                write_sint(bytes, number).map(drop).expect("a Vec takes all");
            } else {
                write_f64(bytes, number.as_f64().unwrap_or(f64::NAN)).expect("a Vec takes all");
            }
        }
        Value::String(text) => write_str(bytes, text).expect("a Vec takes all"),
        Value::Array(items) => {
            let length = u32::try_from(items.len()).expect("it is short");
            write_array_len(bytes, length).map(drop).expect("a Vec takes all");
            items.iter().for_each(|item| pack(item, bytes));
        }
        // Nothing that a script packs: what is cut off in the middle of it.
        Value::Object(_) => bytes.push(0xdc),
    }
}

fn wire(value: &Value) -> Vec<u8> {
    let bulk = |bytes: &[u8]| [format!("${}\r\n", bytes.len()).as_bytes(), bytes, b"\r\n"].concat();
    match value {
        Value::Null => b"$-1\r\n".to_vec(),
        Value::Bool(yes) => format!(":{}\r\n", u8::from(*yes)).into_bytes(),
        Value::Number(number) => match number.as_i64() {
            Some(number) => format!(":{number}\r\n").into_bytes(),
            None => bulk(number.to_string().as_bytes()),
        },
        Value::String(text) => bulk(text.as_bytes()),
        Value::Array(items) => {
            let mut all = format!("*{}\r\n", items.len()).into_bytes();
            items.iter().for_each(|item| all.extend(wire(item)));
            all
        }
        Value::Object(object) if object.contains_key("packed") => {
            let mut bytes = Vec::new();
            pack(&object["packed"], &mut bytes);
            bulk(&bytes)
        }
        Value::Object(object) => match (object.get("hex"), object.get("error")) {
            (Some(Value::String(hex)), _) => {
                let digits: Vec<u8> = hex
                    .bytes()
                    .filter_map(|byte| char::from(byte).to_digit(16))
                    .map(|d| d as u8)
                    .collect();
                bulk(
                    &digits
                        .chunks(2)
                        .map(|two| two.iter().fold(0, |byte, digit| byte << 4 | digit))
                        .collect::<Vec<_>>(),
                )
            }
            (_, Some(Value::String(text))) => format!("-{}\r\n", text.replace(['\r', '\n'], " ")).into_bytes(),
            _ => b"*-1\r\n".to_vec(),
        },
    }
}
