//! What is asked, read strictly: a word that is not known would otherwise be a filter that is not applied.

use axum::Json;
use axum::extract::rejection::{JsonRejection, QueryRejection};
use axum::extract::{FromRequest, FromRequestParts, Query, Request};
use axum::http::StatusCode;
use axum::http::request::Parts;
use serde::de::DeserializeOwned;
use streamherd::{DeadLetterReason, LetterId};

use super::ApiError;

/// The query's parameters.
pub(super) struct Asked<T>(pub(super) T);

impl<T: DeserializeOwned, S: Send + Sync> FromRequestParts<S> for Asked<T> {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, ApiError> {
        let asked: Result<Query<T>, QueryRejection> = Query::from_request_parts(parts, state).await;
        let refused = |e: QueryRejection| ApiError::bad_request(format!("{}; see openapi.json", e.body_text()));
        asked.map(|Query(asked)| Self(asked)).map_err(refused)
    }
}

/// The JSON of an action.
pub(super) struct Told<T>(pub(super) T);

impl<T: DeserializeOwned, S: Send + Sync> FromRequest<S> for Told<T> {
    type Rejection = ApiError;

    async fn from_request(request: Request, state: &S) -> Result<Self, ApiError> {
        let told: Result<Json<T>, JsonRejection> = Json::from_request(request, state).await;
        let refused = |e: JsonRejection| match e.status() {
            StatusCode::PAYLOAD_TOO_LARGE => ApiError::too_large(),
            _ => ApiError::bad_request(format!("{}; see openapi.json", e.body_text())),
        };
        told.map(|Json(told)| Self(told)).map_err(refused)
    }
}

/// `0:1795206880640-0`, or with a stroke as the library has it.
pub(super) fn letter_id(text: &str) -> Result<LetterId, ApiError> {
    let as_library = text.replacen(':', "/", 1);
    as_library.parse().map_err(|_| {
        ApiError::bad_request(format!(
            "`{}` is not the id of a dead letter, of the form 0:1795206880640-0 (partition and id)",
            shortened(text)
        ))
    })
}

pub(super) fn letter_text(id: LetterId) -> String {
    format!("{}:{}", id.partition, id.id)
}

pub(super) fn reason(text: &str) -> Result<DeadLetterReason, ApiError> {
    let known: Vec<_> = DeadLetterReason::ALL.iter().map(|reason| reason.as_str()).collect();
    let unknown = |_| {
        ApiError::bad_request(format!(
            "`{}` is no reason; there are {}",
            shortened(text),
            known.join(", ")
        ))
    };
    text.parse().map_err(unknown)
}

/// A number of rows or letters within its bounds.
pub(super) fn within(name: &str, number: Option<u64>, default: usize, most: usize) -> Result<usize, ApiError> {
    match number.map(usize::try_from) {
        None => Ok(default),
        Some(Ok(number)) if (1..=most).contains(&number) => Ok(number),
        Some(_) => Err(ApiError::bad_request(format!("{name} is not from 1 to {most}"))),
    }
}

/// What was sent is repeated only as far as it helps.
pub(super) fn shortened(text: &str) -> String {
    match text.char_indices().nth(80) {
        Some((end, _)) => format!("{}…", text.get(..end).unwrap_or_default()),
        None => text.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_letter_s_id_is_read_in_both_forms_and_written_in_one() {
        for text in ["2:5-1", "2/5-1"] {
            assert_eq!(letter_text(letter_id(text).unwrap()), "2:5-1");
        }
        assert_eq!(letter_text(letter_id("5-1").unwrap()), "0:5-1");
        for text in [
            "",
            "2:",
            "2:5",
            "front:5-1",
            "2:front:5-1",
            "65536:5-1",
            "-1:5-1",
            "2::5-1",
        ] {
            assert!(letter_id(text).is_err(), "{text}");
        }
    }

    #[test]
    fn what_is_out_of_bounds_is_refused() {
        let limit = |number| within("limit", number, 100, 200).ok();
        assert_eq!([None, Some(1), Some(200)].map(limit), [Some(100), Some(1), Some(200)]);
        assert_eq!([Some(0), Some(201), Some(u64::MAX)].map(limit), [None; 3]);
    }
}
