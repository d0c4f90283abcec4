use serde_json::Value;

use crate::support::{run, stderr, stdout, streamherd};

#[test]
fn the_demo_loses_nothing() {
    let output = run(streamherd().args(["--output", "json", "demo", "--no-progress"]).args([
        "--streams",
        "60",
        "--work-ms",
        "250",
    ]));
    assert!(output.status.success(), "{}", stderr(&output));
    assert_eq!(stderr(&output), "");
    let tally: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(tally["ok"], true, "{tally}");
    for (name, count) in [
        ("submitted", 60),
        ("done", 60),
        ("lost", 0),
        ("overlapping", 0),
        ("left", 0),
    ] {
        assert_eq!(tally[name], count, "{name}: {tally}");
    }
    for fault in ["killed", "stopped"] {
        assert!(tally[fault]["held"].as_u64().unwrap() > 0, "{tally}");
        assert_eq!(tally[fault]["held"], tally[fault]["reassigned"], "{tally}");
    }
}

#[test]
fn the_demo_loses_nothing_when_redis_loses_its_data() {
    let output = run(streamherd().args(["--output", "json", "demo", "--chaos"]).args([
        "--workers",
        "3",
        "--streams",
        "60",
        "--work-ms",
        "250",
    ]));
    let (told, tally) = (stderr(&output), stdout(&output));
    assert_eq!(output.status.code(), Some(0), "{told}{tally}");
    assert!(told.contains("redis-server was killed in the middle of"), "{told}");
    let tally: Value = serde_json::from_str(&tally).unwrap();
    for (name, count) in [
        ("submitted", 60),
        ("done", 60),
        ("lost", 0),
        ("overlapping", 0),
        ("left", 0),
        ("data_losses", 1),
    ] {
        assert_eq!(tally[name], count, "{name}: {tally}\n{told}");
    }
    let restart = &tally["restart"];
    assert!(restart["held"].as_u64().unwrap() > 0, "{tally}");
    for time in ["noticed_ms", "resumed_ms"] {
        assert!(restart[time].as_u64().is_some(), "{tally}");
    }
}

#[test]
fn a_demo_with_chaos_wants_enough_to_do_for_both_halves() {
    let output = run(streamherd().args(["demo", "--chaos", "--workers", "4", "--streams", "79"]));
    assert_eq!(output.status.code(), Some(2));
    assert!(stderr(&output).contains("only with 80 or more"), "{}", stderr(&output));
}

#[test]
fn a_demo_whose_redis_server_is_misnamed_says_what_names_it() {
    let output = run(streamherd()
        .arg("demo")
        .env("STREAMHERD_REDIS_SERVER", "/no/such/redis-server"));
    assert_eq!(output.status.code(), Some(2));
    let message = stderr(&output);
    assert!(
        message.contains("STREAMHERD_REDIS_SERVER names /no/such/redis-server"),
        "{message}"
    );
}

#[test]
fn a_demo_without_redis_server_says_how_to_get_one() {
    let output = run(streamherd()
        .arg("demo")
        .env_remove("STREAMHERD_REDIS_SERVER")
        .env("PATH", "/no/such/folder"));
    assert_eq!(output.status.code(), Some(2));
    let message = stderr(&output);
    assert!(message.contains("apt-get install"), "{message}");
}
