//! In a user's own axum app.

use axum::Router;
use axum::http::{Method, StatusCode};
use streamherd_testkit::Server;

use crate::support::{admin, answer_of, request};

async fn asked(app: &Router, path: &str) -> (StatusCode, String) {
    let answer = answer_of(app, request(Method::GET, path, &[("host", "localhost")], "")).await;
    match answer.headers.get("location") {
        Some(location) => (answer.status, location.to_str().unwrap().to_owned()),
        None => (answer.status, answer.body.to_string()),
    }
}

#[tokio::test]
async fn it_works_below_a_path_however_it_is_mounted() {
    let server = Server::start();
    let herd = streamherd_dashboard::router(admin(&server).await);
    let apps = [
        ("nest_service", Router::new().nest_service("/ops/herd", herd.clone())),
        ("nest", Router::new().nest("/ops/herd", herd.clone())),
        ("nest with a stroke", Router::new().nest("/ops/herd/", herd.clone())),
        (
            "merged",
            Router::new().nest("/ops", Router::new().nest_service("/herd", herd.clone())),
        ),
    ];
    for (how, app) in &apps {
        if *how != "nest with a stroke" {
            let (status, location) = asked(app, "/ops/herd").await;
            assert_eq!(
                (status, location.as_str()),
                (StatusCode::TEMPORARY_REDIRECT, "herd/index.html"),
                "{how}"
            );
        }
        if *how != "nest" {
            assert_eq!(asked(app, "/ops/herd/").await.0, StatusCode::OK, "{how}");
        }
        for path in [
            "/ops/herd/index.html",
            "/ops/herd/assets/app.js",
            "/ops/herd/api/v1/overview",
        ] {
            assert_eq!(asked(app, path).await.0, StatusCode::OK, "{how}: {path}");
        }
        for path in ["/ops/herd/nothing", "/ops/herd/api/v1/nothing", "/ops/herd/api/v1"] {
            assert_eq!(asked(app, path).await.0, StatusCode::NOT_FOUND, "{how}: {path}");
        }
    }
    assert_eq!(asked(&herd, "/").await.0, StatusCode::OK);
    assert_eq!(asked(&herd, "/index.html").await.0, StatusCode::OK);
}

#[tokio::test]
async fn the_page_loads_nothing_from_elsewhere_and_nothing_by_an_absolute_path() {
    let server = Server::start();
    let herd = streamherd_dashboard::router(admin(&server).await);
    let (_, page) = asked(&herd, "/").await;
    for word in [
        "http://",
        "https://",
        "src=\\\"/",
        "href=\\\"/",
        "//cdn",
        "onclick",
        "<style",
    ] {
        assert!(!page.contains(word), "the page has {word}");
    }
}
