//! Streams that are pending at a consumer, and those that wait for a time.

use std::sync::Arc;

use axum::Json;
use axum::extract::State as Shared;
use axum::response::{IntoResponse as _, Response};
use serde::Deserialize;
use serde_json::json;

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
    // A form sends what was left empty, too.
    let given = |text: Option<String>| text.filter(|text| !text.is_empty());
    let orphans = match given(asked.state).as_deref() {
        None => None,
        Some("leased") => Some(false),
        Some("orphan") => Some(true),
        Some(other) => {
            let other = shortened(other);
            return Err(ApiError::bad_request(format!(
                "`{other}` is no state; there are leased and orphan"
            )));
        }
    };
    let query = PendingQuery {
        orphans,
        consumer: given(asked.consumer),
        after: given(asked.after),
        limit: within("limit", asked.limit, 100, MOST_ROWS)?,
    };
    let page = state.views.pending(query).await?;
    Ok(Json(json!({ "at_ms": page.at_ms, "leases": page.leases, "next": page.next })).into_response())
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
    let after = asked.after.filter(|after| !after.is_empty());
    let limit = within("limit", asked.limit, 100, MOST_ROWS)?;
    let page = state.views.delayed(after, limit).await?;
    Ok(Json(json!({ "at_ms": page.at_ms, "delayed": page.delayed, "next": page.next })).into_response())
}
