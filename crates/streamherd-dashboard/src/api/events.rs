//! Each sample as it comes, as server-sent events.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use axum::extract::State as Shared;
use axum::http::header::CACHE_CONTROL;
use axum::http::{HeaderName, HeaderValue};
use axum::response::sse::{Event, KeepAlive, Sse};
use axum::response::{IntoResponse as _, Response};
use futures_util::StreamExt as _;
use futures_util::stream::unfold;
use tokio::sync::{OwnedSemaphorePermit, watch};

use super::{ApiError, State, overview};
use crate::sample::Sample;

/// Browsers come back after so long when a stream ends.
const RETRY: Duration = Duration::from_secs(2);
/// Proxies end what is silent for longer than a minute or so.
const KEEP_ALIVE: Duration = Duration::from_secs(15);

struct Viewer {
    state: Arc<State>,
    samples: watch::Receiver<Arc<Sample>>,
    first: bool,
    _permit: OwnedSemaphorePermit,
}

pub(super) async fn get(Shared(state): Shared<Arc<State>>) -> Response {
    let Ok(permit) = Arc::clone(&state.viewers).try_acquire_owned() else {
        return ApiError::too_many_viewers().into_response();
    };
    let viewer = Viewer {
        samples: state.sampler.subscribe(),
        state: Arc::clone(&state),
        first: true,
        _permit: permit,
    };
    let end = state.end.clone();
    let events = unfold(viewer, Viewer::next).take_until(end.cancelled_owned());
    let mut response = Sse::new(events)
        .keep_alive(KeepAlive::new().interval(KEEP_ALIVE))
        .into_response();
    let headers = response.headers_mut();
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    // nginx would keep events until it has a page of them.
    headers.insert(
        HeaderName::from_static("x-accel-buffering"),
        HeaderValue::from_static("no"),
    );
    response
}

impl Viewer {
    async fn next(mut self) -> Option<(Result<Event, Infallible>, Self)> {
        let sample = if std::mem::take(&mut self.first) {
            let sample = overview::first(&self.state).await;
            self.samples.mark_unchanged();
            sample
        } else {
            self.samples.changed().await.ok()?;
            Arc::clone(&self.samples.borrow_and_update())
        };
        let event = Event::default().event("overview").retry(RETRY);
        let event = event.json_data(overview::overview(&self.state, &sample)).ok()?;
        Some((Ok(event), self))
    }
}
