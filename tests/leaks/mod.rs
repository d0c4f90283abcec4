//! What grows with the work, or with what goes wrong, shows in a census taken before and after; what is only large does not.

mod census;
mod faults;
mod fleet;
mod submitter;

use std::time::{Duration, Instant};

use census::Census;
use faults::Faults;
use fleet::Fleet;
use streamherd_testkit::eventually;
use streamherd_tests::{Redis, Topology, Truth};
use submitter::Submitter;

/// Fills what is filled once, and goes through each fault.
const WARM_UP: usize = 20_000;
/// What is measured.
const LEASES: usize = 100_000;
/// Faults among them.
const FAULTS: usize = 39;
const SEED: u64 = 6;
/// More than among the first ones.
const LAST_REPLACED: usize = 4;
/// The last orphans wait for their locks to expire, and breakers for their servers.
const SETTLED: Duration = Duration::from_secs(60);

#[test]
fn nothing_grows_in_a_hundred_thousand_leases_with_faults() {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .expect("a runtime");
    runtime.block_on(run());
}

async fn run() {
    let mut redis = Redis::start(Topology::Standalone);
    let proxy = redis.proxy().await;
    let mut fleet = Fleet::start(&proxy).await;
    let mut submitter = Submitter::start(&proxy, &fleet).await;
    let mut faults = Faults::seeded(SEED);

    submitter.go_on();
    for (nth, fault) in faults::ALL.into_iter().enumerate() {
        fleet.has_worked(WARM_UP * (nth + 1) / faults::ALL.len()).await;
        faults.cause(fault, &mut redis, &proxy, &mut fleet).await;
    }
    quiet(&redis, &mut submitter, &mut fleet).await;
    proxy.forget_seen();
    let before = Census::take(&mut Truth::of(&redis)).await;

    let (began, worked) = (Instant::now(), fleet.tally.leases());
    submitter.go_on();
    for nth in 0..FAULTS {
        fleet.has_worked(worked + LEASES * (nth + 1) / FAULTS).await;
        let fault = faults.draw();
        faults.cause(fault, &mut redis, &proxy, &mut fleet).await;
        proxy.forget_seen();
    }
    // What these left would be gone with a later loss of all data.
    for _ in 0..LAST_REPLACED {
        faults
            .cause(faults::Fault::ReplaceWorker, &mut redis, &proxy, &mut fleet)
            .await;
    }
    quiet(&redis, &mut submitter, &mut fleet).await;
    let leases = fleet.tally.leases() - worked;
    println!(
        "{leases} leases in {:?}: {:?}, {:?}",
        began.elapsed(),
        fleet.tally,
        faults.counts
    );
    proxy.forget_seen();
    let mut truth = Truth::of(&redis);
    let after = Census::take_after(&before, &mut truth).await;
    println!("before {before:#?}\nafter {after:#?}");
    let grown = before.growth(&after);
    assert!(grown.is_empty(), "grown: {grown:#?}");
    census::notes_are_few_and_end(&mut truth, fleet.tally.abandoned(), faults.written_back());

    submitter.end().await;
    fleet.end().await;
    eventually(SETTLED, "connections and tasks are gone", || {
        let tasks = tokio::runtime::Handle::current().metrics().num_alive_tasks();
        let left = tasks + truth.clients().len();
        async move { (left == 0).then_some(()) }
    })
    .await;
}

/// Submits no more, and waits until all is worked on and every client is as well as it was.
async fn quiet(redis: &Redis, submitter: &mut Submitter, fleet: &mut Fleet) {
    submitter.pause().await;
    let mut truth = Truth::of(redis);
    eventually(SETTLED, "all is worked on, and all clients are well", || {
        let is_clean = truth.is_clean();
        let well = fleet.is_well();
        async move { (is_clean && well).then_some(()) }
    })
    .await;
    faults::purge(redis).await;
}
