//! Redis away for a while, as its clients see it.

use std::time::{Duration, Instant};

use streamherd::{BreakerState, Builder, Client};
use streamherd_testkit::{Proxy, eventually};
use tokio::task::JoinSet;

use crate::{Reachable as _, Redis, SERVICE, SOON, Stopwatch, Topology, Truth, Worker, names, queue};

/// How Redis can be away.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outage {
    /// Connections are closed, and new ones as they come.
    Refused,
    /// Whatever is sent disappears.
    BlackHole,
    /// All answers come half a second late.
    Slow,
}

impl Outage {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Refused, Self::BlackHole, Self::Slow];

    fn set(self, proxy: &Proxy, on: bool) {
        match self {
            Self::Refused => proxy.refuse(on),
            Self::BlackHole => proxy.swallow(on),
            Self::Slow => proxy.slow_down(Duration::from_millis(if on { 500 } else { 0 })),
        }
    }
}

/// What an outage came to.
#[derive(Debug, Clone, Copy)]
pub struct Figures {
    /// Commands that reached the place where Redis was, per worker and second, from four seconds after its beginning on; 0
    /// where that were too few to tell.
    pub commands: f64,
    /// From its end until a stream that was queued then was handed out.
    pub back: Duration,
}

const WORKERS: usize = 2;
const HELD: usize = 10;
/// Of which so many are finished while Redis is away.
const FINISHED: usize = 4;
/// By then the breaker is open, and connections are dropped.
const OPEN: Duration = Duration::from_secs(4);
/// A probe is a command or two, about once a second.
const TELLING: Duration = Duration::from_secs(10);

/// Two workers that hold ten streams each go through an outage, finish four of them in the middle of it, and see what
/// becomes of the rest.
///
/// # Panics
/// If a lease is called valid past its deadline, finished work is run again, a stream is lost or run twice at a time, or
/// anything is left behind.
pub async fn go_through(topology: Topology, outage: Outage, length: Duration, ttl: Duration) -> Figures {
    let redis = Redis::start(topology);
    let mut truth = Truth::of(&redis);
    let proxy = redis.proxy().await;
    let mut workers = Vec::new();
    for _ in 0..WORKERS {
        workers.push(Worker::with(settings(proxy.address().service(SERVICE), ttl)).await);
    }
    queue(&redis, &names("held", WORKERS * HELD));
    let mut held = Vec::new();
    for worker in &mut workers {
        held.push(worker.added_many(HELD).await);
    }
    let clients = connections(&mut truth);

    outage.set(&proxy, true);
    let began = Instant::now();
    let mut finishing = JoinSet::new();
    let mut finished = Vec::new();
    for leases in &mut held {
        for lease in leases.drain(..FINISHED) {
            finished.push(lease.stream().to_owned());
            finishing.spawn(lease.done());
        }
    }
    let cut_off = outage != Outage::Slow;
    let lost = cut_off && length > ttl;
    let mut seen = None;
    while began.elapsed() < length {
        tokio::time::sleep(Duration::from_millis(20)).await;
        let now = began.elapsed();
        if seen.is_none() && now > OPEN {
            seen = Some((now, proxy.seen().len()));
        }
        // What was renewed last was renewed before it began.
        let past = cut_off && now > ttl;
        let valid = held.iter().flatten().filter(|lease| lease.is_valid()).count();
        assert!(
            !past || valid == 0,
            "{valid} leases are called valid {now:?} after the last heartbeat"
        );
    }
    let long_enough = seen.filter(|(then, _)| began.elapsed() - *then > TELLING);
    let commands = long_enough.map_or(0.0, |(then, before)| {
        let more = proxy.seen().len() - before;
        more as f64 / (began.elapsed() - then).as_secs_f64() / WORKERS as f64
    });
    if cut_off && length >= OPEN {
        assert!(
            workers
                .iter()
                .all(|worker| breaker(&worker.client) != BreakerState::Closed)
        );
    }
    outage.set(&proxy, false);
    let ended = Stopwatch::start();
    queue(&redis, &names("after", 1));

    // What is handed out again, and the one that came last.
    let mut again = Vec::new();
    let mut back = None;
    let expected = 1 + if lost { WORKERS * (HELD - FINISHED) } else { 0 };
    let handed_out = async {
        while again.len() < expected {
            for worker in &mut workers {
                worker.listen_for(Duration::from_millis(10)).await;
                while worker.unasked() > 0 {
                    let lease = worker.added().await;
                    if lease.stream() == "after-0" {
                        back = Some(ended.elapsed());
                    }
                    // A read that was blocked in a black hole may have been given the last one, and a peer have found it.
                    let held = lease.stream() != "after-0";
                    assert!(
                        !held || lease.attempt() == 0,
                        "an outage is nobody's fault: {}",
                        lease.stream()
                    );
                    again.push(lease.stream().to_owned());
                    lease.done().await.unwrap();
                }
            }
        }
    };
    let all = tokio::time::timeout(SOON, handed_out).await;
    assert!(all.is_ok(), "only {again:?} of {expected} came within {SOON:?}");
    while let Some(done) = finishing.join_next().await {
        done.unwrap().expect("finished in time, and kept");
    }
    for (worker, leases) in workers.iter_mut().zip(&mut held) {
        for lease in leases.drain(..) {
            let name = lease.stream().to_owned();
            let settled = lease.done().await;
            assert_eq!(settled.is_err(), lost, "{name}: {settled:?}");
            assert_eq!(again.contains(&name), lost, "{name}");
        }
        let disowned = if lost { HELD - FINISHED } else { 0 };
        worker.listen_for(Duration::from_millis(10)).await;
        assert_eq!((worker.unasked_disowned(), worker.losses), (disowned, 0));
    }
    let distinct: std::collections::BTreeSet<_> = again.iter().chain(&finished).collect();
    assert_eq!(
        distinct.len(),
        again.len() + finished.len(),
        "nothing is run again that was finished: {again:?}"
    );
    truth.becomes_clean().await;
    eventually(SOON, "all is as it was before", || {
        let same = connections(&mut truth) == clients && truth.consumers() == WORKERS;
        let closed = workers
            .iter()
            .all(|worker| breaker(&worker.client) == BreakerState::Closed);
        async move { (same && closed).then_some(()) }
    })
    .await;
    Figures {
        commands,
        back: back.expect("it came"),
    }
}

fn settings(builder: Builder, ttl: Duration) -> Builder {
    builder
        .lock_ttl(ttl)
        .max_in_flight(HELD)
        .read_block(Duration::from_secs(1))
}

/// Of the workers, but for those that ask where the partitions are: those lead to any server.
fn connections(truth: &mut Truth) -> usize {
    let asks_where = |client: &String| client.contains("cmd=cluster");
    truth.clients().iter().filter(|client| !asks_where(client)).count()
}

/// Of the master whose breaker is furthest from closed.
fn breaker(client: &Client) -> BreakerState {
    let masters = client.health().masters;
    let open = masters.iter().find(|master| master.breaker != BreakerState::Closed);
    open.map_or(BreakerState::Closed, |master| master.breaker)
}
