//! How soon and how often delayed entries are queued when many are due.

use std::time::{Duration, Instant, SystemTime};

use streamherd_tests::{Redis, SOON, Truth, WorkerProcess, builder, field, names};

const BINARY: &str = env!("CARGO_BIN_EXE_contract-worker");

#[tokio::test]
async fn ten_thousand_due_within_a_second_are_promoted_once_by_four_rivals_within_two() {
    let _alone = crate::ALONE.acquire().await.unwrap();
    let server = Redis::start(crate::TOPOLOGY);
    let mut truth = Truth::of(&server);
    let producer = builder(&server).connect_producer().await.unwrap();
    let all = names("s", 10_000);
    let due = SystemTime::now() + Duration::from_secs(5);
    for (nth, some) in all.chunks(1_000).enumerate() {
        let at = due + Duration::from_millis(100) * u32::try_from(nth).unwrap();
        let mut submits = tokio::task::JoinSet::new();
        for name in some {
            let (producer, name) = (producer.clone(), name.clone());
            submits.spawn(async move { producer.schedule(&name, &(), at).await.unwrap() });
        }
        submits.join_all().await;
    }
    let start = Instant::now();
    assert!(SystemTime::now() < due, "all were scheduled in time");
    // Paused, so that all of them stay to be counted where they were put.
    truth.cmd("HSET T:control paused 1").ok();
    let rivals: Vec<_> = (0..4)
        .map(|_| WorkerProcess::start(BINARY, &server, &["then=hold"]))
        .collect();
    let mut promoted = 0;
    let last_due = due + Duration::from_millis(900);
    while promoted < 10_000 {
        assert!(start.elapsed() < SOON, "{promoted} promoted");
        // In one step, so that nothing is seen half-way.
        let look = "return {redis.call('XLEN', KEYS[1]), redis.call('ZCARD', KEYS[2]), \
                    redis.call('ZRANGEBYSCORE', KEYS[2], '-inf', '+inf', 'WITHSCORES', 'LIMIT', 0, 1), redis.call('TIME')}";
        let seen = truth.call(&["EVAL", look, "2", "T:input", "T:delayed"]);
        let seen = seen.array();
        promoted = seen[0].int();
        assert_eq!(promoted + seen[1].int(), 10_000, "each is in one place");
        if let Some(score) = seen[2].strings().get(1) {
            let time = seen[3].strings();
            let now = time[0].parse::<u64>().unwrap() * 1000 + time[1].parse::<u64>().unwrap() / 1000;
            assert!(
                now < score.parse::<u64>().unwrap() + 2_000,
                "an entry waits two seconds past its time"
            );
        }
        tokio::task::yield_now().await;
    }
    let late = SystemTime::now().duration_since(last_due).unwrap_or_default();
    assert!(late < Duration::from_secs(2), "the last was {late:?} late");
    let mut found: Vec<_> = truth
        .entries("input")
        .iter()
        .map(|(_, fields)| field(fields, "_sh_live").to_owned())
        .collect();
    found.sort();
    let mut all = all;
    all.sort();
    assert_eq!(found, all, "each once");
    drop(rivals);
}
