//! What can be wrong on one server, one at a time.

use super::{Change, MIN_IDLE, NOW, config, healthy, info, judge, map, of, refusal, service, write};
use crate::admin::doctor::Verdict;
use crate::id::StreamId;
use crate::store::{Answer, Facts};

/// One change, the check that sees it, and a part of what it says mends it.
const WRONG: &[(&str, Verdict, &str, Change)] = &[
    ("server_version", Verdict::Failure, "install", |f| {
        info(f, "redis_version", "6.0.16")
    }),
    ("server_version", Verdict::Failure, "install", |f| {
        info(f, "redis_version", "5.0.0")
    }),
    ("topology", Verdict::Failure, "SENTINEL MASTERS", |f| {
        info(f, "redis_mode", "sentinel")
    }),
    ("topology", Verdict::Failure, "--url redis-cluster://redis:6379", |f| {
        info(f, "cluster_enabled", "1")
    }),
    ("topology", Verdict::Failure, "redis://m:1", |f| {
        info(f, "role", "slave");
        info(f, "master_host", "m");
        info(f, "master_port", "1");
    }),
    ("topology", Verdict::Failure, "--url redis-cluster://redis:6379", |f| {
        write(f, "MOVED 1 10.0.0.1:6379")
    }),
    (
        "eviction",
        Verdict::Failure,
        "CONFIG SET maxmemory-policy noeviction",
        |f| {
            info(f, "maxmemory_policy", "volatile-ttl");
        },
    ),
    (
        "eviction",
        Verdict::Failure,
        "CONFIG SET maxmemory-policy noeviction",
        |f| {
            f.info = Ok(map(&[]));
            config(f, "maxmemory-policy", "allkeys-lru");
        },
    ),
    ("memory", Verdict::Warning, "CONFIG SET maxmemory 4mb", |f| {
        info(f, "maxmemory", "1100000")
    }),
    ("memory", Verdict::Failure, "CONFIG SET maxmemory 2mb", |f| {
        info(f, "maxmemory", "1000000")
    }),
    ("persistence", Verdict::Warning, "CONFIG SET appendonly yes", |f| {
        info(f, "aof_enabled", "0")
    }),
    ("persistence", Verdict::Warning, "appendfsync everysec", |f| {
        config(f, "appendfsync", "no")
    }),
    ("persistence", Verdict::Warning, "BGSAVE", |f| {
        config(f, "save", "3600 1");
        info(f, "rdb_last_bgsave_status", "err");
    }),
    ("persistence", Verdict::Warning, "BGREWRITEAOF", |f| {
        info(f, "aof_last_bgrewrite_status", "err")
    }),
    ("notifications", Verdict::Warning, "notify-keyspace-events ExK", |f| {
        config(f, "notify-keyspace-events", "Ex");
    }),
    ("idle_timeout", Verdict::Warning, "CONFIG SET timeout 0", |f| {
        config(f, "timeout", "300")
    }),
    ("writes", Verdict::Failure, "CONFIG SET maxmemory", |f| {
        write(f, "OOM command not allowed when used memory")
    }),
    ("writes", Verdict::Failure, "BGSAVE", |f| {
        write(f, "MISCONF Redis is configured to save RDB snapshots")
    }),
    ("writes", Verdict::Failure, "disk", |f| {
        write(f, "MISCONF Errors writing to the AOF file: No space left")
    }),
    ("writes", Verdict::Failure, "min-replicas-to-write 0", |f| {
        write(f, "NOREPLICAS Not enough good replicas")
    }),
    ("writes", Verdict::Failure, "master", |f| {
        write(f, "READONLY You can't write against a read only replica.")
    }),
    ("writes", Verdict::Failure, "ask again", |f| {
        write(f, "LOADING Redis is loading the dataset in memory")
    }),
    ("scripts", Verdict::Failure, "ACL SETUSER app +eval +evalsha", |f| {
        service(f).script = Err(refusal("EVAL", "NOPERM …", Some("+eval")));
    }),
    ("scripts", Verdict::Failure, "a server that runs scripts", |f| {
        service(f).script = Err(refusal("EVAL", "ERR unknown command", None));
    }),
    ("rights", Verdict::Failure, "ACL SETUSER app +xack", |f| {
        let rights = &mut service(f).rights;
        rights.iter_mut().find(|(right, _)| right.command == "XACK").unwrap().1 = Answer::Denied;
    }),
    (
        "rights",
        Verdict::Failure,
        "ACL SETUSER app '~{orders:[0-9]*}:*'",
        |f| of(f).keys[1].allowed = false,
    ),
    ("rights", Verdict::Failure, "rename-command", |f| {
        let rights = &mut service(f).rights;
        rights.iter_mut().find(|(right, _)| right.command == "XACK").unwrap().1 = Answer::Missing;
    }),
    (
        "optional_rights",
        Verdict::Warning,
        "+psubscribe '&__keyspace@0__:{orders:[0-9]*}:lock:*'",
        |f| {
            let rights = &mut service(f).rights;
            rights
                .iter_mut()
                .find(|(right, _)| right.command == "PSUBSCRIBE")
                .unwrap()
                .1 = Answer::Denied;
        },
    ),
    ("clock", Verdict::Warning, "timedatectl", |f| {
        f.clock.as_mut().unwrap().server += 501_000
    }),
    ("clock", Verdict::Warning, "timedatectl", |f| {
        f.clock.as_mut().unwrap().server -= 501_000
    }),
    (
        "keys",
        Verdict::Failure,
        "RENAMENX '{orders:0}:front' '{orders:0}:front.aside-1795000000000'",
        |f| {
            of(f).keys[1].found = Ok("hash".to_owned());
        },
    ),
    ("stream_ids", Verdict::Failure, "RENAMENX '{orders:0}:input'", |f| {
        of(f).keys[0].last_id = Ok(Some(StreamId {
            ms: u64::MAX,
            seq: u64::MAX - 5,
        }));
    }),
    ("stream_ids", Verdict::Warning, "RENAMENX '{orders:0}:front'", |f| {
        of(f).keys[1].last_id = Ok(Some(StreamId {
            ms: NOW / 1_000 + 60_001,
            seq: 0,
        }));
    }),
    ("group", Verdict::Warning, "streamherd --service orders worker", |f| {
        of(f).lanes[0].has_group = Ok(false);
    }),
    ("group", Verdict::Warning, "streamherd --service orders worker", |f| {
        of(f).keys[2].found = Ok("none".to_owned());
    }),
    ("lock_ttl", Verdict::Warning, "--min-idle 10500ms", |f| {
        of(f).lock_ttl = Ok(Some((10_000, NOW / 1_000 + 1)));
    }),
    ("optional_rights", Verdict::Warning, "provider's settings", |f| {
        let rights = &mut service(f).rights;
        rights
            .iter_mut()
            .find(|(right, _)| right.command == "CONFIG|GET")
            .unwrap()
            .1 = Answer::Missing;
    }),
    // What can't be looked at.
    ("server_version", Verdict::Warning, "provider's settings", |f| {
        f.info = Ok(map(&[]))
    }),
    ("idle_timeout", Verdict::Warning, "provider's settings", |f| {
        f.config = Ok(map(&[]))
    }),
    ("server_version", Verdict::Warning, "ACL SETUSER app +info", |f| {
        f.info = Err(refusal("INFO", "NOPERM …", Some("+info")));
    }),
    (
        "notifications",
        Verdict::Warning,
        "ACL SETUSER app '+config|get'",
        |f| {
            f.config = Err(refusal("CONFIG|GET", "NOPERM …", Some("+config|get")));
        },
    ),
    ("notifications", Verdict::Warning, "provider's settings", |f| {
        f.config = Err(refusal("CONFIG|GET", "ERR unknown command 'CONFIG'", None));
    }),
    ("clock", Verdict::Warning, "ACL SETUSER app +time", |f| {
        f.clock = Err(refusal("TIME", "NOPERM …", Some("+time")));
    }),
    ("stream_ids", Verdict::Warning, "doctor --role operator", |f| {
        of(f).keys[0].last_id = Err(refusal("XINFO|STREAM", "NOPERM …", Some("+xinfo|stream")));
    }),
    (
        "stream_ids",
        Verdict::Warning,
        "ACL SETUSER app '~{orders:[0-9]*}:*'",
        |f| {
            let text = "NOPERM this user has no permissions to access one of the keys used as arguments";
            of(f).keys[0].last_id = Err(refusal("XINFO|STREAM", text, Some("+xinfo|stream")));
        },
    ),
];

#[test]
fn each_wrong_fact_is_told_with_what_mends_it() {
    for (number, (name, verdict, mend, change)) in WRONG.iter().enumerate() {
        let mut facts = healthy();
        change(&mut facts);
        let diagnosis = judge(&facts, MIN_IDLE);
        let check = diagnosis.check(name).unwrap();
        assert_eq!(check.verdict, *verdict, "row {number}: {check:#?}");
        let said = check.mend.as_deref().unwrap_or_default();
        assert!(said.contains(mend), "row {number}: {check:#?} lacks {mend:?}");
        assert!(diagnosis.verdict >= *verdict, "row {number}");
        assert!(!check.meaning.is_empty(), "row {number}");
    }
}

#[test]
fn each_wrong_fact_leaves_the_names_and_their_order_as_they_were() {
    let names = |facts: &Facts| -> Vec<&str> { judge(facts, MIN_IDLE).checks.iter().map(|check| check.name).collect() };
    let all = names(&healthy());
    for (.., change) in WRONG {
        let mut facts = healthy();
        change(&mut facts);
        assert_eq!(names(&facts), all);
    }
}
