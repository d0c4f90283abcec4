//! What the commands of an operator print of a service with several partitions.

use std::process::Command;

use serde_json::Value;
use streamherd::partition_of;
use streamherd_testkit::{Cluster, Server};

use crate::support::{SERVICE, at, run, stderr, stdout, streamherd};

fn divided(server: &Server) -> Command {
    let mut command = at(server);
    command.args(["--partitions", "3"]);
    command
}

/// Submits streams to a service that has three partitions from then on.
fn submit(server: &Server, names: &[&str]) {
    let output = run(divided(server).arg("submit").args(names));
    assert!(output.status.success(), "{}", stderr(&output));
}

/// One dead letter in each partition, all with the same id.
fn bury(server: &Server) {
    for partition in 0..3 {
        let key = format!("{{orders:{partition}}}:dlq");
        let input = format!("{{\"DataStreamName\":\"dead-{partition}\",\"Info\":null}}");
        let words = ["XADD", &key, "1000-0", "lbs-input", &input, "_sh_reason", "rejected"];
        server.client().call(&words).ok();
    }
}

#[test]
fn status_has_a_line_for_each_partition_and_asks_how_many_there_are() {
    let server = Server::start();
    let names = ["a", "b", "c", "d", "e"];
    submit(&server, &names);
    let of = |partition: u16| names.iter().filter(|name| partition_of(name, 3) == partition).count();
    let table = stdout(&run(at(&server).arg("status")));
    let lines: Vec<Vec<&str>> = table.lines().map(|line| line.split_whitespace().collect()).collect();
    let head = lines
        .iter()
        .position(|line| line.first() == Some(&"partition"))
        .unwrap_or_else(|| panic!("{table}"));
    let address = format!("127.0.0.1:{}", server.port());
    for partition in 0..3_u16 {
        let counts = (partition.to_string(), of(partition).to_string());
        assert_eq!(
            lines[head + 1 + usize::from(partition)],
            [counts.0.as_str(), &counts.1, "0", "0", "0", "0", &address],
            "{table}"
        );
    }
    let output = run(at(&server).args(["--output", "json", "status"]));
    let status: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(status["queued"], 5);
    let partitions = status["partitions"].as_array().unwrap();
    assert_eq!(partitions.len(), 3);
    assert_eq!(
        (&partitions[1]["partition"], &partitions[1]["server"]),
        (&1.into(), &address.as_str().into())
    );

    let refused = run(at(&server).args(["--partitions", "4", "status"]));
    assert_eq!(refused.status.code(), Some(2));
    assert!(stderr(&refused).contains("has 3 partitions"), "{}", stderr(&refused));
    assert!(stderr(&refused).contains("(--partitions)"), "{}", stderr(&refused));
}

#[test]
fn a_service_with_one_partition_looks_as_it_always_did() {
    let server = Server::start();
    run(at(&server).args(["submit", "a"]));
    let table = stdout(&run(at(&server).arg("status")));
    assert!(!table.contains("partition"), "{table}");
    let output = run(at(&server).args(["--output", "json", "status"]));
    let status: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(
        status["partitions"].as_array().unwrap().len(),
        1,
        "to programs it is always told"
    );
}

#[test]
fn leases_and_requeues_say_which_partition() {
    let server = Server::start();
    submit(&server, &["a"]);
    let partition = partition_of("a", 3).to_string();
    let output = run(at(&server).args(["requeue", "a"]));
    assert!(
        stdout(&output).ends_with(&format!("  a  (was queued already, partition {partition})\n")),
        "{}",
        stdout(&output)
    );
    let output = run(at(&server).args(["--output", "json", "requeue", "a"]));
    let line: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(line["partition"].to_string(), partition);
    let input = format!("{{orders:{partition}}}:input");
    let mut redis = server.client();
    redis.cmd(&format!("XGROUP CREATE {input} workers 0")).ok();
    redis
        .cmd(&format!("XREADGROUP GROUP workers ghost STREAMS {input} >"))
        .ok();
    let table = stdout(&run(at(&server).args(["status", "--leases"])));
    let row = table
        .lines()
        .find(|line| line.starts_with("a "))
        .unwrap_or_else(|| panic!("{table}"));
    assert!(row.ends_with(&format!("  {partition}")), "{table}");
}

#[test]
fn a_dead_letter_is_named_by_its_partition_and_its_id() {
    let server = Server::start();
    submit(&server, &["a"]);
    bury(&server);
    let table = stdout(&run(at(&server).args(["dlq", "list"])));
    for partition in 0..3 {
        let row = table.lines().find(|line| line.contains(&format!("dead-{partition}")));
        assert!(row.unwrap().starts_with(&format!("{partition}/1000-0 ")), "{table}");
    }
    let shown = stdout(&run(at(&server).args(["dlq", "show", "2/1000-0"])));
    assert!(
        shown.starts_with("letter    2/1000-0 ") && shown.contains("dead-2"),
        "{shown}"
    );
    let shown = run(at(&server).args(["--output", "json", "dlq", "show", "1/1000-0"]));
    let letter: Value = serde_json::from_slice(&shown.stdout).unwrap();
    assert_eq!((&letter["partition"], &letter["id"]), (&1.into(), &"1000-0".into()));

    // It could be any of three.
    for command in [
        &["show", "1000-0"][..],
        &["redrive", "1000-0"],
        &["purge", "--yes", "1000-0"],
    ] {
        let output = run(at(&server).arg("dlq").args(command));
        assert_eq!(output.status.code(), Some(2), "{command:?}");
        assert!(stderr(&output).contains("like 2/1000-0"), "{}", stderr(&output));
    }
    let output = run(at(&server).args(["dlq", "purge", "--yes", "1/1000-0"]));
    assert_eq!(stdout(&output), "1/1000-0  purged  dead-1\n", "{}", stderr(&output));
    let output = run(at(&server).args(["--output", "json", "dlq", "redrive", "2/1000-0"]));
    let line: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(
        (&line["partition"], &line["id"], &line["outcome"]),
        (&2.into(), &"1000-0".into(), &"redriven".into())
    );
    let gone = run(at(&server).args(["dlq", "show", "7/1000-0"]));
    assert_eq!(gone.status.code(), Some(1));
    assert!(stderr(&gone).contains("no dead letter 7/1000-0"), "{}", stderr(&gone));
}

#[test]
fn doctor_says_on_which_servers_of_a_cluster_and_where_the_partitions_are() {
    let cluster = Cluster::builder().replicas_per_master(0).start();
    let at = |words: &[&str]| {
        let url = cluster.url();
        run(streamherd().args(["--url", &url, "--service", SERVICE]).args(words))
    };
    let output = at(&["--partitions", "6", "submit", "a"]);
    assert!(output.status.success(), "{}", stderr(&output));
    let owner = cluster.owner_of("{orders:0}:input");
    cluster
        .client(owner)
        .cmd("CONFIG SET maxmemory-policy allkeys-lru")
        .ok();
    let output = at(&["doctor"]);
    let text = stdout(&output);
    assert_eq!(output.status.code(), Some(1), "{text}{}", stderr(&output));
    let address = format!("127.0.0.1:{}", cluster.node(owner).port());
    let line = |begins: &str| {
        text.lines()
            .find(|line| line.starts_with(begins))
            .unwrap_or_else(|| panic!("{text}"))
    };
    assert!(line("✗ eviction").ends_with(&format!("  ({address})")), "{text}");
    assert!(line("✓ rights").ends_with(" servers)"), "{text}");
    assert!(line("✓ keys").ends_with("  (all 6 partitions)"), "{text}");
    assert!(text.contains(" 6 partitions: "), "{text}");
}

#[test]
fn status_shows_what_answers_and_fails_for_the_rest() {
    let cluster = Cluster::builder().replicas_per_master(0);
    let mut cluster = cluster.arg("--cluster-require-full-coverage", "no").start();
    let url = cluster.url();
    let at = |words: &[&str]| run(streamherd().args(["--url", &url, "--service", SERVICE]).args(words));
    let output = at(&["--partitions", "6", "submit", "a"]);
    assert!(output.status.success(), "{}", stderr(&output));
    let alive = cluster.owner_of("{orders:0}:input");
    let dead = (0..3).find(|node| *node != alive).unwrap();
    let address = format!("127.0.0.1:{}", cluster.node(dead).port());
    cluster.kill(dead);
    let output = at(&["status"]);
    let table = stdout(&output);
    assert_eq!(output.status.code(), Some(1), "{table}");
    let row = table.lines().find(|line| line.ends_with(&address));
    assert!(row.unwrap_or_else(|| panic!("{table}")).contains("  ?  "), "{table}");
    assert!(
        stderr(&output).contains("no answer for partition"),
        "{}",
        stderr(&output)
    );
}
