//! Whether an action was asked for by the dashboard's own page, or by no page at all.

use std::sync::Arc;

use axum::extract::{Request, State};
use axum::http::Method;
use axum::http::header::{CONTENT_TYPE, HOST, HeaderMap, ORIGIN};
use axum::http::uri::Uri;
use axum::middleware::Next;
use axum::response::{IntoResponse as _, Response};

use super::Hosts;
use crate::api::{self, ApiError};

/// The token is sent by the page, not by the browser on its own, so another's page can't act with it. This is a second
/// lock: what comes from another site, or could come from a form of one, isn't looked at.
pub(crate) async fn check_origin(State(state): State<Arc<api::State>>, request: Request, next: Next) -> Response {
    if request.method() != Method::POST {
        return next.run(request).await;
    }
    match judge(request.headers(), &state.hosts) {
        Ok(()) => next.run(request).await,
        Err(e) => e.into_response(),
    }
}

fn judge(headers: &HeaderMap, hosts: &Hosts) -> Result<(), ApiError> {
    if headers.get("sec-fetch-site").is_some_and(|site| site != "same-origin") {
        return Err(ApiError::other_origin());
    }
    if let Some(origin) = headers.get(ORIGIN) {
        let origin = origin.to_str().ok().and_then(|origin| origin.parse::<Uri>().ok());
        let authority = origin.as_ref().and_then(Uri::authority);
        let host = headers.get(HOST).and_then(|host| host.to_str().ok());
        // A proxy in front may have given the request another host; then the browser's is one that was allowed.
        let ours = |origin: &str| host.is_some_and(|host| host.eq_ignore_ascii_case(origin)) || hosts.names(origin);
        if !authority.is_some_and(|authority| ours(authority.as_str())) {
            return Err(ApiError::other_origin());
        }
    }
    let kind = headers.get(CONTENT_TYPE).and_then(|kind| kind.to_str().ok());
    let essence = kind.and_then(|kind| kind.split(';').next()).map(str::trim);
    if !essence.is_some_and(|essence| essence.eq_ignore_ascii_case("application/json")) {
        return Err(ApiError::not_json());
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use axum::http::{HeaderName, HeaderValue};

    use super::*;

    fn judged(pairs: &[(&'static str, &'static str)], allowed: &[&str]) -> bool {
        let header = |(name, value): &(&'static str, &'static str)| {
            (HeaderName::from_static(name), HeaderValue::from_static(value))
        };
        let mut hosts = Hosts::default();
        allowed.iter().for_each(|name| hosts.allow(name));
        judge(&pairs.iter().map(header).collect(), &hosts).is_ok()
    }

    const JSON: (&str, &str) = ("content-type", "application/json; charset=utf-8");
    const LOCAL: (&str, &str) = ("host", "127.0.0.1:8380");

    #[test]
    fn the_page_and_programs_may_act() {
        assert!(judged(&[LOCAL, JSON], &[]));
        assert!(judged(
            &[
                LOCAL,
                JSON,
                ("sec-fetch-site", "same-origin"),
                ("origin", "http://127.0.0.1:8380")
            ],
            &[]
        ));
        let outside = ("origin", "https://herd.example.com");
        assert!(!judged(&[LOCAL, JSON, outside], &[]), "a proxy that nobody told of");
        assert!(judged(&[LOCAL, JSON, outside], &["herd.example.com"]));
    }

    #[test]
    fn other_sites_and_forms_may_not() {
        for site in ["cross-site", "same-site", "none", ""] {
            assert!(!judged(&[LOCAL, JSON, ("sec-fetch-site", site)], &[]), "{site}");
        }
        for origin in [
            "http://evil.example.com",
            "null",
            "http://127.0.0.1:8381",
            "http://127.0.0.1",
            "",
            "//",
        ] {
            assert!(!judged(&[LOCAL, JSON, ("origin", origin)], &["*"]), "{origin}");
        }
        for kind in [
            "text/plain",
            "application/x-www-form-urlencoded",
            "application/jsonp",
            "",
        ] {
            assert!(!judged(&[LOCAL, ("content-type", kind)], &[]), "{kind}");
        }
        assert!(!judged(&[LOCAL], &[]));
    }
}
