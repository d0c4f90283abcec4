//! Hundreds of entries that nobody would think of, some of which can be read: the library and the scripts agree on which,
//! and on what they say.

use std::collections::BTreeMap;

use rand::rngs::SmallRng;
use rand::{RngExt as _, SeedableRng as _};
use serde_json::value::RawValue;
use streamherd::{Builder, Lease, Recovery, RetryAfter};
use streamherd_testkit::Reply;
use streamherd_tests::letters::admin;
use streamherd_tests::{Redis, Truth, Worker, builder, queue, recovery};

const ENTRIES: usize = 300;

/// An entry, and what is to become of it.
struct Hostile {
    fields: Vec<(Vec<u8>, Vec<u8>)>,
    /// Name and info; of the others nothing is handed out.
    readable: Option<(String, String)>,
    /// Attempts, failures and abandonments as the scripts read them.
    counters: [u32; 3],
}

/// From `HOSTILE_SEED`, to run one again, or drawn; a failure shows it.
fn generator() -> SmallRng {
    let given = std::env::var("HOSTILE_SEED").ok().and_then(|seed| seed.parse().ok());
    let seed = given.unwrap_or_else(rand::random);
    println!("HOSTILE_SEED={seed}");
    SmallRng::seed_from_u64(seed)
}

fn pick<'a, T: ?Sized>(rng: &mut SmallRng, of: &[&'a T]) -> &'a T {
    of[rng.random_range(0..of.len())]
}

fn bytes(rng: &mut SmallRng, most: usize) -> Vec<u8> {
    (0..rng.random_range(0..=most)).map(|_| rng.random()).collect()
}

/// JSON, as far as a reader looks that hands it on as it is.
fn info(rng: &mut SmallRng) -> String {
    match rng.random_range(0..8) {
        // Deeper than the library's reader of values goes (128), and than a script's would (1,000).
        0 => {
            let deep = rng.random_range(1..3_000);
            "[".repeat(deep) + &"]".repeat(deep)
        }
        1 => "{\"a\":".repeat(200) + "null" + &"}".repeat(200),
        2 => "9".repeat(rng.random_range(1..400)),
        _ => pick(
            rng,
            &[
                "null",
                "1e400",
                "-0.0",
                "\"\\ud800\"",
                "\"\\u0000\"",
                "{\"a\":1,\"a\":2}",
                "\"\u{1f600}\u{202e}\"",
                "[ ]",
                "{ }",
                "{\"DataStreamName\":\"inner\"}",
                "\"\\\"}\"",
                "\"\u{7f}\u{85}\"",
                "18446744073709551616",
            ],
        )
        .to_owned(),
    }
}

/// The text of an entry that can be read, its name and its info.
fn readable(rng: &mut SmallRng, number: usize) -> (String, String, String) {
    let odd = pick(
        rng,
        &[
            "",
            " ",
            "\u{1f600}",
            "*",
            "{0}",
            "\u{202e}",
            "é",
            "/",
            "=",
            "\\",
            "\"",
            "\0",
            "\n",
            "'",
        ],
    );
    let name = format!("hostile-{number}-{odd}");
    let info = info(rng);
    let blank = pick(rng, &["", " ", "\n", "\t\r\n "]);
    let quoted = serde_json::to_string(&name).unwrap();
    // A key may be written with escapes.
    let key = pick(rng, &["\"DataStreamName\"", "\"D\\u0061taStreamName\""]);
    let unknown = pick(
        rng,
        &[
            "",
            "\"x\":{\"DataStreamName\":7},",
            "\"datastreamname\":1,",
            "\"\":[],",
            "\"x\":1,\"x\":2,",
        ],
    );
    let mut parts = [format!("{key}{blank}:{quoted}"), format!("\"Info\":{blank}{info}")];
    if rng.random_ratio(1, 3) {
        parts.swap(0, 1);
    }
    let text = format!("{blank}{{{blank}{unknown}{}{blank}}}{blank}", parts.join(","));
    (text, name, info)
}

/// What can't be read, whoever reads it.
fn unreadable(rng: &mut SmallRng, number: usize) -> Vec<u8> {
    let (text, name, _) = readable(rng, number);
    let text = text.trim();
    let plain = |text: &str| text.as_bytes().to_vec();
    match rng.random_range(0..12) {
        0 => text.as_bytes()[..rng.random_range(0..text.len())].to_vec(),
        1 => plain(&format!("{text}{}", pick(rng, &["}", ",", "0", "\0", "{}", "x"]))),
        2 => {
            let mut broken = plain(text);
            // Also where no reader of JSON would have to look.
            broken.splice(1..1, *b"\"x\":\"\xff\",");
            broken
        }
        3 => plain(&format!("\u{feff}{text}")),
        4 => plain(&text.replacen('{', "{\"DataStreamName\":\"twice\",", 1)),
        5 => plain(&text.replacen('{', "{\"Info\":\"twice\",", 1)),
        6 => plain(&format!("[{}]", serde_json::to_string(&name).unwrap())),
        7 => plain(&format!("[{},1]", serde_json::to_string(&name).unwrap())),
        8 => plain(pick(
            rng,
            &[
                "",
                "null",
                "\"s\"",
                "7",
                "{}",
                "{\"Info\":1}",
                "{\"DataStreamName\":null}",
                "{\"DataStreamName\":7}",
                "{\"DataStreamName\":\"\"}",
                "{\"DataStreamName\":[\"s\"]}",
                "{\"DataStreamName\":\"\\ud800\"}",
                "{'DataStreamName':'s'}",
                "{\"DataStreamName\":\"a\nb\"}",
                "{\"DataStreamName\":\"s\",}",
                "{\"DataStreamName\" \"s\"}",
                "{\"DataStreamName\":\"s\",\"Info\":NaN}",
                "{\"DataStreamName\":\"s\",\"Info\":}",
                "{\"DataStreamName\":\"s\",\"Info\":01}",
            ],
        )),
        9 => plain(&format!("{{\"DataStreamName\":\"{}\"}}", "n".repeat(1_025))),
        10 => plain(&"[".repeat(100_000)),
        _ => {
            let mut noise = bytes(rng, 64);
            noise.push(0xff);
            noise
        }
    }
}

fn hostile(rng: &mut SmallRng, number: usize) -> Hostile {
    let (input, readable) = if rng.random() {
        let (text, name, info) = readable(rng, number);
        (text.into_bytes(), Some((name, info)))
    } else {
        (unreadable(rng, number), None)
    };
    let mut fields = vec![(b"number".to_vec(), number.to_string().into_bytes())];
    for _ in 0..rng.random_range(0..4) {
        // Never the name of a field that means something.
        fields.push(([b"?".as_slice(), &bytes(rng, 20)].concat(), bytes(rng, 40)));
    }
    fields.push((b"lbs-input".to_vec(), input));
    // Only the first of a name counts.
    if rng.random_ratio(1, 4) {
        fields.push((b"lbs-input".to_vec(), b"{\"DataStreamName\":\"second\"}".to_vec()));
    }
    let counters = ["_retry_count", "_sh_failures", "_sh_abandonments"].map(|name| {
        let (text, number) = match rng.random_range(0..4) {
            0 => return 0,
            1 => {
                let number: u32 = rng.random_range(0..1_000_000_000);
                (number.to_string(), number)
            }
            2 => {
                let texts = [
                    "",
                    "+5",
                    "-1",
                    "5 ",
                    " 5",
                    "0x10",
                    "1e3",
                    "5.0",
                    "1000000000",
                    "0000000005",
                    "inf",
                    "nan",
                    "٥",
                ];
                (pick(rng, &texts).to_owned(), 0)
            }
            _ => ("007".to_owned(), 7),
        };
        fields.push((name.into(), text.into_bytes()));
        number
    });
    for name in ["_sh_origin", "_sh_first_seen", "_sh_live", "_sh_reason", "traceparent"] {
        if rng.random_ratio(1, 8) {
            fields.push((name.into(), bytes(rng, 30)));
        }
    }
    Hostile {
        fields,
        readable,
        counters,
    }
}

/// As the scripts count: what has ten digits is no counter any more.
fn one_more(counter: u32) -> u32 {
    (counter + 1) % 1_000_000_000
}

/// However often an entry says that it has failed.
fn unlimited(server: &Redis) -> Builder {
    builder(server).recovery(Recovery {
        max_failures: 0,
        max_abandonments: 0,
        ..recovery()
    })
}

fn says(lease: &Lease) -> [u32; 3] {
    [lease.attempt(), lease.failures(), lease.abandonments()]
}

/// Adds them with a good stream after every third.
fn add(server: &Redis, truth: &mut Truth, entries: &[Hostile], good: &[String]) -> Vec<String> {
    let mut ids = Vec::new();
    for (number, entry) in entries.iter().enumerate() {
        let mut words = vec![b"XADD".to_vec(), b"T:input".to_vec(), b"*".to_vec()];
        words.extend(
            entry
                .fields
                .iter()
                .flat_map(|(name, value)| [name.clone(), value.clone()]),
        );
        ids.push(truth.call(&words).text());
        if number % 3 == 0 {
            queue(server, &good[number / 3..=number / 3]);
        }
    }
    ids
}

/// All that can be read is handed out, fails once, is handed out again and done; all else is a dead letter with its fields.
async fn becomes_of(entries: &[Hostile], good: &[String], abandoned: bool, worker: &mut Worker, truth: &mut Truth) {
    let readable: BTreeMap<&str, &Hostile> = entries
        .iter()
        .filter_map(|entry| Some((entry.readable.as_ref()?.0.as_str(), entry)))
        .collect();
    assert!(readable.len() > ENTRIES / 4 && readable.len() < ENTRIES * 3 / 4);
    let mut left: BTreeMap<String, u8> = readable.keys().map(|name| ((*name).to_owned(), 2)).collect();
    left.extend(good.iter().map(|name| (name.clone(), 1)));
    while !left.is_empty() {
        let lease = worker.added().await;
        let name = lease.stream().to_owned();
        let turns = left.get_mut(&name).unwrap_or_else(|| panic!("{name:?} is handed out"));
        *turns -= 1;
        let last = *turns == 0;
        if last {
            left.remove(&name);
        }
        if let Some(entry) = readable.get(name.as_str()) {
            let info = &entry.readable.as_ref().unwrap().1;
            assert_eq!(lease.info::<Box<RawValue>>().unwrap().get(), info, "{name:?}");
            let [mut attempts, mut failures, mut abandonments] = entry.counters;
            if abandoned {
                (attempts, abandonments) = (one_more(attempts), one_more(abandonments));
            }
            if last {
                (attempts, failures) = (one_more(attempts), one_more(failures));
            }
            assert_eq!(says(&lease), [attempts, failures, abandonments], "{name:?}");
        }
        if last {
            lease.done().await.unwrap();
        } else {
            lease.retry(RetryAfter::now()).await.unwrap();
        }
    }
    truth.becomes_clean().await;
    let mut dead: BTreeMap<usize, &Hostile> = entries
        .iter()
        .enumerate()
        .filter(|(_, entry)| entry.readable.is_none())
        .collect();
    for letter in truth.call(&["XRANGE", "T:dlq", "-", "+"]).array() {
        let words: Vec<Vec<u8>> = letter.array()[1].array().iter().map(Reply::bytes).collect();
        let of = |name: &str| {
            let found = words.chunks(2).find(|pair| pair[0] == name.as_bytes());
            found
                .map(|pair| String::from_utf8_lossy(&pair[1]).into_owned())
                .unwrap_or_default()
        };
        let number = of("number").parse().unwrap();
        let entry = dead
            .remove(&number)
            .expect("each is one letter, and none that can be read");
        assert_eq!(of("_sh_reason"), "unparseable", "{number}");
        assert!(!of("_sh_error").is_empty(), "{number}");
        for (field, pair) in entry.fields.iter().zip(words.chunks(2)) {
            assert_eq!(field.0, pair[0], "{number}");
            assert!(field.0.starts_with(b"_") || field.1 == pair[1], "{number}");
        }
    }
    assert!(dead.is_empty(), "{:?} are no dead letters", dead.keys());
    assert_eq!(worker.unasked(), 0);
}

/// The reader and the scanner go on: what is added is handed out, and what somebody else was given and left.
async fn all_go_on(server: &Redis, worker: &mut Worker, truth: &mut Truth) {
    queue(server, &server.neighbours(["last"]));
    worker.added().await.done().await.unwrap();
    let leave = "redis.call('XADD', KEYS[1], '*', 'lbs-input', ARGV[1])
        return redis.call('XREADGROUP', 'GROUP', 'workers', 'ghost', 'STREAMS', KEYS[1], '>')";
    truth
        .call(&["EVAL", leave, "1", "T:input", r#"{"DataStreamName":"left"}"#])
        .ok();
    let lease = worker.added().await;
    assert_eq!((lease.stream(), lease.abandonments()), ("left", 1));
    lease.done().await.unwrap();
}

#[tokio::test]
async fn guarantee_8_of_hundreds_of_hostile_entries_each_is_handed_out_as_it_reads_or_a_dead_letter() {
    let mut rng = generator();
    let server = Redis::start(crate::TOPOLOGY);
    let good = server.together("good", ENTRIES / 3);
    let mut truth = Truth::at(&server, &good[0]);
    let entries: Vec<Hostile> = (0..ENTRIES).map(|number| hostile(&mut rng, number)).collect();
    let mut worker = Worker::with(unlimited(&server)).await;
    add(&server, &mut truth, &entries, &good);
    becomes_of(&entries, &good, false, &mut worker, &mut truth).await;
    all_go_on(&server, &mut worker, &mut truth).await;
}

#[tokio::test]
async fn guarantee_8_of_hundreds_of_hostile_orphans_each_is_handed_out_as_it_reads_or_a_dead_letter() {
    let mut rng = generator();
    let server = Redis::start(crate::TOPOLOGY);
    let good = server.together("good", ENTRIES / 3);
    let mut truth = Truth::at(&server, &good[0]);
    truth.make_groups();
    let entries: Vec<Hostile> = (0..ENTRIES).map(|number| hostile(&mut rng, number)).collect();
    let ids = add(&server, &mut truth, &entries, &good);
    truth.cmd("XREADGROUP GROUP workers ghost STREAMS T:input >").ok();
    // What an operator sees is what a worker will be given.
    let leases = admin(&server).await.leases(2 * ENTRIES).await.unwrap();
    let shown: BTreeMap<String, _> = leases
        .into_iter()
        .map(|lease| (lease.entry.to_string(), lease))
        .collect();
    for (id, entry) in ids.iter().zip(&entries) {
        let lease = &shown[id];
        if let Some((name, _)) = &entry.readable {
            // A foreign hand's mark of coalescing is taken at its word.
            let marked = entry.fields.iter().any(|(name, _)| name == b"_sh_live");
            assert!(marked || lease.stream.as_ref() == Some(name), "{name:?}: {lease:?}");
        }
        assert_eq!([lease.attempt, lease.failures, lease.abandonments], entry.counters);
    }
    let mut worker = Worker::with(unlimited(&server)).await;
    becomes_of(&entries, &good, true, &mut worker, &mut truth).await;
    all_go_on(&server, &mut worker, &mut truth).await;
}
