//! Workers killed at random moments of their rarer tasks.

use std::collections::BTreeMap;
use std::time::Duration;

use rand::rngs::SmallRng;
use rand::{RngExt as _, SeedableRng as _};
use streamherd::{DeadLetterFilter, Recovery};
use streamherd_tests::letters::{admin, bury};
use streamherd_tests::{Redis, Truth, Worker, WorkerProcess, builder, names, recovery, submit};

const BINARY: &str = env!("CARGO_BIN_EXE_contract-worker");
const ADMIN: &str = env!("CARGO_BIN_EXE_contract-admin");
const KILLS: usize = 50;
const STREAMS: usize = 20;

/// What a worker is at when it is killed.
#[derive(Debug, Clone, Copy)]
enum At {
    Shutdown,
    Promote,
    /// Sweeping stranded entries, and reaping dead consumers.
    Reap,
    Redrive,
}

#[tokio::test]
async fn fifty_kills_at_random_moments_of_shutdown_promote_reap_and_redrive_lose_nothing_and_double_nothing() {
    let seed = rand::random();
    println!("seed {seed}");
    let mut rng = SmallRng::seed_from_u64(seed);
    let server = Redis::start(crate::TOPOLOGY);
    let mut truth = Truth::of(&server);
    truth.make_groups();
    let producer = builder(&server).connect_producer().await.unwrap();
    let mut wanted = Vec::new();
    for kill in 0..KILLS {
        let all = names(&format!("kill-{kill}"), STREAMS);
        let at = [At::Shutdown, At::Promote, At::Reap, At::Redrive][kill % 4];
        match at {
            At::Shutdown => {
                submit(&server, &all).await;
                let mut worker = WorkerProcess::start(BINARY, &server, &["then=hold"]);
                worker.says_times("added", STREAMS).await;
                worker.process.terminate();
                end(worker, rng.random_range(0..15_000)).await;
            }
            At::Promote => {
                let soon = Duration::from_millis(100);
                for submitted in producer
                    .schedule_many_after(all.iter().map(|name| (name, ())), soon)
                    .await
                {
                    submitted.unwrap();
                }
                let mut worker = WorkerProcess::start(BINARY, &server, &["then=hold"]);
                worker.says("ready").await;
                end(worker, rng.random_range(0..120_000)).await;
            }
            At::Reap => {
                submit(&server, &all).await;
                // All of them handed out to consumers that are deleted: stranded, and next to them names of the dead.
                truth.cmd("XREADGROUP GROUP workers stranded STREAMS T:front T:input > >");
                for lane in ["front", "input"] {
                    truth.cmd(&format!("XGROUP DELCONSUMER T:{lane} workers stranded")).ok();
                    truth
                        .cmd(&format!("XGROUP CREATECONSUMER T:{lane} workers dead-{kill}.aaaaaaaa"))
                        .ok();
                }
                let dead = format!("dead-{kill}.aaaaaaaa");
                truth.call(&["HSET", "T:consumers", &dead, "1 {}"]).ok();
                let mut worker = WorkerProcess::start(BINARY, &server, &["then=hold", "sweep=100"]);
                worker.says("ready").await;
                end(worker, rng.random_range(0..200_000)).await;
            }
            At::Redrive => {
                bury(&server, &all, "max_failures");
                let admin = WorkerProcess::start(ADMIN, &server, &["redrive", "rate=2000"]);
                end(admin, rng.random_range(0..40_000)).await;
            }
        }
        wanted.extend(all);
    }

    let letters = truth.dead_letters().len();
    let admin = admin(&server).await;
    let redriven = admin.redrive(DeadLetterFilter::default()).finish().await.unwrap();
    assert_eq!(usize::try_from(redriven.redriven).unwrap(), letters);
    let mut healthy = Worker::with(builder(&server).recovery(Recovery {
        sweep_interval: Duration::from_millis(100),
        max_abandonments: 0,
        ..recovery()
    }))
    .await;
    let mut given = BTreeMap::<String, usize>::new();
    for _ in 0..wanted.len() {
        let lease = healthy.added().await;
        *given.entry(lease.stream().to_owned()).or_default() += 1;
        lease.done().await.unwrap();
    }
    truth.becomes_clean().await;
    assert_eq!(healthy.unasked(), 0);
    assert!(truth.dead_letters().is_empty());
    let once: BTreeMap<String, usize> = wanted.into_iter().map(|name| (name, 1)).collect();
    assert_eq!(given, once, "seed {seed}");
}

async fn end(mut worker: WorkerProcess, after_us: u64) {
    tokio::time::sleep(Duration::from_micros(after_us)).await;
    worker.process.kill();
}
