//! Several servers and several partitions.

use super::{MIN_IDLE, healthy, info, partition, service};
use crate::admin::doctor::together::ORDER;
use crate::admin::doctor::{Verdict, judge};
use crate::config::ClusterMode;
use crate::store::{Answer, ClusterState, Facts, Found, FoundServer, StoreError, Unserved};

/// The server of a cluster on port `700<number>` that holds these partitions.
fn node(number: u16, partitions: &[u16]) -> FoundServer {
    let mut facts = healthy();
    let port = (7_000 + number).to_string();
    facts.place.mode = ClusterMode::Oss;
    facts.place.redis_cli = ["redis-cli", "-c", "-h", "redis", "-p", &port]
        .map(str::to_owned)
        .to_vec();
    facts.place.address = format!("redis:{port}");
    facts.cluster = Some(Ok(ClusterState { ok: true, masters: 3 }));
    info(&mut facts, "cluster_enabled", "1");
    info(&mut facts, "redis_mode", "cluster");
    info(&mut facts, "connected_slaves", "1");
    service(&mut facts).partitions = partitions.iter().map(|number| partition(*number)).collect();
    FoundServer {
        address: facts.place.address.clone(),
        redis_cli: facts.place.redis_cli.clone(),
        partitions: partitions.to_vec(),
        facts: Ok(facts),
    }
}

fn cluster() -> Found {
    Found {
        servers: vec![node(1, &[0, 3]), node(2, &[1, 2]), node(3, &[4, 5])],
        unserved: Vec::new(),
        partitions: 6,
    }
}

fn facts_of(found: &mut Found, server: usize) -> &mut Facts {
    found.servers[server].facts.as_mut().unwrap()
}

#[test]
fn what_is_the_same_on_all_servers_is_told_once() {
    let diagnosis = judge(&cluster(), None, MIN_IDLE);
    assert_eq!(diagnosis.verdict, Verdict::Ok, "{diagnosis:#?}");
    let names: Vec<&str> = diagnosis.checks.iter().map(|check| check.name).collect();
    assert_eq!(names, ORDER);
    assert_eq!((diagnosis.servers.len(), diagnosis.partitions), (3, 6));
    for check in &diagnosis.checks {
        let of = (check.servers.len(), check.partitions.as_slice());
        let wanted = match check.name {
            "partitions" => (0, &[][..]),
            "keys" | "stream_ids" | "group" | "lock_ttl" => (0, &[0, 1, 2, 3, 4, 5][..]),
            _ => (3, &[][..]),
        };
        assert_eq!(of, wanted, "{check:?}");
    }
    let places = &diagnosis.check("partitions").unwrap().found;
    assert_eq!(
        places,
        "6 partitions: 0, 3 on redis:7001; 1, 2 on redis:7002; 4, 5 on redis:7003"
    );
}

#[test]
fn what_is_wrong_on_some_servers_names_them_and_is_mended_on_each() {
    let mut found = cluster();
    for server in [0, 2] {
        info(facts_of(&mut found, server), "maxmemory_policy", "allkeys-lru");
    }
    let diagnosis = judge(&found, None, MIN_IDLE);
    let wrong = diagnosis.check("eviction").unwrap();
    assert_eq!(wrong.servers, ["redis:7001", "redis:7003"]);
    assert_eq!(
        wrong.mend.as_deref().unwrap(),
        "redis-cli -c -h redis -p 7001 CONFIG SET maxmemory-policy noeviction && \
         redis-cli -c -h redis -p 7003 CONFIG SET maxmemory-policy noeviction"
    );
    let fine: Vec<_> = diagnosis
        .checks
        .iter()
        .filter(|check| check.name == "eviction")
        .collect();
    assert_eq!((fine.len(), &fine[1].servers), (2, &vec!["redis:7002".to_owned()]));
}

#[test]
fn rights_that_are_missing_everywhere_are_told_once() {
    let mut found = cluster();
    for server in 0..3 {
        let rights = &mut service(facts_of(&mut found, server)).rights;
        rights.iter_mut().find(|(right, _)| right.command == "XACK").unwrap().1 = Answer::Denied;
    }
    let diagnosis = judge(&found, None, MIN_IDLE);
    let wrong = diagnosis.check("rights").unwrap();
    assert_eq!(
        (wrong.verdict, wrong.servers.len()),
        (Verdict::Failure, 3),
        "{wrong:#?}"
    );
    assert_eq!(
        wrong.mend.as_deref().unwrap().matches("ACL SETUSER app +xack").count(),
        3
    );
}

#[test]
fn partitions_that_wait_for_a_first_worker_are_told_together() {
    let mut found = cluster();
    for server in 0..3 {
        for (number, partition) in service(facts_of(&mut found, server)).partitions.iter_mut().enumerate() {
            partition.keys[2].found = Ok("none".to_owned());
            for lane in &mut partition.lanes {
                (lane.length, lane.has_group) = (Ok(1 + number as u64), Ok(false));
            }
        }
    }
    let diagnosis = judge(&found, None, MIN_IDLE);
    let wrong = diagnosis.check("group").unwrap();
    assert_eq!(
        (wrong.found.as_str(), wrong.partitions.len()),
        ("no group, but entries waiting", 6)
    );
    assert_eq!(
        wrong.mend.as_deref(),
        Some("streamherd --service orders --partitions 6 worker --exec CMD")
    );
}

#[test]
fn a_server_that_does_not_answer_is_a_failure_and_the_others_are_examined() {
    let mut found = cluster();
    found.servers[1].facts = Err(StoreError::interrupted("doctor"));
    let diagnosis = judge(&found, None, MIN_IDLE);
    let wrong = diagnosis.check("topology").unwrap();
    assert_eq!(
        (wrong.verdict, &wrong.partitions[..]),
        (Verdict::Failure, &[1, 2][..]),
        "{wrong:#?}"
    );
    assert_eq!(wrong.servers, ["redis:7002"]);
    assert_eq!(
        wrong.mend.as_deref(),
        Some("redis-cli -c -h redis -p 7001 CLUSTER NODES")
    );
    assert_eq!(
        diagnosis.check("eviction").unwrap().servers,
        ["redis:7001", "redis:7003"]
    );
}

#[test]
fn a_slot_that_nobody_serves_and_a_cluster_that_is_down_are_failures() {
    let mut found = cluster();
    found.servers[2] = node(3, &[4]);
    found.unserved = vec![Unserved { partition: 5, slot: 77 }];
    let diagnosis = judge(&found, None, MIN_IDLE);
    let wrong = diagnosis.check("partitions").unwrap();
    assert_eq!(
        (wrong.verdict, wrong.found.as_str()),
        (Verdict::Failure, "no server holds slot 77")
    );
    assert_eq!(wrong.partitions, [5]);
    assert_eq!(wrong.mend.as_deref(), Some("redis-cli --cluster fix redis:7001"));

    facts_of(&mut found, 0).cluster = Some(Ok(ClusterState { ok: false, masters: 2 }));
    facts_of(&mut found, 0).service = None;
    let diagnosis = judge(&found, None, MIN_IDLE);
    let wrong = diagnosis.check("topology").unwrap();
    assert_eq!((wrong.found.as_str(), wrong.servers.len()), ("cluster_state:fail", 1));
}

#[test]
fn a_master_that_does_most_of_the_work_is_told() {
    let mut found = cluster();
    found.servers = vec![node(1, &[0, 1, 2, 3, 5]), node(2, &[4])];
    let diagnosis = judge(&found, None, MIN_IDLE);
    let wrong = diagnosis.check("partitions").unwrap();
    assert_eq!(wrong.verdict, Verdict::Warning, "{wrong:#?}");
    assert!(
        wrong.meaning.starts_with("5 of 6 partitions are on redis:7001"),
        "{wrong:#?}"
    );

    found.servers = vec![node(1, &[0])];
    found.partitions = 1;
    let diagnosis = judge(&found, None, MIN_IDLE);
    let told = diagnosis.check("partitions").unwrap();
    assert_eq!(
        told.found,
        "1 partition, on redis:7001: one master of 3 does all the work"
    );
    assert_eq!(told.verdict, Verdict::Ok);

    let unsure = StoreError::hello_refused("NOPERM");
    let diagnosis = judge(&found, Some(&unsure), MIN_IDLE);
    let told: Vec<_> = diagnosis
        .checks
        .iter()
        .filter(|check| check.name == "partitions")
        .collect();
    assert_eq!(
        (told.len(), told[0].verdict),
        (1, Verdict::Warning),
        "nobody knows what else there is"
    );
}
