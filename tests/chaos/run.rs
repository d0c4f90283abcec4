//! One run: a fleet at work, faults in lanes, and a verdict.

use std::env;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use serde_json::json;
use streamherd::Producer;
use streamherd_ledger::{Figures, Ledger, Target, Verdict, now, read};
use streamherd_testkit::eventually;
use streamherd_tests::load::{LOCK_TTL, Pace, builder, submit_all};
use streamherd_tests::{SERVICE, SOON};
use tokio::task::{JoinHandle, JoinSet, spawn_blocking};
use tokio::time::Instant;

use crate::fleet::{Network, Worker};
use crate::machine::Watch;
use crate::roles::{Roles, Strikes};
use crate::schedule::{Lane, Strike, Topology, schedule};
use crate::stage::{self, Stage};

/// Where nobody says otherwise.
const LENGTH: Duration = Duration::from_secs(180);
const SEED: u64 = 1;

const WORKERS: u64 = 4;
const PRODUCERS: u64 = 2;
/// Between two submits of a producer.
const EVERY: Duration = Duration::from_millis(60);
/// One of so many streams is worked on for longer than a lock lives.
const LONG: u64 = 16;
/// How long producers keep what they submitted: longer than anything here waits to be done.
const KEPT: Duration = Duration::from_secs(600);
/// Until all that the faults left behind is worked off.
const DRAINED: Duration = Duration::from_secs(120);

/// A run's servers, whoever strikes them at the moment.
type Servers = Arc<Mutex<Box<dyn Stage>>>;

pub(crate) async fn chaos(topology: Topology) {
    let length = number("STREAMHERD_CHAOS_SECONDS").map_or(LENGTH, Duration::from_secs);
    let seed = number("STREAMHERD_CHAOS_SEED").unwrap_or(SEED);
    println!("chaos: {topology:?} for {length:?}, seed {seed}");
    let dir = tempfile::Builder::new().prefix("streamherd-chaos-").tempdir();
    let dir = dir.expect("a directory for ledgers");
    let path = dir.path().join("ledger");
    let ledger = Arc::new(Ledger::append_to(&path).expect("a ledger"));

    let stage = spawn_blocking(move || stage::start(topology)).await;
    let stage = stage.expect("the servers start");
    let partitions = stage.partitions();
    let mut workers = Vec::new();
    for number in 0..WORKERS {
        let network = Network::to(&*stage).await;
        workers.push(Worker::start(format!("w-{number}"), network, partitions, &path));
    }
    let mut producers = Vec::new();
    for number in 0..PRODUCERS {
        let network = Network::to(&*stage).await;
        producers.push((format!("p-{number}"), Arc::new(network)));
    }
    let ports = stage
        .servers()
        .into_iter()
        .map(streamherd_testkit::Server::port)
        .collect();
    let servers: Servers = Arc::new(Mutex::new(stage));
    // What is lost before the first worker ever said hello can't be told from what is finished.
    ready(&servers).await;

    let machine = Watch::begin(Arc::clone(&ledger));
    let server_strikes = Strikes::default();
    let roles = Roles::watch(ports, Arc::clone(&server_strikes), Arc::clone(&ledger));
    let over = Arc::new(AtomicBool::new(false));
    let mut submitters = JoinSet::new();
    for (name, network) in &producers {
        let producer = keeping_producer(&network.url, partitions).await;
        let pace = Pace {
            name: name.clone(),
            partitions,
            every: EVERY,
            lock_ttl: LOCK_TTL,
            long: LONG,
        };
        let over = Arc::clone(&over);
        submitters.spawn(submit_all(producer, pace, Arc::clone(&ledger), move |_| {
            over.load(Ordering::SeqCst)
        }));
    }

    let end = Instant::now() + length;
    let strikes = |lane| Upcoming {
        strikes: Box::new(schedule(seed, lane, topology)),
        end,
    };
    let mut lanes = JoinSet::new();
    lanes.spawn(strike_servers(
        Arc::clone(&servers),
        strikes(Lane::Servers),
        server_strikes,
        Arc::clone(&ledger),
    ));
    for (number, (name, network)) in (0..).zip(&producers) {
        let lane = strikes(Lane::Producer(number));
        lanes.spawn(strike_producer(
            name.clone(),
            Arc::clone(network),
            lane,
            Arc::clone(&ledger),
        ));
    }
    let mut struck: Vec<JoinHandle<Worker>> = Vec::new();
    for (number, worker) in (0..).zip(workers) {
        let lane = strike_worker(worker, strikes(Lane::Worker(number)), Arc::clone(&ledger));
        struck.push(tokio::spawn(lane));
    }
    while let Some(lane) = lanes.join_next().await {
        lane.expect("a lane does not panic");
    }
    let mut workers = Vec::new();
    for worker in struck {
        workers.push(worker.await.expect("a lane does not panic"));
    }

    over.store(true, Ordering::SeqCst);
    let mut producers = Vec::new();
    while let Some(submitter) = submitters.join_next().await {
        producers.push(submitter.expect("a submitter does not panic"));
    }
    let left = worked_off(&servers, &producers).await;
    for worker in &mut workers {
        worker.end();
    }
    drop((machine, roles));
    judge(topology, seed, length, &path, &left);
}

/// What happens in a lane until the end of a run.
struct Upcoming {
    strikes: Box<dyn Iterator<Item = (Duration, Strike)> + Send>,
    end: Instant,
}

impl Upcoming {
    /// The next one, when its time has come.
    async fn next(&mut self) -> Option<Strike> {
        let (pause, strike) = self.strikes.next()?;
        let at = Instant::now() + pause;
        tokio::time::sleep_until(at.min(self.end)).await;
        (at < self.end).then_some(strike)
    }
}

async fn strike_worker(mut worker: Worker, mut lane: Upcoming, ledger: Arc<Ledger>) -> Worker {
    while let Some(strike) = lane.next().await {
        let since = now();
        match strike {
            Strike::Worker(strike) => worker.strike(strike).await,
            Strike::Network(strike, time) => worker.network.strike(strike, time).await,
            Strike::Servers(strike) => panic!("a worker can't go through {strike:?}"),
        }
        let target = Target::Worker(worker.name.clone());
        ledger.fault("chaos", strike.kind(), target, since, false);
    }
    worker
}

async fn strike_producer(name: String, network: Arc<Network>, mut lane: Upcoming, ledger: Arc<Ledger>) {
    while let Some(strike) = lane.next().await {
        let since = now();
        if let Strike::Network(strike, time) = strike {
            network.strike(strike, time).await;
        }
        // It holds no leases, so this explains nothing.
        let target = Target::Worker(name.clone());
        ledger.fault("chaos", strike.kind(), target, since, false);
    }
}

async fn strike_servers(servers: Servers, mut lane: Upcoming, strikes: Strikes, ledger: Arc<Ledger>) {
    while let Some(strike) = lane.next().await {
        let Strike::Servers(what) = strike else {
            panic!("servers can't go through {strike:?}");
        };
        let since = now();
        strikes.fetch_add(1, Ordering::SeqCst);
        let hit = on(&servers, move |stage| stage::strike(stage, what)).await;
        strikes.fetch_add(1, Ordering::SeqCst);
        ledger.fault("chaos", strike.kind(), hit.target, since, hit.forgets);
    }
}

/// Does something that may block.
async fn on<R: Send + 'static>(servers: &Servers, what: impl FnOnce(&mut dyn Stage) -> R + Send + 'static) -> R {
    let servers = Arc::clone(servers);
    let done = spawn_blocking(move || what(&mut **servers.lock().expect("nobody panicked")));
    done.await.expect("the servers do as they are told")
}

async fn keeping_producer(url: &str, partitions: u16) -> Producer {
    let producer = builder(url, partitions).connect_producer().await;
    let kept = producer.expect("nothing is broken yet").retain(KEPT, 100_000).await;
    kept.expect("nothing is broken yet")
}

/// Waits until all workers have said hello.
async fn ready(servers: &Servers) {
    eventually(SOON, "the workers are there", || async {
        let workers = on(servers, |stage| {
            let consumers = stage::key(0).replace("input", "consumers");
            stage::client_for(stage, 0).cmd(&format!("HLEN {consumers}")).int()
        });
        (workers.await >= i64::try_from(WORKERS).unwrap_or(0)).then_some(())
    })
    .await;
}

/// Waits until nothing is left of any work, and says what is if something stays. Producers may have something to submit
/// once more, and know when there is nothing.
async fn worked_off(servers: &Servers, producers: &[Producer]) -> String {
    let end = Instant::now() + DRAINED;
    loop {
        let mut left = on(servers, |stage| left(stage)).await;
        let kept: usize = producers.iter().map(Producer::kept).sum();
        if kept > 0 {
            left += &format!("producers keep {kept}; ");
        }
        if left.is_empty() || Instant::now() > end {
            return left;
        }
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
}

fn left(stage: &dyn Stage) -> String {
    let mut left = String::new();
    for partition in 0..stage.partitions() {
        let mut redis = stage::client_for(stage, partition);
        for count in ["XLEN input", "XLEN front", "ZCARD delayed", "HLEN live"] {
            let (command, key) = count.split_once(' ').expect("a command and a key");
            let reply = redis.cmd(&format!("{command} {{{SERVICE}:{partition}}}:{key}"));
            let is_zero = !reply.is_error() && reply.int() == 0;
            if !is_zero {
                left += &format!("partition {partition} has {count} = {reply:?}; ");
            }
        }
    }
    left
}

/// Judges the ledger, and keeps it where something is wrong.
fn judge(topology: Topology, seed: u64, length: Duration, path: &Path, left: &str) {
    let history = read([path]).expect("the ledger");
    let verdict = Verdict::on(&history);
    let figures = Figures::of(&history, &verdict);
    let report = json!({
        "topology": format!("{topology:?}").to_lowercase(), "seed": seed, "seconds": length.as_secs(),
        "died_settling": verdict.died_settling, "figures": figures, "left": left,
    });
    let kept = kept_in();
    fs::create_dir_all(&kept).expect("a directory for reports");
    let name = format!("{topology:?}-{seed}").to_lowercase();
    let text = serde_json::to_string_pretty(&report).expect("it is JSON");
    println!("chaos: {text}");
    fs::write(kept.join(format!("{name}.json")), text).expect("a report can be written");
    if !left.is_empty() || !verdict.violations.is_empty() {
        for file in fs::read_dir(path.parent().expect("a directory"))
            .expect("a directory")
            .flatten()
        {
            let _ = fs::copy(file.path(), kept.join(format!("{name}-{}", file.file_name().display())));
        }
    }
    assert!(
        verdict.violations.is_empty(),
        "seed {seed}; the ledger and the workers' logs are in {}:\n{}",
        kept.display(),
        verdict.summary()
    );
    assert!(
        left.is_empty(),
        "seed {seed}; not worked off within {DRAINED:?}: {left}"
    );
    assert!(
        figures.submitted > 0 && !history.faults.is_empty(),
        "it was no run at all"
    );
}

fn kept_in() -> PathBuf {
    let target = Path::new(env!("CARGO_TARGET_TMPDIR"));
    target.parent().unwrap_or(target).join("chaos")
}

fn number(variable: &str) -> Option<u64> {
    let text = env::var(variable).ok().filter(|text| !text.is_empty())?;
    Some(text.parse().unwrap_or_else(|e| panic!("{variable} is {text:?}: {e}")))
}
