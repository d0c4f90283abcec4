//! Redis is away, refuses, or answers too slowly.

use axum::http::StatusCode;
use serde_json::json;
use streamherd_dashboard::Dashboard;
use streamherd_testkit::{Server, eventually};

use crate::support::{Herd, SERVICE, SOON, bury, code, names, quick};

#[tokio::test(flavor = "multi_thread")]
async fn while_redis_is_away_the_last_picture_stays_with_its_age_and_the_error() {
    let mut herd = Herd::start().await;
    let mut redis = herd.redis();
    bury(&mut redis, &names("a", 3), "rejected", "broken");
    herd.until("the letters are seen", |overview| {
        overview["queue"]["dead_letters"] == 3
    })
    .await;
    herd.server.kill();
    let away = herd
        .until("the breaker opens", |overview| {
            overview["masters"][0]["breaker"] == "open"
        })
        .await;
    assert_eq!(away["queue"]["dead_letters"], 3, "the last picture");
    assert!(
        away["error"].as_str().is_some_and(|error| !error.is_empty()),
        "{away:#}"
    );
    assert!(away["stale_ms"].as_u64().unwrap() > 0);
    assert_eq!(away["masters"][0]["answered"], false);
    assert_eq!(away["rates"]["done"], json!(null), "nothing is known of the rates now");
    let list = eventually(SOON, "what was kept of the list is too old", || async {
        let list = herd.get("/dead-letters").await;
        (list.status != StatusCode::OK).then_some(list)
    })
    .await;
    assert_eq!(
        (list.status, code(&list)),
        (StatusCode::SERVICE_UNAVAILABLE, "redis_unavailable")
    );
    let action = herd.post("/pause", &json!({})).await;
    assert_eq!(
        (action.status, code(&action)),
        (StatusCode::SERVICE_UNAVAILABLE, "redis_unavailable")
    );

    herd.server.restart();
    let back = herd
        .until("it is seen again", |overview| {
            overview["error"].is_null() && overview["masters"][0]["breaker"] == "closed"
        })
        .await;
    assert_eq!(back["queue"]["dead_letters"], 0, "the server keeps nothing");
    assert!(back["masters"][0]["last_error"].is_string());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_frozen_redis_holds_up_nobody_who_looks_at_the_overview() {
    let herd = Herd::start().await;
    herd.until("it was seen", |overview| overview["at_ms"] != 0).await;
    herd.server.freeze();
    let away = herd
        .until("the silence is told", |overview| !overview["error"].is_null())
        .await;
    assert_eq!(away["used"], false);
    let list = herd.get("/dead-letters").await;
    assert_eq!(
        (list.status, code(&list)),
        (StatusCode::SERVICE_UNAVAILABLE, "redis_unavailable")
    );
    herd.server.thaw();
    herd.until("it is seen again", |overview| overview["error"].is_null())
        .await;
}

#[tokio::test]
async fn what_the_login_may_not_do_is_refused_in_redis_s_words() {
    let server = Server::start();
    let owner = crate::support::admin(&server).await;
    let mut redis = server.client();
    bury(&mut redis, &names("a", 1), "rejected", "broken");
    let mut rules: Vec<String> = ["ACL", "SETUSER", "looker", "on", ">secret"]
        .map(str::to_owned)
        .to_vec();
    rules.extend(owner.acl_rules(streamherd::Role::Operator));
    rules.push("-xdel".to_owned());
    redis.call(&rules).ok();
    let login = streamherd::Credentials::new().user("looker").password("secret");
    let admin = streamherd::Client::builder(SERVICE)
        .url(server.url())
        .credentials(login)
        .connect_admin()
        .await
        .unwrap();
    let dashboard = quick(Dashboard::builder(admin).admin_token(crate::support::TOKEN));
    let herd = Herd::with(server, dashboard);
    assert_eq!(
        herd.ok("/dead-letters").await["dead_letters"].as_array().unwrap().len(),
        1
    );
    let purge = herd
        .post("/dead-letters/purge", &json!({ "filter": {}, "confirm": "purge" }))
        .await;
    match purge.status {
        StatusCode::OK => assert_eq!(purge.body["outcomes"]["failed"], 1, "{}", purge.body),
        _ => assert_eq!((purge.status, code(&purge)), (StatusCode::BAD_GATEWAY, "refused")),
    }
    assert_eq!(redis.cmd("XLEN {orders:0}:dlq").int(), 1);
}
