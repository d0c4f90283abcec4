//! Redriving and purging many dead letters: each once, at a rate, in bounded calls, to an end.

use std::collections::BTreeSet;
use std::num::NonZeroU32;
use std::time::{Duration, Instant};

use streamherd::{DeadLetterFilter, DeadLetterReason, LetterOutcome, Recovery, RetryAfter};
use streamherd_testkit::Matcher;
use streamherd_tests::letters::{admin, bury, input, list, make_known, name_of, outcomes, redrive, streams};
use streamherd_tests::{Lost, Redis, SOON, Truth, Worker, builder, names, recovery, side_by_side, submit};

fn all() -> DeadLetterFilter {
    DeadLetterFilter::default()
}

#[tokio::test]
async fn large_and_many_letters_are_listed_and_redriven_in_bounded_calls() {
    let server = Redis::start(crate::TOPOLOGY);
    let small = server.together("s", 1_234);
    let big = server.beside(&small[0], names("big", 12));
    let mut truth = Truth::at(&server, &small[0]);
    bury(&server, &small, "rejected");
    let body = "x".repeat(1024 * 1024 - 200);
    for name in &big {
        truth
            .call(&[
                "XADD",
                "T:dlq",
                "*",
                "lbs-input",
                &input(name),
                "big",
                &body,
                "_sh_origin",
                "1-1",
            ])
            .ok();
    }
    let admin = admin(&server).await;
    let wanted = [small, big].concat();
    assert_eq!(streams(&list(&admin, all()).await), wanted);
    truth.cmd("CONFIG RESETSTAT").ok();
    let report = admin.redrive(all()).finish().await.unwrap();
    assert_eq!(report.redriven, 1_246);
    let queued: Vec<String> = truth
        .entries("front")
        .iter()
        .map(|(_, fields)| name_of(fields))
        .collect();
    assert_eq!(queued, wanted, "in the order of their deaths");
    assert_eq!(truth.cmd("XLEN T:dlq").int(), 0);
}

#[tokio::test]
async fn two_rivals_redrive_each_letter_once() {
    let server = Redis::start(crate::TOPOLOGY);
    let mut truth = Truth::of(&server);
    let wanted = names("s", 1_000);
    bury(&server, &wanted, "rejected");
    let (one, two) = (admin(&server).await, admin(&server).await);
    let (mut first, mut second) = (one.redrive(all()), two.redrive(all()));
    let (first, second) = tokio::join!(first.finish(), second.finish());
    let (first, second) = (first.unwrap(), second.unwrap());
    assert_eq!(first.redriven + second.redriven, 1_000, "{first:?} {second:?}");
    assert!(first.gone + second.gone <= 1_000);
    let mut queued: Vec<String> = truth
        .entries("front")
        .iter()
        .map(|(_, fields)| name_of(fields))
        .collect();
    queued.sort();
    let mut sorted = wanted;
    sorted.sort();
    assert_eq!(queued, sorted);
    assert_eq!(truth.cmd("XLEN T:dlq").int(), 0);
}

#[tokio::test]
async fn a_letter_that_dies_again_is_not_redriven_by_the_same_run() {
    let server = Redis::start(crate::TOPOLOGY);
    let mut truth = Truth::of(&server);
    let dying = names("s", 300);
    bury(&server, &dying, "max_failures");
    let mut worker = Worker::with(builder(&server).recovery(Recovery {
        max_failures: 1,
        ..recovery()
    }))
    .await;
    let admin = admin(&server).await;
    let mut run = admin.redrive(all());
    let mut redriven = 0;
    // Each dies again before the run may go on.
    while let Some(handled) = run.next().await.unwrap() {
        assert_eq!(handled.outcome.as_str(), "redriven");
        redriven += 1;
        assert!(redriven <= 300, "the run does not chase its own letters");
        worker.added().await.retry(RetryAfter::now()).await.unwrap();
    }
    assert_eq!(redriven, 300);
    let letters = list(&admin, all()).await;
    assert_eq!(letters.len(), 300);
    assert!(letters.iter().all(|letter| letter.redriven == 1));
    assert!(truth.is_clean());
}

#[tokio::test]
async fn a_rate_is_never_exceeded() {
    let server = Redis::start(crate::TOPOLOGY);
    let mut truth = Truth::of(&server);
    bury(&server, &names("s", 60), "rejected");
    let admin = admin(&server).await;
    let (rate, burst) = (NonZeroU32::new(40).unwrap(), 4.0);
    let start = Instant::now();
    let run = tokio::spawn(async move { admin.redrive(all()).rate(rate).finish().await });
    let mut looks = BTreeSet::new();
    while !run.is_finished() {
        let queued = truth.cmd("XLEN T:front").int();
        // Looked at first, so that a slow machine only allows more.
        let most = start.elapsed().as_secs_f64().mul_add(f64::from(rate.get()), burst);
        assert!(queued as f64 <= most, "{queued} of {most}");
        looks.insert(queued);
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    assert_eq!(run.await.unwrap().unwrap().redriven, 60);
    assert!(looks.len() > 5, "in small steps: {looks:?}");
}

#[tokio::test]
async fn a_purge_deletes_what_it_means_and_nothing_else() {
    let server = Redis::start(crate::TOPOLOGY);
    let mut truth = Truth::of(&server);
    submit(&server, ["alive"]).await;
    bury(&server, &names("bad", 150), "unparseable");
    let good = server.together("good", 150);
    bury(&server, &good, "rejected");
    let admin = admin(&server).await;
    let meant = all().reason(DeadLetterReason::Unparseable);
    let told = admin.purge(meant.clone()).dry_run().finish().await.unwrap();
    assert_eq!((told.purged, truth.cmd("XLEN T:dlq").int()), (150, 300));
    let told = admin.purge(meant.clone()).finish().await.unwrap();
    assert_eq!((told.purged, told.gone), (150, 0));
    assert_eq!(streams(&list(&admin, all()).await), good);
    assert_eq!(admin.purge(meant).finish().await.unwrap(), Default::default());
    assert_eq!(truth.length(), 1);
}

#[tokio::test]
async fn a_letter_trimmed_under_way_is_gone_and_the_others_are_redriven() {
    let server = Redis::start(crate::TOPOLOGY);
    let all_of_them = server.together("s", 250);
    let mut truth = Truth::at(&server, &all_of_them[0]);
    bury(&server, &all_of_them, "rejected");
    let admin = admin(&server).await;
    let mut run = admin.redrive(all());
    run.next().await.unwrap().unwrap();
    // The first 100 are queued, and ids of the next are known.
    truth.cmd("XTRIM T:dlq MAXLEN 120").ok();
    let report = run.finish().await.unwrap();
    assert_eq!(report.redriven + report.gone, 250, "{report:?}");
    assert!(report.redriven >= 220 && report.gone > 0, "{report:?}");
    assert_eq!(u64::try_from(truth.length()).unwrap(), report.redriven);
}

#[tokio::test]
async fn letters_that_redis_has_no_memory_for_stay_where_they_are() {
    let server = Redis::start(crate::TOPOLOGY);
    let mut truth = Truth::of(&server);
    bury(&server, &names("s", 3), "rejected");
    let admin = admin(&server).await;
    truth.cmd("CONFIG SET maxmemory 1").ok();
    let handled = outcomes(admin.redrive(all())).await;
    for one in &handled {
        assert!(
            matches!(&one.outcome, LetterOutcome::Failed(e) if e.is_out_of_memory()),
            "{one:?}"
        );
    }
    assert_eq!(
        (handled.len(), truth.cmd("XLEN T:dlq").int(), truth.length()),
        (3, 3, 0)
    );
    assert_eq!(
        admin.purge(all().limit(1)).finish().await.unwrap().purged,
        1,
        "needs none"
    );
    truth.cmd("CONFIG SET maxmemory 0").ok();
    assert_eq!(redrive(&admin, all()).await, ["redriven", "redriven"]);
}

#[test]
fn a_lost_answer_is_an_error_and_nothing_is_lost_or_doubled_by_going_on() {
    let scripts = ["redrive", "purge", "letters"].into_iter();
    let rows = scripts.flat_map(|script| Lost::BOTH.map(|lost| (format!("{lost:?} of {script}"), (script, lost))));
    side_by_side(crate::TOPOLOGY.at_a_time(6), rows.collect(), a_lost_answer);
}

async fn a_lost_answer((script, lost): (&str, Lost)) {
    let server = Redis::start(crate::TOPOLOGY);
    let letters = server.together("s", 250);
    let mut truth = Truth::at(&server, &letters[0]);
    bury(&server, &letters, "rejected");
    let proxy = server.proxy().await;
    let admin = admin(&proxy).await;
    make_known(&proxy).await;
    let second = server.at_home(&letters[0], Matcher::script(script));
    let loss = proxy.on(second, 2, lost.fault());
    let mut run = if script == "purge" {
        admin.purge(all())
    } else {
        admin.redrive(all())
    };
    let error = run.finish().await.unwrap_err();
    assert!(loss.fired() && !error.is_certain(), "{script}: {error}");
    // The same run goes on when the connection is back.
    let end = Instant::now() + SOON;
    let report = loop {
        match run.finish().await {
            Ok(report) => break report,
            Err(e) => assert!(Instant::now() < end, "{e}"),
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    };
    let done = report.redriven + report.purged;
    let unsure = if lost == Lost::Reply && script != "letters" {
        100
    } else {
        0
    };
    assert_eq!((done, report.gone), (250 - unsure, unsure), "{lost:?} of {script}");
    let wanted = if script == "purge" { Vec::new() } else { letters };
    let queued: Vec<String> = truth
        .entries("front")
        .iter()
        .map(|(_, fields)| name_of(fields))
        .collect();
    assert_eq!(queued, wanted, "{lost:?} of {script}");
    assert_eq!(truth.cmd("XLEN T:dlq").int(), 0);
}
