//! Streams that are pending at a consumer, and those that wait for a time.

use std::sync::Arc;

use axum::Json;
use axum::extract::State as Shared;
use axum::response::{IntoResponse as _, Response};
use serde::Deserialize;
use serde_json::json;
use streamherd::{Cursor, LeaseQuery, LeaseState};

use super::ask::{Asked, shortened, within};
use super::{ApiError, State};
use crate::view::{MOST_ROWS, PendingQuery};

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct LeaseList {
    state: Option<String>,
    consumer: Option<String>,
    after: Option<String>,
    limit: Option<u64>,
}

pub(super) async fn leases(
    Shared(state): Shared<Arc<State>>,
    Asked(asked): Asked<LeaseList>,
) -> Result<Response, ApiError> {
    let state_asked = match given(asked.state).as_deref() {
        None => None,
        Some("leased") => Some(LeaseState::Leased),
        Some("orphan") => Some(LeaseState::Orphan),
        Some(other) => {
            let other = shortened(other);
            return Err(ApiError::bad_request(format!(
                "`{other}` is no state; there are leased and orphan"
            )));
        }
    };
    let query = PendingQuery {
        wanted: LeaseQuery {
            state: state_asked,
            consumer: given(asked.consumer),
        },
        after: cursor(asked.after)?,
        limit: within("limit", asked.limit, 100, MOST_ROWS)?,
    };
    let page = state.views.pending(query).await?;
    Ok(Json(json!({ "at_ms": page.at_ms, "leases": page.leases, "next": page.next })).into_response())
}

/// A form sends what was left empty, too.
fn given(text: Option<String>) -> Option<String> {
    text.filter(|text| !text.is_empty())
}

fn cursor(after: Option<String>) -> Result<Option<Cursor>, ApiError> {
    let Some(after) = given(after) else {
        return Ok(None);
    };
    let cursor = after.parse().map_err(|_| {
        let after = shortened(&after);
        ApiError::bad_request(format!("`{after}` is no `next` of a page; begin anew without `after`"))
    })?;
    Ok(Some(cursor))
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct DelayedList {
    after: Option<String>,
    limit: Option<u64>,
}

pub(super) async fn delayed(
    Shared(state): Shared<Arc<State>>,
    Asked(asked): Asked<DelayedList>,
) -> Result<Response, ApiError> {
    let after = cursor(asked.after)?;
    let limit = within("limit", asked.limit, 100, MOST_ROWS)?;
    let page = state.views.delayed(after, limit).await?;
    Ok(Json(json!({ "at_ms": page.at_ms, "delayed": page.delayed, "next": page.next })).into_response())
}
