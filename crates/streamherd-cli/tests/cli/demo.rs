use serde_json::Value;

use crate::support::{run, stderr, streamherd};

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
