//! Clients that do not start.

use std::error::Error as _;

use streamherd::Builder;
use streamherd::error::ConnectError;
use streamherd_testkit::eventually;

use crate::{Redis, SOON, Truth};

/// Why this client does not start, made sure that nothing was.
pub async fn refused(redis: &Redis, builder: Builder) -> ConnectError {
    let mut truth = Truth::of(redis);
    let before = truth.clients().len();
    let error = match builder.connect().await {
        Ok((client, _)) => panic!("{client:?} started"),
        Err(error) => error,
    };
    eventually(SOON, "no connection and no task is left", || {
        let connections = truth.clients().len();
        let tasks = tokio::runtime::Handle::current().metrics().num_alive_tasks();
        async move { (connections <= before && tasks == 0).then_some(()) }
    })
    .await;
    error
}

/// Everything that a log could show of an error.
#[must_use]
pub fn shown(error: &ConnectError) -> String {
    let mut text = format!("{error} {error:?} {error:#?}");
    let mut cause = error.source();
    while let Some(error) = cause {
        text.push_str(&format!(" {error} {error:?}"));
        cause = error.source();
    }
    text
}
