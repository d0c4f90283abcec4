//! What went wrong, for programs and people.

use axum::Json;
use axum::http::StatusCode;
use axum::http::header::{HeaderValue, RETRY_AFTER, WWW_AUTHENTICATE};
use axum::response::{IntoResponse, Response};
use serde_json::json;
use streamherd::error::StoreError;

use crate::guard::Verdict;
use crate::view::ViewError;
use crate::words::causes;

/// An answer that says what happened and what to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ApiError {
    pub(crate) status: StatusCode,
    pub(crate) code: &'static str,
    pub(crate) message: String,
}

impl ApiError {
    fn new(status: StatusCode, code: &'static str, message: impl Into<String>) -> Self {
        Self {
            status,
            code,
            message: message.into(),
        }
    }

    pub(crate) fn bad_request(message: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, "bad_request", message)
    }

    pub(crate) fn not_found(message: impl Into<String>) -> Self {
        Self::new(StatusCode::NOT_FOUND, "not_found", message)
    }

    pub(crate) fn wrong_method() -> Self {
        let message = "this path doesn't know that method; openapi.json lists what it does";
        Self::new(StatusCode::METHOD_NOT_ALLOWED, "not_allowed", message)
    }

    pub(crate) fn too_many_viewers() -> Self {
        let message = "as many streams of events are open as there may be; close one, or ask for the overview instead";
        Self::new(StatusCode::SERVICE_UNAVAILABLE, "too_many", message)
    }

    pub(crate) fn wrong_host() -> Self {
        let message = "the dashboard doesn't answer under this host's name; if the name is its own, start it with --allow-host NAME (in a program: DashboardBuilder::allow_hosts)";
        Self::new(StatusCode::MISDIRECTED_REQUEST, "forbidden", message)
    }

    pub(crate) fn other_origin() -> Self {
        let message = "actions are taken from the dashboard's own page only, or from no page at all; behind a proxy, have it pass on the Host header, or allow the name that browsers use with --allow-host NAME";
        Self::new(StatusCode::FORBIDDEN, "forbidden", message)
    }

    pub(crate) fn not_json() -> Self {
        let message = "an action is a JSON object, sent with `Content-Type: application/json`";
        Self::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, "bad_request", message)
    }

    pub(crate) fn too_large() -> Self {
        let message = "the request is larger than 64 KiB; name fewer letters at a time";
        Self::new(StatusCode::PAYLOAD_TOO_LARGE, "bad_request", message)
    }

    /// An action without a right token, if it is one.
    pub(crate) fn token(verdict: Verdict) -> Option<Self> {
        match verdict {
            Verdict::Right => None,
            Verdict::Missing => Some(Self::new(
                StatusCode::UNAUTHORIZED,
                "unauthorized",
                "actions need the admin token: send `Authorization: Bearer TOKEN`",
            )),
            Verdict::Wrong => Some(Self::new(
                StatusCode::UNAUTHORIZED,
                "unauthorized",
                "this is not the admin token",
            )),
            Verdict::NotLookedAt => Some(Self::new(
                StatusCode::TOO_MANY_REQUESTS,
                "too_many",
                "too many wrong tokens came lately, so this one was not looked at; try again in a second",
            )),
            Verdict::ReadOnly => Some(Self::new(
                StatusCode::FORBIDDEN,
                "forbidden",
                "this dashboard is read-only; start it with --admin-token (in a program: DashboardBuilder::admin_token)",
            )),
        }
    }

    /// Redis did not give what was asked for.
    pub(crate) fn store(error: &StoreError) -> Self {
        if error.is_timeout() || error.is_disconnected() || error.is_not_ready() {
            Self::new(StatusCode::SERVICE_UNAVAILABLE, "redis_unavailable", causes(error))
        } else {
            Self::new(StatusCode::BAD_GATEWAY, "refused", causes(error))
        }
    }

    /// Redis did not give it in time.
    pub(crate) fn too_slow() -> Self {
        let message = "Redis did not answer in time; it may be overloaded or away: try again, and look at the overview";
        Self::new(StatusCode::SERVICE_UNAVAILABLE, "redis_unavailable", message)
    }
}

impl From<ViewError> for ApiError {
    fn from(error: ViewError) -> Self {
        match error {
            ViewError::Store(e) => Self::store(&e),
            ViewError::TooSlow => Self::too_slow(),
        }
    }
}

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        let body = Json(json!({ "error": { "code": self.code, "message": self.message } }));
        let mut response = (self.status, body).into_response();
        let headers = response.headers_mut();
        match self.status {
            StatusCode::UNAUTHORIZED => {
                headers.insert(WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
            }
            StatusCode::TOO_MANY_REQUESTS | StatusCode::SERVICE_UNAVAILABLE => {
                headers.insert(RETRY_AFTER, HeaderValue::from_static("1"));
            }
            _ => {}
        }
        response
    }
}
