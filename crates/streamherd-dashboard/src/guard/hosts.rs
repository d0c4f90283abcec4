//! Under which names the dashboard answers.

use std::net::IpAddr;
use std::sync::Arc;

use axum::extract::{Request, State};
use axum::http::header::HOST;
use axum::http::uri::Authority;
use axum::middleware::Next;
use axum::response::{IntoResponse as _, Response};

use crate::api::{self, ApiError};

/// The names beside loopback ones and addresses, in lower case.
#[derive(Debug, Clone, Default)]
pub(crate) struct Hosts {
    any: bool,
    names: Vec<String>,
}

impl Hosts {
    pub(crate) fn allow(&mut self, name: &str) {
        match name.trim() {
            "" => {}
            "*" => self.any = true,
            name => self.names.push(plain(name)),
        }
    }

    /// Whether a request for this host is meant for the dashboard. An address can't be pointed anywhere by somebody else;
    /// a name can.
    pub(crate) fn accepts(&self, host: &str) -> bool {
        if self.any {
            return true;
        }
        let Ok(authority) = host.parse::<Authority>() else {
            return false;
        };
        let host = plain(authority.host());
        let address = host.trim_start_matches('[').trim_end_matches(']');
        address.parse::<IpAddr>().is_ok()
            || host == "localhost"
            || host.ends_with(".localhost")
            || self.names.contains(&host)
    }

    /// Whether a host, with a port or without, was allowed by its name.
    pub(crate) fn names(&self, host: &str) -> bool {
        let authority = host.parse::<Authority>();
        authority.is_ok_and(|authority| self.names.contains(&plain(authority.host())))
    }
}

/// Names are the same in capitals, and with the dot at their end that resolvers understand.
fn plain(name: &str) -> String {
    name.trim_end_matches('.').to_ascii_lowercase()
}

/// The host of a request, which HTTP/1.0 may leave out.
pub(crate) fn host_of(request: &Request) -> Option<Result<&str, ()>> {
    match request.headers().get(HOST) {
        Some(host) => Some(host.to_str().map_err(drop)),
        None => request.uri().authority().map(|authority| Ok(authority.as_str())),
    }
}

pub(crate) async fn check_host(State(state): State<Arc<api::State>>, request: Request, next: Next) -> Response {
    match host_of(&request) {
        // No browser leaves it out.
        None => next.run(request).await,
        Some(Ok(host)) if state.hosts.accepts(host) => next.run(request).await,
        Some(_) => ApiError::wrong_host().into_response(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_and_loopback_names_are_answered_and_other_names_only_if_allowed() {
        let mut hosts = Hosts::default();
        for host in [
            "127.0.0.1:8380",
            "[::1]:8380",
            "10.0.0.7",
            "localhost",
            "LOCALHOST.:80",
            "a.localhost:1",
        ] {
            assert!(hosts.accepts(host), "{host}");
        }
        let others = [
            "herd.example.com",
            "herd.example.com:8380",
            "HERD.example.com.",
            "localhost.example.com",
            "127.0.0.1.example.com",
        ];
        for host in others {
            assert!(!hosts.accepts(host), "{host}");
        }
        hosts.allow("Herd.Example.com");
        assert_eq!(others.map(|host| hosts.accepts(host)), [true, true, true, false, false]);
    }

    #[test]
    fn what_is_no_host_is_refused() {
        let hosts = Hosts::default();
        for host in ["", "a b", "http://localhost/", "\u{e4}.localhost", "[::1"] {
            assert!(!hosts.accepts(host), "{host}");
        }
    }

    #[test]
    fn a_star_allows_all() {
        let mut hosts = Hosts::default();
        hosts.allow("*");
        assert!(hosts.accepts("anything.example.com"));
    }
}
