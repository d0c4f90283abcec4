//! Going through what is pending and what is delayed in pages, each of which costs little.

use std::collections::BTreeSet;
use std::time::Duration;

use streamherd::{Admin, Cursor, KeyspaceEvents, LeaseQuery, LeaseState, LeaseStatus, Recovery, RequeueOutcome};
use streamherd_tests::{Redis, Truth, Worker, builder, names, queue, recovery, submit};

async fn admin(server: &Redis) -> Admin {
    builder(server).connect_admin().await.unwrap()
}

/// All pages of that size, as somebody sees them who keeps the cursor as text.
async fn all(admin: &Admin, query: &LeaseQuery, limit: usize) -> Vec<LeaseStatus> {
    let (mut seen, mut after) = (Vec::new(), None::<Cursor>);
    for _ in 0..1_000 {
        let page = admin.lease_page(query, after.as_ref(), limit).await.unwrap();
        assert!(page.leases.len() <= limit && page.at_ms > 0);
        seen.extend(page.leases);
        after = page.next.map(|next| next.to_string().parse().unwrap());
        if after.is_none() {
            return seen;
        }
    }
    panic!("it does not end");
}

#[tokio::test]
async fn pages_of_leases_show_each_once_and_only_those_that_are_meant() {
    let server = Redis::start(crate::TOPOLOGY);
    let admin = admin(&server).await;
    let mut truth = Truth::of(&server);
    truth.make_groups();
    assert_eq!(all(&admin, &LeaseQuery::default(), 10).await, []);
    let quiet = builder(&server).keyspace_events(KeyspaceEvents::Off);
    let recovery = Recovery {
        scan_interval: Duration::ZERO,
        ..recovery()
    };
    let mut worker = Worker::with(quiet.recovery(recovery).max_in_flight(3)).await;
    submit(&server, ["h1", "h2", "h3"]).await;
    let held = worker.added_many(3).await;
    queue(&server, &names("s", 260));
    for lane in ["input", "front"] {
        truth
            .cmd(&format!("XREADGROUP GROUP workers ghost COUNT 2000 STREAMS T:{lane} >"))
            .ok();
    }
    let whole = admin.leases(usize::MAX).await.unwrap();
    assert_eq!(whole.len(), 263);
    let ids = |of: &[LeaseStatus]| of.iter().map(|one| (one.partition, one.entry)).collect::<Vec<_>>();
    for limit in [1, 7, 100, 200] {
        assert_eq!(
            ids(&all(&admin, &LeaseQuery::default(), limit).await),
            ids(&whole),
            "in pages of {limit}"
        );
    }
    let query = |state, consumer: Option<&str>| LeaseQuery {
        state,
        consumer: consumer.map(str::to_owned),
    };
    let owner = worker.client.consumer().to_string();
    for (query, count) in [
        (query(Some(LeaseState::Leased), None), 3),
        (query(Some(LeaseState::Orphan), None), 260),
        (query(None, Some("ghost")), 260),
        (query(None, Some(&owner)), 3),
        (query(Some(LeaseState::Orphan), Some(&owner)), 0),
        (query(None, Some("nobody")), 0),
    ] {
        let found = all(&admin, &query, 50).await;
        let distinct: BTreeSet<_> = ids(&found).into_iter().collect();
        assert_eq!((found.len(), distinct.len()), (count, count), "{query:?}");
        assert!(
            found
                .iter()
                .all(|one| query.state.is_none_or(|state| state == one.state))
        );
    }
    drop(held);
}

#[tokio::test]
async fn a_page_of_few_among_many_looks_at_some_thousands_and_says_where_to_go_on() {
    let server = Redis::start(crate::TOPOLOGY);
    let admin = admin(&server).await;
    let streams = server.together("s", 9_000);
    let mut truth = Truth::at(&server, &streams[0]);
    truth.make_groups();
    queue(&server, &streams);
    truth
        .cmd("XREADGROUP GROUP workers ghost COUNT 9000 STREAMS T:input >")
        .ok();
    let last = truth.pending("input").pop().unwrap().id;
    truth.cmd(&format!("SET T:lock:{last} ghost:7 PX 60000")).ok();
    let leased = LeaseQuery {
        state: Some(LeaseState::Leased),
        consumer: None,
    };
    truth.cmd("CONFIG RESETSTAT").ok();
    let first = admin.lease_page(&leased, None, 100).await.unwrap();
    assert!(first.leases.is_empty() && first.next.is_some());
    let stats = truth.cmd("INFO commandstats").text();
    let line = stats.lines().find(|line| line.starts_with("cmdstat_pttl:")).unwrap();
    let asked: u64 = line
        .split_once("calls=")
        .unwrap()
        .1
        .split_once(',')
        .unwrap()
        .0
        .parse()
        .unwrap();
    assert!(asked <= 4_000, "{asked} locks were asked for one page");
    let found = all(&admin, &leased, 100).await;
    assert_eq!((found.len(), found[0].entry.to_string()), (1, last));
}

#[tokio::test]
async fn pages_of_what_is_delayed_show_each_once_with_the_id_that_requeue_takes() {
    let server = Redis::start(crate::TOPOLOGY);
    let admin = admin(&server).await;
    assert_eq!(admin.delayed_page(None, 10).await.unwrap().delayed, []);
    let producer = builder(&server).connect_producer().await.unwrap();
    for (number, name) in (1..).zip(names("s", 23)) {
        producer
            .schedule_after(&name, &1, Duration::from_secs(600 + number))
            .await
            .unwrap();
    }
    for limit in [1, 5, 200] {
        let (mut seen, mut after) = (Vec::new(), None::<Cursor>);
        loop {
            let page = admin.delayed_page(after.as_ref(), limit).await.unwrap();
            assert!(page.delayed.len() <= limit && page.at_ms > 0);
            seen.extend(page.delayed);
            after = page.next.map(|next| next.to_string().parse().unwrap());
            if after.is_none() {
                break;
            }
        }
        let found: BTreeSet<_> = seen.iter().map(|one| one.stream.clone().unwrap()).collect();
        assert_eq!(found, names("s", 23).into_iter().collect(), "in pages of {limit}");
        assert_eq!(seen.len(), 23);
        let in_order = seen.is_sorted_by_key(|one| (one.partition, one.due_ms / 100));
        assert!(in_order && seen.iter().all(|one| one.due_ms > 500_000), "{seen:?}");
    }
    let first = admin.delayed_page(None, 1).await.unwrap().delayed.remove(0);
    let id = first.id.parse().unwrap();
    let outcome = admin.requeue_entry(first.partition, id, false).await.unwrap();
    assert!(matches!(outcome, RequeueOutcome::MadeDue { .. }), "{outcome:?}");
}

#[tokio::test]
async fn a_cursor_from_elsewhere_leads_nowhere_and_harms_nothing() {
    let server = Redis::start(crate::TOPOLOGY);
    let admin = admin(&server).await;
    submit(&server, ["a"]).await;
    for text in ["99.input.", "99.delayed.7", "0.delayed.4294967295", "0.front.5-1"] {
        let cursor: Cursor = text.parse().unwrap();
        let page = admin
            .lease_page(&LeaseQuery::default(), Some(&cursor), 10)
            .await
            .unwrap();
        assert_eq!((page.leases, page.next), (vec![], None), "{text}");
        let page = admin.delayed_page(Some(&cursor), 10).await.unwrap();
        assert_eq!((page.delayed, page.next), (vec![], None), "{text}");
    }
    for text in [
        "",
        "0",
        "0.input",
        "0.input.x",
        "x.input.",
        "0.elsewhere.1",
        "0.delayed.-1",
        "0.delayed.4294967296",
    ] {
        assert!(text.parse::<Cursor>().is_err(), "{text}");
    }
}
