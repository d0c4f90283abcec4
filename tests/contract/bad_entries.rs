//! What an entry that is malformed, too large or gone can't do: guarantee 8.

use std::collections::BTreeMap;
use std::time::Duration;

use streamherd::error::SettleError;
use streamherd::{RetryAfter, Settled};
use streamherd_testkit::eventually;
use streamherd_tests::{Redis, SOON, Truth, Worker, builder, field, names, plain, queue, submit};

/// Entries that no producer of ours makes: name, reason for the dead letter, fields.
fn bad_entries() -> Vec<(&'static str, &'static str, Vec<Vec<u8>>)> {
    let pair = |name: &[u8], value: &[u8]| vec![name.to_vec(), value.to_vec()];
    let input = |value: &str| pair(b"lbs-input", value.as_bytes());
    let named = |name: &str| input(&serde_json::json!({ "DataStreamName": name, "Info": null }).to_string());
    let mut many = named("many");
    (0..1_000).for_each(|n| many.extend(pair(format!("f{n}").as_bytes(), b"x")));
    let mut big = named("big");
    big.extend(pair(b"blob", &vec![b'x'; 1024 * 1024]));
    vec![
        ("no lbs-input", "unparseable", pair(b"other", b"1")),
        ("not JSON", "unparseable", input("{\"DataStreamName\":")),
        ("JSON of another kind", "unparseable", input("[1,2]")),
        ("an empty name", "unparseable", named("")),
        ("a name over 1 KiB", "unparseable", named(&"n".repeat(1_025))),
        (
            "binary garbage",
            "unparseable",
            pair(b"\xff\x00\xfe", b"\r\n\x00\xff$-1\r\n"),
        ),
        (
            "garbage as lbs-input",
            "unparseable",
            pair(b"lbs-input", b"\xff\xfe{}\x00"),
        ),
        ("1,001 fields", "too_large", many),
        ("more than 1 MiB", "too_large", big),
    ]
}

fn add(truth: &mut Truth, fields: &[Vec<u8>]) -> String {
    let mut words = vec![b"XADD".to_vec(), b"T:input".to_vec(), b"*".to_vec()];
    words.extend(fields.iter().cloned());
    truth.call(&words).text()
}

/// Every bad entry is a dead letter with its reason and its raw fields, by the id it came under.
fn assert_buried(truth: &mut Truth, added: &BTreeMap<String, (&'static str, &'static str, Vec<Vec<u8>>)>) {
    let letters = truth.call(&["XRANGE", "T:dlq", "-", "+"]).array();
    assert_eq!(letters.len(), added.len());
    for letter in letters {
        let fields: Vec<Vec<u8>> = letter.array()[1]
            .array()
            .iter()
            .map(streamherd_testkit::Reply::bytes)
            .collect();
        let of = |name: &str| {
            let found = fields.chunks(2).find(|pair| pair[0] == name.as_bytes());
            found.map(|pair| String::from_utf8_lossy(&pair[1]).into_owned())
        };
        let origin = of("_sh_origin").expect("a dead letter says where it is from");
        let (what, reason, raw) = &added[&origin];
        assert_eq!(of("_sh_reason").as_deref(), Some(*reason), "{what}");
        if *reason == "too_large" {
            let packed = fields.chunks(2).find(|pair| pair[0] == b"_sh_packed").expect(what);
            let unpack = "return cmsgpack.unpack(ARGV[1])";
            let unpacked = truth
                .call(&[b"EVAL".as_slice(), unpack.as_bytes(), b"0", &packed[1]])
                .array();
            let unpacked: Vec<_> = unpacked.iter().map(streamherd_testkit::Reply::bytes).collect();
            assert_eq!(&unpacked, raw, "{what}");
        } else {
            assert_eq!(&fields[..raw.len()], raw, "{what}");
            assert!(!of("_sh_error").unwrap().is_empty(), "{what}");
        }
    }
}

#[tokio::test]
async fn guarantee_8_bad_entries_do_not_stop_a_reader() {
    let server = Redis::start(crate::TOPOLOGY);
    let names = server.together("good", bad_entries().len());
    let mut truth = Truth::at(&server, &names[0]);
    let mut added = BTreeMap::new();
    for (number, bad) in bad_entries().into_iter().enumerate() {
        added.insert(add(&mut truth, &bad.2), bad);
        queue(&server, &names[number..=number]);
    }
    let mut worker = Worker::with(builder(&server).max_in_flight(2)).await;
    for name in &names {
        let lease = worker.added().await;
        assert_eq!(lease.stream(), name);
        lease.done().await.unwrap();
    }
    truth.becomes_clean().await;
    assert_buried(&mut truth, &added);
    assert_eq!(worker.listen_for(Duration::ZERO).await.unasked(), 0);
}

#[tokio::test]
async fn guarantee_8_bad_entries_do_not_stop_the_scan() {
    let server = Redis::start(crate::TOPOLOGY);
    let names = server.together("good", bad_entries().len());
    let mut truth = Truth::at(&server, &names[0]);
    let worker = Worker::deaf(&server).await;
    worker.client.shutdown(Duration::ZERO).await;
    let mut added = BTreeMap::new();
    for (number, bad) in bad_entries().into_iter().enumerate() {
        added.insert(add(&mut truth, &bad.2), bad);
        queue(&server, &names[number..=number]);
    }
    // Somebody who read all of it and died.
    truth.cmd("XREADGROUP GROUP workers ghost STREAMS T:input >").ok();
    assert_eq!(truth.pending("input").len(), 2 * added.len());

    let mut worker = Worker::deaf(&server).await;
    let mut good: Vec<String> = Vec::new();
    for lease in worker.added_many(added.len()).await {
        assert_eq!(lease.abandonments(), 1);
        good.push(lease.stream().to_owned());
        lease.done().await.unwrap();
    }
    good.sort();
    assert_eq!(good, names);
    truth.becomes_clean().await;
    assert_buried(&mut truth, &added);
}

#[tokio::test]
async fn guarantee_8_a_pending_entry_whose_body_is_gone_is_tidied_away() {
    let server = Redis::start(crate::TOPOLOGY);
    let names = server.together("s", 3);
    let mut truth = Truth::at(&server, &names[0]);
    let worker = Worker::start(&server).await;
    worker.client.shutdown(Duration::ZERO).await;
    queue(&server, &names);
    truth.cmd("XREADGROUP GROUP workers ghost STREAMS T:input >").ok();
    for (id, _) in truth.entries("input").into_iter().take(2) {
        truth.cmd(&format!("XDEL T:input {id}")).ok();
    }
    let mut worker = Worker::start(&server).await;
    let lease = worker.added().await;
    assert_eq!((plain(lease.stream()), lease.attempt()), ("s-2", 1));
    lease.done().await.unwrap();
    truth.becomes_clean().await;
    assert!(truth.dead_letters().is_empty());
}

#[tokio::test]
async fn guarantee_8_a_held_stream_whose_body_was_deleted_can_be_done_and_not_put_back() {
    let server = Redis::start(crate::TOPOLOGY);
    let names = server.together("s", 4);
    let mut truth = Truth::at(&server, &names[0]);
    let mut worker = Worker::with(builder(&server).max_in_flight(4)).await;
    queue(&server, &names);
    let leases = worker.added_many(4).await;
    for lease in &leases {
        truth.cmd(&format!("XDEL T:input {}", lease.id())).ok();
    }
    for lease in leases {
        let turn = plain(lease.stream()).to_owned();
        let outcome = match turn.as_str() {
            "s-0" => lease.done().await,
            "s-1" => lease.retry(RetryAfter::now()).await,
            "s-2" => lease.dead_letter("no").await,
            _ => lease.release().await,
        };
        match outcome {
            Ok(Settled::Done) => assert_eq!(turn, "s-0"),
            Err(SettleError::Vanished { .. }) => assert_ne!(turn, "s-0"),
            other => panic!("{turn}: {other:?}"),
        }
    }
    eventually(SOON, "nothing is pending", || {
        let clean = truth.is_clean();
        async move { clean.then_some(()) }
    })
    .await;
}

#[tokio::test]
async fn an_entry_of_5000_fields_goes_to_the_dead_letters_and_stops_nobody() {
    let server = Redis::start(crate::TOPOLOGY);
    let mut truth = Truth::of(&server);
    let mut there = Truth::at(&server, "huge");
    truth.make_groups();
    let huge = |lane: &str| {
        let mut words = vec!["XADD".to_owned(), format!("T:{lane}"), "*".to_owned()];
        words.extend(["lbs-input".to_owned(), r#"{"DataStreamName":"huge"}"#.to_owned()]);
        words.extend((1..5_000).flat_map(|n| [format!("f{n}"), "v".to_owned()]));
        words
    };
    // One is an orphan already, found by the scan; one stands in front of the others, found by a reader.
    there.call(&huge("input")).ok();
    there.abandon();
    there.call(&huge("front")).ok();
    submit(&server, names("s", 5)).await;

    let mut worker = Worker::with(builder(&server).max_in_flight(2)).await;
    let mut seen = Vec::new();
    while seen.len() < 5 {
        let lease = worker.added().await;
        seen.push(lease.stream().to_owned());
        lease.done().await.unwrap();
    }
    seen.sort();
    assert_eq!(seen, names("s", 5));
    let dead = eventually(SOON, "both are dead letters", || {
        let dead = truth.dead_letters();
        async move { (dead.len() == 2).then_some(dead) }
    })
    .await;
    for letter in &dead {
        assert_eq!(field(letter, "_sh_reason"), "too_large");
        assert!(letter.len() < 20, "packed: {} fields", letter.len());
        assert!(field(letter, "_sh_packed").contains("f4999"));
    }
    truth.becomes_clean().await;
    assert_eq!(worker.unasked(), 0);
}
