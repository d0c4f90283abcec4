//! Dead letters: some of them, or one with all it has.

use std::sync::Arc;
use std::time::Duration;

use axum::Json;
use axum::extract::{Path, State as Shared};
use axum::response::{IntoResponse as _, Response};
use serde::Deserialize;
use serde_json::{Value, json};
use streamherd::DeadLetter;

use super::ask::{Asked, letter_id, letter_text, reason, shortened, within};
use super::{ApiError, State};
use crate::view::{LetterQuery, MOST_ROWS};

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct ListQuery {
    reason: Option<String>,
    older_than_s: Option<u64>,
    stream: Option<String>,
    after: Option<String>,
    limit: Option<u64>,
}

impl ListQuery {
    fn read(self) -> Result<LetterQuery, ApiError> {
        // A form sends what was left empty, too.
        let given = |text: Option<String>| text.filter(|text| !text.is_empty());
        Ok(LetterQuery {
            reason: given(self.reason).as_deref().map(reason).transpose()?,
            older_than: self.older_than_s.map(Duration::from_secs),
            stream: given(self.stream),
            after: given(self.after).as_deref().map(letter_id).transpose()?,
            limit: within("limit", self.limit, 100, MOST_ROWS)?,
        })
    }
}

pub(super) async fn list(
    Shared(state): Shared<Arc<State>>,
    Asked(query): Asked<ListQuery>,
) -> Result<Response, ApiError> {
    let page = state.views.dead_letters(query.read()?).await?;
    let rows: Vec<Value> = page.dead_letters.iter().map(row).collect();
    let body = json!({ "at_ms": page.at_ms, "dead_letters": rows, "next": page.next.map(letter_text) });
    Ok(Json(body).into_response())
}

/// A letter as the library serializes it, without its fields.
fn row(letter: &DeadLetter) -> Value {
    let mut row = serde_json::to_value(letter).unwrap_or_default();
    if let Some(row) = row.as_object_mut() {
        row.remove("fields");
    }
    row
}

pub(super) async fn one(Shared(state): Shared<Arc<State>>, Path(text): Path<String>) -> Result<Response, ApiError> {
    match state.views.dead_letter(letter_id(&text)?).await? {
        Some(letter) => Ok(Json(letter.as_ref()).into_response()),
        None => Err(ApiError::not_found(format!(
            "there is no dead letter {}; it was redriven, purged or trimmed, or never was",
            shortened(&text)
        ))),
    }
}
