//! Dead letters: what they say, who is meant, and what is kept when one is queued again.

use std::time::Duration;

use streamherd::{
    DeadLetterFilter, DeadLetterReason, HandledLetter, LetterId, LetterOutcome, Recovery, RetryAfter, StreamId,
};
use streamherd_tests::letters::{admin, bury, input, list, outcomes, redrive};
use streamherd_tests::{Redis, Truth, Worker, builder, field, recovery, submit};

fn all() -> DeadLetterFilter {
    DeadLetterFilter::default()
}

#[tokio::test]
async fn a_dead_letter_says_what_it_was_and_why_it_died() {
    let server = Redis::start(crate::TOPOLOGY);
    submit(&server, ["a"]).await;
    let mut worker = Worker::start(&server).await;
    let lease = worker.added().await;
    let (origin, consumer) = (lease.id(), worker.client.consumer().to_string());
    lease.retry(RetryAfter::now().because("first")).await.unwrap();
    worker.added().await.dead_letter("no such user").await.unwrap();

    let admin = admin(&server).await;
    let letters = list(&admin, all()).await;
    let letter = &letters[0];
    assert_eq!(letters.len(), 1);
    assert_eq!(letter.stream.as_deref(), Some("a"));
    assert_eq!(letter.reason, Some(DeadLetterReason::Rejected));
    assert_eq!(letter.error.as_deref(), Some("no such user"));
    assert_eq!(letter.consumer, Some(consumer));
    assert_eq!((letter.failures, letter.abandonments, letter.redriven), (1, 0, 0));
    assert_eq!(letter.origin.to_string(), origin.to_string());
    assert_eq!(letter.first_seen_ms, letter.origin.ms);
    assert!(letter.last_id.unwrap() > letter.origin);
    assert!(letter.at_ms >= letter.first_seen_ms && !letter.packed && letter.bytes > 50);
    let same = admin.dead_letter(LetterId::from(letter)).await.unwrap().unwrap();
    assert_eq!((same.id, &same.fields), (letter.id, &letter.fields));
    let gone = server.letter_of("a", StreamId { ms: 1, seq: 1 });
    assert_eq!(admin.dead_letter(gone).await.unwrap(), None);
}

#[tokio::test]
async fn each_filter_finds_its_letters_in_their_order() {
    let server = Redis::start(crate::TOPOLOGY);
    let b = server.beside("a", ["b"]).remove(0);
    let mut truth = Truth::at(&server, "a");
    let time: u64 = truth.cmd("TIME").strings()[0].parse().unwrap();
    let hours_ago = |hours: u64| (time - hours * 3_600) * 1_000;
    for (hours, stream, reason) in [
        (9, "a", "rejected"),
        (7, b.as_str(), "max_failures"),
        (3, "a", "too_large"),
        (1, b.as_str(), "new"),
    ] {
        let (at, input) = (hours_ago(hours).to_string(), input(stream));
        let id = format!("{at}-0");
        truth
            .call(&[
                "XADD",
                "T:dlq",
                &id,
                "lbs-input",
                &input,
                "_sh_reason",
                reason,
                "_sh_at",
                &at,
            ])
            .ok();
    }
    let hours = |hours: u64| Duration::from_secs(hours * 3_600 + 60);
    let id = |ago: u64| {
        let ms = hours_ago(ago);
        server.letter_of("a", StreamId { ms, seq: 0 })
    };
    let gone = server.letter_of("a", StreamId { ms: 5, seq: 5 });
    let cases: [(DeadLetterFilter, &[u64]); 11] = [
        (all(), &[9, 7, 3, 1]),
        (all().reason(DeadLetterReason::MaxFailures), &[7]),
        (all().reason(DeadLetterReason::Unparseable), &[]),
        (all().older_than(hours(3)), &[9, 7]),
        (all().younger_than(hours(3)), &[3, 1]),
        (all().older_than(hours(1)).younger_than(hours(8)), &[7, 3]),
        (all().stream(&b), &[7, 1]),
        (all().stream("a").reason(DeadLetterReason::Rejected), &[9]),
        (all().limit(2), &[9, 7]),
        (all().stream(&b).limit(1), &[7]),
        (all().ids([id(1), gone, id(9), id(1)]), &[1, 9]),
    ];
    let admin = admin(&server).await;
    for (filter, wanted) in cases {
        let wanted: Vec<LetterId> = wanted.iter().map(|hours| id(*hours)).collect();
        let found = list(&admin, filter.clone()).await;
        assert_eq!(
            found.iter().map(LetterId::from).collect::<Vec<_>>(),
            wanted,
            "{filter:?}"
        );
        // Neither kind of dry run finds others, nor changes anything.
        for run in [admin.redrive(filter.clone()), admin.purge(filter.clone())] {
            let told = outcomes(run.dry_run()).await;
            let there = told.iter().filter(|one| !matches!(one.outcome, LetterOutcome::Gone));
            let there = there.map(|&HandledLetter { partition, id, .. }| LetterId { partition, id });
            assert_eq!(there.collect::<Vec<_>>(), wanted, "{filter:?}");
        }
    }
    assert_eq!((truth.cmd("XLEN T:dlq").int(), truth.length()), (4, 0));
    let told = outcomes(admin.redrive(all().ids([gone]))).await;
    assert!(matches!(told[0].outcome, LetterOutcome::Gone) && told.len() == 1);
}

#[tokio::test]
async fn a_redriven_letter_begins_again_with_all_that_it_says() {
    let server = Redis::start(crate::TOPOLOGY);
    let mut truth = Truth::at(&server, "a");
    // Bytes that are no text, and a field that nobody knows.
    let add =
        "redis.call('XADD', KEYS[1], '*', 'bin', string.char(255, 0, 13, 10), 'lbs-input', ARGV[1], 'other', 'kept')";
    truth.call(&["EVAL", add, "1", "T:input", &input("a")]).ok();
    let limited = || {
        let recovery = Recovery {
            max_failures: 2,
            ..recovery()
        };
        Worker::with(builder(&server).recovery(recovery))
    };
    let mut worker = limited().await;
    for _ in 0..2 {
        let retry = RetryAfter::now().because("broken");
        worker.added().await.retry(retry).await.unwrap();
    }
    worker.client.shutdown(Duration::ZERO).await;
    let admin = admin(&server).await;
    let first = list(&admin, all()).await.remove(0);
    assert_eq!((first.reason, first.failures), (Some(DeadLetterReason::MaxFailures), 2));
    let origin = first.origin.to_string();
    for (round, reason, error) in [(1, "max_failures", "broken"), (2, "rejected", "worse")] {
        assert_eq!(redrive(&admin, all()).await, ["redriven"]);
        assert_eq!(truth.cmd("XLEN T:dlq").int(), 0);
        let (_, fields) = truth.entries("front").remove(0);
        for gone in ["_retry_count", "_sh_failures", "_sh_abandonments"] {
            assert!(fields.iter().all(|(name, _)| name != gone), "{gone} begins again");
        }
        let kept = "local f = redis.call('XRANGE', KEYS[1], '-', '+')[1][2] return f[1] == 'bin' and \
                    f[2] == string.char(255, 0, 13, 10) and 1 or 0";
        assert_eq!(truth.call(&["EVAL", kept, "1", "T:front"]).int(), 1);
        for (name, value) in [
            ("other", "kept"),
            ("_sh_origin", origin.as_str()),
            ("_sh_reason", reason),
            ("_sh_error", error),
            ("_sh_redriven", &round.to_string()),
        ] {
            assert_eq!(field(&fields, name), value);
        }
        let mut worker = limited().await;
        let lease = worker.added().await;
        assert_eq!((lease.stream(), lease.attempt(), lease.failures()), ("a", 0, 0));
        assert_eq!(lease.original_id(), first.origin);
        // And dies of something else.
        lease.dead_letter("worse").await.unwrap();
        worker.client.shutdown(Duration::ZERO).await;
        let again = list(&admin, all()).await.remove(0);
        assert_eq!(
            (again.reason, again.redriven),
            (Some(DeadLetterReason::Rejected), round)
        );
        assert_eq!((again.error.as_deref(), again.failures), (Some("worse"), 0));
        assert_eq!((again.origin, again.first_seen_ms), (first.origin, first.first_seen_ms));
    }
}

#[tokio::test]
async fn what_is_packed_away_stays_a_dead_letter_and_stops_no_other() {
    let server = Redis::start(crate::TOPOLOGY);
    let mut truth = Truth::at(&server, "a");
    bury(&server, &["a".to_owned()], "rejected");
    truth.cmd("XADD T:dlq * _sh_packed x _sh_reason too_large").ok();
    bury(&server, &server.beside("a", ["b"]), "rejected");
    let admin = admin(&server).await;
    let packed = list(&admin, all().reason(DeadLetterReason::TooLarge)).await;
    assert!(packed[0].packed && packed[0].stream.is_none());
    assert_eq!(redrive(&admin, all()).await, ["redriven", "too_large", "redriven"]);
    assert_eq!((truth.cmd("XLEN T:dlq").int(), truth.length()), (1, 2));
    let report = admin.purge(all()).finish().await.unwrap();
    assert_eq!((report.purged, truth.cmd("XLEN T:dlq").int()), (1, 0));
}

#[tokio::test]
async fn the_largest_entry_with_the_longest_error_can_be_redriven_and_fail_again() {
    let server = Redis::start(crate::TOPOLOGY);
    let mut truth = Truth::of(&server);
    let producer = builder(&server).connect_producer().await.unwrap();
    let around = "lbs-input_sh_livea".len() + r#"{"DataStreamName":"a","Info":""}"#.len();
    let longest = "i".repeat(1024 * 1024 - around);
    let longer = longest.clone() + "i";
    producer.submit("a", &longer).await.unwrap_err();
    producer.submit("a", &longest).await.unwrap();
    let mut worker = Worker::start(&server).await;
    worker.added().await.dead_letter(&"e".repeat(5_000)).await.unwrap();
    let admin = admin(&server).await;
    for _ in 0..3 {
        assert_eq!(redrive(&admin, all()).await, ["redriven"]);
        let lease = worker.added().await;
        assert_eq!(lease.info::<String>().unwrap(), longest);
        lease.retry(RetryAfter::now()).await.unwrap();
        worker.added().await.dead_letter(&"e".repeat(5_000)).await.unwrap();
        assert_eq!(list(&admin, all()).await[0].reason, Some(DeadLetterReason::Rejected));
    }
    assert!(truth.is_clean());
}
