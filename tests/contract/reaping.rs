//! Dead consumers are removed, and one that was only asleep loses nothing by it.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use streamherd::Recovery;
use streamherd_testkit::{Reply, eventually};
use streamherd_tests::{KEYS, Redis, SCAN, SOON, Truth, Worker, WorkerProcess, builder, names, recovery, submit};

const WORKER: &str = env!("CARGO_BIN_EXE_contract-worker");

fn reaping() -> Recovery {
    Recovery {
        sweep_interval: SCAN,
        reap_after: Duration::from_millis(100),
        ..recovery()
    }
}

/// Whether anything in Redis bears this consumer's name.
fn is_known(truth: &mut Truth, consumer: &str) -> bool {
    let rows = truth.cmd("HKEYS T:consumers").strings();
    let group = ["input", "front"].map(|lane| truth.cmd(&format!("XINFO CONSUMERS T:{lane} workers")).array());
    rows.iter().any(|row| row.starts_with(consumer))
        || group.iter().flatten().any(|one| one.array()[1].text() == consumer)
}

async fn until_known(truth: &mut Truth, consumer: &str, wanted: bool) {
    eventually(SOON, "it is known, or is not", || {
        let known = is_known(truth, consumer);
        async move { (known == wanted).then_some(()) }
    })
    .await;
}

#[tokio::test]
async fn a_worker_that_was_asleep_and_reaped_works_on_when_it_wakes() {
    let server = Redis::start(crate::TOPOLOGY);
    let mut truth = Truth::of(&server);
    let reaper = Worker::with(builder(&server).consumer("reaper").recovery(reaping())).await;
    reaper.client.pause().await.unwrap();
    let mut sleeper = WorkerProcess::start(WORKER, &server, &["then=done"]);
    let id = sleeper.says("ready").await["consumer"].as_str().unwrap().to_owned();
    // With a receipt that is older than its sleep.
    submit(&server, ["before"]).await;
    assert_eq!(sleeper.says("settled").await["outcome"], "ok");

    sleeper.process.freeze();
    until_known(&mut truth, &id, false).await;
    submit(&server, names("s", 20)).await;
    sleeper.process.thaw();
    for settled in sleeper.says_times("settled", 20).await {
        assert_eq!(settled["outcome"], "ok");
    }
    until_known(&mut truth, &id, true).await;
    truth.becomes_clean().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_worker_that_is_reaped_again_and_again_as_it_works_loses_nothing() {
    // The script of the sweeper, which finds everybody dead here who holds nothing.
    let reap = concat!(
        include_str!("../../crates/streamherd/src/store/lua/keys.lua"),
        include_str!("../../crates/streamherd/src/store/lua/lib.lua"),
        include_str!("../../crates/streamherd/src/store/lua/live.lua"),
        include_str!("../../crates/streamherd/src/store/lua/reap.lua")
    );
    let server = Redis::start(crate::TOPOLOGY);
    let mut truth = Truth::at(&server, "r");
    // A settlement is repeated when it has waited for a sixth of the ttl, and this reaper would have taken its receipt.
    let mut worker = WorkerProcess::start(WORKER, &server, &["then=done", "slots=4", "ttl=18000"]);
    let id = worker.says("ready").await["consumer"].as_str().unwrap().to_owned();
    let over = AtomicBool::new(false);
    let reaped = std::thread::scope(|scope| {
        let reaper = scope.spawn(|| {
            let mut truth = Truth::at(&server, "r");
            let mut words = vec!["EVAL".to_owned(), reap.to_owned(), KEYS.len().to_string()];
            words.extend(KEYS.map(|key| format!("T:{key}")));
            words.extend([
                truth.cmd("GET T:epoch").text(),
                "0".to_owned(),
                "0".to_owned(),
                id.clone(),
            ]);
            let words: Vec<&str> = words.iter().map(String::as_str).collect();
            let mut reaped = 0;
            while !over.load(Ordering::Relaxed) {
                let answer = truth.call(&words).ok().array();
                reaped += usize::from(answer[1].array()[0] == Reply::Bulk(b"reaped".to_vec()));
            }
            reaped
        });
        let worked = tokio::task::block_in_place(|| {
            tokio::runtime::Handle::current().block_on(async {
                let mut settled = Vec::new();
                for round in 0..10 {
                    worker.process.freeze();
                    submit(&server, server.beside("r", names(&format!("r{round}"), 20))).await;
                    worker.process.thaw();
                    settled.extend(worker.says_times("settled", 20).await);
                }
                settled
            })
        });
        over.store(true, Ordering::Relaxed);
        for settled in worked {
            assert_eq!(settled["outcome"], "ok", "{settled}");
        }
        reaper.join().unwrap()
    });
    assert!(reaped > 10, "{reaped}");
    truth.becomes_clean().await;
    let mut given: Vec<_> = worker.said.iter().filter(|line| line["event"] == "added").collect();
    assert_eq!(given.len(), 200, "each once");
    given.retain(|line| line["attempt"] != 0);
    assert!(given.is_empty(), "{given:?}");
}

#[tokio::test]
async fn a_consumer_with_an_unreadable_name_does_not_keep_the_others_from_being_reaped() {
    let server = Redis::start(crate::TOPOLOGY);
    let mut truth = Truth::at(&server, "any");
    truth.make_groups();
    let strange = "redis.call('XGROUP', 'CREATECONSUMER', KEYS[1], 'workers', '\\255\\0') \
                   redis.call('HSET', KEYS[2], '\\255', '1 {}', '\\255:last', 'x', 'dead.aaaaaaaa', '1 {}')";
    truth.call(&["EVAL", strange, "2", "T:input", "T:consumers"]).ok();
    let _reaper = Worker::with(builder(&server).recovery(reaping())).await;
    until_known(&mut truth, "dead.aaaaaaaa", false).await;
}
