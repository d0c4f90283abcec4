//! The admin token.

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use axum::extract::{Request, State};
use axum::http::header::AUTHORIZATION;
use axum::http::{HeaderMap, Method};
use axum::middleware::Next;
use axum::response::{IntoResponse as _, Response};
use subtle::ConstantTimeEq as _;
use tokio::time::Instant;

use crate::api::{self, ApiError};

/// How many wrong tokens are looked at in a row.
const MOST_WRONG: u32 = 10;
/// Time after which one more is.
const ONE_MORE: Duration = Duration::from_millis(500);

/// What a request's token is worth.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Verdict {
    Right,
    Wrong,
    /// There is none, or it isn't given as it should be.
    Missing,
    /// Too many were wrong lately: this one was not looked at.
    NotLookedAt,
    /// Nobody may act.
    ReadOnly,
}

/// Tells a right token from a wrong one, and not how wrong it is.
pub(crate) struct Gate {
    token: Option<String>,
    wrong: Mutex<Wrong>,
}

/// How many wrong tokens are looked at for now, and since when that many.
#[derive(Debug, Clone, Copy)]
struct Wrong {
    left: u32,
    since: Instant,
}

impl Gate {
    /// One that lets nobody through.
    pub(crate) fn shut() -> Self {
        Self {
            token: None,
            wrong: Mutex::new(Wrong {
                left: MOST_WRONG,
                since: Instant::now(),
            }),
        }
    }

    pub(crate) fn new(token: String) -> Self {
        Self {
            token: Some(token).filter(|token| !token.is_empty()),
            ..Self::shut()
        }
    }

    pub(crate) const fn is_shut(&self) -> bool {
        self.token.is_none()
    }

    pub(crate) fn judge(&self, headers: &HeaderMap) -> Verdict {
        let Some(token) = &self.token else {
            return Verdict::ReadOnly;
        };
        let given = headers.get(AUTHORIZATION).map(|value| value.as_bytes());
        let Some(given) = given.and_then(bearer) else {
            return Verdict::Missing;
        };
        let now = Instant::now();
        let mut wrong = self.wrong.lock().unwrap_or_else(PoisonError::into_inner);
        wrong.refill(now);
        if wrong.left == 0 {
            return Verdict::NotLookedAt;
        }
        if token.as_bytes().ct_eq(given).into() {
            return Verdict::Right;
        }
        wrong.left -= 1;
        Verdict::Wrong
    }
}

impl Wrong {
    fn refill(&mut self, now: Instant) {
        let passed = now.saturating_duration_since(self.since).as_millis() / ONE_MORE.as_millis();
        let more = u32::try_from(passed).unwrap_or(u32::MAX);
        if self.left.saturating_add(more) >= MOST_WRONG {
            (self.left, self.since) = (MOST_WRONG, now);
        } else {
            self.left += more;
            self.since += ONE_MORE * more;
        }
    }
}

/// Every action is behind this.
pub(crate) async fn check_token(State(state): State<Arc<api::State>>, request: Request, next: Next) -> Response {
    if request.method() != Method::POST {
        return next.run(request).await;
    }
    let verdict = state.gate.judge(request.headers());
    if verdict == Verdict::Wrong {
        tracing::warn!(path = request.uri().path(), "an action was refused: the token is wrong");
    }
    match ApiError::token(verdict) {
        None => next.run(request).await,
        Some(refusal) => refusal.into_response(),
    }
}

/// The scheme is the same in capitals.
fn bearer(value: &[u8]) -> Option<&[u8]> {
    let (scheme, token) = value.split_at_checked(7)?;
    let token = token.trim_ascii();
    (scheme.eq_ignore_ascii_case(b"bearer ") && !token.is_empty()).then_some(token)
}

impl fmt::Debug for Gate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Gate")
            .field("shut", &self.is_shut())
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use axum::http::HeaderValue;

    use super::*;

    fn judge(gate: &Gate, authorization: &str) -> Verdict {
        let mut headers = HeaderMap::new();
        headers.insert(AUTHORIZATION, HeaderValue::from_str(authorization).unwrap());
        gate.judge(&headers)
    }

    #[test]
    fn only_the_whole_token_is_right() {
        let gate = Gate::new("s3cret".to_owned());
        assert_eq!(judge(&gate, "Bearer s3cret"), Verdict::Right);
        assert_eq!(judge(&gate, "bearer  s3cret "), Verdict::Right);
        for wrong in ["Bearer s3cre", "Bearer s3cret2", "Bearer S3CRET", "Bearer x"] {
            assert_eq!(judge(&gate, wrong), Verdict::Wrong, "{wrong}");
        }
        for missing in ["", "Bearer", "Bearer ", "Basic s3cret", "s3cret"] {
            assert_eq!(judge(&gate, missing), Verdict::Missing, "{missing}");
        }
        assert_eq!(gate.judge(&HeaderMap::new()), Verdict::Missing);
    }

    #[test]
    fn without_a_token_nobody_may_act() {
        for gate in [Gate::shut(), Gate::new(String::new())] {
            assert_eq!(judge(&gate, "Bearer "), Verdict::ReadOnly);
            assert_eq!(judge(&gate, "Bearer x"), Verdict::ReadOnly);
        }
    }

    #[tokio::test(start_paused = true)]
    async fn after_many_wrong_tokens_none_is_looked_at_until_time_has_passed() {
        let gate = Gate::new("right".to_owned());
        for _ in 0..MOST_WRONG {
            assert_eq!(judge(&gate, "Bearer wrong"), Verdict::Wrong);
        }
        assert_eq!(
            judge(&gate, "Bearer right"),
            Verdict::NotLookedAt,
            "else guessing would go on"
        );
        tokio::time::advance(ONE_MORE).await;
        assert_eq!(judge(&gate, "Bearer wrong"), Verdict::Wrong);
        assert_eq!(judge(&gate, "Bearer right"), Verdict::NotLookedAt);
        tokio::time::advance(ONE_MORE).await;
        assert_eq!(judge(&gate, "Bearer right"), Verdict::Right);
        assert_eq!(
            judge(&gate, "Bearer right"),
            Verdict::Right,
            "those that are right cost nothing"
        );
    }

    #[test]
    fn no_token_is_printed() {
        assert!(!format!("{:?}", Gate::new("s3cret".to_owned())).contains("s3cret"));
    }
}
