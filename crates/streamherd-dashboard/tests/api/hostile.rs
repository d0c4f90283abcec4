//! Names, infos and errors that somebody else chose.

use serde_json::{Value, json};

use crate::support::{Herd, bury};

#[tokio::test]
async fn hostile_names_and_errors_are_data_and_come_back_as_they_are() {
    let herd = Herd::start().await;
    let mut redis = herd.redis();
    let names = [
        "<img src=x onerror=alert(1)>".to_owned(),
        "</script><script>alert(1)</script>".to_owned(),
        "\u{202e}txt.exe\u{2028}\u{0}\u{1b}[31m\r\nx: y".to_owned(),
        "\"},\"read_only\":false,{\"".to_owned(),
        "event: overview\ndata: {}\n\n".to_owned(),
        "\u{feff}\u{e000}\u{10ffff}".to_owned(),
        "n".repeat(1024),
    ];
    let ids = bury(&mut redis, &names, "rejected", "</script><b>\n\ndata: forged");
    let letters = herd.ok("/dead-letters").await;
    let shown: Vec<_> = letters["dead_letters"]
        .as_array()
        .unwrap()
        .iter()
        .map(|one| one["stream"].clone())
        .collect();
    assert_eq!(shown, names.iter().map(|name| json!(name)).collect::<Vec<_>>());
    for (id, name) in ids.iter().zip(&names) {
        let whole = herd.ok(&format!("/dead-letters/{id}")).await;
        assert_eq!(whole["error"], "</script><b>\n\ndata: forged");
        let input: Value = serde_json::from_str(whole["fields"][0][1].as_str().unwrap()).unwrap();
        assert_eq!(input["DataStreamName"], json!(name));
        let encoded: String = name.bytes().map(|byte| format!("%{byte:02X}")).collect();
        let found = herd.ok(&format!("/dead-letters?stream={encoded}")).await;
        assert_eq!(found["dead_letters"].as_array().unwrap().len(), 1);
    }
    let answer = herd.get("/dead-letters").await;
    assert_eq!(answer.headers["content-type"], "application/json");
}

#[tokio::test]
async fn bytes_that_are_no_text_and_rows_that_are_no_rows_don_t_keep_the_rest_from_being_shown() {
    let herd = Herd::start().await;
    let mut redis = herd.redis();
    redis
        .call::<&[u8]>(&[b"XADD", b"{orders:0}:dlq", b"*", b"\xff\xfe", b"\x00\x80"])
        .ok();
    redis
        .call::<&[u8]>(&[b"HSET", b"{orders:0}:consumers", b"\xffbad.1", b"no row at all"])
        .ok();
    redis
        .call(&[
            "HSET",
            "{orders:0}:consumers",
            "<b>.2",
            "5 {\"host\": \"<i>\", \"capacity\": 18446744073709551615}",
        ])
        .ok();
    redis
        .call(&["HSET", "{orders:0}:control", "paused:<u>", "not a time"])
        .ok();
    redis.call(&["ZADD", "{orders:0}:delayed", "NaN", "x"]);
    redis.call(&["ZADD", "{orders:0}:delayed", "-1", "no id"]).ok();
    let overview = herd
        .until("it is seen", |overview| overview["consumers"]["silent"] == 2)
        .await;
    assert_eq!(overview["error"], json!(null));
    assert_eq!(overview["pauses"][0]["consumer"], "<u>");
    let consumers = herd.ok("/consumers").await;
    assert!(
        consumers["consumers"]
            .as_array()
            .unwrap()
            .iter()
            .any(|one| one["host"] == "<i>")
    );
    let letters = herd.ok("/dead-letters").await;
    let id = format!("0:{}", letters["dead_letters"][0]["id"].as_str().unwrap());
    let whole = herd.ok(&format!("/dead-letters/{id}")).await;
    assert_eq!(whole["fields"], json!([[{ "hex": "fffe" }, { "hex": "0080" }]]));
}
