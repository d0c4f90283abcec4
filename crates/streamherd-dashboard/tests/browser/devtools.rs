//! What chromedriver understands beyond WebDriver.

use axum::body::{Body, to_bytes};
use axum::http::{Request, header};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use serde_json::{Value, json};

/// More than any screenshot.
const MOST: usize = 64 << 20;

/// One session's extensions.
#[derive(Debug, Clone)]
pub(crate) struct Devtools {
    client: Client<HttpConnector, Body>,
    session: String,
}

impl Devtools {
    pub(crate) fn new(port: u16, session: &str) -> Self {
        Self {
            client: Client::builder(TokioExecutor::new()).build_http(),
            session: format!("http://127.0.0.1:{port}/session/{session}"),
        }
    }

    /// A command of the DevTools protocol.
    pub(crate) async fn command(&self, name: &str, params: Value) -> Value {
        self.post("goog/cdp/execute", json!({ "cmd": name, "params": params }))
            .await
    }

    /// What the page and the browser logged since this was last asked.
    pub(crate) async fn log(&self) -> Vec<String> {
        let entries = self.post("se/log", json!({ "type": "browser" })).await;
        let text = |entry: &Value| format!("{} {}", entry["level"], entry["message"]);
        entries
            .as_array()
            .map(|all| all.iter().map(text).collect())
            .unwrap_or_default()
    }

    async fn post(&self, path: &str, body: Value) -> Value {
        let request = Request::post(format!("{}/{path}", self.session))
            .header(header::CONTENT_TYPE, "application/json")
            .body(Body::from(body.to_string()))
            .expect("a request");
        let answer = self.client.request(request).await.expect("chromedriver answers");
        let status = answer.status();
        let bytes = to_bytes(Body::new(answer.into_body()), MOST)
            .await
            .expect("an answer in full");
        let mut answer: Value = serde_json::from_slice(&bytes).expect("JSON");
        assert!(status.is_success(), "{path} {body}: {answer}");
        answer["value"].take()
    }
}
