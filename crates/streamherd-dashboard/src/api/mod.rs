//! The REST API.

mod actions;
mod ask;
mod consumers;
mod error;
mod events;
mod history;
mod letter_actions;
mod letters;
mod overview;

use std::sync::Arc;

use axum::Router;
use axum::extract::{DefaultBodyLimit, Request};
use axum::http::header::CONTENT_TYPE;
use axum::middleware::{Next, from_fn, from_fn_with_state};
use axum::response::{IntoResponse as _, Response};
use axum::routing::{MethodRouter, get, post};
use streamherd::Admin;
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;

pub(crate) use self::error::ApiError;
use crate::assets;
use crate::guard::{Gate, Hosts, check_host, check_origin, check_token, set_headers};
use crate::sample::Sampler;
use crate::view::Views;

/// What an action may say: a thousand ids are 40 KiB at most.
const MOST_BODY: usize = 64 * 1024;
/// What a question may say: a name of 1 KiB, each byte of it escaped, and more.
const MOST_QUERY: usize = 8 * 1024;
/// Who may be told of each sample at one time.
const MOST_VIEWERS: usize = 256;

/// What all requests share.
#[derive(Debug)]
pub(crate) struct State {
    pub(crate) admin: Admin,
    pub(crate) sampler: Sampler,
    pub(crate) views: Views,
    pub(crate) gate: Gate,
    pub(crate) hosts: Hosts,
    /// A permit per stream of events.
    viewers: Arc<Semaphore>,
    /// Ends the streams of events.
    pub(crate) end: CancellationToken,
}

impl State {
    pub(crate) fn new(admin: Admin, sampler: Sampler, gate: Gate, hosts: Hosts) -> Self {
        Self {
            views: Views::new(admin.clone()),
            admin,
            sampler,
            gate,
            hosts,
            viewers: Arc::new(Semaphore::new(MOST_VIEWERS)),
            end: CancellationToken::new(),
        }
    }
}

type Routes = MethodRouter<Arc<State>>;

/// Below `/api/v1`: the path, its method, and who answers it.
fn routes() -> Vec<(&'static str, &'static str, Routes)> {
    vec![
        ("/overview", "get", get(overview::get)),
        ("/events", "get", get(events::get)),
        ("/history", "get", get(history::get)),
        ("/consumers", "get", get(consumers::get)),
        ("/dead-letters", "get", get(letters::list)),
        ("/dead-letters/{id}", "get", get(letters::one)),
        ("/dead-letters/redrive", "post", post(letter_actions::redrive)),
        ("/dead-letters/purge", "post", post(letter_actions::purge)),
        ("/requeue", "post", post(actions::requeue)),
        ("/pause", "post", post(actions::pause)),
        ("/resume", "post", post(actions::resume)),
        ("/session", "post", post(actions::session)),
        ("/openapi.json", "get", get(openapi)),
    ]
}

pub(crate) fn router(state: &Arc<State>) -> Router {
    let mut api = Router::new();
    for (path, _, route) in routes() {
        api = api.route(path, route.fallback(wrong_method));
    }
    let api = api
        .fallback(no_route)
        .layer(DefaultBodyLimit::max(MOST_BODY))
        .layer(from_fn_with_state(Arc::clone(state), check_token))
        .layer(from_fn_with_state(Arc::clone(state), check_origin))
        .layer(from_fn(check_query));
    Router::new()
        .route("/", get(assets::index))
        .route("/index.html", get(assets::index))
        .route("/assets/{*path}", get(assets::asset))
        .nest_service("/api/v1", api.with_state(Arc::clone(state)))
        .fallback(no_route)
        .layer(from_fn_with_state(Arc::clone(state), check_host))
        .layer(from_fn(set_headers))
        .with_state(Arc::clone(state))
}

/// Written by hand; tests hold it against the routes and their answers.
const OPENAPI: &str = include_str!("../openapi.json");

async fn openapi() -> Response {
    ([(CONTENT_TYPE, "application/json")], OPENAPI).into_response()
}

async fn no_route() -> ApiError {
    ApiError::not_found("there is no such page; the dashboard is at its `/`, and openapi.json lists what the API has")
}

async fn wrong_method() -> ApiError {
    ApiError::wrong_method()
}

async fn check_query(request: Request, next: Next) -> Response {
    let query = request.uri().query().unwrap_or_default();
    if query.len() > MOST_QUERY {
        return ApiError::bad_request(format!("the query is longer than {MOST_QUERY} bytes")).into_response();
    }
    next.run(request).await
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn the_document_has_the_routes_that_there_are_and_no_others() {
        let document: serde_json::Value = serde_json::from_str(OPENAPI).unwrap();
        let documented: BTreeSet<(String, String)> = document["paths"]
            .as_object()
            .unwrap()
            .iter()
            .flat_map(|(path, methods)| {
                let methods = methods.as_object().unwrap().keys();
                methods.map(|method| (path.clone(), method.clone())).collect::<Vec<_>>()
            })
            .collect();
        let routed: BTreeSet<(String, String)> = routes()
            .into_iter()
            .map(|(path, method, _)| (path.to_owned(), method.to_owned()))
            .collect();
        assert_eq!(documented, routed);
    }
}
