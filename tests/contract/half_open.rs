//! A network that has forgotten a connection, and tells neither side.

use streamherd_testkit::eventually;
use streamherd_tests::{Redis, SOON, builder};

/// Does something until it works, over connections that have lost a reply and hear nothing any more.
async fn works_again<T, F: Future<Output = Option<T>>>(what: &str, act: impl Fn() -> F) {
    eventually(SOON, what, act).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_producer_and_an_admin_open_another_connection_where_theirs_has_gone_silent() {
    let server = Redis::start(crate::TOPOLOGY);
    let proxy = server.proxy().await;
    let at = || builder(&proxy).command_timeout(streamherd_tests::TTL / 6);
    let producer = at().connect_producer().await.unwrap();
    let admin = at().connect_admin().await.unwrap();
    producer.submit("before", &()).await.unwrap();
    admin.status().await.unwrap();
    proxy.mute(true);
    for stream in server.each_partition() {
        assert!(producer.submit(&stream, &()).await.is_err());
    }
    assert!(admin.status().await.is_err());
    proxy.mute(false);
    for stream in server.each_partition() {
        let producer = &producer;
        works_again("a stream is submitted", || {
            let stream = stream.clone();
            async move { producer.submit(&stream, &()).await.ok() }
        })
        .await;
    }
    works_again("the status is told", || async { admin.status().await.ok() }).await;
    producer.close().await;
}
