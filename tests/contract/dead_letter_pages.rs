//! Going through the dead letters in pages, each of which costs little.

use streamherd::{DeadLetterFilter, DeadLetterReason, LetterId};
use streamherd_tests::letters::{admin, bury, list};
use streamherd_tests::{Redis, Truth, names};

#[tokio::test]
async fn pages_show_each_letter_once_and_in_order() {
    let server = Redis::start(crate::TOPOLOGY);
    let all = names("s", 250);
    bury(&server, &all, "rejected");
    bury(&server, &all[..7], "max_failures");
    let admin = admin(&server).await;
    for (filter, limit) in [
        (DeadLetterFilter::default(), 100),
        (DeadLetterFilter::default(), 257),
        (DeadLetterFilter::default().reason(DeadLetterReason::MaxFailures), 2),
        (DeadLetterFilter::default().look_at(10), 100),
    ] {
        let mut seen = Vec::new();
        let mut next: Option<LetterId> = None;
        for _ in 0..100 {
            let filter = match next {
                Some(letter) => filter.clone().after(letter),
                None => filter.clone(),
            };
            let page = admin.dead_letter_page(filter, limit).await.unwrap();
            assert!(page.dead_letters.len() <= limit && page.at_ms > 0);
            seen.extend(page.dead_letters.iter().map(LetterId::from));
            next = page.next;
            if next.is_none() {
                break;
            }
        }
        let whole = match limit {
            2 => {
                list(
                    &admin,
                    DeadLetterFilter::default().reason(DeadLetterReason::MaxFailures),
                )
                .await
            }
            _ => list(&admin, DeadLetterFilter::default()).await,
        };
        let whole: Vec<_> = whole.iter().map(LetterId::from).collect();
        assert_eq!(seen, whole, "in pages of {limit}");
    }
}

#[tokio::test]
async fn a_page_that_finds_nothing_reads_a_thousand_letters_and_says_where_to_go_on() {
    let server = Redis::start(crate::TOPOLOGY);
    let all = server.together("s", 2_500);
    bury(&server, &all, "rejected");
    let admin = admin(&server).await;
    let nothing = DeadLetterFilter::default().stream("nobody");
    let mut truth = Truth::at(&server, &all[0]);
    truth.cmd("CONFIG SET slowlog-log-slower-than 20000").ok();
    truth.cmd("CONFIG RESETSTAT").ok();
    let page = admin.dead_letter_page(nothing.clone(), 100).await.unwrap();
    assert!(page.dead_letters.is_empty());
    let stats = truth.cmd("INFO commandstats").text();
    let calls = |name: &str| -> u64 {
        let line = stats.lines().find(|line| line.starts_with(&format!("cmdstat_{name}:")));
        let calls = line.and_then(|line| line.split_once("calls=")?.1.split_once(',')?.0.parse().ok());
        calls.unwrap_or(0)
    };
    // Four letters a call of XRANGE, and a page of 200 may reach further than what is looked at.
    assert!((200..=320).contains(&calls("xrange")), "{}", calls("xrange"));

    let mut pages = 1;
    let mut next = page.next;
    while let Some(letter) = next {
        pages += 1;
        next = admin
            .dead_letter_page(nothing.clone().after(letter), 100)
            .await
            .unwrap()
            .next;
    }
    assert_eq!(pages, 3);
}

#[tokio::test]
async fn a_bounded_run_goes_on_where_the_last_one_stopped() {
    let server = Redis::start(crate::TOPOLOGY);
    bury(&server, &names("s", 30), "rejected");
    let admin = admin(&server).await;
    let filter = DeadLetterFilter::default().look_at(12);
    let mut redriven = Vec::new();
    let mut next: Option<LetterId> = None;
    loop {
        let filter = match next {
            Some(letter) => filter.clone().after(letter),
            None => filter.clone(),
        };
        let mut run = admin.redrive(filter);
        redriven.push(run.finish().await.unwrap().redriven);
        next = run.position();
        if next.is_none() {
            break;
        }
    }
    assert_eq!(redriven, [12, 12, 6]);
    assert!(list(&admin, DeadLetterFilter::default()).await.is_empty());
}
