//! What a worker and a job cost Redis, on every topology: commands and connections, which are in docs/ARCHITECTURE.md and
//! can't grow unseen.

mod counting;

use std::path::Path;
use std::time::Duration;

use streamherd::{Builder, Client};
use streamherd_testkit::{Cluster, Sentinels, Server, eventually};
use streamherd_tests::{SERVICE, SOON, Worker, patiently};

use self::counting::{Count, Servers};
use super::load::turn;

const JOBS: u32 = 300;
/// Long enough for everything that is done every few seconds.
const IDLE: Duration = Duration::from_secs(12);
const PAUSE: Duration = Duration::from_millis(20);
/// What a busy machine may add to the count of a job: some batch that was sent in two parts.
const SLACK: f64 = 0.5;

/// What one topology costs.
#[derive(Debug, Clone, PartialEq)]
struct Cost {
    name: &'static str,
    connections: usize,
    /// Per job.
    job: Count,
    /// Per second of a worker that has nothing to do.
    idle: Count,
}

/// A worker as it comes, without any setting that would change what is counted.
fn builder(url: &str, partitions: u16) -> Builder {
    Client::builder(SERVICE).url(url).consumer("w").partitions(partitions)
}

async fn measure(name: &'static str, url: String, partitions: u16, mut servers: Servers) -> Cost {
    let others = servers.connections();
    let mut worker = Worker::with(builder(&url, partitions)).await;
    let connections = steady(&mut servers, &others).await;
    let producer = patiently(|| builder(&url, partitions).connect_producer()).await;

    // What others do to these servers, the testkit and their own kind, is in both counts.
    let idle = servers.during(async || tokio::time::sleep(IDLE).await).await;
    let busy = servers
        .during(async || {
            // One after the other: nothing is shared between two of them.
            for n in 0..JOBS {
                // Each finds the worker waiting, as it will be after a while; one that comes sooner saves it a read.
                tokio::time::sleep(PAUSE).await;
                producer.submit(&format!("job-{n}"), &()).await.expect("it is accepted");
                worker.added().await.done().await.expect("it is settled");
            }
        })
        .await;
    producer.close().await;
    worker.client.shutdown(Duration::ZERO).await;
    let job = busy.less(&idle, busy.seconds).per(f64::from(JOBS));
    let noise = servers.during(async || tokio::time::sleep(IDLE / 3).await).await;
    Cost {
        name,
        connections,
        job,
        idle: idle.less(&noise, idle.seconds).per(idle.seconds),
    }
}

/// How many connections the worker has once it opens and closes none any more: it looks around with some at first.
async fn steady(servers: &mut Servers, others: &counting::Connections) -> usize {
    let mut before = (usize::MAX, 0);
    let servers = std::sync::Mutex::new(servers);
    eventually(SOON, "the worker's connections stay the same for a while", || {
        let now = servers.lock().expect("nobody panicked").connections().without(others);
        before = if now == before.0 { (now, before.1 + 1) } else { (now, 0) };
        let steady = (before.1 >= 30).then_some(now);
        async move {
            // As often as it looks around itself, and longer.
            tokio::time::sleep(Duration::from_millis(100)).await;
            steady
        }
    })
    .await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_job_and_an_idle_worker_cost_no_more_than_the_architecture_says() {
    let _turn = turn().await;
    let standalone = Server::start();
    let sentinels = Sentinels::start();
    let one = Cluster::start();
    let six = Cluster::start();
    let (alone, watched, single, spread) = tokio::join!(
        measure("standalone", standalone.url(), 1, Servers::of(&standalone)),
        measure("Sentinel", sentinels.url(), 1, Servers::of_sentinels(&sentinels)),
        measure("cluster, 1 partition", one.url(), 1, Servers::of_cluster(&one)),
        measure("cluster, 6 partitions", six.url(), 6, Servers::of_cluster(&six)),
    );
    let costs = [alone, watched, single, spread];
    for cost in &costs {
        println!("{cost:?}");
    }
    compare(&costs);
}

const BEGIN: &str = "<!-- from tests/topology/costs -->\n";
const END: &str = "<!-- end of costs -->";

/// With STREAMHERD_BLESS=1 in the environment it writes the documentation instead.
fn compare(costs: &[Cost]) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/ARCHITECTURE.md");
    let docs = std::fs::read_to_string(&path).expect("the documentation");
    let (before, rest) = docs.split_once(BEGIN).expect("the table's beginning");
    let (found, after) = rest.split_once(END).expect("the table's end");
    if std::env::var_os("STREAMHERD_BLESS").is_some() {
        let text = format!("{before}{BEGIN}{}{END}{after}", table(costs));
        std::fs::write(&path, text).expect("the documentation can be written");
        return;
    }
    let written: Vec<[f64; 5]> = found.lines().filter_map(row).collect();
    assert_eq!(written.len(), costs.len(), "{STALE}:\n{}", table(costs));
    for (cost, [connections, scripts, commands, idle_scripts, idle_commands]) in costs.iter().zip(written) {
        let name = cost.name;
        #[expect(clippy::cast_precision_loss, reason = "a few dozen at most")]
        let opened = cost.connections as f64;
        assert!(
            (opened - connections).abs() < 0.1,
            "{name}: {opened} connections; {STALE}"
        );
        for (what, measured, written) in [
            ("scripts per job", cost.job.scripts, scripts),
            ("commands per job", cost.job.commands, commands),
        ] {
            let near = measured < written + SLACK && measured > written - 2.0;
            assert!(near, "{name}: {measured} {what}, not {written}; {STALE}");
        }
        for (what, measured, written) in [
            ("idle scripts", cost.idle.scripts, idle_scripts),
            ("idle commands", cost.idle.commands, idle_commands),
        ] {
            // A busy machine does less of what it does by the clock.
            assert!(
                measured < written * 1.2 + SLACK,
                "{name}: {measured} {what}, not {written}; {STALE}"
            );
        }
    }
}

const STALE: &str = "docs/ARCHITECTURE.md is stale; run this test with STREAMHERD_BLESS=1";

fn table(costs: &[Cost]) -> String {
    let mut text = "| topology | connections of a worker | scripts per job | commands per job | scripts per second, idle | commands per second, idle |\n|---|---|---|---|---|---|\n".to_owned();
    for Cost {
        name,
        connections,
        job,
        idle,
    } in costs
    {
        text += &format!(
            "| {name} | {connections} | {:.0} | {:.0} | {:.1} | {:.0} |\n",
            job.scripts, job.commands, idle.scripts, idle.commands
        );
    }
    text
}

/// The numbers of a row.
fn row(line: &str) -> Option<[f64; 5]> {
    let cells: Vec<f64> = line
        .split('|')
        .skip(2)
        .filter_map(|cell| cell.trim().parse().ok())
        .collect();
    cells.try_into().ok()
}

#[test]
fn a_row_that_was_written_is_read() {
    let count = |scripts, commands| Count {
        scripts,
        commands,
        seconds: 1.0,
    };
    let cost = Cost {
        name: "cluster, 6 partitions",
        connections: 16,
        job: count(4.2, 30.4),
        idle: count(1.26, 7.9),
    };
    let table = table(&[cost]);
    let rows: Vec<_> = table.lines().filter_map(row).collect();
    assert_eq!(rows, [[16.0, 4.0, 30.0, 1.3, 8.0]]);
}
