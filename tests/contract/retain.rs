//! What a producer keeps is queued again when Redis has lost it before any worker was given it.

use std::collections::BTreeMap;
use std::time::{Duration, SystemTime};

use streamherd::{Duplicates, Producer};
use streamherd_testkit::{Fault, Matcher, eventually};
use streamherd_tests::{
    Lost, Reachable, Redis, SOON, Truth, Worker, builder, by_name, has_looked, patiently, side_by_side,
};

/// A producer that keeps what it submits for longer than any test takes.
pub(super) async fn retaining(at: &(impl Reachable + ?Sized)) -> Producer {
    let producer = patiently(|| builder(at).connect_producer()).await;
    producer.retain(Duration::from_secs(600), 1_000).await.unwrap()
}

/// How Redis comes back without what was submitted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Loss {
    Flushed,
    RestartedEmpty,
    /// With what was there before the last submits.
    RestartedOld,
}

impl Loss {
    const ALL: [Self; 3] = [Self::Flushed, Self::RestartedEmpty, Self::RestartedOld];

    /// A Redis that it can happen to.
    fn possible_at() -> Redis {
        Redis::with(crate::TOPOLOGY, &[("--appendonly", "no"), ("--save", "")])
    }

    fn happens_to(self, server: &mut Redis) {
        match self {
            Self::Flushed => drop(Truth::of(server).each("FLUSHALL")),
            Self::RestartedEmpty => server.restart_empty(),
            Self::RestartedOld => server.restart(),
        }
    }
}

#[test]
fn what_nobody_was_given_yet_is_back_after_every_loss_with_and_without_workers() {
    let rows = Loss::ALL.into_iter().flat_map(|loss| {
        [true, false].map(|worked| (format!("{loss:?}, with a worker there: {worked}"), (loss, worked)))
    });
    side_by_side(crate::TOPOLOGY.at_a_time(6), rows.collect(), |(loss, worked)| {
        a_loss(loss, worked)
    });
}

async fn a_loss(loss: Loss, worked: bool) {
    let mut server = Loss::possible_at();
    let mut worker = None;
    if worked {
        // It takes nothing yet.
        let paused = Worker::start(&server).await;
        paused.client.pause().await.unwrap();
        worker = Some(paused);
    }
    let producer = retaining(&server).await;
    for n in 0..3 {
        producer.submit(&format!("known-{n}"), &n).await.unwrap();
    }
    Truth::of(&server).each("SAVE");
    let parallel = producer.clone().duplicates(Duplicates::Parallel);
    for n in 0..20 {
        producer.submit(&format!("coalesced-{n}"), &n).await.unwrap();
        parallel.submit(&format!("parallel-{n}"), &n).await.unwrap();
    }
    parallel.submit("parallel-0", &0).await.unwrap();
    loss.happens_to(&mut server);

    let wanted: BTreeMap<String, usize> = (0..3)
        .map(|n| format!("known-{n}"))
        .chain((0..20).flat_map(|n| [format!("coalesced-{n}"), format!("parallel-{n}")]))
        .map(|name| (name.clone(), if name == "parallel-0" { 2 } else { 1 }))
        .collect();
    if !worked {
        let mut truth = Truth::of(&server);
        eventually(SOON, "all of them are queued again", || {
            let queued = by_name(&truth.entries("input"));
            let back = queued == wanted;
            async move { back.then_some(()) }
        })
        .await;
    }
    let mut worker = match worker {
        Some(worker) => {
            // A pause may be among what has survived.
            let client = worker.client.clone();
            eventually(SOON, "the worker may take work", || async {
                client.resume().await.ok()
            })
            .await;
            worker
        }
        None => Worker::start(&server).await,
    };
    let mut done = BTreeMap::new();
    for lease in worker.added_many(44).await {
        *done.entry(lease.stream().to_owned()).or_insert(0) += 1;
        lease.done().await.unwrap();
    }
    assert_eq!(done, wanted);
    Truth::of(&server).becomes_clean().await;
    worker.listen_for(Duration::from_secs(3)).await;
    assert_eq!(worker.unasked(), 0, "something is run twice");
    producer.close().await;
}

#[tokio::test]
async fn a_delayed_stream_that_redis_lost_is_due_when_it_was_to_be() {
    let server = Redis::start(crate::TOPOLOGY);
    let mut truth = Truth::of(&server);
    let producer = retaining(&server).await;
    let parallel = producer.clone().duplicates(Duplicates::Parallel);
    let (hour, at) = (Duration::from_secs(3600), SystemTime::now() + Duration::from_secs(7200));
    for producer in [&producer, &parallel] {
        producer.schedule_after("after", &(), hour).await.unwrap();
        producer.schedule("at", &(), at).await.unwrap();
    }
    let due = |truth: &mut Truth| -> Vec<f64> {
        let all = truth.cmd("ZRANGE T:delayed 0 -1 WITHSCORES").strings();
        let mut due: Vec<f64> = all.iter().skip(1).step_by(2).map(|due| due.parse().unwrap()).collect();
        due.sort_by(f64::total_cmp);
        due
    };
    let before = due(&mut truth);
    truth.each("FLUSHALL");
    let after = eventually(SOON, "all of them wait again", || {
        let after = due(&mut truth);
        async move { (after.len() == 4).then_some(after) }
    })
    .await;
    for (before, after) in before.iter().zip(&after).take(2) {
        assert!(
            (*before..before + 2_000.0).contains(after),
            "{before} was put off to {after}"
        );
    }
    assert_eq!(before[2..], after[2..], "a time is a time");
    assert_eq!(truth.cmd("XLEN T:input").int(), 0);
}

#[tokio::test]
async fn a_second_loss_is_made_good_like_the_first() {
    let server = Redis::start(crate::TOPOLOGY);
    let mut truth = Truth::of(&server);
    let producer = retaining(&server).await;
    producer.submit("a", &1).await.unwrap();
    producer
        .clone()
        .duplicates(Duplicates::Parallel)
        .submit("b", &1)
        .await
        .unwrap();
    // What was noted of the first loss survives the last one.
    for loss in ["FLUSHALL", "FLUSHALL", "DEL T:input T:live T:epoch"] {
        truth.each(loss);
        eventually(SOON, "both are queued again", || {
            let queued = truth.length();
            async move { (queued == 2).then_some(()) }
        })
        .await;
    }
    let mut worker = Worker::start(&server).await;
    for lease in worker.added_many(2).await {
        lease.done().await.unwrap();
    }
    truth.becomes_clean().await;
}

#[tokio::test]
async fn a_lost_answer_to_a_resubmit_doubles_nothing() {
    for lost in Lost::BOTH {
        let server = Redis::start(crate::TOPOLOGY);
        let mut truth = Truth::at(&server, "a");
        let proxy = server.proxy().await;
        let producer = retaining(&proxy).await;
        let names = server.neighbours(["a", "b", "c"]);
        producer.submit(&names[0], &1).await.unwrap();
        // Wanted once more, as nobody else's info is to be lost.
        producer.submit(&names[0], &2).await.unwrap();
        let parallel = producer.clone().duplicates(Duplicates::Parallel);
        for name in &names[1..] {
            parallel.submit(name, &1).await.unwrap();
        }
        let loss = proxy.on(server.at_home("a", Matcher::script("resubmit")), 1, lost.fault());
        let again = proxy.on(server.at_home("a", Matcher::script("resubmit")), 2, Lost::Reply.fault());
        Truth::of(&server).each("FLUSHALL");
        loss.wait_fired(SOON).await;
        if lost == Lost::Request {
            again.wait_fired(SOON).await;
        }
        eventually(SOON, "they are queued again", || {
            let queued = truth.length();
            async move { (queued == 3).then_some(()) }
        })
        .await;
        has_looked(&proxy, &server, "a").await;
        has_looked(&proxy, &server, "a").await;
        let queued = by_name(&truth.entries("input"));
        assert!(queued.values().all(|times| *times == 1), "{lost:?}: {queued:?}");
        let mut worker = Worker::start(&server).await;
        let mut infos: Vec<(String, u32)> = Vec::new();
        for _ in 0..4 {
            let lease = worker.added().await;
            infos.push((lease.stream().to_owned(), lease.info().unwrap()));
            lease.done().await.unwrap();
        }
        infos.sort();
        let wanted = [(&names[0], 1), (&names[0], 2), (&names[1], 1), (&names[2], 1)];
        assert_eq!(infos, wanted.map(|(name, info)| (name.clone(), info)));
        Truth::of(&server).becomes_clean().await;
        producer.close().await;
    }
}

#[tokio::test]
async fn of_several_infos_of_a_name_one_is_run_first_and_one_producers_last_one_after_it() {
    let server = Redis::start(crate::TOPOLOGY);
    let mut truth = Truth::at(&server, "a");
    let proxies = [server.proxy().await, server.proxy().await];
    let (one, two) = (retaining(&proxies[0]).await, retaining(&proxies[1]).await);
    for info in 1..=4 {
        one.submit("a", &info).await.unwrap();
    }
    two.submit("a", &5).await.unwrap();
    let again = || server.at_home("a", Matcher::script("resubmit"));
    let resubmits = proxies
        .each_ref()
        .map(|proxy| proxy.on(again(), 1, Fault::Delay(Duration::from_millis(1))));
    Truth::of(&server).each("FLUSHALL");
    for (proxy, resubmit) in proxies.iter().zip(resubmits) {
        resubmit.wait_fired(SOON).await;
        has_looked(proxy, &server, "a").await;
    }
    eventually(SOON, "both are back", || {
        let (queued, live) = (truth.entries("input"), truth.cmd("HGET T:live a"));
        let both = queued.len() == 1 && !matches!(live, streamherd_testkit::Reply::Nil);
        async move { both.then_some(()) }
    })
    .await;
    let mut worker = Worker::start(&server).await;
    let mut infos: Vec<u32> = Vec::new();
    for _ in 0..2 {
        let lease = worker.added().await;
        infos.push(lease.info().unwrap());
        lease.done().await.unwrap();
    }
    worker.listen_for(Duration::from_secs(1)).await;
    assert_eq!(worker.unasked(), 0);
    // Nobody knows who of the two was last; what was Redis's last one is the second one's.
    assert!([vec![1, 4], vec![5, 4]].contains(&infos), "{infos:?}");
    truth.becomes_clean().await;
}
