//! How much of a worker and of its server a hostile producer can take up.

use streamherd_testkit::eventually;
use streamherd_tests::{Redis, SOON, Truth, WorkerProcess, names, queue};

const BINARY: &str = env!("CARGO_BIN_EXE_contract-worker");
const MIB: usize = 1024 * 1024;
const HUGE: usize = 12;

/// The most memory that a process has had.
fn peak(pid: u32) -> usize {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).expect("a process that lives");
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix("VmHWM:"))
        .expect("Linux");
    let kib: usize = line.trim().trim_end_matches(" kB").parse().expect("a number");
    kib * 1024
}

#[tokio::test]
async fn entries_of_10_mib_pass_through_a_worker_one_at_a_time_and_work_goes_on() {
    let server = Redis::start(crate::TOPOLOGY);
    let mut truth = Truth::of(&server);
    // Nothing here outlives the server, and a disk is slow.
    truth.cmd("CONFIG SET appendonly no").ok();
    truth.make_groups();
    let good = names("good", 20);
    let huge = vec![b'x'; 10 * MIB];
    for turn in 0..HUGE {
        let words: [&[u8]; 7] = [
            b"XADD",
            b"T:input",
            b"*",
            b"lbs-input",
            br#"{"DataStreamName":"huge"}"#,
            b"blob",
            &huge,
        ];
        truth.call(&words).ok();
        queue(&server, &good[turn..=turn]);
    }
    let mut worker = WorkerProcess::start(BINARY, &server, &["then=done", "slots=64"]);
    worker.says("ready").await;
    let before = peak(worker.process.pid());
    // They are large for a busy machine.
    eventually(3 * SOON, "the huge ones are dead letters", || {
        let dead = truth.cmd("XLEN T:dlq").int();
        async move { (dead == i64::try_from(HUGE).unwrap()).then_some(()) }
    })
    .await;
    worker.says_times("settled", HUGE).await;
    let grown = peak(worker.process.pid()) - before;
    // Some copies of one, and by no means all of them.
    assert!(grown < 160 * MIB, "by {} MiB", grown / MIB);
}
