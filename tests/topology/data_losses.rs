//! Redis is away, and comes back without its data, before and after the deadlines of what is held.

use std::time::Duration;

use streamherd::Builder;
use streamherd_ledger::{End, now};
use streamherd_testkit::eventually;
use streamherd_tests::{Redis, SOON, Topology, Truth, WorkerProcess, field, names, patient, submit};

use super::fleet::{DELAY, Fleet, NAMED, Order, Run};

const WORKER: &str = env!("CARGO_BIN_EXE_contract-worker");

/// How many notes there are of what was written anew, each of which is gone after a while.
pub(crate) fn written(truth: &mut Truth) -> i64 {
    let count = "local all = redis.call('KEYS', KEYS[1]) for _, key in ipairs(all) do \
                 if redis.call('PTTL', key) <= 0 then return redis.error_reply(key .. ' stays') end end return #all";
    truth.call(&["EVAL", count, "1", "T:written:*"]).ok().int()
}

/// What Redis is set to tell of keys.
pub(crate) fn flags(truth: &mut Truth) -> String {
    truth.cmd("CONFIG GET notify-keyspace-events").array()[1].text()
}

/// Waits until Redis tells of expired keys.
pub(crate) async fn tells_of_expiries(truth: &mut Truth) {
    eventually(SOON, "Redis tells of expired keys again", || {
        let flags = flags(truth);
        async move { (flags.contains('K') && flags.contains(['x', 'A'])).then_some(()) }
    })
    .await;
}

/// Starts the server again without its data.
pub(crate) fn comes_back_empty(server: &mut Redis) {
    tokio::task::block_in_place(|| server.restart_empty());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_restart_without_data_interrupts_no_handler_where_redis_is_back_before_the_deadlines() {
    const WORKERS: usize = 4;
    const EACH: usize = 200;
    let mut server = Redis::start(Topology::Standalone);
    let fleet = Fleet::start(WORKERS, || patient(&server).max_in_flight(EACH).read_batch(100)).await;
    fleet.submit(&names("hold", WORKERS * EACH)).await;
    fleet.holds(WORKERS * EACH).await;

    server.kill();
    // Not a wait for anything: the fault takes that long.
    tokio::time::sleep(Duration::from_secs(1)).await;
    comes_back_empty(&mut server);
    fleet.hears_of_losses(1).await;
    let mut truth = Truth::of(&server);
    let (mut pending, mut epoch) = (Vec::new(), String::new());
    eventually(SOON, "everything is held again, in Redis too", || {
        pending = truth.pending("input");
        epoch = truth.cmd("GET T:epoch").text();
        let whole = pending.len() == WORKERS * EACH && truth.locks().len() == WORKERS * EACH;
        async move { whole.then_some(()) }
    })
    .await;
    for client in &fleet.clients {
        let own = pending
            .iter()
            .filter(|record| record.consumer == client.consumer().as_str());
        assert_eq!(own.count(), EACH, "{}", client.consumer());
    }
    let groups = truth.cmd("XINFO GROUPS T:input").array();
    assert_eq!(groups[0].array()[1].text(), "workers");
    tells_of_expiries(&mut truth).await;

    fleet.order(Order::Finish);
    truth.becomes_clean().await;
    fleet.ended("hold", WORKERS * EACH, End::Done).await;
    fleet.was_undisturbed("hold", WORKERS * EACH);
    let same: Vec<Run> = fleet
        .runs()
        .into_iter()
        .filter(|run| run.entry == run.last_entry)
        .collect();
    assert!(same.is_empty(), "written anew, and not under another id: {same:?}");
    assert_eq!(fleet.losses(), [1; WORKERS]);
    assert_eq!(truth.cmd("GET T:epoch").text(), epoch, "the workers agree on one epoch");
    let written = written(&mut truth);
    assert_eq!(usize::try_from(written).unwrap(), WORKERS * EACH);
    let record = fleet.ends().await;
    assert_eq!(record.disowned, []);
}

/// Redis is away for longer than leases live, and comes back without its data.
async fn away_past_the_deadlines(adjust: fn(Builder) -> Builder, away: Duration, each: usize) {
    let mut server = Redis::start(Topology::Standalone);
    let fleet = Fleet::start(2, || adjust(patient(&server)).max_in_flight(each * NAMED.len())).await;
    for kind in NAMED {
        fleet.submit(&names(kind, each)).await;
    }
    fleet.holds(each * NAMED.len()).await;

    server.kill();
    let gone = now();
    fleet.order(Order::AsNamed);
    fleet.ended("hold", each, End::Lost).await;
    tokio::time::sleep((gone + away).saturating_sub(now())).await;
    fleet.order(Order::Finish);
    let back = now();
    comes_back_empty(&mut server);

    let mut truth = Truth::of(&server);
    fleet.ended("", each * (NAMED.len() - 1), End::Done).await;
    truth.becomes_clean().await;
    assert_eq!(fleet.losses(), [1; 2]);
    let ends = |beginning: &str, ends: &[End]| {
        let streams = fleet.runs_of(beginning);
        assert_eq!(streams.len(), each);
        for runs in &streams {
            let found: Vec<End> = runs.iter().filter_map(|run| run.end).collect();
            assert_eq!(found, ends, "{runs:?}");
            assert!(runs.iter().all(|run| run.origin == runs[0].origin), "{runs:?}");
        }
        streams
    };
    let counted = |again: &Run| (again.attempt, again.failures, again.abandonments);
    ends("done", &[End::Done]);
    for runs in ends("retry", &[End::Requeued, End::Done]) {
        assert_eq!(counted(&runs[1]), (1, 1, 0), "{runs:?}");
    }
    for runs in ends("later", &[End::Requeued, End::Done]) {
        assert_eq!(counted(&runs[1]), (1, 1, 0), "{runs:?}");
    }
    fleet.ledger.look_up(|record| {
        let again = record
            .leases
            .iter()
            .filter(|held| held.stream.starts_with("later") && held.handed_out > back);
        let early: Vec<_> = again.filter(|held| held.handed_out < back + DELAY).collect();
        assert!(early.is_empty(), "before their delay was over: {early:?}");
    });
    for runs in ends("release", &[End::Requeued, End::Done]) {
        assert_eq!(counted(&runs[1]), (0, 0, 0), "{runs:?}");
    }
    for runs in ends("hold", &[End::Lost, End::Done]) {
        assert_eq!(counted(&runs[1]), (0, 0, 0), "{runs:?}");
    }
    let letters = truth.dead_letters();
    for runs in ends("dead", &[End::DeadLettered]) {
        let origin = runs[0].origin.to_string();
        let mut of = letters.iter().filter(|letter| field(letter, "_sh_origin") == origin);
        let letter = of.next().unwrap_or_else(|| panic!("no letter of {runs:?}"));
        assert!(of.next().is_none(), "it is there twice: {runs:?}");
        let is = |name: &str, value: &str| assert_eq!(field(letter, name), value, "{name}");
        is("_sh_reason", "rejected");
        is("_sh_error", "that is what it is for");
        is("_sh_consumer", fleet.clients[runs[0].worker].consumer().as_str());
        is("_sh_last_id", &runs[0].last_entry.to_string());
        is("_sh_first_seen", origin.split_once('-').unwrap().0);
        is("_sh_live", &runs[0].stream);
        for counter in ["_retry_count", "_sh_failures", "_sh_abandonments"] {
            is(counter, "0");
        }
        assert!(field(letter, "lbs-input").contains(&format!("{:?}", runs[0].stream)));
        assert!(field(letter, "_sh_at").parse::<u64>().is_ok());
    }
    assert_eq!(letters.len(), each);
    assert!(written(&mut truth) > 0);
    let record = fleet.ends().await;
    let reasons: Vec<_> = record.disowned.iter().map(|(_, _, reason)| &**reason).collect();
    assert_eq!(reasons, vec!["deadline_passed"; each]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_held_or_settled_while_redis_is_away_for_longer_than_its_deadline_is_carried_out_from_memory() {
    // Long enough for a machine that stands still after the blow.
    let short = |builder: Builder| {
        let recovery = streamherd_tests::recovery();
        let recovery = streamherd::Recovery {
            min_idle: Some(Duration::from_millis(3_300)),
            ..recovery
        };
        builder.lock_ttl(Duration::from_secs(3)).recovery(recovery)
    };
    away_past_the_deadlines(short, Duration::from_secs(6), 8).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn half_a_minute_without_redis_and_then_without_its_data_loses_nothing_that_was_held() {
    away_past_the_deadlines(|builder| builder, Duration::from_secs(30), 50).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_settled_while_redis_is_away_does_not_rise_again_when_several_workers_repair_it() {
    const EACH: usize = 20;
    let mut server = Redis::start(Topology::Standalone);
    let mut fleet = Fleet::start(3, || patient(&server).max_in_flight(EACH)).await;
    fleet.submit(&names("done", 2 * EACH)).await;
    fleet.submit(&names("hold", EACH)).await;
    fleet.holds(3 * EACH).await;
    server.kill();
    fleet.order(Order::AsNamed);
    eventually(SOON, "the settlements are asked for", || {
        let asked = fleet
            .ledger
            .look_up(|record| record.leases.iter().filter(|held| held.asked.is_some()).count());
        async move { (asked == 2 * EACH).then_some(()) }
    })
    .await;
    comes_back_empty(&mut server);
    // Whoever comes anew would be given what is left over.
    fleet.joins(|| patient(&server)).await;
    fleet.ended("done", 2 * EACH, End::Done).await;
    // Behind whatever was queued before.
    let fresh = names("fresh", 5);
    fleet.submit(&fresh).await;
    fleet.ended("fresh", fresh.len(), End::Done).await;
    fleet.order(Order::Finish);
    let mut truth = Truth::of(&server);
    truth.becomes_clean().await;
    fleet.ended("hold", EACH, End::Done).await;
    fleet.was_undisturbed("done", 2 * EACH);
    fleet.was_undisturbed("hold", EACH);
    fleet.ends().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_worker_wrote_back_before_it_was_killed_is_recovered_like_any_orphan() {
    const HELD: usize = 20;
    let mut server = Redis::start(Topology::Standalone);
    let slots = format!("slots={HELD}");
    let mut dying = WorkerProcess::start(WORKER, &server, &["then=hold", "ttl=6000", &slots]);
    dying.says("ready").await;
    submit(&server, names("s", HELD)).await;
    dying.says_times("added", HELD).await;
    let fleet = Fleet::start(3, || patient(&server)).await;
    comes_back_empty(&mut server);
    let mut truth = Truth::of(&server);
    eventually(SOON, "all is written back", || {
        let held = truth.pending_count() == HELD && truth.locks().len() == HELD;
        async move { held.then_some(()) }
    })
    .await;
    dying.process.kill();
    fleet.ended("s-", HELD, End::Done).await;
    truth.becomes_clean().await;
    let streams = fleet.runs_of("s-");
    assert_eq!(streams.len(), HELD);
    for runs in streams {
        let [run] = &runs[..] else {
            panic!("handed out again: {runs:?}")
        };
        // Who was given an entry as new while its owner held it is still its reader when that owner is dead, and takes it up
        // without an attempt being counted.
        let counted = (run.attempt, run.failures, run.abandonments);
        assert!([(1, 0, 1), (0, 0, 0)].contains(&counted), "{run:?}");
    }
    let said = dying.last_words().await;
    assert!(said.iter().all(|line| line["event"] != "disowned"), "{said:?}");
    fleet.ends().await;
}
