//! Waiting with a deadline.

use std::time::{Duration, Instant};

use streamherd_testkit::{eventually, eventually_blocking};

const SHORT: Duration = Duration::from_millis(60);

#[tokio::test]
async fn the_first_some_ends_the_wait() {
    let mut probes = 0;
    let found = eventually(Duration::from_secs(10), "the third probe", || {
        probes += 1;
        std::future::ready((probes == 3).then_some("found"))
    })
    .await;
    assert_eq!((found, probes), ("found", 3));
}

#[tokio::test]
async fn a_spawned_task_can_wait_with_state_of_its_own() {
    let task = tokio::spawn(async {
        let counter = std::sync::Arc::new(std::sync::atomic::AtomicUsize::new(0));
        eventually(Duration::from_secs(10), "two probes", || {
            let counter = counter.clone();
            async move {
                let seen = counter.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
                (seen == 2).then_some(seen)
            }
        })
        .await
    });
    assert_eq!(task.await.unwrap(), 2);
}

#[tokio::test]
#[should_panic(expected = "did not happen within 60ms: the moon turns green")]
async fn the_deadline_panics_with_what_was_waited_for() {
    eventually::<(), _, _>(SHORT, "the moon turns green", async || None).await;
}

#[tokio::test]
#[should_panic(expected = "tests/eventually.rs")]
async fn the_panic_names_the_place_of_the_call() {
    eventually::<(), _, _>(SHORT, "the moon turns green", async || None).await;
}

#[tokio::test]
#[should_panic(expected = "the last probe did not return")]
async fn a_probe_that_never_returns_is_given_up() {
    eventually::<(), _, _>(SHORT, "silence ends", std::future::pending).await;
}

#[test]
fn the_blocking_form_returns_what_was_found() {
    let started = Instant::now();
    let found = eventually_blocking(Duration::from_secs(10), "30 ms pass", || {
        Some(started.elapsed()).filter(|passed| *passed >= Duration::from_millis(30))
    });
    assert!(found >= Duration::from_millis(30));
}

#[test]
#[should_panic(expected = "did not happen within 60ms: the moon turns green")]
fn the_blocking_form_panics_with_what_was_waited_for() {
    eventually_blocking::<()>(SHORT, "the moon turns green", || None);
}
