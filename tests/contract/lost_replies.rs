//! The command was carried out and nobody heard, or it was not and nobody heard either: for every command in turn.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use streamherd::error::ConnectError;
use streamherd::{Builder, Lane, Lease, RetryAfter, ShutdownReport};
use streamherd_testkit::{Fault, Matcher, eventually};
use streamherd_tests::{
    Lost, Reachable, Redis, SOON, Truth, Worker, builder, field, plain, recovery, side_by_side, submit,
};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Sent {
    Command(&'static str),
    Script(&'static str),
}

impl Sent {
    /// What is about a partition counts where the streams are.
    fn matcher(self, server: &Redis, stream: &str) -> Matcher {
        match self {
            Self::Command(words) if words.starts_with('X') => server.at_home(stream, Matcher::command(words)),
            Self::Command(words) => Matcher::command(words),
            Self::Script(name) => server.at_home(stream, Matcher::script(name)),
        }
    }
}

impl fmt::Display for Sent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Command(words) => f.write_str(words),
            Self::Script(name) => write!(f, "script {name}"),
        }
    }
}

/// One exact loss in the life of a worker.
#[derive(Debug, Clone, Copy)]
struct Row {
    sent: Sent,
    /// Which of the worker's commands of that kind.
    nth: usize,
    lost: Lost,
    /// The settlement that comes first, and so the one that a lost `settle` is about.
    first: &'static str,
}

impl Row {
    const fn new(sent: Sent, nth: usize, lost: Lost) -> Self {
        Self {
            sent,
            nth,
            lost,
            first: "done",
        }
    }

    fn named(self) -> (String, Self) {
        let Self { sent, nth, lost, first } = self;
        (format!("{lost:?} of {sent} number {nth}, {first} first"), self)
    }

    fn at_the_end(&self) -> bool {
        matches!(self.sent, Sent::Command("CLIENT UNBLOCK") | Sent::Script("deregister"))
    }
}

const SETTLEMENTS: [&str; 4] = ["done", "retry", "dead_letter", "release"];

/// Each loss costs as much.
const TIMEOUT: Duration = Duration::from_secs(1);

/// Leases that outlive a slow machine, renewals often enough to be lost, and a scan that is no help for six seconds.
fn worker(at: &(impl Reachable + ?Sized)) -> Builder {
    let mut recovery = recovery();
    recovery.min_idle = Some(Duration::from_millis(6_500));
    builder(at)
        .lock_ttl(Duration::from_secs(6))
        .heartbeat(Duration::from_millis(250))
        .command_timeout(TIMEOUT)
        .recovery(recovery)
}

#[test]
fn a_loss_at_any_command_leaves_nothing_stuck_and_doubles_nothing() {
    let commands = [
        // The first one is the Redis client's own, the second asks for the version.
        (Sent::Command("INFO"), 1),
        (Sent::Command("INFO"), 2),
        (Sent::Command("SCRIPT LOAD"), 1),
        (Sent::Command("SCRIPT LOAD"), 10),
        (Sent::Script("hello"), 1),
        (Sent::Script("hello"), 2),
        // The eviction policy, and the notification flags.
        (Sent::Command("CONFIG GET"), 1),
        (Sent::Command("CONFIG GET"), 2),
        (Sent::Command("CONFIG SET"), 1),
        (Sent::Command("PSUBSCRIBE"), 1),
        (Sent::Script("read"), 1),
        (Sent::Script("read"), 2),
        (Sent::Command("XREADGROUP"), 1),
        (Sent::Command("XREADGROUP"), 2),
        (Sent::Command("TIME"), 1),
        (Sent::Script("seize"), 1),
        (Sent::Script("seize"), 2),
        (Sent::Script("renew"), 1),
        (Sent::Script("renew"), 2),
        (Sent::Command("XPENDING"), 1),
        (Sent::Command("XPENDING"), 2),
        (Sent::Script("list"), 1),
        (Sent::Script("list"), 2),
        (Sent::Script("requeue"), 1),
        (Sent::Script("look"), 1),
        (Sent::Script("register"), 1),
        (Sent::Script("register"), 2),
        // It is not asked a second time: the scan tells that nothing is due.
        (Sent::Script("promote"), 1),
        (Sent::Command("CLIENT UNBLOCK"), 1),
        (Sent::Script("deregister"), 1),
    ];
    let rows = commands
        .into_iter()
        .flat_map(|(sent, nth)| Lost::BOTH.map(|lost| Row::new(sent, nth, lost).named()))
        .collect();
    side_by_side(crate::TOPOLOGY.at_a_time(14), rows, |row| a_life_with_a_loss(row, None));
}

#[test]
fn a_settlement_counts_once_and_its_caller_learns_so_though_the_answer_was_lost() {
    let rows = SETTLEMENTS
        .into_iter()
        .flat_map(|first| {
            Lost::BOTH.map(|lost| {
                let row = Row::new(Sent::Script("settle"), 1, lost);
                Row { first, ..row }.named()
            })
        })
        .collect();
    side_by_side(crate::TOPOLOGY.at_a_time(14), rows, |row| a_life_with_a_loss(row, None));
}

#[test]
fn a_second_loss_while_a_lost_read_is_taken_up_changes_nothing() {
    let commands = [
        (Sent::Script("hello"), 2),
        (Sent::Command("XPENDING"), 1),
        (Sent::Command("XRANGE"), 1),
        (Sent::Command("XRANGE"), 3),
        (Sent::Script("acquire"), 1),
    ];
    let rows = commands
        .into_iter()
        .flat_map(|(sent, nth)| Lost::BOTH.map(|lost| Row::new(sent, nth, lost).named()))
        .collect();
    side_by_side(crate::TOPOLOGY.at_a_time(14), rows, |row| {
        a_life_with_a_loss(row, Some(Sent::Script("read")))
    });
}

/// A worker is given four new streams, one per way to settle, and an orphan, works on all of it to the end, and leaves.
/// With `before`, the reply to that command is lost too, earlier.
async fn a_life_with_a_loss(row: Row, before: Option<Sent>) {
    let server = Redis::start(crate::TOPOLOGY);
    let names = server.beside("orphan", SETTLEMENTS);
    let mut truth = Truth::at(&server, "orphan");
    truth.make_groups();
    submit(&server, ["orphan"]).await;
    let orphan = truth.abandon();
    truth.cmd(&format!("SET T:lock:{orphan} ghost:1 PX 60000")).ok();
    submit(&server, &names).await;

    let proxy = server.proxy().await;
    let earlier = before.map(|sent| proxy.on(sent.matcher(&server, "orphan"), 1, Fault::SwallowReply));
    let loss = proxy.on(row.sent.matcher(&server, "orphan"), row.nth, row.lost.fault());
    let mut worker = match Worker::try_with(worker(&proxy)).await {
        Ok(worker) => worker,
        Err(ConnectError::Unreachable { source: e, .. } | ConnectError::Store(e)) => {
            // Which a machine that stands still does not give either.
            assert!(
                loss.fired() || e.is_timeout(),
                "it may only fail for want of an answer: {e:?}"
            );
            eventually(SOON, "nothing of a failed start is left", || {
                let alone = truth.clients().is_empty();
                async move { alone.then_some(()) }
            })
            .await;
            Worker::with(worker(&proxy)).await
        }
        Err(e) => panic!("not an error of the connection: {e:?}"),
    };

    let mut held: BTreeMap<String, Lease> = BTreeMap::new();
    for lease in worker.added_many(SETTLEMENTS.len()).await {
        assert_eq!(
            lease.attempt(),
            0,
            "{} is taken up, not recovered as an orphan",
            lease.stream()
        );
        assert!(
            held.insert(plain(lease.stream()).to_owned(), lease).is_none(),
            "doubled"
        );
    }
    eventually(SOON, "the worker hears of expired locks", || {
        let listening = worker.client.health().listening;
        async move { listening.then_some(()) }
    })
    .await;
    truth.expire(&orphan);
    let recovered = worker.added().await;
    assert_eq!(
        (recovered.stream(), recovered.attempt(), recovered.abandonments()),
        ("orphan", 1, 1)
    );
    assert!(held.insert("orphan".to_owned(), recovered).is_none(), "doubled");
    if !row.at_the_end() && row.sent != Sent::Script("settle") {
        loss.wait_fired(SOON).await;
    }

    // Longer than an audit, a health check and several scans.
    worker.listen_for(Duration::from_millis(1_500)).await;
    assert_eq!(
        (worker.unasked(), worker.unasked_disowned()),
        (0, 0),
        "all is as it was"
    );
    for lease in held.values() {
        let value = truth.cmd(&format!("GET T:lock:{}", lease.id())).text();
        assert!(lease.is_valid());
        assert_eq!(value, format!("{}:{}", worker.client.consumer(), lease.token()));
    }

    let others = SETTLEMENTS.into_iter().filter(|how| *how != row.first);
    for how in [row.first].into_iter().chain(others) {
        let lease = held.remove(how).expect("it is held");
        settle(how, lease).await;
    }
    settle("done", held.remove("orphan").expect("it is held")).await;

    let mut back = worker.added_many(2).await;
    worker.listen_for(Duration::from_millis(1_200)).await;
    assert_eq!(
        (worker.unasked(), worker.unasked_disowned()),
        (0, 0),
        "nothing is doubled"
    );
    back.sort_by_key(|lease| lease.stream().to_owned());
    let seen: Vec<_> = back
        .iter()
        .map(|lease| {
            (
                plain(lease.stream()),
                lease.attempt(),
                lease.failures(),
                lease.id().lane,
            )
        })
        .collect();
    assert_eq!(seen, [("release", 0, 0, Lane::Front), ("retry", 1, 1, Lane::Front)]);
    for lease in back {
        settle("done", lease).await;
    }
    truth.becomes_clean().await;
    let dead = truth.dead_letters();
    assert_eq!(dead.len(), 1, "{dead:?}");
    assert!(field(&dead[0], "lbs-input").contains("dead_letter"));
    assert_eq!(field(&dead[0], "_sh_reason"), "rejected");

    let name = worker.client.consumer().to_string();
    let report = worker.client.shutdown(Duration::ZERO).await;
    assert_eq!(report, ShutdownReport::default());
    assert!(loss.fired() && earlier.is_none_or(|earlier| earlier.fired()));
    assert!(truth.is_clean());
    // A name without anything pending is harmless; the one command that removes it is not sent again.
    if (row.sent, row.lost) != (Sent::Script("deregister"), Lost::Request) {
        for lane in ["input", "front"] {
            let consumers = truth.cmd(&format!("XINFO CONSUMERS T:{lane} workers")).array();
            assert!(consumers.iter().all(|row| row.array()[1].text() != name));
        }
    }
    eventually(SOON, "every connection is closed", || {
        let alone = truth.clients().is_empty();
        async move { alone.then_some(()) }
    })
    .await;
}

async fn settle(how: &str, lease: Lease) {
    let settled = match how {
        "done" => lease.done().await,
        "retry" => lease.retry(RetryAfter::now().because("the test says so")).await,
        "dead_letter" => lease.dead_letter("the test says so").await,
        _ => lease.release().await,
    };
    settled.unwrap_or_else(|e| panic!("{how}: {e:?}"));
}
