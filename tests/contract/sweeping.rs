//! What a sweep leaves alone, and what spoilt records of names do not stop.

use streamherd::Recovery;
use streamherd_testkit::eventually;
use streamherd_tests::{Redis, SCAN, SOON, Truth, Worker, builder, recovery, submit};

fn sweeping() -> Recovery {
    Recovery {
        sweep_interval: SCAN,
        ..recovery()
    }
}

/// Waits until so many more sweeps have begun.
async fn swept(truth: &mut Truth, times: usize) {
    for _ in 0..times {
        let last = truth.cmd("HGET T:control swept");
        eventually(SOON, "the service is swept", || {
            let new = truth.cmd("HGET T:control swept") != last;
            async move { new.then_some(()) }
        })
        .await;
    }
}

#[tokio::test]
async fn a_claim_behind_the_backlog_strands_nothing() {
    let server = Redis::start(crate::TOPOLOGY);
    let names = server.together("s", 20);
    let mut truth = Truth::at(&server, &names[0]);
    truth.make_groups();
    truth.cmd("HSET T:control paused 1").ok();
    submit(&server, &names).await;
    let last = truth.entries("input").pop().unwrap().0;
    truth.cmd(&format!("XCLAIM T:input workers other 0 {last} FORCE")).ok();
    let _worker = Worker::with(builder(&server).recovery(sweeping())).await;
    swept(&mut truth, 3).await;
    let fronts: Vec<_> = truth.entries("front").into_iter().map(|(_, fields)| fields).collect();
    assert!(
        fronts.len() <= 1,
        "only the claimed one may be an orphan by now: {fronts:?}"
    );
    assert!(truth.entries("input").len() >= 19);
}

#[tokio::test]
async fn a_spoilt_record_of_a_name_keeps_it_neither_from_its_end_nor_from_the_queue() {
    let spoilt = [
        "return 'garbage'",
        "return cmsgpack.pack({ARGV[1], 5, 0})",
        "return cmsgpack.pack({ARGV[1], {}, 0})",
        "return cmsgpack.pack({ARGV[1], {'lbs-input', 'x'}})",
        "return cmsgpack.pack({ARGV[1], {'lbs-input', 'x'}, 'soon'})",
        "return cmsgpack.pack({ARGV[1], {'lbs-input', {}}, 0})",
        "return cmsgpack.pack({ARGV[1], {'odd'}, 0})",
    ];
    for record in spoilt {
        let server = Redis::start(crate::TOPOLOGY);
        let mut truth = Truth::at(&server, "a");
        let mut worker = Worker::with(builder(&server).recovery(sweeping())).await;
        for operation in ["done", "release"] {
            submit(&server, ["a"]).await;
            let lease = worker.added().await;
            let write = format!("local function record() {record} end redis.call('HSET', KEYS[1], 'a', record())")
                .replace("ARGV[1]", &format!("'{}'", lease.id()));
            truth.call(&["EVAL", &write, "1", "T:live"]).ok();
            if operation == "release" {
                lease.release().await.unwrap_or_else(|e| panic!("{record}: {e}"));
                worker
                    .added()
                    .await
                    .done()
                    .await
                    .unwrap_or_else(|e| panic!("{record}: {e}"));
            } else {
                lease.done().await.unwrap_or_else(|e| panic!("{record}: {e}"));
            }
        }
        truth.becomes_clean().await;
    }
}
