//! Ways in which Redis loses what it knew, or a part of it, while it is asked: whoever holds a stream goes on with it.

use std::time::Duration;

use streamherd::Recovery;
use streamherd_ledger::End;
use streamherd_testkit::{Cluster, RawClient, eventually};
use streamherd_tests::{Redis, SOON, Topology, Truth, names, patient, patient_recovery, side_by_side};

use super::broken::key;
use super::data_losses::{flags, tells_of_expiries};
use super::fleet::{Fleet, Order};

const WORKERS: usize = 3;
/// Streams of each kind.
const EACH: usize = 9;
/// Until all locks in a dump are over.
const AGE: Duration = Duration::from_secs(7);

/// A blow, and what it may cost.
#[derive(Debug, Clone, Copy)]
struct Way {
    blow: Blow,
    /// Whether workers are told of data loss.
    told: bool,
    /// Whether what nobody held is still there.
    queue_stays: bool,
    /// Whether what was finished lately may be handed out again.
    finished_returns: bool,
}

#[derive(Debug, Clone, Copy)]
enum Blow {
    Command(&'static str),
    OldDump,
    NoFlags,
}

/// What makes another epoch, and leaves the queue alone.
const GROUP: Way = Way {
    blow: Blow::NoFlags,
    told: true,
    queue_stays: true,
    finished_returns: false,
};
const NOTHING: Way = Way { told: false, ..GROUP };
const QUEUE: Way = Way {
    queue_stays: false,
    ..GROUP
};
const DUMP: Way = Way {
    blow: Blow::OldDump,
    told: false,
    queue_stays: false,
    finished_returns: true,
};

#[test]
fn what_is_held_goes_on_at_its_holder_whatever_redis_forgets() {
    let by = |way: Way, command| Way {
        blow: Blow::Command(command),
        ..way
    };
    let ways = [
        DUMP,
        by(QUEUE, "FLUSHALL"),
        by(QUEUE, "DEL T:input"),
        // Where wait those that a reader was given after the pause.
        by(QUEUE, "DEL T:front"),
        by(GROUP, "XGROUP DESTROY T:input workers"),
        by(GROUP, "XGROUP DESTROY T:front workers"),
        by(GROUP, "DEL T:epoch"),
        by(NOTHING, "DEL T:live"),
        by(NOTHING, "SCRIPT FLUSH"),
        NOTHING,
    ];
    let rows = ways.map(|way| (format!("{:?}", way.blow), way));
    side_by_side(5, rows.into(), goes_on);
}

async fn goes_on(way: Way) {
    let mut server = Redis::with(Topology::Standalone, &[("--appendonly", "no"), ("--save", "")]);
    let recovery = Recovery {
        // Names whose streams are gone are forgotten sooner than in a minute.
        sweep_interval: Duration::from_secs(1),
        ..patient_recovery()
    };
    let fleet = Fleet::start(WORKERS, || patient(&server).recovery(recovery.clone())).await;
    let mut truth = Truth::of(&server);
    prepare(&fleet, async || {
        truth.cmd("SAVE").ok();
        if matches!(way.blow, Blow::OldDump) {
            tokio::time::sleep(AGE).await;
        }
    })
    .await;
    // Nobody is given this before the blow.
    eventually(SOON, "the workers are paused", || async {
        fleet.clients[0].pause().await.ok()
    })
    .await;
    let queued = names("queued", EACH);
    if way.queue_stays {
        fleet.submit(&queued).await;
    } else {
        streamherd_tests::submit(&server, &queued).await;
    }

    match way.blow {
        Blow::Command(command) => drop(truth.cmd(command).ok()),
        Blow::OldDump => server.restart(),
        Blow::NoFlags => {
            assert!(!flags(&mut truth).is_empty());
            truth.call(&["CONFIG", "SET", "notify-keyspace-events", ""]).ok();
        }
    }
    let mut truth = Truth::of(&server);
    let times = usize::from(way.told);
    fleet.hears_of_losses(times).await;
    if matches!(way.blow, Blow::OldDump) {
        eventually(SOON, "the generation is another one", || {
            let epoch = truth.cmd("GET T:epoch").text();
            async move { epoch.contains(".1.").then_some(()) }
        })
        .await;
    }
    eventually(SOON, "the workers go on", || async {
        fleet.clients[0].resume().await.ok()
    })
    .await;
    let fresh = names("fresh", EACH);
    fleet.submit(&fresh).await;
    fleet.ended("fresh", EACH, End::Done).await;
    if way.queue_stays {
        fleet.ended("queued", EACH, End::Done).await;
    }
    if matches!(way.blow, Blow::NoFlags) {
        tells_of_expiries(&mut truth).await;
    }
    ends_well(&fleet, way).await;
    truth.becomes_clean().await;
    assert_eq!(fleet.losses(), [times; WORKERS]);
    let record = fleet.ends().await;
    assert_eq!(record.disowned, []);
}

/// Streams that are finished before something is copied, after it, and held from before and after it on.
async fn prepare(fleet: &Fleet, copy: impl AsyncFnOnce()) {
    fleet.submit(&names("early", EACH)).await;
    fleet.ended("early", EACH, End::Done).await;
    fleet.submit(&names("hold", EACH)).await;
    fleet.submit(&names("done", EACH)).await;
    fleet.holds(2 * EACH).await;
    copy().await;
    fleet.order(Order::AsNamed);
    fleet.ended("done", EACH, End::Done).await;
    fleet.order(Order::Hold);
    fleet.submit(&names("hold-late", EACH)).await;
    fleet.submit(&names("retry", EACH)).await;
    fleet.submit(&names("release", EACH)).await;
    fleet.holds(4 * EACH).await;
}

async fn ends_well(fleet: &Fleet, way: Way) {
    // Named like that, the latter are handed back again and again.
    fleet.order(Order::AsNamed);
    for again in ["retry", "release"] {
        eventually(SOON, "they are handed back", || async move {
            let ended = fleet.runs_of(again).iter().filter(|runs| runs[0].end.is_some()).count();
            (ended == EACH).then_some(())
        })
        .await;
    }
    fleet.order(Order::Finish);
    fleet.ended("re", 2 * EACH, End::Done).await;
    for runs in [fleet.runs_of("retry"), fleet.runs_of("release")].concat() {
        let (last, before) = runs.split_last().expect("it was handed out");
        assert_eq!(last.end, Some(End::Done), "{runs:?}");
        assert!(
            before.iter().all(|run| run.end == Some(End::Requeued)) && !before.is_empty(),
            "{runs:?}"
        );
    }
    fleet.ended("hold", 2 * EACH, End::Done).await;
    fleet.was_undisturbed("hold", 2 * EACH);
    fleet.was_undisturbed("early", EACH);
    if !way.finished_returns {
        fleet.was_undisturbed("done", EACH);
    }
    if way.queue_stays {
        fleet.was_undisturbed("queued", EACH);
    }
}

/// Nothing is left where a partition is.
fn is_clean(redis: &mut RawClient) -> bool {
    let own = |name: &str| key(0).replace("input", name);
    ["XLEN input", "XLEN front", "ZCARD delayed", "HLEN live"]
        .iter()
        .all(|count| {
            let (command, name) = count.split_once(' ').expect("a command and a key");
            let reply = redis.cmd(&format!("{command} {}", own(name)));
            !reply.is_error() && reply.int() == 0
        })
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_held_outlives_a_failover_to_a_replica_that_was_cut_off_for_five_seconds() {
    let mut cluster = Cluster::start();
    let url = cluster.url();
    let ttl = super::broken::LONG + Duration::from_secs(4);
    let recovery = Recovery {
        min_idle: Some(ttl + Duration::from_millis(500)),
        ..streamherd_tests::recovery()
    };
    let fleet = Fleet::start(WORKERS, || {
        streamherd_tests::builder(&url)
            .lock_ttl(ttl)
            .heartbeat(Duration::from_secs(1))
            .recovery(recovery.clone())
    })
    .await;
    let master = cluster.owner_of(key(0));
    let replica = cluster.replica_of(master);
    prepare(&fleet, async || {
        let mut connection = cluster.client(replica);
        // Its master asks for no password, so it takes none either.
        connection.cmd("CONFIG SET masterauth nonsense").ok();
        connection.cmd("CLIENT KILL TYPE master").ok();
        tokio::time::sleep(Duration::from_secs(5)).await;
    })
    .await;
    tokio::task::block_in_place(|| {
        cluster.kill(master);
        cluster.wait_for_promotion(replica);
    });
    let fresh = names("fresh", EACH);
    // Until the producer has found the new master.
    let producer = fleet.clients[0].producer();
    for name in &fresh {
        eventually(SOON, "a submit is accepted", || async {
            producer.submit(name, &()).await.ok()
        })
        .await;
    }
    eventually(SOON + ttl, "the new streams are finished", || {
        let done = fleet
            .runs_of("fresh")
            .iter()
            .filter(|runs| runs.iter().any(|run| run.end == Some(End::Done)))
            .count();
        async move { (done == EACH).then_some(()) }
    })
    .await;
    fleet.order(Order::Finish);
    let mut redis = cluster.client_for(key(0));
    eventually(SOON, "nothing is left", || {
        let clean = is_clean(&mut redis);
        async move { clean.then_some(()) }
    })
    .await;
    // At its holder, or at somebody else's where the failover took longer than its lease.
    for runs in fleet.runs_of("hold") {
        assert_eq!(runs.last().and_then(|run| run.end), Some(End::Done), "{runs:?}");
        assert!(
            runs.iter().rev().skip(1).all(|run| run.end == Some(End::Lost)),
            "{runs:?}"
        );
    }
    assert_eq!(fleet.runs_of("hold").len(), 2 * EACH);
    let record = fleet.ends().await;
    assert_eq!(record.disowned, [], "the failover was over in time");
}
