//! What looks from outside, and steps in.

use std::time::Duration;

use streamherd::{Admin, DeadLetterFilter, DeadLetterRun, LeaseQuery, PauseTarget, RequeueOutcome, RetryAfter, Role};
use streamherd_testkit::Command;
use streamherd_tests::letters::{admin, bury, name_of};
use streamherd_tests::{
    Cut, Proxied, Redis, Topology, Truth, Worker, builder, by_name, drop_at_each_poll, drop_everywhere,
    drop_in_strides, names, submit,
};

/// Nothing but the admin goes through the proxy; a cluster's nodes are asked where the slots are all the time.
fn asked(command: &Command) -> bool {
    !command.is("CLUSTER") && !command.is("SENTINEL")
}

/// An admin that has asked every partition, and so opened what it needs.
async fn connected(proxy: &Proxied) -> Admin {
    let admin = admin(proxy).await;
    admin.status().await.unwrap();
    admin
}

/// A service with something of each kind: queued, held, delayed and dead.
async fn some_of_each(server: &Redis) -> Worker {
    let mut worker = Worker::with(builder(server).max_in_flight(1)).await;
    submit(server, ["delayed"]).await;
    let lease = worker.added().await;
    lease.retry(RetryAfter::after(Duration::from_secs(600))).await.unwrap();
    submit(server, ["held", "queued"]).await;
    bury(server, &names("dead", 12), "rejected");
    worker
}

#[tokio::test]
async fn a_dropped_look_changes_nothing_and_leaves_an_admin_that_looks_again() {
    let server = Redis::start(crate::TOPOLOGY);
    let mut truth = Truth::of(&server);
    let mut worker = some_of_each(&server).await;
    let lease = worker.added().await;
    let proxy = server.proxy().await;
    let admin = connected(&proxy).await;
    let letter = truth.entries("dlq")[0].0.parse().unwrap();
    let letter = server.letter_of(&name_of(&truth.entries("dlq")[0].1), letter);
    looks("Admin::status", &proxy, &mut truth, async |cut| {
        cut.drop(admin.status()).await;
        let status = admin.status().await.unwrap();
        assert_eq!(status.partitions.iter().map(|one| one.dead_letters).sum::<u64>(), 12);
    })
    .await;
    looks("Admin::leases", &proxy, &mut truth, async |cut| {
        cut.drop(admin.leases(10)).await;
        assert_eq!(admin.leases(10).await.unwrap().len(), 1);
    })
    .await;
    looks("Admin::lease_page", &proxy, &mut truth, async |cut| {
        let query = LeaseQuery::default();
        cut.drop(admin.lease_page(&query, None, 10)).await;
        assert_eq!(admin.lease_page(&query, None, 10).await.unwrap().leases.len(), 1);
    })
    .await;
    looks("Admin::delayed_page", &proxy, &mut truth, async |cut| {
        cut.drop(admin.delayed_page(None, 10)).await;
        assert_eq!(admin.delayed_page(None, 10).await.unwrap().delayed.len(), 1);
    })
    .await;
    looks("Admin::dead_letter_page", &proxy, &mut truth, async |cut| {
        cut.drop(admin.dead_letter_page(DeadLetterFilter::default(), 20)).await;
        let page = admin.dead_letter_page(DeadLetterFilter::default(), 20).await.unwrap();
        assert_eq!(page.dead_letters.len(), 12);
    })
    .await;
    looks("Admin::dead_letter", &proxy, &mut truth, async |cut| {
        cut.drop(admin.dead_letter(letter)).await;
        assert!(admin.dead_letter(letter).await.unwrap().is_some());
    })
    .await;
    looks("Admin::doctor", &proxy, &mut truth, async |cut| {
        cut.drop(admin.doctor()).await;
        admin.doctor().await.unwrap();
    })
    .await;
    looks("Admin::doctor_of", &proxy, &mut truth, async |cut| {
        cut.drop(admin.doctor_of(Role::Producer)).await;
        admin.doctor_of(Role::Producer).await.unwrap();
    })
    .await;
    assert!(lease.is_valid());
    lease.done().await.unwrap();
    admin.close().await;
}

/// Nothing in Redis is changed by what looks.
async fn looks(operation: &str, proxy: &Proxied, truth: &mut Truth, look: impl AsyncFnMut(&Cut<'_>)) {
    let counts = [
        "XLEN T:input",
        "XLEN T:front",
        "XLEN T:dlq",
        "ZCARD T:delayed",
        "HLEN T:live",
    ];
    let before = counts.map(|count| truth.cmd(count));
    let standing = super::Standing::of(truth);
    // Which asks each server, and each partition, dozens of things.
    let stride = match crate::TOPOLOGY {
        _ if !operation.contains("doctor") => 1,
        Topology::Standalone | Topology::Sentinel => 7,
        Topology::Cluster { .. } => 41,
    };
    drop_in_strides(operation, proxy, asked, stride, look).await;
    standing.returns(truth).await;
    assert_eq!(before, counts.map(|count| truth.cmd(count)));
}

#[tokio::test]
async fn a_dropped_next_loses_no_letter() {
    let server = Redis::start(crate::TOPOLOGY);
    let mut truth = Truth::of(&server);
    let wanted = names("dead", 12);
    bury(&server, &wanted, "rejected");
    let proxy = server.proxy().await;
    let admin = connected(&proxy).await;
    looks("DeadLetters::next", &proxy, &mut truth, async |cut| {
        let mut letters = admin.dead_letters(DeadLetterFilter::default());
        let mut found = Vec::new();
        found.extend(cut.drop(letters.next()).await.and_then(Result::unwrap));
        while let Some(letter) = letters.next().await.unwrap() {
            found.push(letter);
        }
        let mut found: Vec<_> = found.into_iter().filter_map(|letter| letter.stream).collect();
        found.sort_unstable();
        let mut wanted = wanted.clone();
        wanted.sort_unstable();
        assert_eq!(found, wanted, "each once");
    })
    .await;
}

#[tokio::test]
async fn a_dropped_redrive_or_purge_deals_with_each_letter_once() {
    let server = Redis::start(crate::TOPOLOGY);
    let mut truth = Truth::of(&server);
    let proxy = server.proxy().await;
    let admin = connected(&proxy).await;
    type Start = fn(&Admin) -> DeadLetterRun;
    let runs: [(&str, Start); 2] = [
        ("redrive", |admin| admin.redrive(DeadLetterFilter::default())),
        ("purge", |admin| admin.purge(DeadLetterFilter::default())),
    ];
    for (kind, start) in runs {
        let next = async |cut: &Cut<'_>, run: &mut DeadLetterRun| {
            cut.drop(run.next()).await;
        };
        dealt_with(
            "DeadLetterRun::next",
            kind,
            &server,
            &proxy,
            &mut truth,
            &admin,
            start,
            next,
        )
        .await;
        let finish = async |cut: &Cut<'_>, run: &mut DeadLetterRun| {
            cut.drop(run.finish()).await;
        };
        dealt_with(
            "DeadLetterRun::finish",
            kind,
            &server,
            &proxy,
            &mut truth,
            &admin,
            start,
            finish,
        )
        .await;
    }
}

#[expect(clippy::too_many_arguments, reason = "it is the body of a table of four")]
async fn dealt_with(
    operation: &str,
    kind: &str,
    server: &Redis,
    proxy: &Proxied,
    truth: &mut Truth,
    admin: &Admin,
    start: fn(&Admin) -> DeadLetterRun,
    dropped: impl AsyncFn(&Cut<'_>, &mut DeadLetterRun),
) {
    let standing = super::Standing::of(truth);
    drop_everywhere(operation, proxy, asked, async |cut| {
        let wanted = names(&cut.name("dead"), 12);
        bury(server, &wanted, "rejected");
        let mut run = start(admin);
        dropped(cut, &mut run).await;
        let report = run.finish().await.unwrap();
        let done = report.redriven + report.purged;
        assert_eq!(done + report.gone, 12, "each has one outcome: {report:?}");
        if cut.is_before_all() {
            assert_eq!(done, 12);
        }
        assert_eq!(truth.cmd("XLEN T:dlq").int(), 0);
        let queued = by_name(&truth.entries("front"));
        let expected = if kind == "redrive" { 12 } else { 0 };
        assert_eq!(queued.len(), expected);
        assert!(queued.values().all(|times| *times == 1), "once: {queued:?}");
        truth.cmd("XTRIM T:front MAXLEN 0");
    })
    .await;
    standing.returns(truth).await;
}

#[tokio::test]
async fn a_dropped_requeue_puts_a_stream_at_the_front_once_or_not_at_all() {
    let server = Redis::start(crate::TOPOLOGY);
    Truth::of(&server).make_groups();
    let proxy = server.proxy().await;
    let admin = connected(&proxy).await;
    requeued("Admin::requeue", &server, &proxy, async |cut, name| match cut {
        Some(cut) => cut.drop(admin.requeue(name, false)).await.map(Result::unwrap),
        None => Some(admin.requeue(name, false).await.unwrap()),
    })
    .await;
    requeued("Admin::find_and_requeue", &server, &proxy, async |cut, name| {
        let found = match cut {
            Some(cut) => cut.drop(admin.find_and_requeue(name, false)).await,
            None => Some(admin.find_and_requeue(name, false).await),
        };
        found.map(|found| found.unwrap().outcome)
    })
    .await;
}

async fn requeued(
    operation: &str,
    server: &Redis,
    proxy: &Proxied,
    requeue: impl AsyncFn(Option<&Cut<'_>>, &str) -> Option<RequeueOutcome>,
) {
    drop_everywhere(operation, proxy, asked, async |cut| {
        let name = cut.name("orphan");
        let mut truth = Truth::at(server, &name);
        submit(server, [&name]).await;
        truth.abandon();
        let mut all = Truth::of(server);
        let standing = super::Standing::of(&mut all);
        requeue(Some(cut), &name).await;
        let again = requeue(None, &name).await;
        let is_queued = matches!(
            again,
            Some(RequeueOutcome::Requeued { .. } | RequeueOutcome::AlreadyQueued { .. })
        );
        assert!(is_queued, "{again:?}");
        assert_eq!(by_name(&truth.entries("front"))[&name], 1);
        assert_eq!((truth.length(), truth.pending_count()), (1, 0));
        standing.returns(&mut all).await;
        truth.cmd("XTRIM T:front MAXLEN 0");
    })
    .await;
}

#[tokio::test]
async fn a_dropped_requeue_of_an_entry_puts_it_at_the_front_once_or_not_at_all() {
    let server = Redis::start(crate::TOPOLOGY);
    Truth::of(&server).make_groups();
    let proxy = server.proxy().await;
    let admin = connected(&proxy).await;
    drop_everywhere("Admin::requeue_entry", &proxy, asked, async |cut| {
        let name = cut.name("orphan");
        let mut truth = Truth::at(&server, &name);
        submit(&server, [&name]).await;
        let (partition, entry) = (server.partition_of(&name), truth.abandon().parse().unwrap());
        cut.drop(admin.requeue_entry(partition, entry, false)).await;
        let again = admin.requeue_entry(partition, entry, false).await.unwrap();
        let is_under_another_id = again == RequeueOutcome::NotFound { complete: true };
        assert!(
            is_under_another_id || matches!(again, RequeueOutcome::Requeued { .. }),
            "{again:?}"
        );
        assert_eq!(by_name(&truth.entries("front"))[&name], 1);
        assert_eq!((truth.length(), truth.pending_count()), (1, 0));
        truth.cmd("XTRIM T:front MAXLEN 0");
    })
    .await;
}

#[tokio::test]
async fn a_dropped_pause_or_resume_of_the_service_can_be_asked_for_again() {
    let server = Redis::start(crate::TOPOLOGY);
    let mut truth = Truth::of(&server);
    let proxy = server.proxy().await;
    let admin = connected(&proxy).await;
    let all = PauseTarget::Service;
    admin.pause(&all).await.unwrap();
    admin.resume(&all).await.unwrap();
    let standing = super::Standing::of(&mut truth);
    drop_everywhere("Admin::pause", &proxy, asked, async |cut| {
        cut.drop(admin.pause(&all)).await;
        admin.pause(&all).await.unwrap();
        assert!(!admin.pause(&all).await.unwrap(), "it is paused everywhere");
        admin.resume(&all).await.unwrap();
    })
    .await;
    drop_everywhere("Admin::resume", &proxy, asked, async |cut| {
        admin.pause(&all).await.unwrap();
        cut.drop(admin.resume(&all)).await;
        admin.resume(&all).await.unwrap();
        assert!(!admin.resume(&all).await.unwrap(), "it is paused nowhere");
    })
    .await;
    standing.returns(&mut truth).await;
}

#[tokio::test]
async fn a_dropped_close_of_an_admin_leaves_nothing() {
    let server = Redis::start(crate::TOPOLOGY);
    let mut truth = Truth::of(&server);
    drop_at_each_poll("Admin::close", &mut async |cut: &Cut<'_>| {
        let admin = admin(&server).await;
        admin.status().await.unwrap();
        cut.drop(admin.close()).await;
        super::nothing_is_left(&mut truth).await;
    })
    .await;
}
