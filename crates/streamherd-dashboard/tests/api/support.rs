//! A dashboard on a server of its own, and asking it.

use std::sync::LazyLock;
use std::time::Duration;

use axum::Router;
use axum::body::{Body, to_bytes};
use axum::http::{HeaderMap, Method, Request, StatusCode};
use serde_json::{Value, json};
use streamherd::{Admin, Builder, Client};
use streamherd_dashboard::{Dashboard, DashboardBuilder, SamplerOptions};
use streamherd_testkit::{RawClient, Server, eventually};
use tower::ServiceExt as _;

pub(crate) const SERVICE: &str = "orders";
pub(crate) const TOKEN: &str = "a-token-for-tests";
/// More than anything here takes on a busy machine.
pub(crate) const SOON: Duration = Duration::from_secs(30);
/// Time between two looks at Redis.
pub(crate) const INTERVAL: Duration = Duration::from_millis(200);

static DOCUMENT: LazyLock<Value> =
    LazyLock::new(|| serde_json::from_str(include_str!("../../src/openapi.json")).unwrap());

/// A dashboard of a service.
pub(crate) struct Herd {
    pub(crate) dashboard: Dashboard,
    pub(crate) router: Router,
    pub(crate) server: Server,
}

/// What it answered.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Value,
}

pub(crate) fn builder(server: &Server) -> Builder {
    Client::builder(SERVICE).url(server.url())
}

pub(crate) async fn admin(server: &Server) -> Admin {
    builder(server).connect_admin().await.unwrap()
}

/// What tests change: looks that are close together.
pub(crate) fn quick(dashboard: DashboardBuilder) -> DashboardBuilder {
    let mut options = SamplerOptions::default();
    options.interval = INTERVAL;
    dashboard.sampler(options)
}

impl Herd {
    /// A dashboard that acts for who has the token.
    pub(crate) async fn start() -> Self {
        Self::of(Server::start()).await
    }

    pub(crate) async fn of(server: Server) -> Self {
        let dashboard = Dashboard::builder(admin(&server).await).admin_token(TOKEN);
        Self::with(server, quick(dashboard))
    }

    pub(crate) fn with(server: Server, dashboard: DashboardBuilder) -> Self {
        let dashboard = dashboard.build();
        Self {
            router: dashboard.router(),
            dashboard,
            server,
        }
    }

    pub(crate) fn redis(&self) -> RawClient {
        self.server.client()
    }

    pub(crate) async fn submit(&self, names: &[&str]) {
        let producer = builder(&self.server).connect_producer().await.unwrap();
        for name in names {
            producer.submit(name, &()).await.unwrap();
        }
    }

    /// What a path below `/api/v1` answers.
    pub(crate) async fn get(&self, path: &str) -> Answer {
        let request = Request::get(format!("/api/v1{path}"))
            .header("host", "127.0.0.1:8380")
            .body(Body::empty())
            .unwrap();
        let answer = self.ask(request).await;
        hold_against_document("get", path, None, &answer);
        answer
    }

    /// The body of an answer that is 200.
    pub(crate) async fn ok(&self, path: &str) -> Value {
        let answer = self.get(path).await;
        assert_eq!(answer.status, StatusCode::OK, "{path}: {}", answer.body);
        answer.body
    }

    /// What becomes of an action, with the token.
    pub(crate) async fn post(&self, path: &str, body: &Value) -> Answer {
        let answer = self
            .post_with(path, body, &[("authorization", &format!("Bearer {TOKEN}"))])
            .await;
        hold_against_document("post", path, Some(body), &answer);
        answer
    }

    /// What becomes of an action that is to succeed.
    pub(crate) async fn act(&self, path: &str, body: Value) -> Value {
        let answer = self.post(path, &body).await;
        assert_eq!(answer.status, StatusCode::OK, "{path} {body}: {}", answer.body);
        answer.body
    }

    /// What becomes of an action with these headers beside its type.
    pub(crate) async fn post_with(&self, path: &str, body: &Value, headers: &[(&str, &str)]) -> Answer {
        let mut request = Request::post(format!("/api/v1{path}")).header("host", "127.0.0.1:8380");
        if !headers.iter().any(|(name, _)| *name == "content-type") {
            request = request.header("content-type", "application/json");
        }
        for (name, value) in headers.iter().filter(|(_, value)| !value.is_empty()) {
            request = request.header(*name, *value);
        }
        self.ask(request.body(Body::from(body.to_string())).unwrap()).await
    }

    pub(crate) async fn ask(&self, request: Request<Body>) -> Answer {
        answer_of(&self.router, request).await
    }

    /// Waits until the overview is so.
    pub(crate) async fn until(&self, what: &str, is_so: impl Fn(&Value) -> bool) -> Value {
        eventually(SOON, what, || async {
            let overview = self.ok("/overview").await;
            is_so(&overview).then_some(overview)
        })
        .await
    }
}

pub(crate) async fn answer_of(router: &Router, request: Request<Body>) -> Answer {
    let response = router.clone().oneshot(request).await.unwrap();
    let (parts, body) = response.into_parts();
    let bytes = to_bytes(body, usize::MAX).await.unwrap();
    let body = serde_json::from_slice(&bytes).unwrap_or_else(|_| json!(String::from_utf8_lossy(&bytes)));
    Answer {
        status: parts.status,
        headers: parts.headers,
        body,
    }
}

/// The answer is one that the document has for the question; and what succeeded was asked as the document says.
#[track_caller]
fn hold_against_document(method: &str, path: &str, asked: Option<&Value>, answer: &Answer) {
    let path = path.split('?').next().unwrap();
    let paths = DOCUMENT["paths"].as_object().unwrap();
    let route = match paths.get(path) {
        Some(route) => route,
        None if path.starts_with("/dead-letters/") => &paths["/dead-letters/{id}"],
        None => panic!("{path} is not in openapi.json"),
    };
    let status = answer.status.as_str();
    let mut response = &route[method]["responses"][status];
    assert!(
        !response.is_null(),
        "openapi.json knows no {status} of {method} {path}: {}",
        answer.body
    );
    if let Some(name) = response["$ref"].as_str() {
        response = DOCUMENT.pointer(name.strip_prefix('#').unwrap()).unwrap();
    }
    match response["content"]["application/json"]["schema"].as_object() {
        Some(schema) => fits(&json!(schema), &answer.body, &format!("{status} of {method} {path}")),
        None => assert_eq!(answer.body, json!(""), "{method} {path}"),
    }
    if let Some(asked) = asked.filter(|_| answer.status.is_success()) {
        let schema = &route[method]["requestBody"]["content"]["application/json"]["schema"];
        fits(schema, asked, &format!("what {method} {path} was told"));
    }
}

#[track_caller]
pub(crate) fn fits(schema: &Value, value: &Value, what: &str) {
    let whole = json!({ "allOf": [schema], "components": DOCUMENT["components"] });
    let validator = jsonschema::validator_for(&whole).unwrap();
    let errors: Vec<String> = validator
        .iter_errors(value)
        .map(|e| format!("{} at {}", e, e.instance_path()))
        .collect();
    assert!(
        errors.is_empty(),
        "{what} is not as openapi.json says: {errors:#?} in {value:#}"
    );
}

#[track_caller]
pub(crate) fn fits_overview(value: &Value) {
    fits(&json!({ "$ref": "#/components/schemas/Overview" }), value, "an event");
}

/// What an error says that it is.
#[track_caller]
pub(crate) fn code(answer: &Answer) -> &str {
    assert!(!answer.body["error"]["message"].as_str().unwrap().is_empty());
    answer.body["error"]["code"].as_str().unwrap()
}

/// Sends this as it is; for those who want a request that no client would make.
pub(crate) fn request(method: Method, uri: &str, headers: &[(&str, &str)], body: impl Into<Body>) -> Request<Body> {
    let mut request = Request::builder().method(method).uri(uri);
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    request.body(body.into()).unwrap()
}

/// Writes dead letters as workers leave them, one per name, and returns their ids as the API has them.
pub(crate) fn bury(redis: &mut RawClient, names: &[String], reason: &str, error: &str) -> Vec<String> {
    let add = "local ids = {} for i = 3, #ARGV do ids[#ids + 1] = redis.call('XADD', KEYS[1], '*', 'lbs-input', ARGV[i], \
               '_retry_count', 7, '_sh_failures', 5, '_sh_abandonments', 2, '_sh_origin', '5-1', '_sh_first_seen', 5, \
               '_sh_reason', ARGV[1], '_sh_error', ARGV[2], '_sh_consumer', 'w.12345678', '_sh_last_id', '6-1', '_sh_at', \
               redis.call('TIME')[1] .. '000') end return ids";
    let mut ids = Vec::new();
    for some in names.chunks(1_000) {
        let mut call = ["EVAL", add, "1", "{orders:0}:dlq", reason, error]
            .map(str::to_owned)
            .to_vec();
        call.extend(
            some.iter()
                .map(|name| json!({ "DataStreamName": name, "Info": null }).to_string()),
        );
        ids.extend(redis.call(&call).ok().strings());
    }
    ids.iter().map(|id| format!("0:{id}")).collect()
}

pub(crate) fn names(prefix: &str, count: usize) -> Vec<String> {
    (0..count).map(|number| format!("{prefix}-{number}")).collect()
}
