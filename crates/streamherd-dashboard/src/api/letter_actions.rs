//! Redriving and purging dead letters.

use std::sync::Arc;
use std::time::Duration;

use axum::Json;
use axum::extract::State as Shared;
use axum::response::{IntoResponse as _, Response};
use serde::Deserialize;
use serde_json::json;
use streamherd::{DeadLetterFilter, DeadLetterReport, DeadLetterRun};
use tokio::time::timeout;

use super::ask::{Told, letter_id, letter_text, reason, within};
use super::{ApiError, State};

/// Letters per call; a larger run is the command line's.
const MOST: usize = 1_000;
/// How long a run may take.
const PATIENCE: Duration = Duration::from_secs(20);

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Which {
    ids: Option<Vec<String>>,
    filter: Option<Filter>,
    after: Option<String>,
    limit: Option<u64>,
    #[serde(default)]
    dry_run: bool,
    /// Of a purge.
    confirm: Option<String>,
}

/// An empty one means all.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Filter {
    reason: Option<String>,
    older_than_s: Option<u64>,
    stream: Option<String>,
}

impl Which {
    fn read(&self) -> Result<DeadLetterFilter, ApiError> {
        let all = DeadLetterFilter::default();
        match (&self.ids, &self.filter) {
            (Some(ids), None) if self.after.is_none() && self.limit.is_none() => {
                if ids.is_empty() || ids.len() > MOST {
                    return Err(ApiError::bad_request(format!(
                        "ids has {} ids, and not from 1 to {MOST}",
                        ids.len()
                    )));
                }
                let ids: Result<Vec<_>, _> = ids.iter().map(|id| letter_id(id)).collect();
                Ok(all.ids(ids?))
            }
            (None, Some(filter)) => {
                let limit = within("limit", self.limit, MOST, MOST)?;
                let mut meant = all.look_at(MOST as u64).limit(limit as u64);
                if let Some(text) = &filter.reason {
                    meant = meant.reason(reason(text)?);
                }
                if let Some(seconds) = filter.older_than_s {
                    meant = meant.older_than(Duration::from_secs(seconds));
                }
                if let Some(stream) = &filter.stream {
                    meant = meant.stream(stream);
                }
                if let Some(after) = &self.after {
                    meant = meant.after(letter_id(after)?);
                }
                Ok(meant)
            }
            (Some(_), None) => Err(ApiError::bad_request("ids go with neither after nor limit")),
            _ => Err(ApiError::bad_request(
                "say which letters: either ids, or a filter ({} for all of them)",
            )),
        }
    }
}

pub(super) async fn redrive(Shared(state): Shared<Arc<State>>, Told(which): Told<Which>) -> Result<Response, ApiError> {
    if which.confirm.is_some() {
        return Err(ApiError::bad_request("confirm belongs to a purge"));
    }
    let run = state.admin.redrive(which.read()?);
    act(&state, "redrive", run, which.dry_run).await
}

pub(super) async fn purge(Shared(state): Shared<Arc<State>>, Told(which): Told<Which>) -> Result<Response, ApiError> {
    if !which.dry_run && which.confirm.as_deref() != Some("purge") {
        return Err(ApiError::bad_request(
            "what is purged is gone for good; send \"confirm\": \"purge\" as well",
        ));
    }
    let run = state.admin.purge(which.read()?);
    act(&state, "purge", run, which.dry_run).await
}

async fn act(state: &State, action: &'static str, mut run: DeadLetterRun, dry: bool) -> Result<Response, ApiError> {
    if dry {
        run = run.dry_run();
    }
    let ended = timeout(PATIENCE, run.finish()).await;
    let report = run.report();
    state.views.forget();
    tracing::info!(
        action,
        dry,
        redriven = report.redriven,
        purged = report.purged,
        others = others(&report),
        complete = matches!(ended, Ok(Ok(_))),
        "an operator acted on dead letters"
    );
    let failed = match ended {
        Ok(Ok(_)) => None,
        Ok(Err(e)) => Some(ApiError::store(&e)),
        Err(_) => Some(ApiError::too_slow()),
    };
    if let Some(mut error) = failed {
        let done = if action == "purge" {
            report.purged
        } else {
            report.redriven
        };
        error.message = format!(
            "{}; before that {done} letters were done, and what is repeated is not done twice",
            error.message
        );
        return Err(error);
    }
    let next = run.position().map(letter_text);
    let mut answer = json!({ "outcomes": report, "next": next, "dry_run": dry });
    if let Some(answer) = answer.as_object_mut() {
        let (name, done) = match action {
            "purge" => ("purged", report.purged),
            _ => ("redriven", report.redriven),
        };
        answer.insert(name.to_owned(), done.into());
    }
    Ok(Json(answer).into_response())
}

/// Letters that something else became of than what was asked for.
const fn others(report: &DeadLetterReport) -> u64 {
    report.coalesced + report.superseded + report.too_large + report.gone + report.failed
}
