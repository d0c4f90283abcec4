//! Long sequences of steps for real workers and producers, drawn at random: the same model, in real time.

mod driver;

use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};
use streamherd_tests::Redis;

use self::driver::Driver;
use super::model::{End, Ms};

/// What is put off is put off by hours, so that no test lives to see it come of itself.
const HOUR: Ms = 3_600_000;

/// One step; those that can't be done where they come are left out.
#[derive(Debug, Clone, Copy)]
enum Step {
    /// A submit, so many hours from now.
    Submit(char, u8, Ms),
    /// One that is not coalesced.
    Parallel(char, u8),
    /// What a foreign program adds.
    Add(char, u8),
    Start,
    End(usize, End),
    /// What stands for a name is deleted by another program, and it is submitted again at once, or swept.
    Delete(char, Option<u8>),
    /// The time of what is delayed has come.
    Due(char),
    /// Everything is paused for these submits, and resumed.
    Pause(char, u8),
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let name = || prop_oneof![3 => Just('a'), 2 => Just('b'), 1 => Just('c')];
    let end = prop_oneof![
        3 => Just(End::Done),
        1 => Just(End::Retry(0)),
        2 => (1..8_u64).prop_map(|hours| End::Retry(hours * HOUR)),
        1 => Just(End::Release),
        1 => Just(End::DeadLetter),
        2 => Just(End::Crash),
    ];
    let step = prop_oneof![
        5 => (name(), 1..4_u8).prop_map(|(name, info)| Step::Submit(name, info, 0)),
        3 => (name(), 1..4_u8, 1..8_u64).prop_map(|(name, info, hours)| Step::Submit(name, info, hours)),
        1 => (name(), 1..4_u8).prop_map(|(name, info)| Step::Parallel(name, info)),
        1 => (name(), 1..4_u8).prop_map(|(name, info)| Step::Add(name, info)),
        7 => Just(Step::Start),
        7 => (0..3_usize, end).prop_map(|(at, end)| Step::End(at, end)),
        1 => (name(), proptest::option::of(1..4_u8)).prop_map(|(name, again)| Step::Delete(name, again)),
        2 => name().prop_map(Step::Due),
        1 => (name(), 1..4_u8).prop_map(|(name, info)| Step::Pause(name, info)),
    ];
    proptest::collection::vec(step, 1..30)
}

async fn live_through(server: &Redis, number: u32, steps: &[Step]) {
    let mut driver = Driver::new(server, number).await;
    for (at, step) in steps.iter().enumerate() {
        if driver.step(*step).await {
            driver.check(&steps[..=at]).await;
        }
    }
    driver.drain(steps).await;
    driver.worker.client.shutdown(Duration::ZERO).await;
}

#[test]
fn whatever_producers_and_workers_do_every_wake_up_is_served_and_no_name_is_held_twice() {
    const SIDE_BY_SIDE: u32 = 6;
    let server = Redis::start(crate::TOPOLOGY);
    let number = AtomicU32::new(0);
    let run = || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        let runtime = runtime.expect("a runtime");
        let config = Config {
            cases: 40,
            failure_persistence: None,
            // A case that fails has waited for long.
            max_shrink_time: 60_000,
            ..Config::default()
        };
        let outcome = TestRunner::new(config).run(&steps(), |steps| {
            let number = number.fetch_add(1, Ordering::Relaxed);
            runtime.block_on(live_through(&server, number, &steps));
            Ok(())
        });
        outcome.unwrap_or_else(|e| panic!("{e}"));
    };
    std::thread::scope(|scope| {
        for _ in 0..SIDE_BY_SIDE {
            scope.spawn(run);
        }
    });
}
