//! Every short sequence of steps, and many long ones, on the scripts alone: no worker, no task, and a clock that stands
//! still until it is told to move.

mod driver;

use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};
use streamherd_tests::Redis;

use self::driver::{Driver, EPOCH, SECOND, SERVICE, WORKER};
use super::model::{End, Ms};
use super::{key, wire};

/// One step; those that can't be done where they come are left out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Step {
    /// A submit, so many seconds from now.
    Submit(char, u8, Ms),
    Add(char, u8),
    /// What another program adds pretends to be coalesced.
    Forge(char, u8),
    Start,
    /// Of the run with this number among those that go on.
    End(usize, End),
    /// Acknowledged by another program, its worker dead.
    Strand(usize),
    Delete(char),
    Sweep,
    /// The clock moves on by seconds, and what is due is queued.
    Tick(Ms),
    /// The clock is set back.
    Back(Ms),
}

const ALPHABET: [Step; 16] = [
    Step::Submit('a', 1, 0),
    Step::Submit('a', 2, 0),
    Step::Submit('a', 1, 20),
    Step::Submit('a', 2, 10),
    Step::Submit('a', 2, 30),
    Step::Forge('a', 1),
    Step::Start,
    Step::End(0, End::Done),
    Step::End(0, End::Retry(0)),
    Step::End(0, End::Retry(15 * SECOND)),
    Step::End(0, End::DeadLetter),
    Step::End(0, End::Crash),
    Step::Strand(0),
    Step::Delete('a'),
    Step::Sweep,
    Step::Tick(10),
];

/// All sequences that begin like this one and are no longer than that. Returns how many there are.
fn explore(driver: &mut Driver, steps: &mut Vec<Step>, longest: usize) -> usize {
    let mut count = 0;
    for step in ALPHABET {
        steps.push(step);
        if driver.sequence(steps) {
            driver.check(steps);
            if steps.len() == longest {
                driver.drain(steps);
                count += 1;
            } else {
                count += explore(driver, steps, longest);
            }
        }
        steps.pop();
    }
    count
}

#[test]
fn every_short_sequence_of_steps_leaves_what_the_model_leaves() {
    let server = Redis::start(crate::TOPOLOGY);
    let mut driver = Driver::new(&server);
    let count = explore(&mut driver, &mut Vec::new(), 4);
    println!("{count} sequences");
    assert!(count > 3_000, "{count}");
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let name = || prop_oneof![Just('a'), Just('b'), Just('c')];
    let end = prop_oneof![
        3 => Just(End::Done),
        1 => Just(End::Retry(0)),
        1 => (1..40u64).prop_map(|s| End::Retry(s * SECOND)),
        1 => Just(End::Release),
        1 => Just(End::DeadLetter),
        2 => Just(End::Crash),
    ];
    let step = prop_oneof![
        4 => (name(), 1..4u8).prop_map(|(name, info)| Step::Submit(name, info, 0)),
        3 => (name(), 1..4u8, 1..40u64).prop_map(|(name, info, wait)| Step::Submit(name, info, wait)),
        1 => (name(), 1..4u8).prop_map(|(name, info)| Step::Add(name, info)),
        1 => (name(), 1..4u8).prop_map(|(name, info)| Step::Forge(name, info)),
        6 => Just(Step::Start),
        6 => (0..3usize, end).prop_map(|(at, end)| Step::End(at, end)),
        1 => (0..3usize).prop_map(Step::Strand),
        1 => name().prop_map(Step::Delete),
        1 => Just(Step::Sweep),
        2 => (1..30u64).prop_map(Step::Tick),
        1 => (1..10u64).prop_map(Step::Back),
    ];
    proptest::collection::vec(step, 1..60)
}

#[test]
fn long_sequences_of_steps_over_several_names_leave_what_the_model_leaves() {
    let server = Redis::start(crate::TOPOLOGY);
    let driver = std::cell::RefCell::new(Driver::new(&server));
    let config = Config {
        cases: 400,
        failure_persistence: None,
        ..Config::default()
    };
    TestRunner::new(config)
        .run(&steps(), |steps| {
            let mut driver = driver.borrow_mut();
            driver.reset();
            for (at, step) in steps.iter().enumerate() {
                if driver.step(*step) {
                    driver.check(&steps[..=at]);
                }
            }
            driver.drain(&steps);
            Ok(())
        })
        .unwrap_or_else(|e| panic!("{e}"));
}

#[test]
fn a_name_whose_record_names_an_entry_of_another_is_queued() {
    let server = Redis::start(crate::TOPOLOGY);
    let mut driver = Driver::new(&server);
    driver.reset();
    let words = ["XADD", &key(SERVICE, "input"), "*", "lbs-input", &wire('b', 1)];
    let id = driver.redis.call(&words).text();
    let record = "redis.call('HSET', KEYS[1], 'a', cmsgpack.pack({ARGV[1]}))";
    driver
        .redis
        .call(&["EVAL", record, "1", &key(SERVICE, "live"), &id])
        .ok();
    assert_eq!(driver.submit(&["now", "0", "a", &wire('a', 1)]), "new");
}

#[test]
fn large_wishes_are_moved_a_few_at_a_time() {
    let server = Redis::start(crate::TOPOLOGY);
    let mut driver = Driver::new(&server);
    driver.reset();
    let large = "x".repeat(900_000);
    let names: Vec<char> = ('a'..='t').collect();
    for name in &names {
        driver.step(Step::Submit(*name, 1, 0));
        driver.step(Step::Start);
        driver.submit(&["now", "0", &name.to_string(), &large]);
    }
    let swept = driver.run("sweep_live", &[], &[EPOCH, "50"]);
    assert_eq!(swept[1].int(), 0, "there is more");
    let mut left = names.len();
    let mut steps = vec!["[]".to_owned()];
    for lease in &driver.leases {
        let name = lease.name.map(String::from).unwrap_or_default();
        let step = ["done", &lease.id, &lease.value, &name, "", "", "0", "0"];
        steps.extend(step.map(str::to_owned));
    }
    for batch in 1..=names.len() {
        let batch = batch.to_string();
        let mut words = vec![EPOCH, WORKER, &batch, "0", "0", "1000", "1048576"];
        words.extend(steps.iter().map(String::as_str));
        let answers = driver.run("settle", &[], &words);
        let done = answers[2..].iter().filter(|one| one.array()[0].text() == "ok").count();
        assert!((1..10).contains(&done), "{done}");
        left -= done;
        if left == 0 {
            return;
        }
    }
    panic!("{left} are never done");
}
