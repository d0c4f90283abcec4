//! Who may act, who may ask, and what a browser may do with the answer.

use axum::http::{Method, StatusCode};
use serde_json::json;
use streamherd_dashboard::Dashboard;
use streamherd_testkit::Server;

use crate::support::{Herd, TOKEN, admin, answer_of, bury, code, names, quick, request};

const ACTIONS: [&str; 6] = [
    "/dead-letters/redrive",
    "/dead-letters/purge",
    "/requeue",
    "/pause",
    "/resume",
    "/session",
];

#[tokio::test]
async fn actions_take_the_token_and_nothing_else_does() {
    let herd = Herd::start().await;
    let mut redis = herd.redis();
    bury(&mut redis, &names("a", 1), "rejected", "broken");
    let right = format!("Bearer {TOKEN}");
    for path in ACTIONS {
        for (authorization, status) in [
            ("", StatusCode::UNAUTHORIZED),
            ("Basic YWRtaW46eA==", StatusCode::UNAUTHORIZED),
            ("Bearer ", StatusCode::UNAUTHORIZED),
        ] {
            let body = json!({ "filter": {}, "confirm": "purge" });
            let answer = herd.post_with(path, &body, &[("authorization", authorization)]).await;
            assert_eq!(
                (answer.status, code(&answer)),
                (status, "unauthorized"),
                "{path} {authorization}"
            );
            assert_eq!(answer.headers["www-authenticate"], "Bearer");
        }
    }
    let wrong = herd
        .post_with("/pause", &json!({}), &[("authorization", "Bearer wrong")])
        .await;
    assert_eq!((wrong.status, code(&wrong)), (StatusCode::UNAUTHORIZED, "unauthorized"));
    let cookie = [("cookie", format!("token={TOKEN}")), ("authorization", String::new())];
    let cookie = cookie.each_ref().map(|(name, value)| (*name, value.as_str()));
    assert_eq!(
        herd.post_with("/pause", &json!({}), &cookie).await.status,
        StatusCode::UNAUTHORIZED
    );
    let in_query = format!("/pause?token={TOKEN}");
    assert_eq!(
        herd.post_with(&in_query, &json!({}), &[]).await.status,
        StatusCode::UNAUTHORIZED
    );
    assert_eq!(redis.cmd("XLEN {orders:0}:dlq").int(), 1);
    assert!(
        !redis
            .cmd("HKEYS {orders:0}:control")
            .strings()
            .contains(&"paused".to_owned())
    );
    let session = herd
        .post_with("/session", &json!({}), &[("authorization", &right)])
        .await;
    assert_eq!(session.status, StatusCode::NO_CONTENT);
}

#[tokio::test]
async fn many_wrong_tokens_have_no_token_looked_at_for_a_while() {
    let herd = Herd::start().await;
    let mut limited = None;
    for _ in 0..100 {
        let answer = herd
            .post_with("/session", &json!({}), &[("authorization", "Bearer guess")])
            .await;
        if answer.status == StatusCode::TOO_MANY_REQUESTS {
            limited = Some(answer);
            break;
        }
    }
    let limited = limited.expect("guessing ends");
    assert_eq!(
        (code(&limited), &limited.headers["retry-after"]),
        ("too_many", &"1".parse().unwrap())
    );
    assert_eq!(
        herd.get("/overview").await.status,
        StatusCode::OK,
        "who only looks isn't held up"
    );
    streamherd_testkit::eventually(crate::support::SOON, "the right token counts again", || async {
        let answer = herd.post("/session", &json!({})).await;
        (answer.status == StatusCode::NO_CONTENT).then_some(())
    })
    .await;
}

#[tokio::test]
async fn without_a_token_the_dashboard_is_read_only() {
    let server = Server::start();
    let dashboard = quick(Dashboard::builder(admin(&server).await));
    let herd = Herd::with(server, dashboard);
    assert_eq!(herd.ok("/overview").await["read_only"], true);
    for path in ACTIONS {
        let answer = herd.post(path, &json!({})).await;
        assert_eq!(
            (answer.status, code(&answer)),
            (StatusCode::FORBIDDEN, "forbidden"),
            "{path}"
        );
    }
}

#[tokio::test]
async fn other_sites_and_forms_can_t_act_even_with_the_token() {
    let herd = Herd::start().await;
    let right = format!("Bearer {TOKEN}");
    for (header, status) in [
        (("sec-fetch-site", "cross-site"), StatusCode::FORBIDDEN),
        (("sec-fetch-site", "same-site"), StatusCode::FORBIDDEN),
        (("origin", "http://evil.example.com"), StatusCode::FORBIDDEN),
        (("origin", "null"), StatusCode::FORBIDDEN),
        (("content-type", "text/plain"), StatusCode::UNSUPPORTED_MEDIA_TYPE),
        (
            ("content-type", "application/x-www-form-urlencoded"),
            StatusCode::UNSUPPORTED_MEDIA_TYPE,
        ),
    ] {
        let headers = [("authorization", right.as_str()), header];
        let answer = herd.post_with("/pause", &json!({}), &headers).await;
        assert_eq!(answer.status, status, "{header:?}");
    }
    let own = [
        ("authorization", right.as_str()),
        ("origin", "http://127.0.0.1:8380"),
        ("sec-fetch-site", "same-origin"),
    ];
    assert_eq!(herd.post_with("/pause", &json!({}), &own).await.status, StatusCode::OK);
    let preflight = request(
        Method::OPTIONS,
        "/api/v1/pause",
        &[
            ("host", "127.0.0.1:8380"),
            ("origin", "http://evil.example.com"),
            ("access-control-request-method", "POST"),
        ],
        "",
    );
    let answer = herd.ask(preflight).await;
    assert_eq!(answer.status, StatusCode::METHOD_NOT_ALLOWED);
    assert!(
        answer
            .headers
            .keys()
            .all(|name| !name.as_str().starts_with("access-control"))
    );
}

#[tokio::test]
async fn requests_under_another_s_name_are_refused_everywhere() {
    let server = Server::start();
    let dashboard = quick(Dashboard::builder(admin(&server).await)).allow_hosts(["herd.example.com"]);
    let herd = Herd::with(server, dashboard);
    for path in [
        "/",
        "/assets/app.js",
        "/api/v1/overview",
        "/api/v1/events",
        "/api/v1/dead-letters",
        "/nothing",
    ] {
        let answer = herd
            .ask(request(Method::GET, path, &[("host", "evil.example.com")], ""))
            .await;
        assert_eq!(
            (answer.status, code(&answer)),
            (StatusCode::MISDIRECTED_REQUEST, "forbidden"),
            "{path}"
        );
    }
    for host in [
        "127.0.0.1:1",
        "localhost:8380",
        "[::1]:8380",
        "herd.example.com",
        "Herd.example.com:443",
    ] {
        let answer = herd
            .ask(request(Method::GET, "/api/v1/overview", &[("host", host)], ""))
            .await;
        assert_eq!(answer.status, StatusCode::OK, "{host}");
    }
}

#[tokio::test]
async fn every_answer_tells_browsers_to_load_nothing_and_keep_nothing() {
    let herd = Herd::start().await;
    let right = format!("Bearer {TOKEN}");
    let mut answers = Vec::new();
    for path in [
        "/",
        "/index.html",
        "/assets/app.js",
        "/assets/nothing",
        "/api/v1/overview",
        "/api/v1/nothing",
        "/nothing",
    ] {
        answers.push((
            path,
            herd.ask(request(Method::GET, path, &[("host", "localhost")], "")).await,
        ));
    }
    answers.push((
        "/session",
        herd.post_with("/session", &json!({}), &[("authorization", &right)])
            .await,
    ));
    answers.push(("/pause", herd.post_with("/pause", &json!({}), &[]).await));
    answers.push((
        "other host",
        herd.ask(request(Method::GET, "/", &[("host", "evil.example.com")], ""))
            .await,
    ));
    for (path, answer) in &answers {
        let header = |name: &str| {
            answer
                .headers
                .get(name)
                .unwrap_or_else(|| panic!("{path} has no {name}"))
                .to_str()
                .unwrap()
        };
        assert_eq!(
            header("content-security-policy"),
            "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; \
             base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
            "{path}"
        );
        assert_eq!(header("x-content-type-options"), "nosniff");
        assert_eq!(header("x-frame-options"), "DENY");
        assert_eq!(header("referrer-policy"), "no-referrer");
        assert_eq!(header("cross-origin-opener-policy"), "same-origin");
        assert_eq!(header("cross-origin-resource-policy"), "same-origin");
        let kept = if answer.headers.contains_key("etag") {
            "no-cache"
        } else {
            "no-store"
        };
        assert_eq!(header("cache-control"), kept, "{path}");
        assert!(!answer.headers.contains_key("set-cookie") && !answer.headers.contains_key("server"));
    }
}

#[tokio::test]
async fn the_page_s_files_are_sent_again_only_when_they_have_changed() {
    let herd = Herd::start().await;
    let first = herd
        .ask(request(Method::GET, "/assets/app.js", &[("host", "localhost")], ""))
        .await;
    assert_eq!(first.headers["content-type"], "text/javascript; charset=utf-8");
    let tag = first.headers["etag"].to_str().unwrap();
    let known = [("host", "localhost"), ("if-none-match", tag)];
    let second = herd.ask(request(Method::GET, "/assets/app.js", &known, "")).await;
    assert_eq!((second.status, second.body), (StatusCode::NOT_MODIFIED, json!("")));
    let other = [("host", "localhost"), ("if-none-match", "\"0000000000000000\"")];
    assert_eq!(
        herd.ask(request(Method::GET, "/assets/app.js", &other, ""))
            .await
            .status,
        StatusCode::OK
    );
    for path in [
        "/assets/../Cargo.toml",
        "/assets/%2e%2e/Cargo.toml",
        "/assets/",
        "/assets/app.js/",
    ] {
        let answer = answer_of(&herd.router, request(Method::GET, path, &[("host", "localhost")], "")).await;
        assert_eq!(answer.status, StatusCode::NOT_FOUND, "{path}");
    }
}
