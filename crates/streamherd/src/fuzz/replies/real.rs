//! What servers answer.

use serde_json::{Value, json};

/// What servers answer to each of the calls, as the scripts and Redis have it.
pub(super) fn real_replies() -> Vec<Value> {
    let consumers = json!([["name", "w.1", "pending", 1, "idle", 5, "inactive", 5]]);
    let row = r#"5 {"host":"h","pid":1,"version":"1","started_ms":1,"capacity":64,"held":2,"lock_ttl_ms":6000}"#;
    let largest =
        r#"5 {"capacity":18446744073709551615,"held":18446744073709551615,"lock_ttl_ms":18446744073709551615}"#;
    let lane = json!([3, 1, "5-2", consumers, "4"]);
    let status = |row: &str| {
        json!([
            "ok",
            "1795206880640",
            1,
            2,
            3,
            "1795206880641",
            [["", "5"], ["w", "6"]],
            [["w.1", row]],
            lane,
            lane
        ])
    };
    let entry = json!([
        "5-1",
        ["lbs-input", r#"{"DataStreamName":"s","Info":1}"#, "_retry_count", "2"]
    ]);
    let taken = json!(["5-1", entry[1], 1_795_206_880_640_000_u64]);
    let lease = json!([
        "5-1",
        "w.1",
        7,
        8,
        "9",
        "name",
        "s",
        "5",
        "5-1",
        "1",
        "1",
        "0",
        "5 0.4300 3 of 7 files"
    ]);
    let calls = [
        ("hello", json!(["ok", "k3f9.1", "0", "1795206880640000"])),
        ("hello", json!(["wrong_type", "{s:0}:input", "string", "stream"])),
        ("hello", json!(["fleet_ttl", "9000"])),
        ("hello", json!(["partitions", 7])),
        ("join", json!(["ok", 3])),
        ("take", json!(["ok", {"packed": [[taken], [taken, taken]]}])),
        (
            "take",
            json!(["ok", {"packed": [[["5-1", ["1", "2000000"], -2]], [["5-1", entry[1], -1], ["5-2", entry[1], 0]]]}]),
        ),
        ("take", json!(["paused"])),
        ("wait", json!([["{s:0}:front", [entry]], ["{s:0}:input", [entry]]])),
        ("wait", Value::Null),
        ("audit", json!([["5-1", "w.1", 7, 1]])),
        ("body", json!([entry])),
        ("acquire", json!(["ok", ["ok", "9"], ["held"]])),
        ("acquire", json!(["ok", ["gone"], ["error", "ERR no"]])),
        ("acquire", json!(["quiet", 5])),
        ("renew", json!(["ok", 2, 1, "lost"])),
        ("renew", json!(["ok", 2, 1, "reacquired", 2, ["error", "ERR no"]])),
        ("renew_one", json!("kept")),
        ("restore", json!(["ok", ["kept"], ["written", "front:6-0"]])),
        ("restore", json!(["ok", ["settled"], ["missing"]])),
        ("settle", json!(["ok", [], ["ok", "front:6-0"]])),
        (
            "settle",
            json!(["ok", ["1", ["lost"]], ["dead", "7-0", "max_failures", 0]]),
        ),
        ("settle", json!(["ok", ["1", ["ok"]], ["nogroup"]])),
        ("settle", json!(["epoch"])),
        ("requeue", json!(["ok", ["requeued", "front:6-0", 5], ["early", 5]])),
        ("requeue", json!(["ok", ["dead", "7-0", "too_large", 1], ["vanished"]])),
        (
            "requeue",
            json!([
                "ok",
                [
                    "requeued",
                    "front:6-0",
                    5,
                    "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
                ],
                ["dead", "7-0", "too_large", 1, "none"]
            ]),
        ),
        ("list", json!(["ok", "(5-1", 1, "7", ["5-1"], 2, 30, 40, -1])),
        ("list", json!(["gate", 5])),
        ("look", json!(["ok", ["orphan", "w.1", 5, entry[1]], ["alive"]])),
        ("submit", json!(["ok", {"packed": ["new 5-1", "new delayed:5-1"]}])),
        ("submit", json!(["ok", {"packed": ["noted front:5-1", "error ERR no"]}])),
        ("add", json!("5-1")),
        (
            "promote",
            json!([
                "ok",
                ["a", ["ok", "front:5-1"]],
                ["b", ["dead", "7-0", "unparseable", 0]],
                5
            ]),
        ),
        ("register", json!(["ok", 1])),
        ("registry", json!(["ok", "5", [["w.1", row]], ["w.2"], consumers, []])),
        ("reap", json!(["ok", ["reaped"], ["pending"]])),
        ("sweep", json!(["ok", "(5-1", "7", ["5-1", ["requeued", "front:6-0"]]])),
        ("sweep_live", json!(["ok", 1, 2, 3, "4"])),
        ("deregister", json!(["ok", 0])),
        ("leases", json!(["ok", "", "1795206880640", [lease]])),
        (
            "delayed",
            json!([
                "ok",
                "2",
                "1795206880640",
                [["a", "1795206880641", "json", "{\"DataStreamName\":\"s\"", 1, 1, 0]]
            ]),
        ),
        ("delayed", json!(["ok", "", "5", [["a", "5", "gone", "", 0, 0, 0]]])),
        ("progress", json!(["ok"])),
        (
            "find",
            json!([
                "ok",
                "(5-1",
                [
                    ["front:5-1", "json", "{\"DataStreamName\":\"s\""],
                    ["delayed:x", "gone", ""]
                ]
            ]),
        ),
        ("kick", json!(["requeued", "front:6-0"])),
        ("kick", json!(["held", "w.1", 5])),
        ("letters", json!(["ok", "5", "5-1", "(5-1", [entry]])),
        ("redrive", json!(["ok", ["new", "front:6-0"], ["coalesced", "6-0"]])),
        ("purge", json!(["ok", ["purged"], ["gone"]])),
        ("census", json!(["ok", "5", "", 1, 2, 3, 4, 5, 1, 3, 0])),
        ("look_for", json!(["ok", "k3f9", "", 5, 6, ["queued", "gone"]])),
        ("resubmit", json!(["ok", ["new", "front:6-0"], ["coalesced", "6-0", 1]])),
        ("resubmit", json!(["changed"])),
        ("wait_aof", json!([1, 1])),
        (
            "server",
            json!("# Server\r\nredis_version:7.2.5\r\nredis_mode:standalone\r\n"),
        ),
        ("flags", json!(["notify-keyspace-events", "xK"])),
        ("status", status(row)),
        ("status", status(largest)),
        ("doctor", json!(["5", "6"])),
        ("doctor", json!(INFO)),
    ];
    calls.map(|(call, reply)| json!([call, reply])).into()
}

/// What doctor wants to know of it.
const INFO: &str = "redis_version:7.2.5\r\nredis_mode:standalone\r\nuptime_in_seconds:18446744073709551615\r\n\
    maxmemory:18446744073709551615\r\nused_memory:18446744073709551615\r\nmaxmemory_policy:noeviction\r\n\
    connected_slaves:-1\r\nrole:master\r\nloading:0\r\nrdb_last_bgsave_status:ok\r\naof_enabled:1\r\n";
