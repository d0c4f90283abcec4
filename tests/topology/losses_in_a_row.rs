//! Redis loses its data again and again, also while it is told what is held.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use streamherd::{Client, Recovery};
use streamherd_ledger::End;
use streamherd_testkit::{Fault, Matcher, eventually};
use streamherd_tests::{Redis, SOON, Topology, Truth, names, patient, patient_recovery};
use tokio::runtime::Handle;

use super::data_losses::comes_back_empty;
use super::fleet::{Fleet, Order};

/// A read ends before that, with work or without.
const READ: Duration = Duration::from_secs(2);

/// What a fleet costs while there is no work.
#[derive(Debug)]
struct Upkeep {
    tasks: usize,
    connections: usize,
    consumers: BTreeSet<String>,
}

impl Upkeep {
    fn of(truth: &mut Truth) -> Self {
        let groups = ["XINFO CONSUMERS T:input workers", "XINFO CONSUMERS T:front workers"];
        let consumers = groups.into_iter().flat_map(|ask| truth.cmd(ask).array());
        Self {
            consumers: consumers.map(|consumer| consumer.array()[1].text()).collect(),
            tasks: Handle::current().metrics().num_alive_tasks(),
            connections: truth.clients().len(),
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_hundred_losses_in_a_row_lose_nothing_that_is_held_and_leave_nothing_behind() {
    a_hundred_of(&["FLUSHALL"]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_hundred_losses_of_one_thing_or_another_lose_nothing_that_is_held() {
    let parts = [
        "DEL T:input",
        "XGROUP DESTROY T:input workers",
        "DEL T:epoch",
        "DEL T:front T:control T:consumers",
        "XGROUP DESTROY T:front workers",
        "FLUSHALL",
        "SCRIPT FLUSH",
    ];
    a_hundred_of(&parts).await;
}

async fn a_hundred_of(losses: &[&str]) {
    const LOSSES: usize = 100;
    const HELD: usize = 60;
    let server = Redis::start(Topology::Standalone);
    let recovery = Recovery {
        // Names whose streams are gone are forgotten sooner than in a minute.
        sweep_interval: Duration::from_secs(1),
        ..patient_recovery()
    };
    let fleet = Fleet::start(3, || patient(&server).recovery(recovery.clone())).await;
    let mut truth = Truth::of(&server);
    // Everybody has read and settled something, so that all that a worker needs is there.
    let settled = async |fleet: &Fleet, truth: &mut Truth| {
        eventually(SOON, "every worker is known and idle", || {
            let upkeep = Upkeep::of(truth);
            let idle = truth.is_read() && upkeep.consumers.len() == fleet.clients.len();
            async move { idle.then_some(upkeep) }
        })
        .await
    };
    fleet.submit(&names("early", 30)).await;
    fleet.ended("early", 30, End::Done).await;
    truth.becomes_clean().await;
    let before = settled(&fleet, &mut truth).await;

    fleet.submit(&names("hold", HELD)).await;
    fleet.submit(&names("done", HELD)).await;
    fleet.holds(2 * HELD).await;
    for loss in 0..LOSSES {
        truth.cmd(losses[loss % losses.len()]);
        // Some are finished between two losses, and while they are repaired.
        if loss == LOSSES / 2 {
            fleet.order(Order::AsNamed);
        }
        // Not a wait for anything: losses at every stage of the repair of the one before.
        tokio::time::sleep(Duration::from_millis(50 + 7 * (loss as u64 * 31 % 60))).await;
    }
    fleet.ended("done", HELD, End::Done).await;
    fleet.submit(&names("fresh", 30)).await;
    fleet.ended("fresh", 30, End::Done).await;
    fleet.order(Order::Finish);
    fleet.ended("hold", HELD, End::Done).await;
    truth.becomes_clean().await;
    fleet.was_undisturbed("hold", HELD);
    fleet.was_undisturbed("done", HELD);
    let told = fleet.losses();
    assert!(told.iter().all(|times| (10..=LOSSES).contains(times)), "{told:?}");
    let end = Instant::now() + SOON;
    loop {
        let now = Upkeep::of(&mut truth);
        // Who was not given anything since is none yet.
        let no_more = now.consumers.is_subset(&before.consumers);
        let reading = |client: &Client| client.health().since_read.is_some_and(|ago| ago < READ);
        let same = now.tasks == before.tasks && now.connections == before.connections;
        if same && no_more && fleet.clients.iter().all(reading) {
            break;
        }
        assert!(
            Instant::now() < end,
            "the fleet costs {now:?}, and before it cost {before:?}"
        );
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    let record = fleet.ends().await;
    assert_eq!(record.disowned, []);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_loss_in_the_middle_of_a_write_back_that_lasts_longer_than_the_leases_loses_nothing() {
    // More than one call of the script.
    const HELD: usize = 250;
    let mut server = Redis::start(Topology::Standalone);
    let proxy = server.proxy().await;
    let fleet = Fleet::start(1, || patient(&proxy).max_in_flight(HELD).read_batch(100)).await;
    fleet.submit(&names("hold", HELD)).await;
    fleet.holds(HELD).await;
    // Three that say what is held, and then three with all fields, of which the first gets through.
    let (say, broken_off) = std::sync::mpsc::channel::<()>();
    let (go_on, may_go_on) = std::sync::mpsc::channel::<()>();
    let armed = proxy.on(
        Matcher::script("restore"),
        5,
        Fault::Before(Box::new(move || {
            let _ = say.send(());
            let _ = may_go_on.recv();
        })),
    );
    Truth::of(&server).cmd("FLUSHALL").ok();
    tokio::task::block_in_place(|| {
        broken_off.recv_timeout(SOON).expect("the write-back is under way");
        assert_eq!(Truth::of(&server).pending_count(), 100, "a part of it is written back");
        server.kill();
        go_on.send(()).expect("the proxy waits");
    });
    armed.wait_fired(SOON).await;
    fleet.ended("hold", HELD, End::Lost).await;
    fleet.order(Order::Finish);
    comes_back_empty(&mut server);
    fleet.ended("hold", HELD, End::Done).await;
    Truth::of(&server).becomes_clean().await;
    assert_eq!(fleet.runs_of("hold").len(), HELD);
    fleet.ends().await;
}
