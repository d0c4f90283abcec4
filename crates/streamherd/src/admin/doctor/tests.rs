mod cluster;
mod wrong;

use std::collections::BTreeMap;
use std::time::Duration;

use super::words::{shell, shell_word};
use super::{Diagnosis, Verdict};
use crate::config::ClusterMode;
use crate::id::StreamId;
use crate::keys::{Keys, Service};
use crate::store::{
    Answer, Asker, Clock, Facts, Found, FoundServer, KeyFact, LaneFact, Need, PartitionFacts, Refusal, Role,
    ServiceFacts, channel_rule, key_rules,
};

const NOW: u64 = 1_795_000_000_000_000;
const MIN_IDLE: Duration = Duration::from_millis(6_500);

fn map(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
    pairs
        .iter()
        .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
        .collect()
}

fn refusal(command: &str, text: &str, rule: Option<&str>) -> Refusal {
    Refusal {
        rule: rule.map(str::to_owned),
        command: command.to_owned(),
        text: text.to_owned(),
    }
}

/// A partition in which everything is as it should be.
fn partition(number: u16) -> PartitionFacts {
    let keys = Keys::new(&Service::parse("orders").unwrap(), number);
    let key = |key: &String, expected, found: &str| KeyFact {
        key: key.clone(),
        expected,
        found: Ok(found.to_owned()),
        allowed: true,
        last_id: Ok(Some(StreamId {
            ms: NOW / 1_000,
            seq: 0,
        })),
    };
    PartitionFacts {
        number,
        keys: vec![
            key(&keys.input, "stream", "stream"),
            key(&keys.front, "stream", "stream"),
            key(&keys.input.replace("input", "epoch"), "string", "string"),
        ],
        lanes: vec![
            LaneFact {
                length: Ok(3),
                has_group: Ok(true),
            };
            2
        ],
        lock_ttl: Ok(Some((6_000, NOW / 1_000 + 1))),
    }
}

/// A server on which everything is as it should be.
fn healthy() -> Facts {
    let keys = Keys::new(&Service::parse("orders").unwrap(), 0);
    let (role, mode) = (Role::Worker, ClusterMode::Standalone);
    Facts {
        place: Asker {
            mode,
            redis_cli: ["redis-cli", "-h", "redis", "-p", "6379"].map(str::to_owned).to_vec(),
            address: "redis:6379".to_owned(),
            user: "app".to_owned(),
            service: "orders".to_owned(),
            role,
            key_rules: key_rules(&keys),
            channel_rule: channel_rule(&keys, 0),
            smallest: role.rules(&keys, 0, mode, |need| need == Need::Required),
        },
        info: Ok(map(&[
            ("redis_version", "7.0.15"),
            ("redis_mode", "standalone"),
            ("role", "master"),
            ("connected_slaves", "0"),
            ("cluster_enabled", "0"),
            ("maxmemory_policy", "noeviction"),
            ("maxmemory", "0"),
            ("used_memory", "1000000"),
            ("aof_enabled", "1"),
        ])),
        config: Ok(map(&[
            ("appendfsync", "everysec"),
            ("save", ""),
            ("notify-keyspace-events", "xK"),
            ("timeout", "0"),
        ])),
        clock: Ok(Clock {
            before: NOW,
            server: NOW,
            after: NOW,
        }),
        cluster: None,
        service: Some(ServiceFacts {
            rights: role.rights().map(|right| (right, Answer::Allowed)).collect(),
            script: Ok(()),
            write: Ok("ERR The ID specified in XADD must be greater than 0-0".to_owned()),
            partitions: vec![partition(0)],
        }),
    }
}

/// Of a service with one partition on one server.
fn judge(facts: &Facts, min_idle: Duration) -> Diagnosis {
    let server = FoundServer {
        address: facts.place.address.clone(),
        redis_cli: facts.place.redis_cli.clone(),
        partitions: vec![0],
        facts: Ok(facts.clone()),
    };
    let found = Found {
        servers: vec![server],
        unserved: Vec::new(),
        partitions: 1,
    };
    super::judge(&found, None, min_idle)
}

#[test]
fn nothing_is_wrong_where_nothing_is() {
    let diagnosis = judge(&healthy(), MIN_IDLE);
    for check in &diagnosis.checks {
        assert_eq!((check.verdict, &check.mend), (Verdict::Ok, &None), "{check:#?}");
    }
    assert_eq!(diagnosis.verdict, Verdict::Ok);
}

type Change = fn(&mut Facts);

fn info(facts: &mut Facts, name: &str, value: &str) {
    facts.info.as_mut().unwrap().insert(name.to_owned(), value.to_owned());
}

fn config(facts: &mut Facts, name: &str, value: &str) {
    facts.config.as_mut().unwrap().insert(name.to_owned(), value.to_owned());
}

fn service(facts: &mut Facts) -> &mut ServiceFacts {
    facts.service.as_mut().unwrap()
}

/// Its first partition.
fn of(facts: &mut Facts) -> &mut PartitionFacts {
    &mut service(facts).partitions[0]
}

fn write(facts: &mut Facts, text: &str) {
    service(facts).write = Ok(text.to_owned());
}

#[test]
fn what_is_only_just_right_is_right() {
    let fine: &[Change] = &[
        |f| info(f, "redis_version", "6.2.0"),
        |f| info(f, "connected_slaves", "2"),
        |f| info(f, "maxmemory", "1200000"),
        |f| config(f, "notify-keyspace-events", "AKE"),
        |f| f.clock.as_mut().unwrap().server += 500_000,
        // The way there and back is no skew.
        |f| f.clock.as_mut().unwrap().after += 5_000_000,
        |f| {
            of(f).keys[0].last_id = Ok(Some(StreamId {
                ms: NOW / 1_000 + 60_000,
                seq: 0,
            }))
        },
        |f| of(f).keys[0].last_id = Ok(None),
        |f| of(f).lock_ttl = Ok(Some((6_500, NOW / 1_000 + 1))),
        // Nobody has said so for a while.
        |f| of(f).lock_ttl = Ok(Some((60_000, NOW / 1_000 - 1))),
        |f| of(f).lock_ttl = Ok(None),
        |f| {
            let service = of(f);
            for key in &mut service.keys {
                key.found = Ok("none".to_owned());
            }
            for lane in &mut service.lanes {
                (lane.length, lane.has_group) = (Ok(0), Ok(false));
            }
        },
    ];
    for (number, change) in fine.iter().enumerate() {
        let mut facts = healthy();
        change(&mut facts);
        let diagnosis = judge(&facts, MIN_IDLE);
        assert_eq!(diagnosis.verdict, Verdict::Ok, "row {number}: {diagnosis:#?}");
    }
}

#[test]
fn a_valkey_is_called_by_its_own_name() {
    let mut facts = healthy();
    info(&mut facts, "redis_version", "7.2.4");
    info(&mut facts, "valkey_version", "8.0.1");
    let diagnosis = judge(&facts, MIN_IDLE);
    assert_eq!(diagnosis.check("server_version").unwrap().found, "Valkey 8.0.1");
}

#[test]
fn words_are_quoted_where_a_shell_would_read_more() {
    assert_eq!(shell(&["redis-cli", "-p", "6379", "+xack"]), "redis-cli -p 6379 +xack");
    assert_eq!(shell_word("~{orders:[0-9]*}:*"), "'~{orders:[0-9]*}:*'");
    assert_eq!(shell_word("+xgroup|create"), "'+xgroup|create'");
    assert_eq!(shell_word("it's"), r"'it'\''s'");
    assert_eq!(shell_word(""), "''");
    for word in [
        "a b", "$(x)", "`x`", "a;b", "a&b", "#a", "a\\b", "\"", "(", "<", "!", "~",
    ] {
        assert!(shell_word(word).starts_with('\''), "{word}");
    }
}

#[test]
fn a_master_without_a_replica_is_a_warning_where_one_could_take_over() {
    for (mode, verdict) in [
        (ClusterMode::Standalone, Verdict::Ok),
        (ClusterMode::Sentinel, Verdict::Warning),
        (ClusterMode::Oss, Verdict::Warning),
    ] {
        let mut facts = healthy();
        facts.place.mode = mode;
        assert_eq!(
            judge(&facts, MIN_IDLE).check("topology").unwrap().verdict,
            verdict,
            "{mode:?}"
        );
    }
}
