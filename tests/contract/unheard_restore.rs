//! Redis came back without its data and was told what its worker holds, which never heard the answer.

use std::sync::Arc;

use streamherd::Settled;
use streamherd::error::SettleError;
use streamherd_testkit::{Fault, Matcher};
use streamherd_tests::{Redis, SOON, TTL, Truth, Worker, builder, side_by_side, submit};

#[test]
fn guarantee_7_what_was_written_back_unheard_is_settled_where_it_is() {
    let rows = ["done", "retry", "suspended"].map(|how| (how.to_owned(), how));
    side_by_side(3, rows.into(), unheard);
}

async fn unheard(how: &str) {
    let server = Redis::start(crate::TOPOLOGY);
    let proxy = Arc::new(server.proxy().await);
    let mut worker = Worker::with(builder(&*proxy)).await;
    submit(&server, ["a"]).await;
    let lease = worker.added().await;
    let (origin, lost) = (lease.original_id(), lease.lost().clone());
    // It is asked whether it has the entry; then it is told the entry, and nobody hears the answer.
    let written = Matcher::script("restore");
    let cut = Arc::clone(&proxy);
    let fault = proxy.on(
        server.at_home("a", written),
        2,
        Fault::After(Box::new(move || cut.refuse(true))),
    );
    Truth::at(&server, "a").cmd("FLUSHALL").ok();
    fault.wait_fired(SOON).await;
    let settling = match how {
        "done" => Some(tokio::spawn(lease.done())),
        "retry" => Some(tokio::spawn(lease.retry(streamherd::RetryAfter::now()))),
        _ => None,
    };
    if settling.is_none() {
        lost.cancelled().await;
    } else {
        // Longer than the lease lasts.
        tokio::time::sleep(TTL).await;
    }
    let mut truth = Truth::at(&server, "a");
    assert_eq!(truth.length(), 1, "it was written anew");
    proxy.refuse(false);
    if let Some(settling) = settling {
        let outcome: Result<Settled, SettleError> = settling.await.unwrap();
        assert!(outcome.is_ok(), "{outcome:?}");
    }
    if how == "done" {
        truth.becomes_clean().await;
        worker.listen_for(TTL).await;
        assert_eq!(worker.unasked(), 0, "it was done");
        return;
    }
    let again = worker.added().await;
    assert_eq!(again.original_id(), origin);
    assert_eq!((again.failures(), again.abandonments()), (u32::from(how == "retry"), 0));
    again.done().await.unwrap();
    truth.becomes_clean().await;
    assert_eq!(worker.unasked(), 0, "it was handed out once");
}
