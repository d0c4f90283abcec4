//! What an operator does, but for dead letters.

use std::sync::Arc;
use std::time::Duration;

use axum::Json;
use axum::extract::State as Shared;
use axum::http::StatusCode;
use axum::response::{IntoResponse as _, Response};
use serde::{Deserialize, Serialize};
use serde_json::json;
use streamherd::error::StoreError;
use streamherd::{FoundStream, PauseTarget, Reference, RequeueOutcome};
use tokio::time::timeout;

use super::ask::{Told, shortened};
use super::{ApiError, State};

/// How long an action may take: a stream that is not coalesced is looked for.
const PATIENCE: Duration = Duration::from_secs(20);

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Nothing {}

/// Whether the token is right, which was judged on the way here.
pub(super) async fn session(Told(Nothing {}): Told<Nothing>) -> StatusCode {
    StatusCode::NO_CONTENT
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Requeue {
    stream: Option<String>,
    partition: Option<u16>,
    id: Option<String>,
    #[serde(default)]
    force: bool,
}

pub(super) async fn requeue(
    Shared(state): Shared<Arc<State>>,
    Told(told): Told<Requeue>,
) -> Result<Response, ApiError> {
    let admin = &state.admin;
    let found = match (told.stream, told.partition, told.id) {
        (Some(stream), None, None) => {
            let FoundStream { partition, outcome, .. } = in_time(admin.find_and_requeue(&stream, told.force)).await?;
            Found { partition, outcome }
        }
        (None, Some(partition), Some(id)) => {
            let entry: Reference = id.parse().map_err(|_| not_an_entry(&id))?;
            let outcome = in_time(admin.requeue_entry(partition, entry, told.force)).await?;
            Found {
                partition: Some(partition),
                outcome,
            }
        }
        _ => {
            return Err(ApiError::bad_request(
                "say which stream: either its name as stream, or partition and id of one entry",
            ));
        }
    };
    let answer = serde_json::to_value(&found).unwrap_or_default();
    state.views.forget();
    tracing::info!(
        action = "requeue",
        force = told.force,
        outcome = answer.get("outcome").and_then(|outcome| outcome.as_str()),
        "an operator acted on a stream"
    );
    Ok(Json(answer).into_response())
}

/// Where it was, and what became of it.
#[derive(Debug, Serialize)]
struct Found {
    partition: Option<u16>,
    #[serde(flatten)]
    outcome: RequeueOutcome,
}

fn not_an_entry(id: &str) -> ApiError {
    ApiError::bad_request(format!(
        "`{}` is not the id of an entry, of the form 1795206880640-0, front:1795206880640-0 or delayed:1795206880640-0",
        shortened(id)
    ))
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Whom {
    consumer: Option<String>,
}

pub(super) async fn pause(Shared(state): Shared<Arc<State>>, Told(whom): Told<Whom>) -> Result<Response, ApiError> {
    set_paused(&state, whom, true).await
}

pub(super) async fn resume(Shared(state): Shared<Arc<State>>, Told(whom): Told<Whom>) -> Result<Response, ApiError> {
    set_paused(&state, whom, false).await
}

async fn set_paused(state: &State, whom: Whom, pause: bool) -> Result<Response, ApiError> {
    let target = match whom.consumer {
        None => PauseTarget::Service,
        // Empty is nobody for the library, and may be meant as everybody.
        Some(consumer) if consumer.is_empty() => {
            return Err(ApiError::bad_request(
                "consumer is empty; leave it out to mean the service",
            ));
        }
        Some(consumer) => PauseTarget::Consumer(consumer),
    };
    let changed = if pause {
        in_time(state.admin.pause(&target)).await?
    } else {
        in_time(state.admin.resume(&target)).await?
    };
    let action = if pause { "pause" } else { "resume" };
    tracing::info!(action, ?target, changed, "an operator acted on who takes work");
    Ok(Json(json!({ "changed": changed })).into_response())
}

async fn in_time<T>(action: impl Future<Output = Result<T, StoreError>>) -> Result<T, ApiError> {
    match timeout(PATIENCE, action).await {
        Ok(done) => done.map_err(|e| ApiError::store(&e)),
        Err(_) => Err(ApiError::too_slow()),
    }
}
