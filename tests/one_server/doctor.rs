//! What `doctor` finds on servers, logins and services that are wrong in one way each, and that what it says mends them.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use streamherd::error::ConnectError;
use streamherd::{Check, Diagnosis, Role, Verdict};
use streamherd_testkit::{Process, RawClient, Server, eventually};
use streamherd_tests::{ANSWER, Address, KEYS, Reachable, Redis, SERVICE, SOON, Truth, Worker, builder, shell, submit};

pub(crate) async fn examine(at: &(impl Reachable + ?Sized)) -> Diagnosis {
    examine_as(at, Role::Worker).await
}

pub(crate) async fn examine_as(at: &(impl Reachable + ?Sized), role: Role) -> Diagnosis {
    let settings = at.address().service(SERVICE).command_timeout(ANSWER);
    let admin = settings.connect_admin().await.unwrap();
    let diagnosis = admin.doctor_of(role).await.unwrap();
    admin.close().await;
    diagnosis
}

#[track_caller]
pub(crate) fn check<'a>(diagnosis: &'a Diagnosis, name: &str) -> &'a Check {
    let check = diagnosis.check(name);
    check.unwrap_or_else(|| panic!("no check {name} in {diagnosis:#?}"))
}

/// A server in which nothing is wrong.
pub(crate) fn healthy(options: &[(&str, &str)]) -> Redis {
    let healthy = [("--notify-keyspace-events", "Kx"), ("--appendfsync", "everysec")];
    Redis::with(crate::TOPOLOGY, &[&healthy, options].concat())
}

#[track_caller]
pub(crate) fn assert_healthy(diagnosis: &Diagnosis) {
    let wrong = diagnosis.checks.iter().filter(|check| check.verdict != Verdict::Ok);
    let wrong: Vec<&Check> = wrong.collect();
    assert!(wrong.is_empty(), "{wrong:#?}");
    assert_eq!(diagnosis.verdict, Verdict::Ok);
}

/// Expects one check to find this, and nothing else to be wrong; runs what it says mends it; expects that to have helped.
async fn found_and_mended(server: &Redis, name: &str, verdict: Verdict, found: &str) {
    let diagnosis = examine(server).await;
    let wrong = check(&diagnosis, name);
    assert_eq!(wrong.verdict, verdict, "{wrong:#?}");
    assert!(wrong.found.contains(found), "{wrong:#?} lacks {found:?}");
    assert!(wrong.meaning.len() > 20, "{wrong:#?}");
    assert!(diagnosis.verdict >= verdict);
    shell(wrong.mend.as_deref().unwrap());
    eventually(SOON, &format!("{name} is mended"), || async {
        let diagnosis = examine(server).await;
        (check(&diagnosis, name).verdict == Verdict::Ok).then_some(())
    })
    .await;
    assert_healthy(&examine(server).await);
}

#[tokio::test]
async fn nothing_is_wrong_with_a_server_as_it_should_be_before_and_after_its_first_worker() {
    let server = healthy(&[]);
    assert_healthy(&examine(&server).await);
    let mut worker = Worker::start(&server).await;
    submit(&server, ["a", "b"]).await;
    let held = worker.added_many(2).await;
    assert_healthy(&examine(&server).await);
    for role in Role::ALL {
        assert_healthy(&examine_as(&server, role).await);
    }
    drop(held);
}

#[tokio::test]
async fn looking_changes_nothing() {
    let server = healthy(&[]);
    submit(&server, ["a"]).await;
    let mut truth = Truth::of(&server);
    let mut changes = || {
        let info = truth.cmd("INFO persistence").text();
        let line = info
            .lines()
            .find(|line| line.starts_with("rdb_changes_since_last_save:"));
        (line.unwrap().to_owned(), truth.cmd("DEBUG DIGEST").text())
    };
    let before = changes();
    for role in Role::ALL {
        examine_as(&server, role).await;
    }
    assert_eq!(changes(), before);
}

#[tokio::test]
async fn every_eviction_policy_that_may_evict_is_a_failure_and_is_mended() {
    let server = healthy(&[]);
    for policy in [
        "allkeys-lru",
        "allkeys-lfu",
        "allkeys-random",
        "volatile-lru",
        "volatile-lfu",
        "volatile-random",
        "volatile-ttl",
    ] {
        Truth::of(&server)
            .call(&["CONFIG", "SET", "maxmemory-policy", policy])
            .ok();
        found_and_mended(&server, "eviction", Verdict::Failure, policy).await;
    }
}

#[tokio::test]
async fn every_wrong_setting_is_found_and_mended() {
    let server = healthy(&[]);
    let mut truth = Truth::of(&server);
    for (setting, value, name, found) in [
        ("notify-keyspace-events", "Ex", "notifications", "\"xE\""),
        ("notify-keyspace-events", "", "notifications", "\"\""),
        ("notify-keyspace-events", "KEg", "notifications", "\"gKE\""),
        ("notify-keyspace-events", "AE", "notifications", "\"AE\""),
        ("appendonly", "no", "persistence", "no save points"),
        ("appendfsync", "no", "persistence", "appendfsync no"),
        ("timeout", "30", "idle_timeout", "timeout 30"),
    ] {
        truth.call(&["CONFIG", "SET", setting, value]).ok();
        found_and_mended(&server, name, Verdict::Warning, found).await;
    }
    for fine in ["KA", "xK", "AKE"] {
        truth.call(&["CONFIG", "SET", "notify-keyspace-events", fine]).ok();
        assert_healthy(&examine(&server).await);
    }
    truth.cmd("CONFIG SET appendonly no").ok();
    truth.call(&["CONFIG", "SET", "save", "3600 1"]).ok();
    found_and_mended(&server, "persistence", Verdict::Warning, "save 3600 1").await;
}

#[tokio::test]
async fn a_memory_that_is_full_or_nearly_so_is_found_and_mended() {
    let server = healthy(&[]);
    let mut truth = Truth::of(&server);
    truth.cmd("DEBUG POPULATE 1 big 30000000").ok();
    let memory = truth.cmd("INFO memory").text();
    let used: u64 = memory
        .lines()
        .find_map(|line| line.strip_prefix("used_memory:"))
        .unwrap()
        .parse()
        .unwrap();
    truth.cmd(&format!("CONFIG SET maxmemory {}", used / 95 * 100)).ok();
    found_and_mended(&server, "memory", Verdict::Warning, "used").await;
    for name in ["memory", "writes"] {
        truth.cmd("CONFIG SET maxmemory 20000000").ok();
        found_and_mended(&server, name, Verdict::Failure, "").await;
    }
}

#[tokio::test]
async fn a_server_that_takes_no_writes_is_found_and_mended() {
    let server = healthy(&[]);
    let mut truth = Truth::of(&server);
    truth.cmd("CONFIG SET min-replicas-to-write 1").ok();
    found_and_mended(&server, "writes", Verdict::Failure, "NOREPLICAS").await;

    // A directory where the snapshot should be.
    truth.call(&["CONFIG", "SET", "save", "3600 1"]).ok();
    let dir = truth.cmd("CONFIG GET dir").pairs()[0].1.clone();
    let in_the_way = std::path::Path::new(&dir).join("dump.rdb");
    std::fs::create_dir(&in_the_way).unwrap();
    std::fs::write(in_the_way.join("file"), "").unwrap();
    truth.cmd("BGSAVE").ok();
    eventually(SOON, "a snapshot failed", || {
        let info = truth.cmd("INFO persistence").text();
        async move { info.contains("rdb_last_bgsave_status:err").then_some(()) }
    })
    .await;
    let diagnosis = examine(&server).await;
    assert_eq!(check(&diagnosis, "writes").verdict, Verdict::Failure);
    std::fs::remove_dir_all(&in_the_way).unwrap();
    found_and_mended(&server, "writes", Verdict::Failure, "MISCONF").await;
}

#[tokio::test]
async fn a_key_of_another_type_is_found_and_put_aside() {
    let server = healthy(&[]);
    let mut truth = Truth::of(&server);
    for name in KEYS {
        let key = format!("{{{SERVICE}:0}}:{name}");
        truth.call(&["RPUSH", &key, "mine"]).ok();
        found_and_mended(&server, "keys", Verdict::Failure, &format!("{key} is a list")).await;
        let aside = truth.cmd(&format!("KEYS {key}.aside-*")).strings();
        assert_eq!(truth.call(&["LRANGE", &aside[0], "0", "-1"]).strings(), ["mine"]);
    }
}

#[tokio::test]
async fn a_stream_without_ids_is_a_failure_and_one_ahead_of_the_clock_a_warning() {
    let server = healthy(&[]);
    let mut truth = Truth::of(&server);
    let end = format!("{0}-{0}", u64::MAX);
    for lane in ["input", "front", "dlq"] {
        truth.cmd(&format!("XADD T:{lane} {end} f v")).ok();
        let diagnosis = examine(&server).await;
        let wrong = check(&diagnosis, "stream_ids");
        assert_eq!(wrong.verdict, Verdict::Failure, "{wrong:#?}");
        assert!(wrong.found.contains(&format!("{{{SERVICE}:0}}:{lane}")) && wrong.found.contains(&end));
        shell(wrong.mend.as_deref().unwrap());
        assert_healthy(&examine(&server).await);
    }
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    let ahead = now + Duration::from_secs(7_300);
    truth.cmd(&format!("XADD T:input {}-0 f v", ahead.as_millis())).ok();
    found_and_mended(&server, "stream_ids", Verdict::Warning, "12").await;
}

#[tokio::test]
async fn entries_without_a_group_are_told_before_the_first_worker_and_after_a_loss() {
    let server = healthy(&[]);
    let mut truth = Truth::of(&server);
    submit(&server, ["a", "b"]).await;
    let group = |diagnosis: &Diagnosis| {
        let check = check(diagnosis, "group");
        (check.verdict, check.found.clone())
    };
    let (verdict, found) = group(&examine(&server).await);
    assert_eq!(verdict, Verdict::Warning);
    assert_eq!(found, "no group, 2 entries waiting");

    let mut worker = Worker::start(&server).await;
    worker.added_many(2).await;
    assert_healthy(&examine(&server).await);
    worker.client.shutdown(Duration::ZERO).await;

    submit(&server, ["c"]).await;
    truth.cmd("XGROUP DESTROY T:input workers").ok();
    let (verdict, found) = group(&examine(&server).await);
    assert_eq!(verdict, Verdict::Warning);
    assert!(found.contains("though workers were here"), "{found}");
}

#[tokio::test]
async fn a_fleet_with_longer_locks_is_told_with_the_setting_that_joins_it() {
    let server = healthy(&[]);
    let ttl = Duration::from_secs(10);
    let _slow = Worker::with(server.service(SERVICE).lock_ttl(ttl)).await;
    let diagnosis = examine(&server).await;
    let wrong = check(&diagnosis, "lock_ttl");
    assert_eq!(
        (wrong.verdict, wrong.found.as_str()),
        (Verdict::Warning, "the fleet's largest is 10 s")
    );
    assert!(
        wrong.mend.as_deref().unwrap().contains("--min-idle 10500ms"),
        "{wrong:?}"
    );
}

#[tokio::test]
async fn a_replica_is_a_failure_that_names_the_master() {
    let master = healthy(&[]);
    let replica = healthy(&[]);
    let url = master.address().url;
    let (_, port) = url.rsplit_once(':').unwrap();
    Truth::of(&replica).cmd(&format!("REPLICAOF 127.0.0.1 {port}")).ok();
    let diagnosis = eventually(SOON, "the replica answers", || async {
        let diagnosis = examine(&replica).await;
        check(&diagnosis, "writes")
            .found
            .contains("READONLY")
            .then_some(diagnosis)
    })
    .await;
    let wrong = check(&diagnosis, "topology");
    assert_eq!((wrong.verdict, wrong.found.as_str()), (Verdict::Failure, "a replica"));
    assert_eq!(
        wrong.mend.as_deref().unwrap(),
        format!("streamherd --url {url} --service {SERVICE} doctor")
    );
}

#[tokio::test]
async fn a_node_of_a_cluster_is_a_failure() {
    let server = healthy(&[("--cluster-enabled", "yes")]);
    let diagnosis = examine(&server).await;
    let wrong = check(&diagnosis, "topology");
    assert_eq!(wrong.verdict, Verdict::Failure);
    assert!(wrong.meaning.contains("standalone"), "{wrong:?}");
    assert!(diagnosis.check("writes").is_none(), "there is nothing to ask it");
}

#[tokio::test]
async fn a_sentinel_is_a_failure() {
    // Its port is this test's own as long as the server's value lives.
    let mut server = Server::start();
    server.kill();
    let dir = std::env::temp_dir().join(format!("streamherd-sentinel-{}", server.port()));
    std::fs::create_dir_all(&dir).unwrap();
    let file = dir.join("sentinel.conf");
    std::fs::write(&file, format!("port {}\ndir {}\n", server.port(), dir.display())).unwrap();
    let mut command = std::process::Command::new(Server::find_binary().unwrap());
    command.arg(&file).arg("--sentinel").stdout(std::process::Stdio::null());
    let _sentinel = Process::spawn(command);
    eventually(SOON, "the Sentinel answers", || async {
        RawClient::connect(("127.0.0.1", server.port())).ok()
    })
    .await;
    let diagnosis = examine(&Address::of(&server.url())).await;
    let wrong = check(&diagnosis, "topology");
    assert_eq!(
        (wrong.verdict, wrong.found.as_str()),
        (Verdict::Failure, "a Sentinel"),
        "{diagnosis:#?}"
    );
    shell(wrong.mend.as_deref().unwrap());
    std::fs::remove_dir_all(&dir).unwrap();
}

#[tokio::test]
async fn a_server_that_is_too_old_is_a_failure() {
    let server = healthy(&[]);
    let proxy = server.proxy().await;
    let info = server.client_for("any").cmd("INFO server").text();
    let line = info.lines().find(|line| line.starts_with("redis_version:")).unwrap();
    let old = format!("{:0<width$}", "redis_version:6.0.16", width = line.len());
    proxy.rewrite_replies(line.as_bytes(), &old.as_bytes()[..line.len()]);
    let diagnosis = examine(&proxy).await;
    let wrong = check(&diagnosis, "server_version");
    assert_eq!(wrong.verdict, Verdict::Failure);
    // Valkey is called by its own version, and judged by the one of Redis that it claims to be.
    assert!(
        wrong.found.contains(" 6.0.") || wrong.found.starts_with("Valkey"),
        "{wrong:?}"
    );
}

#[tokio::test]
async fn a_clock_that_is_off_is_a_warning() {
    let server = healthy(&[]);
    // What a string of ten digits that begins as the time does becomes: three years more, or less.
    let seconds = server.client_for("any").cmd("TIME").strings()[0].clone();
    let years: u32 = seconds[..2].parse().unwrap();
    for (begins, word) in [(years + 1, "ahead of"), (years - 1, "behind")] {
        let proxy = server.proxy().await;
        let text = |number: u32| format!("\r\n$10\r\n{number}");
        proxy.rewrite_replies(text(years).as_bytes(), text(begins).as_bytes());
        let diagnosis = examine(&proxy).await;
        let wrong = check(&diagnosis, "clock");
        assert_eq!(wrong.verdict, Verdict::Warning, "{wrong:?}");
        assert!(wrong.found.contains(word) && wrong.found.contains("days"), "{wrong:?}");
    }
}

#[tokio::test]
async fn refused_scripts_are_a_failure_though_no_user_is_to_blame() {
    // Options of two values, over a builder for those of one.
    let server = healthy(&[("--rename-command", "EVAL"), ("never-eval", "--save"), ("3600", "1")]);
    let diagnosis = examine(&server).await;
    let wrong = check(&diagnosis, "rights");
    assert_eq!(
        (wrong.verdict, wrong.found.as_str()),
        (Verdict::Failure, "the server has no EVAL")
    );
    let wrong = check(&diagnosis, "scripts");
    assert_eq!(wrong.verdict, Verdict::Failure);
    assert!(wrong.found.contains("unknown command"), "{wrong:?}");
}

#[tokio::test]
async fn a_wrong_password_is_no_diagnosis_and_neither_is_a_server_that_stops_answering() {
    let mut server = healthy(&[]);
    let _ = server.user("app", &[]);
    let refused = server
        .address()
        .logged_in("app:wrong")
        .service(SERVICE)
        .connect_admin()
        .await;
    assert!(matches!(refused, Err(ConnectError::Login { .. })), "{refused:?}");

    let admin = builder(&server).connect_admin().await.unwrap();
    server.freeze();
    let error = admin.doctor().await.unwrap_err();
    assert!(error.is_timeout(), "{error}");
    server.thaw();
}
