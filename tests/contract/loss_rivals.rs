//! Two workers remember one stream that Redis has lost: who held it last goes on with it, whichever of them is back first.

use std::time::{Duration, Instant};

use streamherd::Lease;
use streamherd::error::DisownedReason;
use streamherd_testkit::eventually;
use streamherd_tests::{
    Address, Proxied, Reachable as _, Redis, SOON, Truth, Worker, builder, queue, side_by_side, submit,
};

const OLD_TTL: Duration = Duration::from_secs(2);
/// Outlives the other one's absence.
const NEW_TTL: Duration = Duration::from_secs(6);

/// Which of the two is back first; whether the stream's name stands for it, as that of one that was submitted does; and whether
/// its last owner has finished it while Redis was away, and for how long that was so then.
#[derive(Debug, Clone, Copy)]
struct Case {
    new_first: bool,
    named: bool,
    finished: Option<Duration>,
}

#[test]
fn of_two_workers_that_remember_a_lost_stream_the_last_owner_goes_on_with_it() {
    let both = [true, false];
    let mut rows = Vec::new();
    for (new_first, named) in both.into_iter().flat_map(|first| both.map(|named| (first, named))) {
        // Restored and then finished, or told as finished from memory.
        for finished in [None, Some(Duration::ZERO), Some(NEW_TTL)] {
            let case = Case {
                new_first,
                named,
                finished,
            };
            rows.push((format!("{case:?}"), case));
        }
    }
    side_by_side(crate::TOPOLOGY.at_a_time(8), rows, goes_on_at_the_last);
}

async fn goes_on_at_the_last(case: Case) {
    let server = Redis::start(crate::TOPOLOGY);
    let lived = |at: Address, ttl: Duration| {
        builder(&at)
            .lock_ttl(ttl)
            .heartbeat(Duration::from_millis(300))
            .recovery(streamherd::Recovery {
                min_idle: Some(NEW_TTL + Duration::from_millis(500)),
                ..streamherd_tests::recovery()
            })
    };
    let ways: [Proxied; 2] = [server.proxy().await, server.proxy().await];
    let mut old = Worker::with(lived(ways[0].address(), OLD_TTL)).await;
    if case.named {
        submit(&server, ["s"]).await;
    } else {
        queue(&server, &["s".to_owned()]);
    }
    let first = old.added().await;
    ways[0].refuse(true);
    assert_eq!(old.disowned().await.reason, DisownedReason::DeadlinePassed);
    // Found by the scan, however long that would take.
    let mut truth = Truth::at(&server, "s");
    let mut new = Worker::with(lived(ways[1].address(), NEW_TTL)).await;
    let second = new.added().await;
    assert_eq!((second.original_id(), second.abandonments()), (first.original_id(), 1));
    drop(first);

    ways[1].refuse(true);
    let token = second.token();
    let (held, finished) = match case.finished {
        None => (Some(second), None),
        Some(away) => {
            let done = tokio::spawn(second.done());
            // Not a wait for anything: the outage takes that long.
            tokio::time::sleep(away).await;
            (None, Some(done))
        }
    };
    Truth::of(&server).cmd("FLUSHALL").ok();
    // Somebody who would be given whatever is left over, and who knows the longer of the two lives of locks.
    let mut idle = Worker::with(lived(server.address(), NEW_TTL)).await;
    let (back_first, then) = if case.new_first { (1, 0) } else { (0, 1) };
    ways[back_first].refuse(false);
    eventually(SOON, "the first one has told what it remembers", || {
        let told = !truth.cmd("KEYS T:written:*").array().is_empty();
        async move { told.then_some(()) }
    })
    .await;
    ways[then].refuse(false);
    old.data_loss().await;
    new.data_loss().await;
    // Behind whatever is left over.
    let after = server.beside("s", ["after"]);
    submit(&server, &after).await;
    let mut given = Vec::new();
    let end = Instant::now() + SOON;
    while given.is_empty() {
        assert!(Instant::now() < end, "what was queued last is not handed out");
        for worker in [&mut old, &mut new, &mut idle] {
            worker.listen_for(Duration::from_millis(50)).await;
            while worker.unasked() > 0 {
                given.push(worker.added().await);
            }
        }
    }
    let streams: Vec<&str> = given.iter().map(Lease::stream).collect();
    assert_eq!(streams, after, "something else was handed out");
    assert!(
        given.iter().all(|lease| lease.token() > token),
        "an older token: {given:?}"
    );
    assert!(held.iter().all(Lease::is_valid));
    for lease in given.into_iter().chain(held) {
        lease.done().await.unwrap();
    }
    if let Some(finished) = finished {
        finished.await.unwrap().unwrap();
    }
    truth.becomes_clean().await;
    assert_eq!((new.unasked_disowned(), old.unasked_disowned()), (0, 0));
}
