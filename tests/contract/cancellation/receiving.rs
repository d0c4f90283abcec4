//! `Notifications::recv`.

use std::collections::BTreeMap;
use std::time::Duration;

use streamherd::Notification;
use streamherd_tests::{Redis, SOON, Truth, builder, dropped_after, dropped_as_woken, names, queue};

/// `Notifications::recv` sends nothing, so it is dropped by polls alone.
const RECV: &str = "Notifications::recv";

#[tokio::test]
async fn a_dropped_recv_loses_no_notification() {
    let server = Redis::start(crate::TOPOLOGY);
    let mut truth = Truth::of(&server);
    let (client, mut notifications) = builder(&server).max_in_flight(3).connect().await.unwrap();
    let wanted = names("s", 30);
    let mut given = BTreeMap::<String, usize>::new();
    let mut dropped = 0;
    for (round, name) in wanted.iter().enumerate() {
        assert!(dropped_after(0, notifications.recv()).await.is_none());
        // Nothing waits, or what does is received.
        let mut told = dropped_after(1, notifications.recv()).await;
        dropped += usize::from(told.is_none());
        queue(&server, std::slice::from_ref(name));
        while told.is_none() {
            told = if round % 2 == 0 {
                let woken = tokio::time::timeout(SOON, dropped_as_woken(1, notifications.recv())).await;
                let told = woken.expect("a stream wakes it");
                dropped += usize::from(told.is_none());
                told
            } else {
                let told = tokio::time::timeout(SOON, notifications.recv()).await;
                Some(told.expect("a stream is told of"))
            };
        }
        let Some(Some(Notification::StreamAdded(lease))) = told else {
            panic!("{RECV}: only streams are told of");
        };
        assert_eq!(lease.attempt(), 0, "{} was not dropped before", lease.stream());
        *given.entry(lease.stream().to_owned()).or_default() += 1;
        lease.done().await.unwrap();
    }
    assert!(dropped > wanted.len(), "it was dropped in either way: {dropped}");
    assert_eq!(given.len(), wanted.len());
    assert!(given.values().all(|times| *times == 1), "{given:?}");
    assert!(truth.is_clean());
    client.shutdown(Duration::ZERO).await;
    drop((client, notifications));
    super::nothing_is_left(&mut truth).await;
}
